# SPDX-License-Identifier: Apache-2.0
"""The checks of tickets whose callbacks were answered: one at a time for a ticket, repeated where that helps.

A callback never waits for a check, and no check is skipped because of an earlier one: a callback that comes while
a check is under way, or while a ticket rests, brings one more check. That check may be the only one that reads the
decision (promise P1). However often a callback is replayed, its ticket is checked once in ``REST_SECONDS``.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

from airflow_provider_bkitsm.callback.messages import Result

H = TypeVar("H", bound=Hashable)

# How long a ticket rests after its check: for this time the result of the check is good enough.
REST_SECONDS = 3.0
# Pauses before the repetitions of a check that had no result, two minutes in all. After that the poll has to do.
RETRY_SECONDS = (1.0, 2.0, 4.0, 8.0, 15.0, 15.0, 15.0, 30.0, 30.0)
# How many tickets wait for a check, are checked or rest.
TICKETS_LIMIT = 2_000
# How many different callbacks of one ticket wait for its next check.
HINTS_LIMIT = 8
# How many tickets of one connection are checked at once. Each request gets slower with the number of the others.
TURNS = 16


class Ticket(NamedTuple):
    """A ticket of a connection."""

    conn_id: str
    sn: str


@dataclass(frozen=True, kw_only=True)
class Check:
    """The result of a check.

    :param why: why a callback was refused or had no result; for the log.
    :param again: whether a repetition may bring more.
    """

    result: Result
    why: str = ""
    again: bool = False
    error: BaseException | None = field(default=None, repr=False)


@dataclass(eq=False)
class _Waiting(Generic[H]):
    """The callbacks of a ticket that its next check is for, and that check's result."""

    hints: dict[H, None] = field(default_factory=dict)
    checked: asyncio.Future[Check] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class TicketChecks(Generic[H]):
    """Checks tickets in the background, in one event loop.

    :param check: checks a ticket for some callbacks; never raises.
    :param record: gets the final result of each ticket's check.
    :param rest: see ``REST_SECONDS``.
    :param retries: see ``RETRY_SECONDS``.
    """

    def __init__(
        self,
        check: Callable[[Ticket, tuple[H, ...]], Awaitable[Check]],
        *,
        record: Callable[[Ticket, Check], object],
        rest: float = REST_SECONDS,
        retries: tuple[float, ...] = RETRY_SECONDS,
    ) -> None:
        self._check = check
        self._record = record
        self._rest = rest
        self._retries = retries
        self._tickets: dict[Ticket, _Waiting[H]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._turns: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(TURNS))

    def add(self, ticket: Ticket, hint: H) -> asyncio.Future[Check] | None:
        """Have a ticket checked after now; return that check's first result, or None where there is no room.

        :param hint: what the callback says. Equal hints are one.
        """
        waiting = self._tickets.get(ticket)
        if waiting is None:
            if len(self._tickets) >= TICKETS_LIMIT:
                return None
            waiting = self._tickets[ticket] = _Waiting()
            task = asyncio.create_task(self._follow(ticket, waiting))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        elif hint not in waiting.hints and len(waiting.hints) >= HINTS_LIMIT:
            return None
        waiting.hints[hint] = None
        return waiting.checked

    async def _follow(self, ticket: Ticket, waiting: _Waiting[H]) -> None:
        try:
            while waiting.hints:
                await self._check_and_repeat(ticket, waiting)
                await asyncio.sleep(self._rest)
        finally:
            del self._tickets[ticket]
            waiting.checked.cancel()

    async def _check_and_repeat(self, ticket: Ticket, waiting: _Waiting[H]) -> None:
        for pause in (*self._retries, None):
            hints, check = await self._check_once(ticket, waiting)
            is_last = pause is None or not check.again
            if is_last or check.result is Result.RESUMED:
                self._record(ticket, check)
            if is_last or pause is None:
                return
            waiting.hints = dict.fromkeys(hints) | waiting.hints
            await asyncio.sleep(pause)

    async def _check_once(self, ticket: Ticket, waiting: _Waiting[H]) -> tuple[tuple[H, ...], Check]:
        async with self._turns[ticket.conn_id]:
            # From here on a callback is for the next check: this check may have read the ticket too early for it.
            hints, waiting.hints = tuple(waiting.hints), {}
            checked, waiting.checked = waiting.checked, asyncio.get_running_loop().create_future()
            try:
                check = await self._check(ticket, hints)
            except BaseException:
                checked.cancel()
                raise
        checked.set_result(check)
        return hints, check
