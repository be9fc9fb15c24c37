"""ITSM's calls that change something: create, operate, decide (reference 4.1, 4.7 to 4.9)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from airflow_provider_bkitsm.sandbox import flow, forms, itsm_views, lifecycle, refusals
from airflow_provider_bkitsm.sandbox.services import Node, filled_in
from airflow_provider_bkitsm.sandbox.tickets import Ticket
from airflow_provider_bkitsm.sandbox.world import World

_TICKET_ACTIONS = ("SUSPEND", "UNSUSPEND", "WITHDRAW", "TERMINATE")
_NODE_ACTIONS = ("TRANSITION", "CLAIM", "DISTRIBUTE", "DELIVER", "TERMINATE")
_MESSAGE_LIMIT = 255


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A call's arguments, wherever they came from.

    :param query: the query string's, of a POST.
    :param user: the verified user, else "".
    """

    world: World
    args: dict[str, Any]
    query: dict[str, str]
    user: str

    @property
    def ticket(self) -> Ticket:
        """The ticket the call is about."""
        return self.world.one(self.args.get("sn"))

    def choice(self, name: str, choices: tuple[str, ...]) -> str:
        """Return a mandatory parameter that is one of some."""
        value = self.args.get(name)
        if value is None:
            raise refusals.required(name)
        if value not in choices:
            raise refusals.bad_key(name, f"“{value}” 不是合法选项。", "invalid_choice")
        return str(value)

    def text(self, name: str) -> str:
        """Return a mandatory, non-blank text."""
        value = self.args.get(name)
        if value is None:
            raise refusals.required(name)
        if not str(value).strip():
            raise refusals.blank(name)
        return str(value)


async def create_ticket(asked: Asked) -> Any:
    """Open a ticket; its flow starts a moment after the answer."""
    world = asked.world
    draft = forms.read_draft(asked.args, user=asked.user, basic_plane_only=world.settings.basic_plane_only)
    ticket = lifecycle.open_ticket(world, draft)
    if draft.late_problem is not None:
        raise draft.late_problem
    return {"sn": ticket.sn, "id": ticket.id, "ticket_url": itsm_views.ticket_url(world.settings, ticket)}


async def operate_ticket(asked: Asked) -> Any:
    """Withdraw, terminate, suspend, resume; an end posts the callback before this answers."""
    ticket, action = asked.ticket, asked.choice("action_type", _TICKET_ACTIONS)
    operator, acting = asked.args.get("operator"), asked.args.get("username")
    message, now = _action_message(asked), asked.world.clock()
    await lifecycle.change(
        asked.world,
        ticket,
        lambda: flow.operate(ticket, action, operator, message, now, acting=acting),
        wait=True,
    )
    return []


async def operate_node(asked: Asked) -> Any:
    """Answer on a node with its own form."""
    ticket, action = asked.ticket, asked.choice("action_type", _NODE_ACTIONS)
    operator = asked.text("operator")
    fields = _node_fields(asked.args.get("fields")) if action == "TRANSITION" else {}
    node = flow.node_for(ticket, asked.args.get("state_id"), operator)
    if action != "TRANSITION":
        raise _not_offered(node, action)
    values, now = flow.check_answer(node, fields), asked.world.clock()
    await lifecycle.change(asked.world, ticket, lambda: flow.record(ticket, node, operator, values, now))
    return []


async def approve(asked: Asked) -> Any:
    """Answer on an approval node. Nothing is checked: all but the text "true" is a refusal, JSON true too."""
    ticket, approver, node = asked.ticket, asked.text("approver"), asked.ticket.current_node
    if (
        node is None
        or node.kind != "APPROVAL"
        or str(node.state_id) != str(asked.args.get("state_id"))
        or approver not in ticket.waits_for
    ):
        said = f"单据审批失败，{approver}不是当前节点的审批人，无法审批"
        raise refusals.Refusal(refusals.OPERATION_FAILED, f"单据操作失败: {said}")
    values = filled_in(
        node, approve=asked.args.get("action") == "true", remark=str(asked.args.get("remark") or "")
    )
    now = asked.world.clock()
    await lifecycle.change(asked.world, ticket, lambda: flow.record(ticket, node, approver, values, now))
    return []


def _action_message(asked: Asked) -> str:
    """Return what the documentation calls optional (reference 4.7)."""
    message = asked.args["action_message"]
    if not str(message).strip():
        raise refusals.blank("action_message")
    if len(str(message)) > _MESSAGE_LIMIT:
        raise refusals.bad_key("action_message", "请确保这个字段不能超过 255 个字符。", "max_length")
    return str(message)


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
    if action == "TERMINATE":
        return refusals.forbidden(f"指定流程节点【{node.name}】不支持终止操作.")
    if action == "DELIVER":
        return refusals.invalid(f"指定流程节点【{node.name}】不支持转单操作.")
    return refusals.invalid(f"当前节点无法进行【{'认领' if action == 'CLAIM' else '派单'}】操作")
