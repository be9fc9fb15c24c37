# SPDX-License-Identifier: Apache-2.0
"""What the approvals pages are told, limited to the DAGs the signed-in person may read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_provider_bkitsm.approvals.choosing import ticket_of
from airflow_provider_bkitsm.approvals.framing import framed
from airflow_provider_bkitsm.approvals.listing import Page, Wanted, page_of
from airflow_provider_bkitsm.approvals.mine import Me
from airflow_provider_bkitsm.approvals.rows import Found, Row, TaskKey, row_of
from airflow_provider_bkitsm.collectors.errors import StoreUnavailable
from airflow_provider_bkitsm.collectors.row import CollectorRow
from airflow_provider_bkitsm.plugins.access import airflow_name, check_reads, itsm_name, may_change, readable_dags
from airflow_provider_bkitsm.plugins.asking import Asking
from airflow_provider_bkitsm.plugins.collector_views import Collectors, shown
from airflow_provider_bkitsm.plugins.live import LiveTickets
from airflow_provider_bkitsm.plugins.metadata import AirflowMetadata, AirflowTickets
from airflow_provider_bkitsm.plugins.mine import TicketsOf
from airflow_provider_bkitsm.plugins.pages import frame_origin
from airflow_provider_bkitsm.plugins.remembering import Remembering
from airflow_provider_bkitsm.plugins.reminding import reminder
from airflow_provider_bkitsm.plugins.stories import read_story
from airflow_provider_bkitsm.plugins.threads import in_thread

if TYPE_CHECKING:
    from fastapi import Request

_LONG_AGO = datetime.min.replace(tzinfo=UTC)
_RECENT = timedelta(days=30)
# Seconds for which people who may read the same DAGs share what was read.
_SHARED = 3.0
# A poller notes once a minute that ITSM answers, and only when it has asked.
_POLLED = timedelta(hours=1)


@dataclass(frozen=True, kw_only=True)
class Known:
    """What is known besides a wait: collectors' names by ticket, and connections' last polls."""

    names: Mapping[str, str] = field(default_factory=dict)
    polls: Mapping[str, datetime] = field(default_factory=dict)


class Views:
    """Where the answers come from."""

    def __init__(self, metadata: AirflowMetadata) -> None:
        self.metadata = metadata
        self.tickets = AirflowTickets()
        self.collectors = Collectors()
        itsm = Asking(gateway=lambda conn_id: in_thread(metadata.gateway, conn_id))
        self.live, self.mine = LiveTickets(itsm), TicketsOf(itsm)
        self._waits: Remembering[list[Found]] = Remembering(_SHARED)
        self._polls: Remembering[dict[str, datetime]] = Remembering(_SHARED)
        self._collectors: Remembering[list[CollectorRow]] = Remembering(_SHARED)

    async def listed(self, user: Any, wanted: Wanted) -> dict[str, Any]:
        """Return one page of the list, asking ITSM about its open tickets only."""
        dags = await in_thread(readable_dags, user)
        read = partial(self.tickets.waits, dags, since=datetime.now(UTC) - _RECENT)
        founds = await self._waits.get(dags, lambda: in_thread(read))
        known = Known(names=await self._names(dags), polls=await self._polled())
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
        row = self._row(found, Known(polls=await self._polled()))
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

    async def found(self, request: Request, user: Any, task: TaskKey) -> Found | None:
        """Return what is known of a task instance's ticket, to whom may read its DAG."""
        await in_thread(check_reads, request, user, task.dag_id)
        return ticket_of(await in_thread(self.tickets.of_run, task.dag_id, task.run_id), task)

    async def _story(self, found: Found) -> tuple[dict[str, Any] | None, str]:
        gateway = await in_thread(self.metadata.gateway, found.conn_id) if found.conn_id and found.sn else None
        if gateway is None:
            return None, ""
        return await read_story(gateway, found.sn)

    def _page(self, founds: Iterable[Found], known: Known, wanted: Wanted, me: Me | None) -> Page:
        """Build thousands of rows for one page of them: not in the event loop, where callbacks would wait."""
        return page_of([self._row(one, known) for one in founds], wanted, me)

    def _row(self, found: Found, known: Known) -> Row:
        live, polled_at = self.live.known(found.ticket), known.polls.get(found.conn_id)
        return row_of(found, live, collector=known.names.get(found.sn, ""), polled_at=polled_at)

    async def _me(self, user: Any, founds: Iterable[Found]) -> tuple[Me, bool]:
        """Return who looks, with the tickets ITSM says are theirs, and whether ITSM said anything.

        The list is shared by people who may read the same DAGs; this is not.
        """
        name = itsm_name(user)
        latest = sorted(
            founds, key=lambda one: (one.verdict is None, one.registered_at or _LONG_AGO), reverse=True
        )
        listed = ((one.ticket, one.verdict is None) for one in latest)
        tickets, told = await self.mine.find(name, listed)
        return Me(airflow_name=airflow_name(user), itsm_name=name, tickets=tickets), told

    async def _polled(self) -> dict[str, datetime]:
        """Return when ITSM last answered a poll, by connection."""
        read = partial(self.tickets.polls, since=datetime.now(UTC) - _POLLED)
        return await self._polls.get("", lambda: in_thread(read))

    async def _names(self, dags: frozenset[str]) -> dict[str, str]:
        """Return the collectors' names by ticket."""
        return {row.ticket_sn: _name(row) for row in await self._applied(dags) if row.ticket_sn}

    async def _collector(self, found: Found, dags: frozenset[str]) -> dict[str, Any] | None:
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
