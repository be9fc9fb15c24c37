# SPDX-License-Identifier: Apache-2.0
"""Reads of ITSM for the pages, which must work although ITSM is down: cached, limited in time, or left out."""

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
    """Reads from ITSM with a time limit, and pauses after a failure. For one event loop.

    :param gateway: reads a connection from the database; awaitable.
    :param clock: the current time (aware).
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
        """Whether a connection's ITSM failed to answer a moment ago."""
        failed = self._failed.get(conn_id)
        return failed is not None and self.age(failed) < _PAUSE_AFTER_FAILURE

    def age(self, moment: datetime) -> timedelta:
        """Return the time that has passed since a moment."""
        return self.clock() - moment

    async def ask(self, conn_id: str, question: Callable[[ItsmAsyncHook], Awaitable[T]]) -> T | None:
        """Return the result of ``question``; None without an answer in time."""
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
# ITSM lists the steps of one ticket a call: each refresh of a page reads a few more of them.
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
    """Tickets as this process last read them; for one event loop."""

    def __init__(self, itsm: ItsmReader) -> None:
        self._itsm = itsm
        self._tickets: dict[Ticket, TicketSnapshot] = {}
        self._steps: dict[Ticket, _Step] = {}
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    def snapshot(self, ticket: Ticket) -> TicketSnapshot | None:
        """Return a ticket as it was last read, marked stale when that is old or ITSM does not answer."""
        live = self._tickets.get(ticket)
        if live is None:
            return None
        step = self._steps.get(ticket)
        seen = replace(live, **self._as_live(step, live.created_at)) if step else live
        return replace(seen, stale=self._itsm.is_paused(ticket[0]) or self._itsm.age(live.read_at) > 2 * _FRESH)

    async def refresh(self, tickets: Iterable[Ticket]) -> bool:
        """Read the tickets that are missing or old; False when an ITSM did not answer."""
        wanted: defaultdict[str, list[str]] = defaultdict(list)
        for conn_id, sn in dict.fromkeys(tickets):
            if conn_id and sn:
                wanted[conn_id].append(sn)
        return all(await asyncio.gather(*(self._refresh(conn_id, sns) for conn_id, sns in wanted.items())))

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
        reads = (hook.run(read_status(sn)) for sn in steps)
        for sn, status in zip(steps, await asyncio.gather(*reads, return_exceptions=True), strict=True):
            if isinstance(status, TicketStatus):
                self._steps[conn_id, sn] = self._step(status)
        return True

    def _remember(self, conn_id: str, sns: set[str], rows: Iterable[TicketSummary]) -> None:
        """Remember the rows with these numbers. If two tickets have one number, neither of them is remembered."""
        found = [row for row in rows if row.sn in sns]
        times = Counter(row.sn for row in found)
        if len(self._tickets) > _REMEMBERED:
            self._tickets.clear()
            self._steps.clear()
        for row in found:
            if times[row.sn] == 1:
                self._tickets[conn_id, row.sn] = TicketSnapshot(
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
        """Return the fields of a snapshot that a step gives. A ticket that was just opened may yet start."""
        has_had_time = created_at is not None and step.read_at - created_at >= _MAY_START
        return {"step": step.name, "approvers": step.approvers, "stalled": step.stalled and has_had_time}

    def _steps_wanted(self, conn_id: str, sns: list[str]) -> list[str]:
        """Return the tickets whose step is missing or old, oldest first, as many as one refresh reads."""
        open_sns = [sn for sn in sns if not self._has_ended(conn_id, sn)]
        ages = {sn: self._step_age(conn_id, sn) for sn in open_sns}
        due = (sn for sn in open_sns if ages[sn] > self._step_fresh(conn_id, sn))
        return sorted(due, key=lambda sn: ages[sn], reverse=True)[:_STEPS_AT_ONCE]

    def _step_age(self, conn_id: str, sn: str) -> timedelta:
        step = self._steps.get((conn_id, sn))
        return self._itsm.age(step.read_at) if step else timedelta.max

    def _step_fresh(self, conn_id: str, sn: str) -> timedelta:
        """Return how long a step is fresh. A ticket that was just opened has no step yet, but soon will."""
        live = self.snapshot((conn_id, sn))
        return _STEP_FRESH if live and (live.step or live.stalled) else _FRESH

    def _has_ended(self, conn_id: str, sn: str) -> bool:
        live = self._tickets.get((conn_id, sn))
        return live is not None and live.progress.has_ended

    def _is_fresh(self, conn_id: str, sn: str) -> bool:
        live = self._tickets.get((conn_id, sn))
        return live is not None and self._itsm.age(live.read_at) <= _FRESH


_FRESH_SECONDS = 4.0
# How many of the latest tickets are searched. ITSM documents no limit, but has one.
_MOST = 1000

Numbers = frozenset[str]


class PersonTickets:
    """Finds the tickets that concern a person; cached for each person. For one event loop.

    :param fresh_seconds: how long a result is used before ITSM is searched again.
    """

    def __init__(self, itsm: ItsmReader, *, fresh_seconds: float = _FRESH_SECONDS) -> None:
        self._itsm = itsm
        self._found: SharedCache[Numbers] = SharedCache(fresh_seconds)

    async def find(self, person: str, tickets: Iterable[tuple[Ticket, bool]]) -> tuple[frozenset[Ticket], bool]:
        """Return which tickets wait for a person or were opened in their name, and whether every ITSM answered.

        :param person: the person's name in ITSM.
        :param tickets: each with whether it is open; latest first.
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
            return await self._found.get(key, partial(self._ask, person, conn_id, sns)), True
        except _NoAnswerError:
            return self._found.last(key) or frozenset(), False

    async def _ask(self, person: str, conn_id: str, sns: dict[str, bool]) -> Numbers:
        found = await self._itsm.ask(conn_id, lambda hook: _search(hook, person, sns))
        if found is None:
            raise _NoAnswerError
        return found


class _NoAnswerError(Exception):
    pass


async def _search(hook: ItsmAsyncHook, person: str, sns: dict[str, bool]) -> Numbers:
    """Search among our own tickets only (P6)."""
    latest = list(sns)[:_MOST]
    waiting = [sn for sn, waits in sns.items() if waits][:_MOST]
    searches = [hook.run(ask(lambda itsm: itsm.opened_by(person, latest)))]
    if waiting:
        searches.append(hook.run(ask(lambda itsm: itsm.waiting_for(person, waiting))))
    found = await asyncio.gather(*searches)
    return frozenset(sn for numbers in found for sn in numbers if sn in sns)
