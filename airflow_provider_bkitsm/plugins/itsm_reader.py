# SPDX-License-Identifier: Apache-2.0
"""Reads of ITSM for the pages, which must work although ITSM is slow or down: cached, and read behind the page.

A page waits a moment for a read that it has started, and is answered with what is known. The read goes on, and the
next refresh of the page shows what it brought.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import groupby
from typing import Any, Literal, TypeVar

from airflow_provider_bkitsm.approvals.rows import Ticket
from airflow_provider_bkitsm.approvals.snapshot import TicketSnapshot
from airflow_provider_bkitsm.hooks.connection import Gateway
from airflow_provider_bkitsm.hooks.itsm import ItsmAsyncHook
from airflow_provider_bkitsm.itsm.actions import read_status
from airflow_provider_bkitsm.itsm.dialect import ask
from airflow_provider_bkitsm.itsm.errors import ItsmError
from airflow_provider_bkitsm.itsm.models import TicketStatus, TicketSummary
from airflow_provider_bkitsm.itsm.stall import START_SECONDS, is_stalled
from airflow_provider_bkitsm.plugins.concurrency import Background, SharedCache

log = logging.getLogger(__name__)
T = TypeVar("T")

PAGE_SECONDS, UNKNOWN_SECONDS = 1.0, 2.0
"""How long a page waits for a read, which goes on behind it: longer where it would have nothing to show."""
ITSM_SECONDS = 15.0
"""How long an answer of ITSM may take."""
_PAUSE_AFTER_FAILURE = timedelta(seconds=15)
_FRESH = timedelta(seconds=4)


class ItsmReader:
    """Reads from ITSM with a time limit, and pauses while it does not answer at all. For one event loop.

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
        self._answers: Counter[str] = Counter()
        self._failed: dict[str, datetime] = {}

    def is_paused(self, conn_id: str) -> bool:
        """Whether a connection's ITSM failed to answer a moment ago."""
        failed = self._failed.get(conn_id)
        return failed is not None and self.age(failed) < _PAUSE_AFTER_FAILURE

    def is_down(self, conn_id: str) -> bool:
        """Whether a connection's ITSM has answered nothing since it failed to answer."""
        return conn_id in self._failed

    def age(self, moment: datetime) -> timedelta:
        """Return the time that has passed since a moment."""
        return self.clock() - moment

    async def ask(
        self,
        conn_id: str,
        question: Callable[[ItsmAsyncHook], Awaitable[T]],
        gateways: SharedCache[Gateway | None] | None = None,
    ) -> T | None:
        """Return the result of ``question``; None without an answer in time.

        An ITSM that has answered another question meanwhile does answer: only this question found none.

        :param gateways: shared by questions that are asked at the same moment.
        """
        if self.is_paused(conn_id):
            return None
        answers = self._answers[conn_id]
        try:
            async with asyncio.timeout(ITSM_SECONDS):
                answer = await self._ask(conn_id, question, gateways or _shared_gateways())
        except (ItsmError, TimeoutError) as error:
            log.warning("ITSM could not be asked on %s: %s", conn_id, str(error) or "no answer in time")
            if self._answers[conn_id] == answers:
                self._failed[conn_id] = self.clock()
            return None
        self._answers[conn_id] += 1
        self._failed.pop(conn_id, None)
        return answer

    async def _ask(
        self,
        conn_id: str,
        question: Callable[[ItsmAsyncHook], Awaitable[T]],
        gateways: SharedCache[Gateway | None],
    ) -> T:
        gateway = await gateways.get(conn_id, lambda: self._gateway(conn_id))
        if gateway is None:
            raise ItsmError("there is no such connection")
        hook = ItsmAsyncHook.for_gateway(gateway)
        async with hook:
            return await question(hook)


def _shared_gateways() -> SharedCache[Gateway | None]:
    """Return the connections of one look at a page, each read once."""
    return SharedCache(math.inf)


_STEP_FRESH = timedelta(seconds=60)
# ITSM lists the steps of one ticket a call: each refresh of a page reads a few more of them.
_STEPS_A_LOOK, _AT_ONCE = 10, 4
_REMEMBERED = 10_000
_MOST_IN_SEARCH = 100
# While nothing is answered, no ticket is suspected of holding up the others of its search.
_LEAST_IN_OUTAGE = 10
_MAY_START = timedelta(seconds=START_SECONDS)


@dataclass(frozen=True, kw_only=True)
class _Step:
    name: str
    approvers: tuple[str, ...]
    stalled: bool
    read_at: datetime


class TicketCache:
    """Tickets as this process last read them; for one event loop.

    Each question has its own time, so that a ticket that ITSM is slow to answer about holds up no other. A search
    without an answer is repeated in two halves, until its culprit is asked about alone.
    """

    def __init__(self, itsm: ItsmReader) -> None:
        self._itsm = itsm
        self._tickets: dict[Ticket, TicketSnapshot] = {}
        self._steps: dict[Ticket, _Step] = {}
        self._background = Background()
        self._being_read: set[Ticket] = set()
        self._steps_being_read: set[Ticket] = set()
        # The steps to read next, by connection: those of the page that was looked at last.
        self._next_steps: defaultdict[str, list[str]] = defaultdict(list)
        self._step_missed: dict[Ticket, datetime] = {}
        # In searches of how many tickets those are asked about whose last search had no answer.
        self._search_sizes: dict[Ticket, int] = {}

    def snapshot(self, ticket: Ticket) -> TicketSnapshot | None:
        """Return a ticket as it was last read, marked stale when that is old or ITSM does not answer."""
        live = self._tickets.get(ticket)
        if live is None:
            return None
        step = self._steps.get(ticket)
        seen = replace(live, **self._as_live(step, live.created_at)) if step else live
        return replace(seen, stale=self._itsm.is_down(ticket[0]) or self._itsm.age(live.read_at) > 2 * _FRESH)

    async def refresh(self, tickets: Iterable[Ticket], *, waits: bool = True) -> bool:
        """Read the tickets that are missing or old, and wait a moment; False while an ITSM does not answer.

        :param waits: False has ITSM asked behind the answer.
        """
        wanted: defaultdict[str, list[str]] = defaultdict(list)
        for conn_id, sn in dict.fromkeys(tickets):
            if conn_id and sn:
                wanted[conn_id].append(sn)
        gateways = _shared_gateways()
        for conn_id, sns in wanted.items():
            if not self._itsm.is_paused(conn_id):
                self._start_searches(conn_id, sns, gateways)
                self._start_steps(conn_id, sns, gateways)
        groups = [(conn_id, kind) for conn_id in wanted for kind in ("search", "step")] if waits else []
        is_known = all((conn_id, sn) in self._tickets for conn_id, sns in wanted.items() for sn in sns)
        await self._background.settle(groups, seconds=PAGE_SECONDS if is_known else UNKNOWN_SECONDS)
        return not any(map(self._itsm.is_down, wanted))

    def _start_searches(self, conn_id: str, sns: list[str], gateways: SharedCache[Gateway | None]) -> None:
        """Search for the tickets that are old; for the suspected ones in a few searches at a time, and last."""
        old = [sn for sn in sns if not self._is_fresh(conn_id, sn) and (conn_id, sn) not in self._being_read]
        for size, batch in self._batches(conn_id, old):
            if size == _MOST_IN_SEARCH or self._free(conn_id, "search"):
                self._being_read |= {(conn_id, sn) for sn in batch}
                self._background.start((conn_id, "search"), self._search(conn_id, batch, gateways))

    def _batches(self, conn_id: str, sns: list[str]) -> Iterator[tuple[int, list[str]]]:
        def size_of(sn: str) -> int:
            return self._search_sizes.get((conn_id, sn), _MOST_IN_SEARCH)

        for size, group in groupby(sorted(sns, key=size_of, reverse=True), key=size_of):
            members = list(group)
            yield from ((size, members[first : first + size]) for first in range(0, len(members), size))

    async def _search(self, conn_id: str, sns: Sequence[str], gateways: SharedCache[Gateway | None]) -> None:
        tickets = [(conn_id, sn) for sn in sns]
        try:
            rows = await self._itsm.ask(conn_id, partial(_summaries, sns), gateways)
        finally:
            self._being_read.difference_update(tickets)
        if rows is None:
            least = _LEAST_IN_OUTAGE if self._itsm.is_paused(conn_id) else 1
            self._search_sizes.update(dict.fromkeys(tickets, max(least, (len(tickets) + 1) // 2)))
            return
        for ticket in tickets:
            self._search_sizes.pop(ticket, None)
        self._remember(conn_id, set(sns), rows)

    def _start_steps(self, conn_id: str, sns: list[str], gateways: SharedCache[Gateway | None]) -> None:
        self._next_steps[conn_id] = self._steps_wanted(conn_id, sns)
        for _ in range(min(self._free(conn_id, "step"), len(self._next_steps[conn_id]))):
            self._background.start((conn_id, "step"), self._read_steps(conn_id, gateways))

    def _free(self, conn_id: str, kind: Literal["search", "step"]) -> int:
        return max(0, _AT_ONCE - self._background.running((conn_id, kind)))

    async def _read_steps(self, conn_id: str, gateways: SharedCache[Gateway | None]) -> None:
        """Read one step after the other, while there are any to read."""
        while self._next_steps[conn_id]:
            sn = self._next_steps[conn_id].pop(0)
            ticket = conn_id, sn
            self._steps_being_read.add(ticket)
            try:
                status = await self._itsm.ask(conn_id, partial(_status, sn), gateways)
            finally:
                self._steps_being_read.discard(ticket)
            if isinstance(status, TicketStatus):
                self._steps[ticket] = self._step(status)
                self._step_missed.pop(ticket, None)
            else:
                self._step_missed[ticket] = self._itsm.clock()

    def _remember(self, conn_id: str, sns: set[str], rows: Iterable[TicketSummary]) -> None:
        """Remember the rows with these numbers. If two tickets have one number, neither of them is remembered."""
        found = [row for row in rows if row.sn in sns]
        times = Counter(row.sn for row in found)
        if len(self._tickets) > _REMEMBERED:
            for remembered in (self._tickets, self._steps, self._step_missed, self._search_sizes):
                remembered.clear()
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
        stalled = is_stalled(status.progress, status.current_steps)
        return _Step(
            name=status.step_names, approvers=status.waits_for, stalled=stalled, read_at=self._itsm.clock()
        )

    def _as_live(self, step: _Step, created_at: datetime | None) -> dict[str, Any]:
        """Return the fields of a snapshot that a step gives. A ticket that was just opened may yet start."""
        has_had_time = created_at is not None and step.read_at - created_at >= _MAY_START
        return {
            "step": step.name,
            "approvers": step.approvers,
            "stalled": step.stalled and has_had_time,
            "step_at": step.read_at,
            "step_stale": self._itsm.age(step.read_at) > 2 * _STEP_FRESH,
        }

    def _steps_wanted(self, conn_id: str, sns: list[str]) -> list[str]:
        """Return the tickets whose step is missing or old, as many as one look reads; the missed ones last."""
        ages = {sn: self._step_age(conn_id, sn) for sn in sns if self._may_read_step(conn_id, sn)}
        due = [sn for sn in ages if ages[sn] > self._step_fresh(conn_id, sn)]
        oldest_first = sorted(due, key=lambda sn: ages[sn], reverse=True)
        return sorted(oldest_first, key=lambda sn: (conn_id, sn) in self._step_missed)[:_STEPS_A_LOOK]

    def _may_read_step(self, conn_id: str, sn: str) -> bool:
        missed = self._step_missed.get((conn_id, sn))
        rests = missed is not None and self._itsm.age(missed) < _PAUSE_AFTER_FAILURE
        return not (rests or (conn_id, sn) in self._steps_being_read or self._has_ended(conn_id, sn))

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


async def _summaries(sns: Sequence[str], hook: ItsmAsyncHook) -> Sequence[TicketSummary]:
    return await hook.run(ask(lambda itsm: itsm.summaries(sns)))


async def _status(sn: str, hook: ItsmAsyncHook) -> TicketStatus | bool:
    """Return a ticket's status; False where ITSM has answered that it gives none."""
    try:
        return await hook.run(read_status(sn))
    except ItsmError as error:
        if error.retry_safe:
            raise
        return False
