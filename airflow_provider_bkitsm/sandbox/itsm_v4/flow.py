# SPDX-License-Identifier: Apache-2.0
"""How a ticket of ITSM v4 moves: it starts, steps ask and are answered, it ends. Nothing here takes time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from airflow_provider_bkitsm.sandbox.itsm_v4.installation import InstallationV4
from airflow_provider_bkitsm.sandbox.itsm_v4.tickets import (
    DRAFT,
    FINISHED,
    REVOKED,
    RUNNING,
    SUSPENDED,
    TERMINATED,
    Task,
    Ticket,
)
from airflow_provider_bkitsm.sandbox.itsm_v4.workflows import Refusal, Step

APPROVE, REFUSE = "approve", "refuse"
BY_CREATOR, BY_EARLIER, BY_NOBODY = "提单人自动审批同意", "已审批过自动审批同意", "无处理人自动审批同意"
_SHOWN = {
    "start": "流程开始",
    "submit": "提交",
    APPROVE: "同意",
    REFUSE: "拒绝",
    "terminate": "终止",
    "revoke": "撤单",
    "end": "流程结束",
}


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What somebody answers; ``task_id`` names one of several tasks."""

    operator: str
    action: str
    remark: str = ""
    task_id: str | None = None


def start(itsm: InstallationV4, ticket: Ticket) -> None:
    """Start a draft's flow, unless it has been withdrawn meanwhile."""
    if ticket.status != DRAFT:
        return
    ticket.status = RUNNING
    _log(itsm, ticket, "start")
    _log(itsm, ticket, "submit", operator=ticket.creator, kind="SUBMIT")
    _next_step(itsm, ticket)


def answer(itsm: InstallationV4, ticket: Ticket, given: Answer) -> None:
    """Answer a step.

    :raises Refusal: the ticket does not wait for this person.
    """
    if ticket.status != RUNNING or given.action not in (APPROVE, REFUSE):
        raise Refusal("当前单据不可操作")
    task = next(
        (one for one in ticket.open_tasks if given.operator in one.people and given.task_id in (None, one.id)),
        None,
    )
    if task is None:
        raise Refusal("当前用户没有处理权限")
    _answered(itsm, ticket, task, given)


def withdraw(itsm: InstallationV4, ticket: Ticket, operator: str) -> None:
    """Withdraw a ticket.

    :raises Refusal: it is over.
    """
    _check_open(ticket)
    _log(itsm, ticket, "revoke", operator=operator)
    _end(itsm, ticket, REVOKED)


def terminate(itsm: InstallationV4, ticket: Ticket, operator: str, reason: str) -> None:
    """Terminate a ticket.

    :raises Refusal: it is over.
    """
    _check_open(ticket)
    _log(itsm, ticket, "terminate", operator=operator, remark=reason, remark_name="原因")
    _end(itsm, ticket, TERMINATED)


def suspend(itsm: InstallationV4, ticket: Ticket, *, on: bool) -> None:
    """Suspend or resume a ticket, as its page does.

    :raises Refusal: it is not in a state for that.
    """
    if ticket.status != (RUNNING if on else SUSPENDED):
        raise Refusal("当前单据不可操作")
    ticket.status = SUSPENDED if on else RUNNING
    ticket.updated_at = itsm.clock()


def deliver(ticket: Ticket, task_id: str, people: list[str]) -> None:
    """Hand a task over to others.

    :raises Refusal: it does not wait.
    """
    task = next((one for one in ticket.open_tasks if one.id == task_id), None)
    if task is None or not people:
        raise Refusal("任务不存在")
    task.people = people


def _answered(itsm: InstallationV4, ticket: Ticket, task: Task, given: Answer) -> None:
    step = _steps(itsm, ticket)[task.step]
    task.status, task.operator, task.at, task.desc = given.action, given.operator, itsm.clock(), given.remark
    _log(itsm, ticket, given.action, operator=given.operator, kind="APPROVE_TASK", step=step, remark=given.remark)
    if given.action == REFUSE:
        ticket.refused = True
        if itsm.switches.refusal != "goes_on":
            _end(itsm, ticket, TERMINATED if itsm.switches.refusal == "terminates" else FINISHED)
            return
    left = [one for one in ticket.open_tasks if one.step == task.step]
    if step.everybody and left:
        return
    for one in left:
        # Nobody is asked any more where one answer is enough.
        ticket.tasks.remove(one)
    _next_step(itsm, ticket)


def _next_step(itsm: InstallationV4, ticket: Ticket) -> None:
    steps = _steps(itsm, ticket)
    ticket.step += 1
    if ticket.step >= len(steps):
        _end(itsm, ticket, FINISHED)
        return
    step = steps[ticket.step]
    people = _people(ticket, step)
    earlier = [one.operator for one in ticket.tasks if one.status == APPROVE]
    groups = [[name] for name in people] if step.everybody or itsm.switches.tasks == "each" else [people]
    new = [Task(id=itsm.number(), step=ticket.step, people=names) for names in groups]
    ticket.tasks += new
    ticket.updated_at = itsm.clock()
    if step.creator_auto_approve and ticket.creator in people:
        _by_itself(itsm, ticket, new, ticket.creator, BY_CREATOR)
    elif step.previously_approved_auto_approve and set(people) & set(earlier):
        _by_itself(itsm, ticket, new, next(name for name in people if name in earlier), BY_EARLIER)
    elif step.auto_submit_with_no_handler and not people:
        _by_itself(itsm, ticket, new, "", BY_NOBODY)


def _by_itself(itsm: InstallationV4, ticket: Ticket, new: list[Task], operator: str, desc: str) -> None:
    task = next((one for one in new if operator in one.people), new[0])
    _answered(itsm, ticket, task, Answer(operator=operator, action=APPROVE, remark=desc))


def _check_open(ticket: Ticket) -> None:
    if ticket.over:
        raise Refusal("单据已结束, 不可操作")


def _end(itsm: InstallationV4, ticket: Ticket, status: str) -> None:
    ticket.status = status
    ticket.end_at = ticket.updated_at = itsm.clock()
    _log(itsm, ticket, "end")


def _steps(itsm: InstallationV4, ticket: Ticket) -> tuple[Step, ...]:
    return itsm.workflows[ticket.workflow_key].steps


def _people(ticket: Ticket, step: Step) -> list[str]:
    """Return whom a step asks: a text with commas is nobody."""
    named = ticket.form.get(step.path)
    return list(dict.fromkeys(map(str, named))) if isinstance(named, list) else []


def _log(
    itsm: InstallationV4,
    ticket: Ticket,
    action: str,
    *,
    operator: str = "",
    kind: str | None = None,
    step: Step | None = None,
    remark: str = "",
    remark_name: str = "审批意见",
) -> None:
    line: dict[str, Any] = {
        "action": action,
        "action_display": _SHOWN[action],
        "activity_type": kind,
        "activity_key": step.key if step else "",
        "activity_name": step.name if step else "",
        "operator": operator,
        "at": itsm.clock(),
        "remark": remark,
        "remark_name": remark_name,
    }
    ticket.logs.append(line)
