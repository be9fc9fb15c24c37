# SPDX-License-Identifier: Apache-2.0
"""What the pages show, limited to the DAGs a person may read."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_provider_bkitsm import settings
from airflow_provider_bkitsm.approvals.list_page import Page, Wanted, page_of
from airflow_provider_bkitsm.approvals.rows import Row, TaskKey, Viewer, WaitRecord, row_of, ticket_of
from airflow_provider_bkitsm.approvals.state_diagram import picture
from airflow_provider_bkitsm.approvals.ticket_detail import story_of
from airflow_provider_bkitsm.collectors.errors import StoreUnavailable
from airflow_provider_bkitsm.collectors.row import CollectorRow, state_label
from airflow_provider_bkitsm.hooks.connection import Gateway
from airflow_provider_bkitsm.hooks.itsm import ItsmAsyncHook
from airflow_provider_bkitsm.hooks.store import open_store, store_path
from airflow_provider_bkitsm.itsm.actions import read_status
from airflow_provider_bkitsm.itsm.dialect import ask
from airflow_provider_bkitsm.itsm.errors import ItsmError
from airflow_provider_bkitsm.plugins.concurrency import SharedCache, in_thread
from airflow_provider_bkitsm.plugins.itsm_reader import ItsmReader, PersonTickets, TicketCache
from airflow_provider_bkitsm.plugins.metadata import AirflowMetadata, AirflowTickets
from airflow_provider_bkitsm.plugins.pages import frame_origin
from airflow_provider_bkitsm.plugins.reminders import reminder
from airflow_provider_bkitsm.plugins.security import (
    airflow_name,
    check_reads,
    framed,
    itsm_name,
    may_change,
    readable_dags,
)

if TYPE_CHECKING:
    from fastapi import Request

    from airflow_provider_bkitsm.collectors.store import AuditEntry, CollectorStore

_SECONDS = 5.0


async def read_story(gateway: Gateway, sn: str) -> tuple[dict[str, Any] | None, str]:
    """Return a ticket's story and why there is none; exactly one of the two is empty."""
    try:
        async with asyncio.timeout(_SECONDS), ItsmAsyncHook.for_gateway(gateway) as hook:
            answers = await asyncio.gather(
                hook.run(ask(lambda itsm: itsm.info(sn))),
                hook.run(ask(lambda itsm: itsm.log(sn))),
                hook.run(read_status(sn)),
            )
    except TimeoutError:
        return None, f"no answer in {_SECONDS:g} s"
    except ItsmError as error:
        return None, str(error)
    return story_of(*answers).as_dict(), ""


_LATEST = 2000


class Collectors:
    """The store, opened when it is first asked; every method blocks.

    :raises StoreUnavailable: the store's database cannot be used.
    """

    def listed(self, dag_ids: Collection[str]) -> list[CollectorRow]:
        """Return the collectors that DAGs of these applied for, the latest change first."""
        store = _store()
        rows = store.latest(_LATEST) if store else []
        return [row for row in rows if _is_of(row, dag_ids)]

    def one(self, bklog_conn_id: str, collector_config_id: int, dag_ids: Collection[str]) -> dict[str, Any] | None:
        """Return a collector with its picture and history; None when there is none these DAGs applied for."""
        store = _store()
        row = store.get(bklog_conn_id, collector_config_id) if store else None
        if store is None or row is None or not _is_of(row, dag_ids):
            return None
        history = store.history(bklog_conn_id, collector_config_id)
        steps = ((entry.from_state, entry.to_state) for entry in history if entry.application == row.application)
        return {
            **shown(row),
            "payload": row.etl_payload,
            "error": row.last_error or "",
            "picture": picture(row.state, steps).as_dict(),
            "history": [_entry(one) for one in history if one.owner is None or one.owner.dag_id in dag_ids],
        }


def shown(row: CollectorRow) -> dict[str, Any]:
    """Return a collector's line."""
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


def _is_of(row: CollectorRow, dag_ids: Collection[str]) -> bool:
    return row.owner is not None and row.owner.dag_id in dag_ids


def _store() -> CollectorStore | None:
    """Open the store; a file that no worker has made yet is not made by looking."""
    return open_store() if settings.store_conn_id() or store_path().exists() else None


_LONG_AGO = datetime.min.replace(tzinfo=UTC)
_RECENT = timedelta(days=30)
# Seconds for which people who may read the same DAGs share what was read.
_SHARED = 3.0
# A poller notes once a minute that ITSM answers, and only when it has asked.
_POLLED = timedelta(hours=1)


@dataclass(frozen=True, kw_only=True)
class PageContext:
    """What is known besides a wait: collectors' names by ticket, and connections' last polls."""

    names: Mapping[str, str] = field(default_factory=dict)
    polls: Mapping[str, datetime] = field(default_factory=dict)


class ApprovalViews:
    """Where the answers come from."""

    def __init__(self, metadata: AirflowMetadata) -> None:
        self.metadata = metadata
        self.tickets = AirflowTickets()
        self.collectors = Collectors()
        itsm = ItsmReader(gateway=lambda conn_id: in_thread(metadata.gateway, conn_id))
        self.live, self.mine = TicketCache(itsm), PersonTickets(itsm)
        self._waits: SharedCache[list[WaitRecord]] = SharedCache(_SHARED)
        self._polls: SharedCache[dict[str, datetime]] = SharedCache(_SHARED)
        self._collectors: SharedCache[list[CollectorRow]] = SharedCache(_SHARED)

    async def listed(self, user: Any, wanted: Wanted) -> dict[str, Any]:
        """Return one page of the list, asking ITSM about its open tickets only."""
        dags = await in_thread(readable_dags, user)
        read = partial(self.tickets.waits, dags, since=datetime.now(UTC) - _RECENT)
        founds = await self._waits.get(dags, lambda: in_thread(read))
        known = PageContext(names=await self._names(dags), polls=await self._polled())
        me, told = await self._me(user, founds) if wanted.mine else (None, True)
        first = await in_thread(self._page, founds, known, wanted, me)
        answered = await self.live.refresh((row.conn_id, row.sn) for row in first.rows if row.is_open)
        again = {one.task: one for one in founds}
        rows = [self._row(again[row.task], known).as_dict() for row in first.rows]
        return {**first.as_dict(), "rows": rows, "itsm": answered and told, "now": datetime.now(UTC).isoformat()}

    async def ticket(self, request: Request, user: Any, task: TaskKey) -> dict[str, Any]:
        """Return the ticket of a task instance and its story, as far as ITSM tells it."""
        found = await self.found(request, user, task)
        now = datetime.now(UTC).isoformat()
        if found is None:
            return {"ticket": None, "now": now}
        collector = await self._collector(found, frozenset({task.dag_id}))
        await self.live.refresh([(found.conn_id, found.sn)])
        row = self._row(found, PageContext(polls=await self._polled()))
        story, problem = await self._story(found)
        changes = await in_thread(may_change, request, user, task.dag_id)
        return {
            "ticket": row.as_dict(),
            "story": story,
            "problem": problem,
            "collector": collector,
            "changes": changes,
            "reminds": changes and await in_thread(reminder) is not None,
            "frame_url": framed((story or {}).get("iframe_ticket_url", ""), frame_origin()),
            "now": now,
        }

    async def found(self, request: Request, user: Any, task: TaskKey) -> WaitRecord | None:
        """Return what is known of a task instance's ticket, to whom may read its DAG."""
        await in_thread(check_reads, request, user, task.dag_id)
        return ticket_of(await in_thread(self.tickets.of_run, task.dag_id, task.run_id), task)

    async def _story(self, found: WaitRecord) -> tuple[dict[str, Any] | None, str]:
        gateway = await in_thread(self.metadata.gateway, found.conn_id) if found.conn_id and found.sn else None
        if gateway is None:
            return None, ""
        return await read_story(gateway, found.sn)

    def _page(self, founds: Iterable[WaitRecord], known: PageContext, wanted: Wanted, me: Viewer | None) -> Page:
        """Build thousands of rows for one page of them: not in the event loop, where callbacks would wait."""
        return page_of([self._row(one, known) for one in founds], wanted, me)

    def _row(self, found: WaitRecord, known: PageContext) -> Row:
        live, polled_at = self.live.known(found.ticket), known.polls.get(found.conn_id)
        return row_of(found, live, collector=known.names.get(found.sn, ""), polled_at=polled_at)

    async def _me(self, user: Any, founds: Iterable[WaitRecord]) -> tuple[Viewer, bool]:
        """Return who looks, with the tickets ITSM says are theirs, and whether ITSM said anything.

        The list is shared by people who may read the same DAGs; this is not.
        """
        name = itsm_name(user)
        latest = sorted(
            founds, key=lambda one: (one.verdict is None, one.registered_at or _LONG_AGO), reverse=True
        )
        listed = ((one.ticket, one.verdict is None) for one in latest)
        tickets, told = await self.mine.find(name, listed)
        return Viewer(airflow_name=airflow_name(user), itsm_name=name, tickets=tickets), told

    async def _polled(self) -> dict[str, datetime]:
        """Return when ITSM last answered a poll, by connection."""
        read = partial(self.tickets.polls, since=datetime.now(UTC) - _POLLED)
        return await self._polls.get("", lambda: in_thread(read))

    async def _names(self, dags: frozenset[str]) -> dict[str, str]:
        """Return the collectors' names by ticket."""
        return {row.ticket_sn: _name(row) for row in await self._applied(dags) if row.ticket_sn}

    async def _collector(self, found: WaitRecord, dags: frozenset[str]) -> dict[str, Any] | None:
        """Return what was asked for a collector with this ticket."""
        rows = await self._applied(dags) if found.sn else []
        return next((shown(row) | {"payload": row.etl_payload} for row in rows if row.ticket_sn == found.sn), None)

    async def _applied(self, dags: frozenset[str]) -> list[CollectorRow]:
        """Return the collectors that these DAGs applied for; none while their store is down."""
        try:
            return await self._collectors.get(dags, lambda: in_thread(self.collectors.listed, dags))
        except StoreUnavailable:
            return []


def _name(row: CollectorRow) -> str:
    return f"{row.collector_config_id} ({row.bklog_conn_id})"
