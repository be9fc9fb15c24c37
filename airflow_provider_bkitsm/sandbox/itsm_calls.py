# SPDX-License-Identifier: Apache-2.0
"""ITSM's calls that open a ticket or change it as a whole (docs/itsm-behaviour.md#acting-on-a-ticket)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_bkitsm.sandbox import flow, forms, itsm_views, lifecycle, refusals
from airflow_provider_bkitsm.sandbox.asked import Asked
from airflow_provider_bkitsm.sandbox.itsm.storage import stored
from airflow_provider_bkitsm.sandbox.tickets import FINISHED, Ticket, split_names

_TICKET_ACTIONS = ("SUSPEND", "UNSUSPEND", "WITHDRAW", "TERMINATE")
_COMMENTER_LIMIT, _MOST_STARS = 16, 6
_SYSTEM_FIELDS = frozenset({"title", "impact", "urgency", "priority"})


async def create_ticket(asked: Asked) -> Any:
    """Open a ticket; its flow starts a moment after the answer."""
    world = asked.world
    draft = forms.read_draft(
        asked.args,
        services=world.services,
        user=asked.user,
        utf8mb4=world.settings.utf8mb4,
        businesses=world.settings.businesses,
    )
    ticket = lifecycle.open_ticket(world, draft)
    if draft.late_problem is not None:
        raise draft.late_problem
    return {"sn": ticket.sn, "id": ticket.id, "ticket_url": itsm_views.ticket_url(world.settings, ticket)}


async def operate_ticket(asked: Asked) -> Any:
    """Withdraw, terminate, suspend, resume; an end posts the callback before this answers."""
    ticket, action = asked.ticket, asked.choice("action_type", _TICKET_ACTIONS)
    operator, acting = asked.args.get("operator"), asked.args.get("username")
    # Documented as optional, and required (docs/itsm-behaviour.md#reason-is-required).
    message, now = asked.message("action_message"), asked.world.clock()
    await lifecycle.change(
        asked.world,
        ticket,
        lambda: flow.operate(ticket, action, operator, message, now, acting=acting),
        wait=True,
    )
    return []


async def comment(asked: Asked) -> Any:
    """Rate a finished ticket, once."""
    ticket, stars = asked.ticket, asked.args.get("stars")
    operator = asked.text("operator")
    if not isinstance(stars, int) or not 1 <= stars <= _MOST_STARS:
        raise refusals.bad_key("stars", "请确保该值在 1 到 6 之间。", "invalid")
    if len(operator) > _COMMENTER_LIMIT:
        raise refusals.bad_key("operator", "请确保这个字段不能超过 16 个字符。", "max_length")
    if ticket.status != FINISHED or ticket.stars:
        raise refusals.invalid("单据未结束或已评价")
    asked.args["comments"]
    ticket.stars = stars
    asked.world.save(ticket)
    return []


async def add_follower(asked: Asked) -> Any:
    """Let people follow a ticket, or no longer."""
    ticket, people = asked.ticket, split_names(asked.text("users"))
    others = [one for one in ticket.followers if one not in people]
    ticket.followers = others + (people if asked.args.get("attention") else [])
    asked.world.save(ticket)
    return []


async def edit_field(asked: Asked) -> Any:
    """Change fields of the submit form while the ticket is open."""
    edit(asked.ticket, forms.submitted(asked.args["fields"]))
    asked.world.save(asked.ticket)
    return []


def edit(ticket: Ticket, values: Mapping[str, Any]) -> None:
    """Change title and submit form of an open ticket, as ITSM's page and its call do.

    :raises Refusal: the ticket is over, or has no such field.
    """
    if ticket.over:
        raise refusals.Refusal("FORM_VALIDATE_ERROR", "抱歉，单据已关闭，无法操作")
    form = {one.key: one for one in ticket.service.form}
    if not set(values) <= set(form) | _SYSTEM_FIELDS:
        raise refusals.Refusal("FORM_VALIDATE_ERROR", "字段不存在")
    ticket.fields |= {key: stored(form[key], one) if key in form else one for key, one in values.items()}
    ticket.title = str(ticket.fields["title"])
