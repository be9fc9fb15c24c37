# SPDX-License-Identifier: Apache-2.0
"""What can happen to a ticket: pure functions over one ticket, the clock passed in.

Each either moves the ticket or raises :class:`~.refusals.Refusal` and leaves it as it was. Rules:
docs/itsm-behaviour.md#acting-on-a-ticket and docs/itsm-behaviour.md#status-and-verdict.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from airflow_provider_bkitsm.sandbox import refusals
from airflow_provider_bkitsm.sandbox.itsm.log_entries import write
from airflow_provider_bkitsm.sandbox.itsm.services import (
    AUTOMATIC_KINDS,
    PEOPLE_KINDS,
    TITLE_KEY,
    Field,
    Node,
    filled_in_briefly,
)
from airflow_provider_bkitsm.sandbox.itsm.storage import stored
from airflow_provider_bkitsm.sandbox.itsm.tickets import (
    FAILED,
    FINISHED,
    REVOKED,
    RUNNING,
    SUSPENDED,
    TERMINATED,
    Step,
    Ticket,
)
from airflow_provider_bkitsm.sandbox.times import shanghai

SYSTEM_ACCOUNT = "admin"
TITLE_LIMIT = 128
_SYSTEM = "system"
_AUTOMATIC_REMARK = {True: "检测到当前处理人为空，系统自动过单", False: "检测到当前处理人包含提单人，系统自动过单"}


def begin(ticket: Ticket) -> None:
    """Let the flow reach the submit step."""
    if not ticket.started and not ticket.over:
        ticket.started = True
        _open(ticket, ticket.service.submit_state_id)


def submit(ticket: Ticket, now: float) -> None:
    """Leave the submit step in the creator's name; from then on the title is the stored one.

    A title that is too long once it is escaped, or a number that is none, stops the flow for ever.
    """
    if not ticket.started or ticket.submitted or ticket.over or ticket.stuck:
        return
    node = ticket.service.submit_node
    write(ticket, now, ticket.creator, "流程开始.", "WEB")
    write(ticket, now, ticket.creator, _handled(ticket.creator, node), "WEB", node=node, form=ticket.fields)
    ticket.submitted = True
    title = str(ticket.fields[TITLE_KEY])
    _close(ticket, node.state_id, FINISHED)
    if len(title) > TITLE_LIMIT:
        ticket.stuck = "title"
        return
    ticket.title = title
    _enter(ticket, ticket.service.nodes[0].state_id if ticket.service.nodes else None, now)


def node_for(ticket: Ticket, state_id: object, operator: str) -> Node:
    """Return the node a person may answer on now.

    :raises Refusal: it is over, at another node, or asks somebody else.
    """
    if ticket.over:
        raise refusals.forbidden("抱歉，单据已关闭，无法操作")
    node = next((one for one in ticket.open_nodes if str(one.state_id) == str(state_id)), None)
    if node is None:
        raise refusals.forbidden(f"抱歉，当前节点：{state_id} 已经结束")
    if not ticket.may_answer(node, operator):
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
    """Record an answer; ``settle`` moves the ticket on. Nothing is validated here.

    Once the node has what it needs, further answers are taken without effect: the first decision wins.
    """
    step = ticket.steps[str(node.state_id)]
    if step.decided:
        return
    yes = node.says_yes(values)
    ticket.last_answer_by = operator
    step.answers.append([operator, "true" if yes else "false"])
    step.values = dict(values)
    step.pending.append(operator)
    if node.state_id == ticket.service.submit_state_id:
        form = {one.key: stored(one, values[one.key]) for one in node.fields if one.key in values}
        ticket.fields |= form
        ticket.title = str(ticket.fields[TITLE_KEY])
    else:
        form = dict(values)
        ticket.values |= values
    write(ticket, now, operator, _handled(operator, node, values), source, node=node, form=form)
    _touch(ticket, now, operator)
    step.decided = _is_decided(ticket, node, step)


def settle(ticket: Ticket, now: float) -> None:
    """Give the answers their effect: finish the nodes that have what they need, and go on."""
    for state_id in list(ticket.open):
        step, node = ticket.steps.get(str(state_id)), ticket.service.node(state_id)
        if step is None or node is None or not step.pending or ticket.over:
            continue
        step.pending = []
        if step.decided:
            _finish_node(ticket, node, step, now)


def deliver(ticket: Ticket, node: Node, operator: str, now: float, *, people: str, message: str) -> None:
    """Hand a node over to other people."""
    ticket.delivered[str(node.state_id)] = people
    _touch(ticket, now, operator)
    text = f"{operator} 转单【{node.name}】给 {people}({people})({message})."
    write(ticket, now, operator, text, "API", node=node, form=[])


def automatic_nodes(ticket: Ticket) -> Iterator[Node]:
    """Yield the open nodes that go on without a person: tasks, and approvals that ask nobody or the creator."""
    if ticket.over:
        return
    for node in map(ticket.service.node, ticket.open):
        if node is not None and _goes_on_by_itself(ticket, node):
            yield node


def run_automatic(ticket: Ticket, node: Node, now: float, *, fails: bool = False) -> None:
    """Run an automatic node.

    :param fails: a task fails: it stays where it is, without an entry in the log.
    """
    if ticket.over or node not in list(automatic_nodes(ticket)):
        return
    if node.kind not in AUTOMATIC_KINDS:
        _approve_automatically(ticket, node, now)
        return
    step = ticket.steps[str(node.state_id)]
    if fails:
        step.status = FAILED
        return
    text = (
        f"自动处理单据任务【{node.name}】执行成功."
        if node.kind == "TASK"
        else f"WebHook任务【{node.name}】执行成功"
    )
    source = "AUTOMATIC" if node.kind == "TASK" else "SYS"
    write(ticket, now, _SYSTEM, text, source, node=node, form=[_yielded(one, now) for one in node.output])
    _touch(ticket, now, _SYSTEM)
    _finish_node(ticket, node, step, now)


def operate(
    ticket: Ticket, action: str, operator: str | None, message: str, now: float, *, acting: str | None = None
) -> None:
    """Withdraw, terminate, suspend or resume.

    :param operator: who the log names.
    :param acting: who the permission is checked for, if another (the parameter ``username``).
    """
    node = ticket.service.node(ticket.open[0]) if ticket.open else None
    {"WITHDRAW": _withdraw, "TERMINATE": _terminate, "SUSPEND": _suspend, "UNSUSPEND": _unsuspend}[action](
        ticket, acting or operator, now
    )
    _touch(ticket, now, str(operator))
    if action == "WITHDRAW":
        write(ticket, now, str(operator), f"{operator} 撤销单据.", "API", node=node, form=[])
        return
    text = {"SUSPEND": f"挂起了单据：{message}.", "UNSUSPEND": "恢复了单据.", "TERMINATE": "关闭了单据."}[action]
    write(ticket, now, str(operator), f"{operator} {text}", "SYS")


def finish_without_evidence(ticket: Ticket, now: float) -> None:
    """End a ticket as FINISHED as if no approval node had been visited: it reads as approved.

    See docs/itsm-behaviour.md#approve_result.
    """
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


def _handled(operator: str, node: Node, values: dict[str, Any] | None = None) -> str:
    """Return the message of an answer; it ends with the name of the decision, where the node asks for one."""
    if node.kind == "NORMAL" or node.opinion is None:
        return f"{operator} 处理【{node.name}】"
    return f"{operator} 已处理【{node.name}】({node.opinion.shown((values or {}).get(node.opinion.key))})"


def _is_decided(ticket: Ticket, node: Node, step: Step) -> bool:
    if not node.everybody:
        return True
    people = ticket.processors(node)
    refusals_given = sum(given == "false" for _, given in step.answers)
    agreed = len(step.answers) - refusals_given
    return node.finish.holds(people=len(people), yes=agreed, no=refusals_given) or not set(people) - set(
        step.people
    )


def _finish_node(ticket: Ticket, node: Node, step: Step, now: float) -> None:
    """Leave a node. One of type SIGN ends in an error of the server: nothing follows it, for ever.

    See docs/itsm-behaviour.md#step-of-type-sign.
    """
    _close(ticket, node.state_id, FINISHED)
    if node.kind == "APPROVAL":
        ticket.results[str(node.state_id)] = step.yes
    if node.kind == "SIGN":
        return
    if node.ends_when_refused and not step.yes:
        _end(ticket, TERMINATED, now)
        write(ticket, now, _SYSTEM, f"{_SYSTEM} 关闭了单据.", "SYS")
        return
    if node.state_id == ticket.service.submit_state_id:
        _enter(ticket, ticket.service.nodes[0].state_id, now)
    else:
        _enter(ticket, ticket.service.next_state(node, yes=step.yes), now)


def _enter(ticket: Ticket, state_id: int | None, now: float) -> None:
    node = None if state_id is None else ticket.service.node(state_id)
    if node is None:
        if not ticket.open:
            _finish(ticket, now)
        return
    if node.kind == "ROUTER-P":
        for branch in node.branches:
            _enter(ticket, branch, now)
    elif node.kind == "COVERAGE":
        if not ticket.open:
            _enter(ticket, ticket.service.next_state(node, yes=True), now)
    else:
        _open(ticket, node.state_id)


def _open(ticket: Ticket, state_id: int) -> None:
    """Visit a node; if it was visited before, the visits to the nodes behind it are dropped."""
    if str(state_id) in ticket.steps:
        for later in ticket.service.states_after(state_id):
            ticket.steps.pop(str(later), None)
        del ticket.steps[str(state_id)]
    ticket.steps[str(state_id)] = Step(state_id=state_id)
    ticket.open.append(state_id)


def _close(ticket: Ticket, state_id: int, status: str) -> None:
    ticket.open.remove(state_id)
    ticket.steps[str(state_id)].status = status


def _yielded(output: Mapping[str, Any], now: float) -> dict[str, Any]:
    """Return what an automatic step yields; variables have the time at which they were set."""
    if "output_variables" not in output:
        return dict(output)
    return {"output_variables": [{**one, "update_at": shanghai(now)} for one in output["output_variables"]]}


def _goes_on_by_itself(ticket: Ticket, node: Node) -> bool:
    step = ticket.steps[str(node.state_id)]
    if node.kind in AUTOMATIC_KINDS:
        return step.status == RUNNING
    if node.kind != "APPROVAL" or step.decided:
        return False
    people = ticket.asked(node)
    return (node.skippable and not ticket.processors(node)) or (
        ticket.service.auto_approve and ticket.creator in people
    )


def _approve_automatically(ticket: Ticket, node: Node, now: float) -> None:
    nobody = not ticket.processors(node)
    values = filled_in_briefly(node, approve=True, remark=_AUTOMATIC_REMARK[nobody])
    answer(ticket, node, _SYSTEM if nobody else ticket.creator, values, now, source="SYS")


def _withdraw(ticket: Ticket, who: str | None, now: float) -> None:
    if ticket.over:
        raise refusals.forbidden("抱歉，单据已经结束，无法撤销")
    if who not in {ticket.creator, SYSTEM_ACCOUNT}:
        text = f"撤销单据的非当前单据的提单人, {who}!={ticket.creator}"
        raise refusals.forbidden(f"抱歉，你无权撤销单据，{text}")
    if not ticket.service.revocable:
        raise refusals.forbidden("抱歉，当前流程配置无法撤单，请联系服务负责人")
    if not ticket.withdrawable:
        raise refusals.forbidden("抱歉，单据执行中，无法撤销")
    ticket.raced = not ticket.submitted
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
    if not any(who in ticket.processors(node) for node in ticket.open_nodes if node.kind in PEOPLE_KINDS):
        raise refusals.forbidden(f"抱歉，{who}无权操作该单据")


def _finish(ticket: Ticket, now: float) -> None:
    _end(ticket, FINISHED, now)
    write(ticket, now, "", "流程结束.", "SYS")


def _end(ticket: Ticket, status: str, now: float) -> None:
    for state_id in list(ticket.open):
        _close(ticket, state_id, TERMINATED)
    ticket.status, ticket.end_at, ticket.update_at = status, now, now


def _touch(ticket: Ticket, now: float, operator: str) -> None:
    ticket.update_at = now
    if operator not in ticket.updated_by:
        ticket.updated_by.append(operator)
