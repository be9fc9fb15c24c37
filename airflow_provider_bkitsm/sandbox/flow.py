# SPDX-License-Identifier: Apache-2.0
"""What can happen to a ticket: pure functions over one ticket, the clock passed in.

Each either moves the ticket or raises :class:`~.refusals.Refusal` and leaves it as it was. Rules: reference 4.7
to 4.9 and 5.
"""

from __future__ import annotations

from typing import Any

from airflow_provider_bkitsm.sandbox import refusals
from airflow_provider_bkitsm.sandbox.moments import shanghai
from airflow_provider_bkitsm.sandbox.services import Field, Node
from airflow_provider_bkitsm.sandbox.tickets import (
    AT_SUBMIT,
    FINISHED,
    NOT_STARTED,
    REVOKED,
    SUSPENDED,
    TERMINATED,
    Ticket,
    form_data,
)

SYSTEM_ACCOUNT = "admin"
_ACTION_NAMES = {"SUSPEND": "挂起", "UNSUSPEND": "恢复", "WITHDRAW": "撤销", "TERMINATE": "终止"}


def begin(ticket: Ticket) -> None:
    """Let the flow reach the submit step."""
    if ticket.node == NOT_STARTED and not ticket.over:
        ticket.node = AT_SUBMIT


def submit(ticket: Ticket, now: float) -> None:
    """Leave the submit step in the creator's name."""
    if ticket.node != AT_SUBMIT or ticket.over:
        return
    _log(ticket, now, ticket.creator, "流程开始.", "WEB")
    form = form_data(ticket.service, ticket.service.form, ticket.fields)
    _log(ticket, now, ticket.creator, f"{ticket.creator} 处理【提单】", "WEB", kind="NORMAL", form=form)
    _move_to(ticket, AT_SUBMIT + 1, now)


def node_for(ticket: Ticket, state_id: object, operator: str) -> Node:
    """Return the node a person may answer on now.

    :raises Refusal: it is over, at another node, or asks somebody else.
    """
    if ticket.over:
        raise refusals.forbidden("抱歉，单据已关闭，无法操作")
    node = ticket.current_node
    if node is None or str(state_id) != str(node.state_id):
        raise refusals.forbidden(f"抱歉，当前节点：{state_id} 已经结束")
    if operator not in ticket.waits_for:
        raise refusals.forbidden(f"抱歉，{operator}不能操作该节点（没有权限或操作类型不支持）")
    return node


def check_answer(node: Node, values: dict[str, Any]) -> dict[str, str]:
    """Return a node's form as text.

    :raises Refusal: a mandatory key is absent, or blank where it must be filled in.
    """
    missing = [one.key for one in node.fields if one.required and one.key not in values]
    if missing:
        raise refusals.invalid(f"单据处理失败，缺少参数：{missing}")
    texts = {key: str(value) for key, value in values.items()}
    refuses = not node.says_yes(texts)
    for one in node.fields:
        _check_value(one, texts.get(one.key, ""), refuses=refuses)
    return texts


def answer(
    ticket: Ticket, node: Node, operator: str, values: dict[str, str], now: float, *, source: str = "API"
) -> None:
    """Write an answer down; ``settle`` moves the ticket on. Nothing is validated here.

    Once the node has what it needs, further answers are taken without effect: the first decision wins.
    """
    if ticket.queued:
        return
    yes = node.says_yes(values)
    ticket.values |= values
    ticket.last_approver = operator
    ticket.answered[operator] = "true" if yes else "false"
    said = f"{operator} 已处理【{node.name}】({'通过' if yes else '拒绝'})"
    form = form_data(ticket.service, node.fields, values)
    _log(ticket, now, operator, said, source, kind=node.kind, form=form)
    _touch(ticket, now, operator)
    ticket.queued = not (node.everybody and ticket.waits_for)


def settle(ticket: Ticket, now: float) -> None:
    """Finish a node that has its answer, and go on to the next."""
    node = ticket.current_node
    if not ticket.queued or node is None:
        return
    yes = all(one == "true" for one in ticket.answered.values())
    if node.kind == "APPROVAL":
        ticket.results[str(node.state_id)] = yes
    position = ticket.node + 1 if node.targets is None else ticket.service.position(node.targets[yes])
    _move_to(ticket, position, now)


def deliver(ticket: Ticket, node: Node, operator: str, now: float, *, people: str, message: str) -> None:
    """Hand a node over to other people."""
    ticket.delivered[str(node.state_id)] = people
    _touch(ticket, now, operator)
    _log(ticket, now, operator, f"{operator} 转单【{node.name}】给 {people}，原因：{message}", "API")


def operate(
    ticket: Ticket, action: str, operator: str | None, message: str, now: float, *, acting: str | None = None
) -> None:
    """Withdraw, terminate, suspend or resume.

    :param operator: who the log names.
    :param acting: who the permission is checked for, if another (the parameter ``username``).
    """
    who = acting or operator
    {"WITHDRAW": _withdraw, "TERMINATE": _terminate, "SUSPEND": _suspend, "UNSUSPEND": _unsuspend}[action](
        ticket, who, now
    )
    _touch(ticket, now, str(operator))
    _log(ticket, now, str(operator), f"{operator} {_ACTION_NAMES[action]}单据，原因：{message}", "API")


def finish_without_evidence(ticket: Ticket, now: float) -> None:
    """End a ticket as FINISHED as if no approval node had been visited: a trap for clients (reference 5.3)."""
    if ticket.over:
        raise refusals.forbidden("抱歉，单据已关闭，无法操作")
    ticket.results.clear()
    _finish(ticket, now)


def _check_value(field: Field, text: str, *, refuses: bool) -> None:
    must = field.required and (refuses or not field.on_refusal)
    if must and not text.strip():
        raise refusals.invalid(f"【{field.name}】为必填项")
    if text and field.choice and text not in dict(field.choice):
        raise refusals.invalid(f"【{field.name}】的值不在选项中")


def _withdraw(ticket: Ticket, who: str | None, now: float) -> None:
    if ticket.over:
        raise refusals.forbidden("抱歉，单据已经结束，无法撤销")
    if who not in {ticket.creator, SYSTEM_ACCOUNT}:
        said = f"撤销单据的非当前单据的提单人, {who}!={ticket.creator}"
        raise refusals.forbidden(f"抱歉，你无权撤销单据，{said}")
    if not ticket.service.revocable:
        raise refusals.forbidden("抱歉，当前流程配置无法撤单，请联系服务负责人")
    if not ticket.withdrawable:
        raise refusals.forbidden("抱歉，单据执行中，无法撤销")
    ticket.raced = ticket.node == AT_SUBMIT
    _end(ticket, REVOKED, now)


def _terminate(ticket: Ticket, who: str | None, now: float) -> None:
    _check_processor(ticket, who)
    _end(ticket, TERMINATED, now)


def _suspend(ticket: Ticket, who: str | None, _now: float) -> None:
    _check_processor(ticket, who)
    # A second suspension forgets what to go back to, as the real one does.
    ticket.suspended_from, ticket.status = ticket.status, SUSPENDED


def _unsuspend(ticket: Ticket, who: str | None, _now: float) -> None:
    _check_processor(ticket, who)
    if ticket.status != SUSPENDED:
        raise refusals.forbidden("抱歉，该单据不在挂起中，无法操作")
    ticket.status = ticket.suspended_from


def _check_processor(ticket: Ticket, who: str | None) -> None:
    if ticket.over:
        raise refusals.forbidden("抱歉，单据已关闭，无法操作")
    node = ticket.current_node
    if node is None or who not in ticket.processors(node):
        raise refusals.forbidden(f"抱歉，{who}无权操作该单据")


def _move_to(ticket: Ticket, position: int, now: float) -> None:
    ticket.answered, ticket.queued = {}, False
    ticket.node = position
    if position > len(ticket.service.nodes):
        _finish(ticket, now)


def _finish(ticket: Ticket, now: float) -> None:
    _end(ticket, FINISHED, now)
    _log(ticket, now, "", "流程结束.", "SYS")


def _end(ticket: Ticket, status: str, now: float) -> None:
    ticket.status, ticket.end_at, ticket.update_at = status, now, now


def _touch(ticket: Ticket, now: float, operator: str) -> None:
    ticket.update_at = now
    if operator not in ticket.updated_by:
        ticket.updated_by.append(operator)


def _log(
    ticket: Ticket,
    now: float,
    operator: str,
    message: str,
    source: str,
    *,
    kind: str = "",
    form: list[dict[str, Any]] | None = None,
) -> None:
    ticket.logs.append(
        {
            "operator": operator,
            "operate_at": shanghai(now),
            "message": message,
            "source": source,
            "form_data": form or {},
            "from_state_type": kind,
        }
    )
