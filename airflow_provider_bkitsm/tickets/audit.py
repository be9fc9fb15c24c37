# SPDX-License-Identifier: Apache-2.0
"""Every approval round and every collector's application as a row for an auditor, from the store alone.

Also those that nobody answered, that were refused, withdrawn or never opened: an audit without them would show
only what went well. Rows are read one by one, however many there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, FromClause, Select, and_, exists, select

from airflow_provider_bkitsm.collectors.database import Transactions
from airflow_provider_bkitsm.collectors.row import Owner
from airflow_provider_bkitsm.collectors.tables import (
    AuditEntry,
    approval_table,
    audit_from,
    audit_table,
    collector_table,
)
from airflow_provider_bkitsm.itsm.dialect import stored_dialect
from airflow_provider_bkitsm.itsm.duties import REQUESTER
from airflow_provider_bkitsm.itsm.idempotency import unmarked_title
from airflow_provider_bkitsm.itsm.models import web_address
from airflow_provider_bkitsm.itsm.verdict import moment
from airflow_provider_bkitsm.tickets.approval import ITEM_DIGEST, RUN_BY, RUNS, runs_digest

_AT_A_TIME = 200

COLUMNS = (
    "kind",
    "asked_at",
    "installation",
    "connection",
    "dialect",
    "dag_id",
    "run_id",
    "task_id",
    "map_index",
    "try_number",
    "subject",
    "round",
    "record",
    "shares_record",
    "ticket",
    "ticket_url",
    "title",
    "service",
    "requester",
    "run_by",
    "creator",
    "opened_at",
    "decided_at",
    "seconds_to_decide",
    "result",
    "reason_code",
    "reason",
    "decisions",
    "evidence",
    "evidence_required",
    "seen_by",
    "seen_at",
    "ended_at",
    "digest",
    "runs_digest",
    "item_digest",
    "waits",
)
"""The columns of a row, in order. ``decisions``, ``evidence`` and ``waits`` are lists of objects."""

_TASK = ("dag_id", "run_id", "task_id", "map_index")

OPEN, NOT_OPENED, UNSURE = "open", "not_opened", "answer_lost"
"""Results of rounds without an end: the ticket is open as far as Airflow has seen, none was opened, or the answer
to its opening was lost."""


@dataclass(frozen=True, kw_only=True)
class AuditPeriod:
    """Which rounds are wanted: asked for since ``since`` and before ``until`` (aware), of a DAG or connection."""

    since: datetime
    until: datetime | None = None
    dag_id: str | None = None
    conn_id: str | None = None


def audit_rows(engine: Engine, period: AuditPeriod) -> Iterator[dict[str, Any]]:
    """Return the rows, by ``COLUMNS``: approval rounds by the time they were asked for, then applications.

    The order is the same each time. All is read in one transaction; what is stored meanwhile may be missing.

    :raises StoreUnavailable: the store's database cannot be used.
    """
    with Transactions(engine).begin() as connection:
        streamed = connection.execution_options(stream_results=True, yield_per=_AT_A_TIME)
        yield from _rounds(streamed, period)
        yield from _applications(streamed, period)


# -- approval rounds -----------------------------------------------------------------------------------------


def _rounds(connection: Connection, period: AuditPeriod) -> Iterator[dict[str, Any]]:
    for row in connection.execute(_rounds_query(period)):
        found = row._asdict()
        source = {name: found.pop(f"source_{name}") for name in _OF_TICKET}
        # Where it compares texts, MySQL overlooks spaces at their ends and the case of letters.
        wanted = ((period.dag_id, row.dag_id), (period.conn_id, row.bkitsm_conn_id))
        if all(given in (None, stored) for given, stored in wanted):
            yield _round(found, source if row.ticket_of else found)


# What of a round that another record's ticket answers is that record's.
_OF_TICKET = (
    "sn",
    "ticket_url",
    "request",
    "asked_digest",
    "opened_at",
    "create_started_at",
    "verdict",
    "ended_at",
)


def _rounds_query(period: AuditPeriod) -> Select[Any]:
    mine, source = approval_table, approval_table.alias("source")
    columns = [source.c[name].label(f"source_{name}") for name in _OF_TICKET]
    query = select(mine, *columns).join(source, source.c.nonce == mine.c.ticket_of, isouter=True)
    query = query.where(mine.c.created_at >= period.since)
    if period.until is not None:
        query = query.where(mine.c.created_at < period.until)
    if period.dag_id is not None:
        query = query.where(mine.c.dag_id == period.dag_id)
    if period.conn_id is not None:
        query = query.where(mine.c.bkitsm_conn_id == period.conn_id)
    return query.order_by(mine.c.created_at, mine.c.nonce)


def _round(own: Mapping[str, Any], ticket: Mapping[str, Any]) -> dict[str, Any]:
    sent, mine = ticket["request"] or {}, own["request"] or {}
    end = own["verdict"] or ticket["verdict"] or {}
    fields = sent.get("fields")
    title = fields.get("title") if isinstance(fields, Mapping) else ""
    asked = {
        "kind": "approval",
        "asked_at": own["created_at"],
        "installation": own["installation"],
        "connection": own["bkitsm_conn_id"],
        "dialect": stored_dialect(sent),
        **{name: own[name] for name in _TASK},
        "try_number": (own["attempt"] or {}).get("try_number"),
        "subject": own["approval_key"] or "",
        "round": own["round_number"],
        "record": own["nonce"],
        "shares_record": own["ticket_of"] or "",
        "ticket": ticket["sn"] or "",
        "ticket_url": web_address(ticket["ticket_url"]),
        "title": unmarked_title(str(title or ""), is_ours=True),
        "service": _service(sent),
        "requester": mine.get(REQUESTER) or sent.get(REQUESTER) or sent.get("creator") or "",
        "run_by": mine.get(RUN_BY) or "",
        "creator": sent.get("creator") or "",
        "opened_at": ticket["opened_at"],
        "digest": ticket["asked_digest"] or "",
        "item_digest": mine.get(ITEM_DIGEST) or "",
    }
    row = asked | _end(end, opened_at=ticket["opened_at"], ended_at=own["ended_at"] or ticket["ended_at"])
    row["result"] = row["result"] or _without_end(ticket)
    task = {name: own[name] for name in _TASK}
    at_start = mine.get(RUNS) or (own["asked_digest"] if own["task_id"] else "")
    row["runs_digest"] = runs_digest(task, waits=row["waits"], at_start=at_start)
    return _in_order(row)


def _service(sent: Mapping[str, Any]) -> str:
    service = sent.get("service_id")
    return "fast_approval" if sent.get("fast_approval") else "" if service is None else str(service)


def _without_end(ticket: Mapping[str, Any]) -> str:
    if ticket["sn"]:
        return OPEN
    return UNSURE if ticket["create_started_at"] else NOT_OPENED


def _end(end: Mapping[str, Any], *, opened_at: datetime | None, ended_at: datetime | None) -> dict[str, Any]:
    """Return how a round ended; what is not known is empty."""
    decided_at = moment(end.get("decided_at"))
    seconds = None if decided_at is None or opened_at is None else (decided_at - opened_at).total_seconds()
    return {
        "decided_at": decided_at,
        "seconds_to_decide": None if seconds is None else max(0, round(seconds)),
        "result": str(end.get("outcome") or ""),
        "reason_code": str(end.get("reason_code") or ""),
        "reason": str(end.get("reason") or ""),
        "decisions": _objects(end.get("approvers")),
        "evidence": _objects(end.get("evidence")),
        "evidence_required": end.get("evidence_required"),
        "seen_by": str(end.get("seen_by") or ""),
        "seen_at": moment(end.get("seen_at")),
        "ended_at": ended_at,
        "waits": _objects(end.get("waits")),
    }


def _objects(value: object) -> list[dict[str, Any]]:
    return [dict(one) for one in value if isinstance(one, Mapping)] if isinstance(value, list | tuple) else []


def _in_order(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row.get(name) for name in COLUMNS}


# -- collectors' applications --------------------------------------------------------------------------------


_COLLECTOR = ("bklog_conn_id", "collector_config_id")
_APPLICATION = (*_COLLECTOR, "application")


def _applications(connection: Connection, period: AuditPeriod) -> Iterator[dict[str, Any]]:
    """Return a row for each application, from the audit of its collector's changes."""
    changes = (row._asdict() for row in connection.execute(_applications_query(period)))
    for _, group in groupby(changes, key=lambda one: tuple(one[name] for name in _APPLICATION)):
        row = _application(list(group))
        wanted = ((period.dag_id, row["dag_id"]), (period.conn_id, row["connection"]))
        if all(given in (None, stored) for given, stored in wanted):
            yield row


def _applications_query(period: AuditPeriod) -> Select[Any]:
    """Select all changes of the applications whose first change is in the period, in their order."""
    first, earlier = audit_table.alias("first"), audit_table.alias("earlier")
    is_first = ~exists().where(_same(earlier, first, _APPLICATION), earlier.c.version < first.c.version)
    now = [collector_table.c[name].label(f"now_{name}") for name in ("application", "request", "bkitsm_conn_id")]
    query = select(audit_table, *now).join(first, _same(audit_table, first, _APPLICATION))
    query = query.join(collector_table, _same(audit_table, collector_table, _COLLECTOR), isouter=True)
    query = query.where(is_first, first.c.at >= period.since)
    if period.until is not None:
        query = query.where(first.c.at < period.until)
    return query.order_by(*(audit_table.c[name] for name in (*_COLLECTOR, "version")))


def _same(one: FromClause, other: FromClause, names: Iterable[str]) -> ColumnElement[bool]:
    return and_(*(one.c[name] == other.c[name] for name in names))


def _application(changes: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the row of one application, whose changes are few."""
    now = {name: changes[0].pop(f"now_{name}") for name in ("application", "request", "bkitsm_conn_id")}
    for change in changes[1:]:
        for name in ("now_application", "now_request", "now_bkitsm_conn_id"):
            change.pop(name)
    entries = [audit_from(change) for change in changes]
    first, by_event = entries[0], {entry.event: entry for entry in entries}
    begun, opened, decided = (by_event.get(name) for name in ("apply", "ticket_opened", "decided"))
    request, connection = _sent_for(begun or first, now)
    verdict = dict(decided.detail.get("detail") or {}) if decided else {}
    end = {"outcome": decided.detail.get("outcome") if decided else None, **verdict}
    owner = (begun or first).owner
    title = (request.get("fields") or {}).get("title")
    asked = {
        "kind": "collector",
        "asked_at": first.at,
        "installation": request.get("installation") or "",
        "connection": connection,
        "dialect": stored_dialect(request) if request else "",
        **_of_owner(owner),
        "subject": f"{first.collector_config_id} ({first.bklog_conn_id})",
        "round": first.application,
        "record": f"{first.bklog_conn_id}/{first.collector_config_id}/{first.application}",
        "ticket": next((entry.ticket_sn for entry in reversed(entries) if entry.ticket_sn), ""),
        "ticket_url": web_address(opened.detail.get("url")) if opened else "",
        "title": unmarked_title(str(title or end.get("title") or ""), is_ours=True),
        "service": _service(request),
        "requester": request.get(REQUESTER) or request.get("creator") or "",
        "creator": request.get("creator") or "",
        "opened_at": opened.at if opened else None,
        "digest": str((begun or first).detail.get("etl_digest") or ""),
    }
    row = asked | _end(end, opened_at=opened.at if opened else None, ended_at=decided.at if decided else None)
    row["result"] = row["result"] or _without_verdict(entries, is_opened=opened is not None)
    return _in_order(row)


def _sent_for(begun: AuditEntry, now: Mapping[str, Any]) -> tuple[Mapping[str, Any], str]:
    """Return what was sent for an application, and its ITSM connection.

    Versions up to 0.2 have them in the collector's row alone, which is the last application's.
    """
    if "request" in begun.detail:
        return begun.detail["request"], begun.detail.get("bkitsm_conn_id") or ""
    if now["application"] != begun.application or not now["request"]:
        return {}, ""
    return now["request"], now["bkitsm_conn_id"] or ""


def _of_owner(owner: Owner | None) -> dict[str, Any]:
    return {name: getattr(owner, name, None) for name in _TASK}


def _without_verdict(entries: list[AuditEntry], *, is_opened: bool) -> str:
    if any(entry.event == "bypassed" for entry in entries):
        return "bypassed"
    last = entries[-1]
    if is_opened:
        return last.to_state.value if last.event == "fail" else OPEN
    return NOT_OPENED if last.event in ("create_refused", "fail") else UNSURE
