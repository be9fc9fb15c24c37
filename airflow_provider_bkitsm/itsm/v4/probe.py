# SPDX-License-Identifier: Apache-2.0
"""What a client can learn of a real ITSM v4: reads whose results say which assumptions hold.

Results hold words, numbers and yes or no, never a name, a title, an id or an address. What nobody could see is
None.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from airflow_provider_bkitsm.itsm.errors import ItsmError
from airflow_provider_bkitsm.itsm.protocol import Call, Flow
from airflow_provider_bkitsm.itsm.v4 import calls
from airflow_provider_bkitsm.itsm.v4.reading import LogLine, Page, Task, V4Ticket, moment
from airflow_provider_bkitsm.itsm.v4.search import Listing, filters_honoured
from airflow_provider_bkitsm.itsm.v4.settings import V4Settings

_NO_ID = "102000010100000000000000"
_HOUR = 3600


def probe_reads(settings: V4Settings, nobody: str) -> Flow[dict[str, Any]]:
    """Read what needs no ticket of one's own.

    :param nobody: a text that no ticket's title holds.
    """
    system = settings.system_id
    found: dict[str, Any] = {
        "ticket_list": (yield from _list(calls.ticket_list, nobody)),
        "unknown_id": (yield from _outcome(calls.ticket_detail(_NO_ID))),
        "unknown_workflow": (yield from _outcome(calls.workflows([nobody]))),
        "unknown_system": (yield from _outcome(calls.workflow_names(nobody))),
    }
    if system is not None:
        found["system_ticket_list"] = yield from _list(
            lambda **filters: calls.system_ticket_list(system, **filters), nobody
        )
    if settings.workflow_key is not None:
        found["workflow"] = yield from _workflow(settings.workflow_key)
    return found


def probe_ticket(ticket_id: str, settings: V4Settings, now: datetime) -> Flow[dict[str, Any]]:
    """Read how a ticket of one's own is shown."""
    try:
        ticket: V4Ticket = yield calls.ticket_detail(ticket_id)
        lines: tuple[LogLine, ...] = yield calls.ticket_logs(ticket_id)
        tasks: tuple[Task, ...] = yield calls.approval_tasks(ticket_id)
    except ItsmError as error:
        return _refusal(error)
    opened = moment(ticket.created_at, settings.zone)
    return {
        "id_digits": len(ticket.id) if ticket.id.isdigit() else None,
        "status": ticket.status,
        "approve_result": ticket.approve_result,
        "has_end": bool(ticket.end_at),
        "workflow_id_is_the_key": ticket.workflow == settings.workflow_key,
        "hours_off": None if opened is None else round((now - opened).total_seconds() / _HOUR),
        "steps": len(ticket.steps),
        "steps_have_task_ids": all(step.task_id for step in ticket.steps) if ticket.steps else None,
        "processors": len(ticket.processors),
        "task_words": _words(task.status for task in tasks),
        "log_words": _words(line.action for line in lines),
        "logs_have_offsets": all("+" in line.operate_at for line in lines) if lines else None,
    }


def judged(found: Mapping[str, Any]) -> dict[str, bool]:
    """Return which facts the results show to be right or wrong; the others are left out."""
    created, asks, gone = (found.get(name) or {} for name in ("created", "asks", "withdrawn"))
    listed = found.get("ticket_list") or {}
    seen = {
        "http-status": _has_code(found.get("unknown_id"), "40000"),
        "list-filters": listed.get("filters_honoured"),
        "list-visibility": found.get("found_by_title"),
        "identity": created.get("id_digits") == len(_NO_ID) if created else None,
        "draft": created.get("status") == "draft" if created else None,
        "workflow-id": created.get("workflow_id_is_the_key"),
        "zone": created.get("hours_off") == 0 if created else None,
        "steps-shape": asks.get("steps_have_task_ids"),
        "times": asks.get("logs_have_offsets"),
        "revoke": gone.get("status") == "revoked" if gone else None,
        "revoke-when-over": "error" in found["withdrawn_twice"] if "withdrawn_twice" in found else None,
    }
    return {key: right for key, right in seen.items() if right is not None}


def _list(listing: Listing, nobody: str) -> Flow[dict[str, Any]]:
    try:
        page: Page = yield listing(page_size=1)
        honoured = yield from filters_honoured(listing, nobody)
        unknown: Page = yield listing(page_size=1, no_such_filter=nobody)
    except ItsmError as error:
        return _refusal(error)
    return {
        "shows_tickets": bool(page.count or page.rows),
        "filters_honoured": honoured if page.count else None,
        "ignores_an_unknown_filter": unknown.count == page.count if page.count else None,
        "rows_have_verdicts": all(row.approve_result is not None for row in page.rows) if page.rows else None,
        "rows_have_titles": all(bool(row.title) for row in page.rows) if page.rows else None,
    }


def _workflow(key: str) -> Flow[dict[str, Any]]:
    try:
        found = yield calls.workflows([key])
    except ItsmError as error:
        return _refusal(error)
    return {
        "found": len(found),
        "approval_steps": sum(len(one.steps) for one in found),
        "form_keys": sum(len(one.form) for one in found),
        "people_keys": sum(key.names_people for one in found for key in one.form),
    }


def _outcome(call: Call[Any]) -> Flow[dict[str, Any]]:
    try:
        answer = yield call
    except ItsmError as error:
        return _refusal(error)
    return {"answered": len(answer) if isinstance(answer, tuple) else True}


def _refusal(error: ItsmError) -> dict[str, Any]:
    """Return an error's kind and code: its message could hold anything."""
    return {"error": type(error).__name__, "code": None if error.code is None else str(error.code)}


def _has_code(result: Any, code: str) -> bool | None:
    return None if not isinstance(result, Mapping) or "error" not in result else result.get("code") == code


def _words(words: Iterable[str]) -> list[str]:
    return sorted({word for word in words if word.isascii() and word.replace("_", "").isalpha()})
