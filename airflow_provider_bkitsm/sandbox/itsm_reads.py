# SPDX-License-Identifier: Apache-2.0
"""ITSM's calls that ask about tickets, verdicts and tokens (docs/itsm-behaviour.md#reading-a-ticket)."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from airflow_provider_bkitsm.sandbox import itsm_views, refusals, tokens
from airflow_provider_bkitsm.sandbox.asked import Asked
from airflow_provider_bkitsm.sandbox.itsm_search import matches, of_person, paged
from airflow_provider_bkitsm.sandbox.person_views import personal
from airflow_provider_bkitsm.sandbox.tickets import FINISHED, Ticket

_PATH = "/openapi/ticket/"


async def get_ticket_status(asked: Asked) -> Any:
    """Status and steps."""
    return itsm_views.status(asked.world.settings, asked.ticket)


async def get_ticket_info(asked: Asked) -> Any:
    """Form, creator, times."""
    return itsm_views.info(asked.world.settings, asked.ticket)


async def get_ticket_logs(asked: Asked) -> Any:
    """The log."""
    return itsm_views.logs(asked.ticket, complex_form=asked.args.get("show_type") == "complex")


async def get_tickets(asked: Asked) -> Any:
    """Search, newest first, in pages."""
    found = [one for one in _candidates(asked) if matches(one, asked.args)]
    # The query string wins over the body.
    args, settings = {**asked.args, **asked.query}, asked.world.settings
    return paged(found, args, partial(itsm_views.summary, settings), f"{settings.public_url}{_PATH}get_tickets/")


def _candidates(asked: Asked) -> Iterable[Ticket]:
    """Return the tickets to search among: of a list of numbers only those, as an index would."""
    sns = asked.args.get("sns")
    if not sns or not isinstance(sns, list):
        return asked.world.newest_first()
    found = {one.id: one for sn in sns for one in asked.world.by_sn(str(sn))}
    return sorted(found.values(), key=lambda one: one.id, reverse=True)


async def get_tickets_by_user(asked: Asked) -> Any:
    """One person's tickets, newest first, in pages."""
    args, settings = asked.args, asked.world.settings
    person = args.get("user") or args.get("username")
    if not person:
        raise refusals.invalid("user 为必填项")
    found = [one for one in asked.world.newest_first() if of_person(one, str(person), args)]
    view = partial(personal, settings, person=str(person))
    return paged(found, args, view, f"{settings.public_url}{_PATH}get_tickets_by_user/")


async def ticket_approval_result(asked: Asked) -> Any:
    """Verdicts, newest first; asking clears the numbers from the lost-callback list."""
    sns = list(asked.args["sn"])
    if not sns:
        raise ValueError("wrong number of arguments for 'hdel' command")
    found: dict[int, Ticket] = {}
    for sn in sns:
        found |= {one.id: one for one in asked.world.by_sn(sn)}
        asked.world.forget_callback(str(sn))
    settings = asked.world.settings
    return [itsm_views.approval_result(settings, found[key]) for key in sorted(found, reverse=True)]


async def token_verify(asked: Asked) -> Any:
    """Whether a token is this installation's."""
    return {"is_passed": tokens.passes(asked.world.installation, asked.args.get("token", ""))}


async def callback_failed_ticket(asked: Asked) -> Any:
    """Everybody's lost callbacks."""
    return list(asked.world.lost_callbacks)


async def get_approver(asked: Asked) -> Any:
    """Who decides on a node; after the end, who did."""
    ticket = asked.ticket
    node = ticket.current_node
    return {"approver": ",".join(ticket.processors(node)) if node else ticket.last_approver}


async def get_approve_node_result(asked: Asked) -> Any:
    """A finished node's verdict."""
    state_id = str(asked.args.get("state_id"))
    tickets = asked.world.by_sn(asked.args.get("sn"))
    step = tickets[0].steps.get(state_id) if tickets else None
    if step is None:
        raise refusals.invalid(f"sn[{asked.args.get('sn')}], state[{state_id}] 未查到对应的节点状态")
    if step.status != FINISHED:
        raise refusals.invalid(f"sn[{asked.args.get('sn')}], state[{state_id}] 当前节点状态为非结束状态")
    return itsm_views.node_result(tickets[0], step)
