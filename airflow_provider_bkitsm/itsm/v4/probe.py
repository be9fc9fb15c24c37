# SPDX-License-Identifier: Apache-2.0
"""What a client can learn of a real ITSM v4: reads whose results say which assumptions hold.

Results hold words, numbers and yes or no, never a name, a title, an id or an address. What nobody could see is
None.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from airflow_provider_bkitsm.itsm.errors import (
    ItsmError,
    ItsmInvalidRequestError,
    ItsmNotFoundError,
    ItsmRefusedError,
    ItsmTicketNotFoundError,
    kind_and_code,
)
from airflow_provider_bkitsm.itsm.protocol import Call, Flow
from airflow_provider_bkitsm.itsm.v4 import calls
from airflow_provider_bkitsm.itsm.v4.reading import LogLine, Page, Task, V4Ticket, moment
from airflow_provider_bkitsm.itsm.v4.search import Listing, filters_honoured
from airflow_provider_bkitsm.itsm.v4.settings import V4Settings
from airflow_provider_bkitsm.itsm.v4.status import FINISHED

_NO_ID = "102000010100000000000000"
_HOUR = 3600
_LONG_AGO = "2000-01-01 00:00:00,2000-01-01 00:00:01"
_FILTERS = ("workflow_key__in", "creator__in", "current_processors__in", "system_id__in")
_ENDS = frozenset({FINISHED, "termination", "revoked"})
# How many tickets that are over are looked at: two requests for each.
_LATEST = 10
_REFUSALS = frozenset(
    one.__name__ for one in (ItsmInvalidRequestError, ItsmNotFoundError, ItsmRefusedError, ItsmTicketNotFoundError)
)


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
    found["past"] = yield from _past(settings)
    return found


def probe_ticket(ticket_id: str, settings: V4Settings, now: datetime) -> Flow[dict[str, Any]]:
    """Read how a ticket of one's own is shown: by itself, in its log, in its tasks."""
    return {
        **(yield from _shown(ticket_id, settings, now)),
        **(yield from _logged(ticket_id)),
        **(yield from _asked(ticket_id)),
    }


def _shown(ticket_id: str, settings: V4Settings, now: datetime) -> Flow[dict[str, Any]]:
    try:
        ticket: V4Ticket = yield calls.ticket_detail(ticket_id)
    except ItsmError as error:
        return kind_and_code(error)
    opened = moment(ticket.created_at, settings.zone)
    return {
        "id_digits": len(ticket.id) if ticket.id.isdigit() else None,
        "status": next(iter(_words([ticket.status])), "another"),
        "approve_result": ticket.approve_result,
        "has_end": bool(ticket.end_at),
        "called_back": ticket.called_back,
        "workflow_id_is_the_key": ticket.workflow == settings.workflow_key,
        "hours_off": None if opened is None else round((now - opened).total_seconds() / _HOUR),
        "steps": len(ticket.steps),
        "steps_have_task_ids": all(step.task_id for step in ticket.steps) if ticket.steps else None,
        "processors": len(ticket.processors),
    }


def _logged(ticket_id: str) -> Flow[dict[str, Any]]:
    try:
        lines: tuple[LogLine, ...] = yield calls.ticket_logs(ticket_id)
    except ItsmError as error:
        return {"log": kind_and_code(error)}
    return {
        "log_words": _words(line.action for line in lines),
        "logs_have_offsets": all("+" in line.operate_at for line in lines) if lines else None,
    }


def _asked(ticket_id: str) -> Flow[dict[str, Any]]:
    try:
        tasks: tuple[Task, ...] = yield calls.approval_tasks(ticket_id)
    except ItsmError as error:
        return {"tasks": kind_and_code(error)}
    return {"task_words": _words(task.status for task in tasks)}


def _past(settings: V4Settings) -> Flow[dict[str, Any]]:
    """Look at the latest tickets that the lists show: how they ended, and who had approved."""
    system = settings.system_id
    listing = calls.ticket_list() if system is None else calls.system_ticket_list(system)
    try:
        page: Page = yield listing
    except ItsmError as error:
        return kind_and_code(error)
    over = [row for row in page.rows if row.status in _ENDS][:_LATEST]
    finished: Counter[str] = Counter()
    for row in over:
        if row.status == FINISHED:
            finished[(yield from _finished(row.id))] += 1
    running = [row for row in page.rows if not row.end_at]
    return {
        "tickets": len(page.rows),
        "ends": _counted(row.status for row in over),
        "finished": dict(sorted(finished.items())),
        "verdict_before_the_end": any(row.approve_result for row in running) if running else None,
        "drafts": sum(row.status == "draft" for row in page.rows) if page.rows else None,
        "longest_title": max((len(row.title) for row in page.rows), default=None),
    }


def _finished(ticket_id: str) -> Flow[str]:
    """Say of a finished ticket what ITSM makes of it, and how many have approved and refused at its steps."""
    try:
        ticket: V4Ticket = yield calls.ticket_detail(ticket_id)
        tasks: tuple[Task, ...] = yield calls.approval_tasks(ticket_id)
    except ItsmError as error:
        return f"not read ({type(error).__name__})"
    yes = sum(task.status == "approve" for task in tasks)
    steps = len({task.activity_key for task in tasks})
    no = sum(not task.is_open for task in tasks) - yes
    return f"approve_result {ticket.approve_result}: {steps} steps, {yes} approved, {no} did not"


def _counted(words: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(words).items()))


def judged(found: Mapping[str, Any]) -> dict[str, bool]:
    """Return which facts the results show to be right or wrong; the others are left out.

    What could not be read shows nothing, and that a ticket runs already does not say what it was before.
    """
    created, asks, gone, listed = (
        found.get(name) or {} for name in ("created", "asks", "withdrawn", "ticket_list")
    )
    zone, status, over = created.get("hours_off"), gone.get("status"), found.get("terminated") or {}
    seen = {
        "http-status": _has_code(found.get("unknown_id"), "40000"),
        "list-filters": listed.get("filters_honoured"),
        "list-visibility": found.get("found_by_title"),
        "identity": created["id_digits"] == len(_NO_ID) if "id_digits" in created else None,
        "draft": True if created.get("status") == "draft" else None,
        "workflow-id": created.get("workflow_id_is_the_key"),
        "zone": None if zone is None else zone == 0,
        "steps-shape": asks.get("steps_have_task_ids"),
        "times": asks.get("logs_have_offsets"),
        "revoke": None if status is None else status == "revoked",
        "revoke-when-over": _is_refusal(found.get("withdrawn_twice")),
        "callback-all-ends": True if gone.get("called_back") is not None else None,
        "system-token": _is_refusal((found.get("without_secret") or {}).get("system_ticket_list")),
        "no-key-no-field": _is_refusal((found.get("forms") or {}).get("unknown_key")),
        "terminate": over.get("status") == "termination" if over.get("has_end") else None,
    }
    return {key: right for key, right in seen.items() if right is not None}


def _list(listing: Listing, nobody: str) -> Flow[dict[str, Any]]:
    try:
        page: Page = yield listing(page_size=1)
        honoured = yield from filters_honoured(listing, nobody)
        unknown: Page = yield listing(page_size=1, no_such_filter=nobody)
    except ItsmError as error:
        return kind_and_code(error)
    filters: dict[str, Any] = {}
    if page.count:
        named = {**dict.fromkeys(_FILTERS, nobody), "id__in": _NO_ID, "created_at__range": _LONG_AGO}
        for name, value in named.items():
            filters[name] = yield from _finds_nothing(listing, name, value)
    return {
        "filters": filters,
        "shows_tickets": bool(page.count or page.rows),
        "filters_honoured": honoured if page.count else None,
        "ignores_an_unknown_filter": unknown.count == page.count if page.count else None,
        "rows_have_verdicts": all(row.approve_result is not None for row in page.rows) if page.rows else None,
        "rows_have_titles": all(bool(row.title) for row in page.rows) if page.rows else None,
    }


def _finds_nothing(listing: Listing, name: str, value: str) -> Flow[Any]:
    try:
        page: Page = yield listing(page_size=1, **{name: value})
    except ItsmError as error:
        return kind_and_code(error)
    return not (page.count or page.rows or page.problem)


def _workflow(key: str) -> Flow[dict[str, Any]]:
    try:
        found = yield calls.workflows([key])
    except ItsmError as error:
        return kind_and_code(error)
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
        return kind_and_code(error)
    return {"answered": len(answer) if isinstance(answer, tuple) else True}


def _is_refusal(result: Any) -> bool | None:
    """Whether a request was refused; None where nobody can tell, as in an outage."""
    if not isinstance(result, Mapping):
        return None
    return result["error"] in _REFUSALS or None if "error" in result else False


def _has_code(result: Any, code: str) -> bool | None:
    return result["code"] == code if _is_refusal(result) else None


def _words(words: Iterable[str]) -> list[str]:
    return sorted({word for word in words if word.isascii() and word.replace("_", "").isalpha()})
