# SPDX-License-Identifier: Apache-2.0
"""ITSM's calls about tickets: open or change a whole ticket, answer on one step, read.

See docs/itsm-behaviour.md#acting-on-a-ticket and docs/itsm-behaviour.md#reading-a-ticket.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from airflow_provider_bkitsm.sandbox import refusals
from airflow_provider_bkitsm.sandbox.itsm import flow, forms, lifecycle, ticket_views, tokens
from airflow_provider_bkitsm.sandbox.itsm.request import ItsmRequest
from airflow_provider_bkitsm.sandbox.itsm.search import matches, of_person, paged
from airflow_provider_bkitsm.sandbox.itsm.services import Node, filled_in_briefly
from airflow_provider_bkitsm.sandbox.itsm.storage import stored
from airflow_provider_bkitsm.sandbox.itsm.ticket_views import personal
from airflow_provider_bkitsm.sandbox.itsm.tickets import FINISHED, Ticket, split_names

_TICKET_ACTIONS = ("SUSPEND", "UNSUSPEND", "WITHDRAW", "TERMINATE")
_COMMENTER_LIMIT, _MOST_STARS = 16, 6
_SYSTEM_FIELDS = frozenset({"title", "impact", "urgency", "priority"})


async def create_ticket(request: ItsmRequest) -> Any:
    """Open a ticket; its flow starts a moment after the answer."""
    world = request.world
    draft = forms.read_draft(
        request.args,
        services=world.services,
        user=request.user,
        utf8mb4=world.settings.utf8mb4,
        businesses=world.settings.businesses,
    )
    ticket = lifecycle.open_ticket(world, draft)
    if draft.late_problem is not None:
        raise draft.late_problem
    return {"sn": ticket.sn, "id": ticket.id, "ticket_url": ticket_views.ticket_url(world.settings, ticket)}


async def operate_ticket(request: ItsmRequest) -> Any:
    """Withdraw, terminate, suspend, resume; an end posts the callback before this answers."""
    ticket, action = request.ticket, request.choice("action_type", _TICKET_ACTIONS)
    operator, acting = request.args.get("operator"), request.args.get("username")
    # Documented as optional, and required (docs/itsm-behaviour.md#reason-is-required).
    message, now = request.message("action_message"), request.world.clock()
    await lifecycle.change(
        request.world,
        ticket,
        lambda: flow.operate(ticket, action, operator, message, now, acting=acting),
        wait=True,
    )
    return []


async def comment(request: ItsmRequest) -> Any:
    """Rate a finished ticket, once."""
    ticket, stars = request.ticket, request.args.get("stars")
    operator = request.text("operator")
    if not isinstance(stars, int) or not 1 <= stars <= _MOST_STARS:
        raise refusals.bad_key("stars", "请确保该值在 1 到 6 之间。", "invalid")
    if len(operator) > _COMMENTER_LIMIT:
        raise refusals.bad_key("operator", "请确保这个字段不能超过 16 个字符。", "max_length")
    if ticket.status != FINISHED or ticket.stars:
        raise refusals.invalid("单据未结束或已评价")
    request.args["comments"]
    ticket.stars = stars
    request.world.save(ticket)
    return []


async def add_follower(request: ItsmRequest) -> Any:
    """Let people follow a ticket, or no longer."""
    ticket, people = request.ticket, split_names(request.text("users"))
    others = [one for one in ticket.followers if one not in people]
    ticket.followers = others + (people if request.args.get("attention") else [])
    request.world.save(ticket)
    return []


async def edit_field(request: ItsmRequest) -> Any:
    """Change fields of the submit form while the ticket is open."""
    edit(request.ticket, forms.submitted(request.args["fields"]))
    request.world.save(request.ticket)
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


_NODE_ACTIONS = ("TRANSITION", "CLAIM", "DISTRIBUTE", "DELIVER", "TERMINATE")


async def operate_node(request: ItsmRequest) -> Any:
    """Answer on a node with its own form."""
    ticket, action = request.ticket, request.choice("action_type", _NODE_ACTIONS)
    operator = request.text("operator")
    fields = _node_fields(request.args.get("fields")) if action == "TRANSITION" else {}
    node = flow.node_for(ticket, request.args.get("state_id"), operator)
    if action == "DELIVER" and node.deliverable:
        return _deliver(request, ticket, node, operator)
    if action != "TRANSITION":
        raise _not_offered(node, action)
    values, now = flow.check_answer(node, fields), request.world.clock()
    await lifecycle.change(request.world, ticket, lambda: flow.answer(ticket, node, operator, values, now))
    return []


async def approve(request: ItsmRequest) -> Any:
    """Answer on an approval node. Nothing is checked: all but the text "true" is a refusal, JSON true too."""
    approver, remark = request.text("approver"), str(request.args.get("remark") or "")
    yes = request.args.get("action") == "true"
    return await _decide(request, request.ticket, request.args.get("state_id"), approver, yes=yes, remark=remark)


async def proceed_approval(request: ItsmRequest) -> Any:
    """The same for other products of the platform; no gateway's signature is asked for.

    See docs/itsm-behaviour.md#open-by-accident.
    """
    ticket, handler = request.world.one(request.args.get("process_inst_id")), request.text("handler")
    yes = request.args.get("submit_action") == "true"
    remark = str(request.args.get("submit_opinion") or "")
    return await _decide(request, ticket, request.args.get("activity"), handler, yes=yes, remark=remark)


async def _decide(
    request: ItsmRequest, ticket: Ticket, state_id: Any, approver: str, *, yes: bool, remark: str
) -> Any:
    node = next((one for one in ticket.open_nodes if str(one.state_id) == str(state_id)), None)
    # The step must be RUNNING: QUEUEING, with an answer just given, will not do.
    if (
        node is None
        or node.kind != "APPROVAL"
        or ticket.steps[str(node.state_id)].answers
        or approver not in ticket.asked(node)
    ):
        text = f"单据审批失败，{approver}不是当前节点的审批人，无法审批"
        raise refusals.Refusal(refusals.OPERATION_FAILED, f"单据操作失败: {text}")
    values, now = filled_in_briefly(node, approve=yes, remark=remark), request.world.clock()
    await lifecycle.change(request.world, ticket, lambda: flow.answer(ticket, node, approver, values, now))
    return []


def _deliver(request: ItsmRequest, ticket: Ticket, node: Node, operator: str) -> Any:
    people, message = request.text("processors"), request.message("action_message")
    flow.deliver(ticket, node, operator, request.world.clock(), people=people, message=message)
    request.world.save(ticket)
    return []


def _node_fields(fields: Any) -> dict[str, Any]:
    if fields is None:
        raise refusals.required("fields")
    values = forms.submitted(fields)
    problems = [
        "{}" if _plain(one) else "{'value': [ErrorDetail(string='Not a valid string.', code='invalid')]}"
        for one in values.values()
    ]
    if any(one != "{}" for one in problems):
        raise refusals.unexpected(f"{{'fields': [{', '.join(problems)}]}}")
    return values


def _plain(value: Any) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def _not_offered(node: Node, action: str) -> refusals.Refusal:
    if action == "TERMINATE" and node.terminable:
        return refusals.unexpected("terminate() got an unexpected keyword argument 'source'")
    if action == "TERMINATE":
        return refusals.forbidden(f"指定流程节点【{node.name}】不支持终止操作.")
    if action == "DELIVER":
        return refusals.invalid(f"指定流程节点【{node.name}】不支持转单操作.")
    return refusals.invalid(f"当前节点无法进行【{'认领' if action == 'CLAIM' else '派单'}】操作")


_PATH = "/openapi/ticket/"


async def get_ticket_status(request: ItsmRequest) -> Any:
    """Status and steps."""
    return ticket_views.status(request.world.settings, request.ticket)


async def get_ticket_info(request: ItsmRequest) -> Any:
    """Form, creator, times."""
    return ticket_views.info(request.world.settings, request.ticket)


async def get_ticket_logs(request: ItsmRequest) -> Any:
    """The log."""
    return ticket_views.logs(request.ticket, complex_form=request.args.get("show_type") == "complex")


async def get_tickets(request: ItsmRequest) -> Any:
    """Search, newest first, in pages."""
    found = [one for one in _candidates(request) if matches(one, request.args)]
    # The query string wins over the body.
    args, settings = {**request.args, **request.query}, request.world.settings
    return paged(found, args, partial(ticket_views.summary, settings), f"{settings.public_url}{_PATH}get_tickets/")


def _candidates(request: ItsmRequest) -> Iterable[Ticket]:
    """Return the tickets to search among: of a list of numbers only those, as an index would."""
    sns = request.args.get("sns")
    if not sns or not isinstance(sns, list):
        return request.world.newest_first()
    found = {one.id: one for sn in sns for one in request.world.by_sn(str(sn))}
    return sorted(found.values(), key=lambda one: one.id, reverse=True)


async def get_tickets_by_user(request: ItsmRequest) -> Any:
    """One person's tickets, newest first, in pages."""
    args, settings = request.args, request.world.settings
    person = args.get("user") or args.get("username")
    if not person:
        raise refusals.invalid("user 为必填项")
    found = [one for one in request.world.newest_first() if of_person(one, str(person), args)]
    view = partial(personal, settings, person=str(person))
    return paged(found, args, view, f"{settings.public_url}{_PATH}get_tickets_by_user/")


async def ticket_approval_result(request: ItsmRequest) -> Any:
    """Verdicts, newest first; asking clears the numbers from the lost-callback list."""
    sns = list(request.args["sn"])
    if not sns:
        raise ValueError("wrong number of arguments for 'hdel' command")
    found: dict[int, Ticket] = {}
    for sn in sns:
        found |= {one.id: one for one in request.world.by_sn(sn)}
        request.world.forget_callback(str(sn))
    settings = request.world.settings
    return [ticket_views.approval_result(settings, found[key]) for key in sorted(found, reverse=True)]


async def token_verify(request: ItsmRequest) -> Any:
    """Whether a token is this installation's."""
    return {"is_passed": tokens.passes(request.world.installation, request.args.get("token", ""))}


async def callback_failed_ticket(request: ItsmRequest) -> Any:
    """Everybody's lost callbacks."""
    return list(request.world.lost_callbacks)


async def get_approver(request: ItsmRequest) -> Any:
    """Who decides on a node; after the end, who did."""
    ticket = request.ticket
    node = ticket.current_node
    return {"approver": ",".join(ticket.processors(node)) if node else ticket.last_approver}


async def get_approve_node_result(request: ItsmRequest) -> Any:
    """A finished node's verdict."""
    state_id = str(request.args.get("state_id"))
    tickets = request.world.by_sn(request.args.get("sn"))
    step = tickets[0].steps.get(state_id) if tickets else None
    if step is None:
        raise refusals.invalid(f"sn[{request.args.get('sn')}], state[{state_id}] 未查到对应的节点状态")
    if step.status != FINISHED:
        raise refusals.invalid(f"sn[{request.args.get('sn')}], state[{state_id}] 当前节点状态为非结束状态")
    return ticket_views.node_result(tickets[0], step)
