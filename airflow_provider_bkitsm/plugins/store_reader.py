# SPDX-License-Identifier: Apache-2.0
"""Reads of the approvals' store for the pages: collectors, the records of tickets' opening, and reminders.

Where the store's file does not exist yet, there is nothing to read: a page never creates it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_bkitsm import settings
from airflow_provider_bkitsm.approvals.asked import RoundRecords
from airflow_provider_bkitsm.approvals.rows import ApprovalWait, Row, Status, Ticket
from airflow_provider_bkitsm.approvals.state_diagram import state_diagram
from airflow_provider_bkitsm.approvals.ticket_reminders import next_reminder, sent_reminders
from airflow_provider_bkitsm.collectors.row import CollectorRow, state_label
from airflow_provider_bkitsm.hooks.store import has_store, open_store
from airflow_provider_bkitsm.itsm.errors import ItsmError
from airflow_provider_bkitsm.plugins.concurrency import Background, in_thread
from airflow_provider_bkitsm.plugins.itsm_reader import PAGE_SECONDS

if TYPE_CHECKING:
    from airflow_provider_bkitsm.collectors.store import AuditEntry, CollectorStore
    from airflow_provider_bkitsm.itsm.idempotency import TicketIdentity
    from airflow_provider_bkitsm.tickets.opening_records import SentTicket


MOST_COLLECTORS = 2000
"""How many collectors are looked at: those that were changed last."""


class Collectors:
    """The collectors of the store, which is opened at the first read; every method blocks.

    :raises ItsmError: the store's database cannot be used, or ``[bkitsm] store_conn_id`` names none that could.
    """

    def listed(self, dag_ids: Collection[str]) -> list[CollectorRow]:
        """Return the collectors that these DAGs applied for, latest change first."""
        store = _store()
        rows = store.latest(MOST_COLLECTORS) if store else []
        return [row for row in rows if _applied_for_by(row, dag_ids)]

    def detail(
        self, bklog_conn_id: str, collector_config_id: int, dag_ids: Collection[str]
    ) -> dict[str, Any] | None:
        """Return a collector with diagram and history; None unless one of these DAGs applied for it."""
        store = _store()
        row = store.get(bklog_conn_id, collector_config_id) if store else None
        if store is None or row is None or not _applied_for_by(row, dag_ids):
            return None
        history = store.history(bklog_conn_id, collector_config_id)
        steps = ((entry.from_state, entry.to_state) for entry in history if entry.application == row.application)
        return {
            **collector_row(row),
            "payload": row.etl_payload,
            "error": row.last_error or "",
            "picture": state_diagram(row.state, steps).as_dict(),
            "history": [
                _entry(entry) for entry in history if entry.owner is None or entry.owner.dag_id in dag_ids
            ],
        }


def collector_row(row: CollectorRow) -> dict[str, Any]:
    """Return a collector's row as the page reads it."""
    owner = row.owner
    return {
        "bklog_conn_id": row.bklog_conn_id,
        "collector_config_id": row.collector_config_id,
        "state": row.state.value,
        "zh": state_label(row.state, language="zh"),
        "en": state_label(row.state, language="en"),
        "sn": row.ticket_sn or "",
        "outcome": row.outcome.value if row.outcome else "",
        "digest": row.etl_digest or "",
        "application": row.application,
        "updated_at": row.updated_at.isoformat(),
        "dag_id": owner.dag_id if owner else "",
        "run_id": owner.run_id if owner else "",
        "task_id": owner.task_id if owner else "",
        "map_index": owner.map_index if owner else -1,
    }


def _entry(entry: AuditEntry) -> dict[str, Any]:
    return {
        "version": entry.version,
        "application": entry.application,
        "event": entry.event,
        "from_state": entry.from_state.value,
        "to_state": entry.to_state.value,
        "sn": entry.ticket_sn or "",
        "run_id": entry.owner.run_id if entry.owner else "",
        "reason": str(entry.detail.get("reason") or entry.detail.get("outcome") or ""),
        "at": entry.at.isoformat(),
    }


def _applied_for_by(row: CollectorRow, dag_ids: Collection[str]) -> bool:
    return row.owner is not None and row.owner.dag_id in dag_ids


def _store() -> CollectorStore | None:
    return open_store() if has_store() else None


_MOST_SENT = 10_000
# How long a ticket without a record is taken to have none.
_UNRECORDED = 60.0


class SentTickets:
    """What the records of their opening say of tickets: read once for each ticket. For one event loop."""

    def __init__(self) -> None:
        self._background = Background()
        self._sent: dict[Ticket, SentTicket] = {}
        self._unrecorded: dict[Ticket, float] = {}

    def get(self, ticket: Ticket) -> SentTicket | None:
        """Return what was read of a ticket."""
        return self._sent.get(ticket)

    async def refresh(self, tickets: Iterable[Ticket]) -> None:
        """Read what is missing, and wait a moment for it."""
        now = asyncio.get_running_loop().time()
        read_after = now - _UNRECORDED
        missing = {
            ticket
            for ticket in tickets
            if all(ticket) and ticket not in self._sent and self._unrecorded.get(ticket, -1.0) < read_after
        }
        if missing and not self._background.running(""):
            self._background.start("", self._read(missing, now))
        await self._background.settle([""], seconds=PAGE_SECONDS)

    async def _read(self, tickets: Collection[Ticket], now: float) -> None:
        if len(self._sent) + len(self._unrecorded) > _MOST_SENT:
            self._sent.clear()
            self._unrecorded.clear()
        self._unrecorded.update(dict.fromkeys(tickets, now))
        self._sent.update(await in_thread(_read_sent, tickets))


def _read_sent(tickets: Collection[Ticket]) -> Mapping[Ticket, SentTicket]:
    from airflow_provider_bkitsm.tickets.opening_records import read_sent_tickets

    return read_sent_tickets(tickets) if has_store() else {}


def stored_identity(ticket: Ticket) -> TicketIdentity | None:
    """Return what is recorded of a ticket's opening; None without a record or a readable store. Blocks."""
    from airflow_provider_bkitsm.tickets.ownership_records import read_identity

    conn_id, sn = ticket
    try:
        return read_identity(sn, conn_id) if has_store() else None
    except ItsmError:
        return None


def read_rounds(wait: ApprovalWait) -> RoundRecords | None:
    """Read the records of a wait's round; None where there are none, or the store cannot be read. Blocks."""
    from airflow_provider_bkitsm.tickets.approval_store import installation, open_approval_store

    if not all(wait.ticket) or not has_store():
        return None
    task, here = wait.task, installation()
    key = (task.task_id, task.map_index, here)
    try:
        store = open_approval_store()
        source = store.by_ticket(wait.conn_id, wait.sn)
        rounds = store.of_run(task.dag_id, task.run_id) if source else []
    except ItsmError:
        return None
    if source is None:
        return None
    of_task = [
        one for one in rounds if (one.subject.task_id, one.subject.map_index, one.subject.installation) == key
    ]
    last = of_task[-1] if of_task else None
    is_its_own = last is not None and source.nonce in (last.nonce, last.ticket_of)
    return RoundRecords(own=last if is_its_own else None, source=source)


def read_reminders(wait: ApprovalWait, row: Row, opened_at: datetime | None, now: datetime) -> dict[str, Any]:
    """Read which reminders of a ticket went out, and tell what is due next. Blocks.

    Nothing is known where the store cannot be read. Without ``opened_at`` nothing is known either, since ITSM may
    give a number twice.
    """
    from airflow_provider_bkitsm.tickets.reminder_store import open_reminder_store

    unknown: dict[str, Any] = {"reminders": [], "next_reminder": None}
    if opened_at is None or not all(wait.ticket):
        return unknown
    try:
        stored = open_reminder_store().of_ticket(*wait.ticket, opened_at=opened_at) if has_store() else []
        planned = next_reminder(
            wait.reminders,
            stored,
            opened_at=opened_at,
            now=now,
            deadline=row.deadline,
            has_sender=bool(settings.remind()),
        )
    except (ItsmError, OverflowError):
        # ITSM may say anything of when a ticket was opened: the calendar's first day, for one.
        return unknown
    # While a ticket is suspended nobody is reminded, and of one that has ended nobody is reminded any more.
    following = planned if row.status is Status.WAITING else None
    return {
        "reminders": [one.as_dict() for one in sent_reminders(stored)],
        "next_reminder": following and following.as_dict(),
    }
