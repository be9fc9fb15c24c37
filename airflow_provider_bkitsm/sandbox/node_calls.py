# SPDX-License-Identifier: Apache-2.0
"""ITSM's calls that answer on one step, or hand it over (docs/itsm-behaviour.md#acting-on-a-ticket)."""

from __future__ import annotations

from typing import Any

from airflow_provider_bkitsm.sandbox import flow, forms, lifecycle, refusals
from airflow_provider_bkitsm.sandbox.asked import Asked
from airflow_provider_bkitsm.sandbox.services import Node, filled_in_briefly
from airflow_provider_bkitsm.sandbox.tickets import Ticket

_NODE_ACTIONS = ("TRANSITION", "CLAIM", "DISTRIBUTE", "DELIVER", "TERMINATE")


async def operate_node(asked: Asked) -> Any:
    """Answer on a node with its own form."""
    ticket, action = asked.ticket, asked.choice("action_type", _NODE_ACTIONS)
    operator = asked.text("operator")
    fields = _node_fields(asked.args.get("fields")) if action == "TRANSITION" else {}
    node = flow.node_for(ticket, asked.args.get("state_id"), operator)
    if action == "DELIVER" and node.deliverable:
        return _deliver(asked, ticket, node, operator)
    if action != "TRANSITION":
        raise _not_offered(node, action)
    values, now = flow.check_answer(node, fields), asked.world.clock()
    await lifecycle.change(asked.world, ticket, lambda: flow.answer(ticket, node, operator, values, now))
    return []


async def approve(asked: Asked) -> Any:
    """Answer on an approval node. Nothing is checked: all but the text "true" is a refusal, JSON true too."""
    approver, remark = asked.text("approver"), str(asked.args.get("remark") or "")
    yes = asked.args.get("action") == "true"
    return await _decide(asked, asked.ticket, asked.args.get("state_id"), approver, yes=yes, remark=remark)


async def proceed_approval(asked: Asked) -> Any:
    """The same for other products of the platform; no gateway's signature is asked for.

    See docs/itsm-behaviour.md#open-by-accident.
    """
    ticket, handler = asked.world.one(asked.args.get("process_inst_id")), asked.text("handler")
    yes = asked.args.get("submit_action") == "true"
    remark = str(asked.args.get("submit_opinion") or "")
    return await _decide(asked, ticket, asked.args.get("activity"), handler, yes=yes, remark=remark)


async def _decide(asked: Asked, ticket: Ticket, state_id: Any, approver: str, *, yes: bool, remark: str) -> Any:
    node = next((one for one in ticket.open_nodes if str(one.state_id) == str(state_id)), None)
    # The step must be RUNNING: QUEUEING, with an answer just given, will not do.
    if (
        node is None
        or node.kind != "APPROVAL"
        or ticket.steps[str(node.state_id)].answers
        or approver not in ticket.asked(node)
    ):
        said = f"单据审批失败，{approver}不是当前节点的审批人，无法审批"
        raise refusals.Refusal(refusals.OPERATION_FAILED, f"单据操作失败: {said}")
    values, now = filled_in_briefly(node, approve=yes, remark=remark), asked.world.clock()
    await lifecycle.change(asked.world, ticket, lambda: flow.answer(ticket, node, approver, values, now))
    return []


def _deliver(asked: Asked, ticket: Ticket, node: Node, operator: str) -> Any:
    people, message = asked.text("processors"), asked.message("action_message")
    flow.deliver(ticket, node, operator, asked.world.clock(), people=people, message=message)
    asked.world.save(ticket)
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
