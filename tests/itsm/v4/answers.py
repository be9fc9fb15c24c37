# SPDX-License-Identifier: Apache-2.0
"""Answers of ITSM v4 for flows that are driven without a network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_bkitsm.itsm.protocol import Call
from airflow_provider_bkitsm.itsm.v4.dialect import V4Dialect
from airflow_provider_bkitsm.itsm.v4.settings import V4Settings
from tests.itsm.flows import drive

ID = "102026112908153000004201"
OTHER = "102026112908153000004202"
TAG = "7f3c9a12" + "0" * 24
TITLE = "Run etl_daily #7f3c9a12"
SETTINGS = V4Settings(system_id="airflow", workflow_key="approval")


def ticket(**changes: Any) -> dict[str, Any]:
    """Return a ticket object; one that has been approved."""
    return {
        "id": ID,
        "sn": "AF2026112900000007",
        "title": TITLE,
        "status": "finished",
        "approve_result": True,
        "created_at": "2026-11-29 08:15:30",
        "updated_at": "2026-11-29 08:20:02",
        "end_at": "2026-11-29 08:20:02",
        "creator": "alice",
        "workflow_id": "approval",
        "workflow_key": None,
        "frontend_url": "https://apps.example.com/ticket",
        "current_steps": [],
        "current_processors": [],
        "form_data": {"ticket__title": TITLE, "content": "Drop ORDERS", "approvers": ["bob", "carol"]},
    } | changes


def task(status: str = "approve", **changes: Any) -> dict[str, Any]:
    """Return an approval task that bob has answered."""
    return {
        "id": "102026112908153200000077",
        "name": "approve: task",
        "activity_key": "step_1",
        "desc": "ok for tonight",
        "type": "APPROVE_TASK",
        "status": status,
        "operator": "bob",
        "operator_type": "user",
        "operator_at": "2026-11-29T08:20:01+08:00",
        "current_processors": [],
    } | changes


def line(action: str, **changes: Any) -> dict[str, Any]:
    """Return a line of the log."""
    answers = action in ("approve", "refuse")
    return {
        "ticket_id": ID,
        "action": action,
        "activity_type": "APPROVE_TASK" if answers else "SUBMIT" if action == "submit" else None,
        "activity_key": "step_1" if answers else "",
        "operator": "bob" if answers else "alice" if action == "submit" else "",
        "operator_type": "user",
        "operate_at": "2026-11-29T08:20:01+08:00",
        "extra": [{"type": "name_value", "name": "审批意见", "value": "seen"}] if answers else [],
    } | changes


def workflow(**changes: Any) -> dict[str, Any]:
    """Return a workflow as ``workflows`` shows it."""
    people = {"type": "array", "items": {"type": "string", "format": "user"}}
    properties = {"ticket__title": {"type": "string"}, "content": {"type": "string"}, "approvers": people}
    meta = {"processors": [{"key": "DATA_TABLE", "path": "approvers"}]}
    return {
        "key": "approval",
        "activities": {"step_1": {"type": "APPROVE_TASK", "name": "Approve", "meta": meta}},
        "form_canvas_data": {"jsonschema": {"properties": properties, "required": ["content"]}},
    } | changes


def items(*rows: Any) -> dict[str, Any]:
    return {"items": list(rows)}


def page(*rows: Any, **more: Any) -> dict[str, Any]:
    return {"results": list(rows), "count": len(rows), "page": 1, "page_size": 50} | more


@dataclass(kw_only=True)
class Itsm:
    """Answers by the end of a call's path; a value, an error to raise, or a function of the call."""

    answers: dict[str, Any] = field(default_factory=dict)
    settings: V4Settings = SETTINGS
    asked: list[Call[Any]] = field(default_factory=list)

    def __call__(self, call: Call[Any]) -> Any:
        self.asked.append(call)
        answer = self.answers[call.path.removeprefix("api/v1/").rstrip("/")]
        return answer(call) if isinstance(answer, Callable) else answer

    def drive(self, flow: Any) -> Any:
        return drive(flow, self, dialect=self.dialect)

    @property
    def dialect(self) -> V4Dialect:
        return V4Dialect(self.settings)

    @property
    def paths(self) -> list[str]:
        return [call.path.removeprefix("api/v1/").rstrip("/") for call in self.asked]


def ended(*, logs: tuple[Any, ...] = (), tasks: tuple[Any, ...] = (), **changes: Any) -> Itsm:
    """Return an ITSM whose one ticket has ended."""
    row = ticket(**changes)
    return Itsm(
        answers={
            "system_ticket/list": page(row),
            "ticket/detail": row,
            "ticket/logs": items(*logs),
            "approval_tasks": items(*tasks),
        }
    )
