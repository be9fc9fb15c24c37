# SPDX-License-Identifier: Apache-2.0
"""Tickets as the calls of ITSM v4 show them. Pure.

A ticket's own times have no offset, those of tasks and logs have one.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from airflow_provider_bkitsm.sandbox.itsm_v4.flow import APPROVE, REFUSE
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
from airflow_provider_bkitsm.sandbox.times import maybe_shanghai, shanghai

_SHANGHAI = timezone(timedelta(hours=8))
_DISPLAY = {
    DRAFT: "草稿",
    RUNNING: "处理中",
    SUSPENDED: "被挂起",
    FINISHED: "已结束",
    TERMINATED: "被终止",
    REVOKED: "被撤销",
}
_TASK_DISPLAY = {RUNNING: "处理中", APPROVE: "同意", REFUSE: "拒绝"}
_SHORT_ROW = ("id", "frontend_url", "status", "end_at")


def verdict_of(itsm: InstallationV4, ticket: Ticket) -> bool:
    """Return a ticket's verdict: a withdrawn or terminated one is not approved."""
    if ticket.status != FINISHED or ticket.refused:
        return False
    return bool(ticket.tasks) or itsm.switches.verdict_without_step


def ticket_object(itsm: InstallationV4, ticket: Ticket, public_url: str) -> dict[str, Any]:
    """Return a ticket, as create, detail, lists and callback show it."""
    return {
        "id": ticket.id,
        "sn": ticket.sn,
        "title": ticket.title,
        "status": itsm.switches.suspended_word if ticket.status == SUSPENDED else ticket.status,
        "status_display": _DISPLAY[ticket.status],
        "approve_result": _shown_verdict(itsm, ticket),
        "created_at": shanghai(ticket.created_at),
        "updated_at": shanghai(ticket.updated_at),
        "end_at": maybe_shanghai(ticket.end_at),
        "creator": ticket.creator,
        "workflow_id": ticket.workflow_key,
        "workflow_key": None,
        "service_id": None,
        "service_name": None,
        "portal_id": "DEFAULT",
        "system_id": ticket.system_id,
        "frontend_url": f"{public_url}/ticket/{ticket.id}",
        "current_steps": [_step(itsm, ticket, one) for one in _asking(ticket)],
        "current_processors": _processors(itsm, ticket),
        "form_data": ticket.form,
        "options": ticket.options,
        "jsonschema": {},
        "callback_result": ticket.callback_result,
    }


def row_of(itsm: InstallationV4, ticket: Ticket, public_url: str) -> dict[str, Any]:
    """Return a row of ``system_ticket/list``."""
    row = ticket_object(itsm, ticket, public_url)
    return row if itsm.switches.list_rows == "full" else {key: row[key] for key in _SHORT_ROW}


def task_object(itsm: InstallationV4, ticket: Ticket, task: Task) -> dict[str, Any]:
    """Return an approval task."""
    status = itsm.switches.refusal_word if task.status == REFUSE else task.status
    step = itsm.workflows[ticket.workflow_key].steps[task.step]
    return {
        "id": task.id,
        "name": f"{step.name}: 任务[{task.id}]",
        "activity_key": step.key,
        "desc": task.desc,
        "type": "APPROVE_TASK",
        "status": status,
        "status_display": _TASK_DISPLAY[task.status],
        "operator": task.operator,
        "operator_type": "user" if task.operator else "",
        "operator_at": _with_offset(task.at),
        "current_processors": [_processor(itsm, ticket, task, name) for name in task.people if task.is_open],
    }


def log_object(ticket: Ticket, line: dict[str, Any]) -> dict[str, Any]:
    """Return a line of the log."""
    remark = {"type": "name_value", "name": line["remark_name"], "value": line["remark"]}
    return {
        "ticket_id": ticket.id,
        "activity_key": line["activity_key"],
        "activity_name": line["activity_name"],
        "activity_type": line["activity_type"],
        "operator": line["operator"],
        "operator_type": "user" if line["operator"] else "system",
        "operator_display": line["operator"],
        "agent": "",
        "operate_at": _with_offset(line["at"]),
        "action": line["action"],
        "action_display": line["action_display"],
        "message": "",
        "extra": [remark] if line["remark"] else [],
        "translations": {},
    }


def _shown_verdict(itsm: InstallationV4, ticket: Ticket) -> Any:
    verdict = verdict_of(itsm, ticket) if ticket.over else itsm.switches.early_verdict
    kind = itsm.switches.verdict_type
    return {"text": str(verdict).lower(), "null": None}.get(kind, verdict)


def _asking(ticket: Ticket) -> list[Task]:
    return ticket.open_tasks if ticket.status in (RUNNING, SUSPENDED) else []


def _step(itsm: InstallationV4, ticket: Ticket, task: Task) -> dict[str, Any]:
    step = itsm.workflows[ticket.workflow_key].steps[task.step]
    shown = {"ticket_id": ticket.id, "name": f"{step.name}: 任务[{task.id}]"}
    return shown if itsm.switches.steps == "name" else shown | {"activity_key": step.key, "task_id": task.id}


def _processors(itsm: InstallationV4, ticket: Ticket) -> list[dict[str, Any]]:
    if itsm.switches.processor == "empty":
        return []
    return [_processor(itsm, ticket, task, name) for task in _asking(ticket) for name in task.people]


def _processor(itsm: InstallationV4, ticket: Ticket, task: Task, name: str) -> dict[str, Any]:
    processor = [name] if itsm.switches.processor == "list" else name
    return {"ticket_id": ticket.id, "processor": processor, "processor_type": "user", "task_id": task.id}


def _with_offset(at: float | None) -> str | None:
    if at is None:
        return None
    return datetime.fromtimestamp(at, tz=UTC).astimezone(_SHANGHAI).isoformat(timespec="seconds")
