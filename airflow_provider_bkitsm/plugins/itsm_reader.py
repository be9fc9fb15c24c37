# SPDX-License-Identifier: Apache-2.0
"""ITSM behind a page that must come although ITSM is down: answers are shared, limited in time, or missing."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypeVar

from airflow_provider_bkitsm.approvals.rows import Ticket, TicketSnapshot
from airflow_provider_bkitsm.hooks.connection import Gateway
from airflow_provider_bkitsm.hooks.itsm import ItsmAsyncHook
from airflow_provider_bkitsm.itsm.actions import read_status
from airflow_provider_bkitsm.itsm.dialect import ask
from airflow_provider_bkitsm.itsm.errors import ItsmError
from airflow_provider_bkitsm.itsm.models import TicketStatus, TicketSummary
from airflow_provider_bkitsm.itsm.stall import START_SECONDS, is_stalled
from airflow_provider_bkitsm.plugins.concurrency import SharedCache

log = logging.getLogger(__name__)
T = TypeVar("T")

ITSM_SECONDS = 3.0
_PAUSE_AFTER_FAILURE = timedelta(seconds=15)


class ItsmReader:
    """What one API server process asks; for one event loop.

    :param gateway: reads a connection; awaited, since it asks the database.
    :param clock: aware.
    """

    def __init__(
        self,
        *,
        gateway: Callable[[str], Awaitable[Gateway | None]],
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._gateway = gateway
        self.clock = clock
        self._failed: dict[str, datetime] = {}

    def is_paused(self, conn_id: str) -> bool:
        """Whether a connection's ITSM did not answer just before."""
        failed = self._failed.get(conn_id)
        return failed is not None and self.age(failed) < _PAUSE_AFTER_FAILURE

    def age(self, moment: datetime) -> timedelta:
        """Return how long ago a moment was."""
        return self.clock() - moment

    async def ask(self, conn_id: str, question: Callable[[ItsmAsyncHook], Awaitable[T]]) -> T | None:
        """Return the answer to a question; None when there is none in time."""
        if self.is_paused(conn_id):
            return None
        try:
            async with asyncio.timeout(ITSM_SECONDS):
                return await self._ask(conn_id, question)
        except (ItsmError, TimeoutError) as error:
            log.warning("ITSM could not be asked on %s: %s", conn_id, str(error) or "no answer in time")
            self._failed[conn_id] = self.clock()
            return None

    async def _ask(self, conn_id: str, question: Callable[[ItsmAsyncHook], Awaitable[T]]) -> T:
        gateway = await self._gateway(conn_id)
        if gateway is None:
            raise ItsmError("there is no such connection")
        hook = ItsmAsyncHook.for_gateway(gateway)
        async with hook:
            return await question(hook)


_FRESH = timedelta(seconds=4)
_STEP_FRESH = timedelta(seconds=60)
# ITSM tells of steps one ticket at a time: a page gets a few more of them each time it refreshes itself.
_STEPS_AT_ONCE = 10
_REMEMBERED = 10_000
_MAY_START = timedelta(seconds=START_SECONDS)


@dataclass(frozen=True, kw_only=True)
class _Step:
    name: str
    approvers: tuple[str, ...]
    stalled: bool
    read_at: datetime


class TicketCache:
    """What one API server process remembers; for one event loop."""

    def __init__(self, itsm: ItsmReader) -> None:
        self._itsm = itsm
        self._known: dict[Ticket, TicketSnapshot] = {}
        self._steps: dict[Ticket, _Step] = {}
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    def known(self, ticket: Ticket) -> TicketSnapshot | None:
        """Return what is remembered of a ticket, marked stale when it is old or ITSM does not answer."""
        live = self._known.get(ticket)
        if live is None:
            return None
        step = self._steps.get(ticket)
        seen = replace(live, **self._as_live(step, live.created_at)) if step else live
        return replace(seen, stale=self._itsm.is_paused(ticket[0]) or self._itsm.age(live.read_at) > 2 * _FRESH)

    async def refresh(self, tickets: Iterable[Ticket]) -> bool:
        """Ask about tickets that are not remembered well enough; False when some ITSM did not answer."""
        wanted: defaultdict[str, list[str]] = defaultdict(list)
        for conn_id, sn in dict.fromkeys(tickets):
            if conn_id and sn:
                wanted[conn_id].append(sn)
        asked = [self._refresh(conn_id, sns) for conn_id, sns in wanted.items()]
        return all(await asyncio.gather(*asked))

    async def _refresh(self, conn_id: str, sns: list[str]) -> bool:
        async with self._locks[conn_id]:
            if self._itsm.is_paused(conn_id):
                return False
            old = [sn for sn in sns if not self._is_fresh(conn_id, sn)]
            steps = self._steps_wanted(conn_id, sns)
            if not old and not steps:
                return True
            return await self._itsm.ask(conn_id, lambda hook: self._ask(hook, conn_id, old, steps)) is not None

    async def _ask(self, hook: ItsmAsyncHook, conn_id: str, old: list[str], steps: list[str]) -> bool:
        if old:
            rows = await hook.run(ask(lambda itsm: itsm.summaries(old)))
            self._remember(conn_id, set(old), rows)
        asked = (hook.run(read_status(sn)) for sn in steps)
        for sn, status in zip(steps, await asyncio.gather(*asked, return_exceptions=True), strict=True):
            if isinstance(status, TicketStatus):
                self._steps[conn_id, sn] = self._step(status)
        return True

    def _remember(self, conn_id: str, asked: set[str], rows: Iterable[TicketSummary]) -> None:
        """Remember the rows that were asked for; of a number that two tickets carry, neither is believed."""
        found = [row for row in rows if row.sn in asked]
        times = Counter(row.sn for row in found)
        if len(self._known) > _REMEMBERED:
            self._known.clear()
            self._steps.clear()
        for row in found:
            if times[row.sn] == 1:
                self._known[conn_id, row.sn] = TicketSnapshot(
                    progress=row.progress,
                    read_at=self._itsm.clock(),
                    title=row.title,
                    ticket_url=row.ticket_url,
                    created_at=row.created_at,
                    creator=row.creator,
                )

    def _step(self, status: TicketStatus) -> _Step:
        names = ", ".join(step.name for step in status.current_steps if step.name)
        stalled = is_stalled(status.progress, status.current_steps)
        return _Step(name=names, approvers=status.waits_for, stalled=stalled, read_at=self._itsm.clock())

    def _as_live(self, step: _Step, created_at: datetime | None) -> dict[str, Any]:
        """Return what a step says of its ticket; one that was opened just before it was read may yet start."""
        has_had_time = created_at is not None and step.read_at - created_at >= _MAY_START
        return {"step": step.name, "approvers": step.approvers, "stalled": step.stalled and has_had_time}

    def _steps_wanted(self, conn_id: str, sns: list[str]) -> list[str]:
        """Return the tickets whose step is not known or old, longest unknown first, as many as one turn takes."""
        open_ones = [sn for sn in sns if not self._has_ended(conn_id, sn)]
        ages = {sn: self._step_age(conn_id, sn) for sn in open_ones}
        due = (sn for sn in open_ones if ages[sn] > self._step_fresh(conn_id, sn))
        return sorted(due, key=lambda sn: ages[sn], reverse=True)[:_STEPS_AT_ONCE]

    def _step_age(self, conn_id: str, sn: str) -> timedelta:
        step = self._steps.get((conn_id, sn))
        return self._itsm.age(step.read_at) if step else timedelta.max

    def _step_fresh(self, conn_id: str, sn: str) -> timedelta:
        """Return how long a step is good for; a ticket that was just opened has none yet, but soon will."""
        live = self.known((conn_id, sn))
        return _STEP_FRESH if live and (live.step or live.stalled) else _FRESH

    def _has_ended(self, conn_id: str, sn: str) -> bool:
        live = self._known.get((conn_id, sn))
        return live is not None and live.progress.has_ended

    def _is_fresh(self, conn_id: str, sn: str) -> bool:
        live = self._known.get((conn_id, sn))
        return live is not None and self._itsm.age(live.read_at) <= _FRESH


_FRESH_SECONDS = 4.0
# So many of the latest are searched in; ITSM names no limit, but has one.
_MOST = 1000

Numbers = frozenset[str]


class PersonTickets:
    """What one API server process remembers, for each person apart; for one event loop.

    :param fresh_seconds: so long an answer is not asked for anew.
    """

    def __init__(self, itsm: ItsmReader, *, fresh_seconds: float = _FRESH_SECONDS) -> None:
        self._itsm = itsm
        self._known: SharedCache[Numbers] = SharedCache(fresh_seconds)

    async def find(self, person: str, tickets: Iterable[tuple[Ticket, bool]]) -> tuple[frozenset[Ticket], bool]:
        """Return which of these wait for a person or were opened in their name, and whether all ITSMs answered.

        :param person: as ITSM knows them.
        :param tickets: each with whether it waits; latest first.
        """
        wanted: defaultdict[str, dict[str, bool]] = defaultdict(dict)
        for (conn_id, sn), waits in tickets:
            if conn_id and sn:
                wanted[conn_id].setdefault(sn, waits)
        answers = await asyncio.gather(*(self._of(person, conn_id, sns) for conn_id, sns in wanted.items()))
        pairs = zip(wanted, answers, strict=True)
        found = frozenset((conn_id, sn) for conn_id, (numbers, _) in pairs for sn in numbers)
        return found, all(answered for _, answered in answers)

    async def _of(self, person: str, conn_id: str, sns: dict[str, bool]) -> tuple[Numbers, bool]:
        key = (person, conn_id)
        try:
            return await self._known.get(key, partial(self._ask, person, conn_id, sns)), True
        except _NoAnswerError:
            return self._known.last(key) or frozenset(), False

    async def _ask(self, person: str, conn_id: str, sns: dict[str, bool]) -> Numbers:
        found = await self._itsm.ask(conn_id, lambda hook: _search(hook, person, sns))
        if found is None:
            raise _NoAnswerError
        return found


class _NoAnswerError(Exception):
    pass


async def _search(hook: ItsmAsyncHook, person: str, sns: dict[str, bool]) -> Numbers:
    """Search in our own tickets only (P6)."""
    latest = list(sns)[:_MOST]
    waiting = [sn for sn, waits in sns.items() if waits][:_MOST]
    searches = [hook.run(ask(lambda itsm: itsm.opened_by(person, latest)))]
    if waiting:
        searches.append(hook.run(ask(lambda itsm: itsm.waiting_for(person, waiting))))
    found = await asyncio.gather(*searches)
    return frozenset(sn for numbers in found for sn in numbers if sn in sns)
