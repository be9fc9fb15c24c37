# SPDX-License-Identifier: Apache-2.0
"""Which tickets to ask ITSM about next: the pure half of one connection's shared poll.

Tickets that are waited for with the same interval are asked about in rounds, in as few batches as they fit
into. State and clock in, batches out; nothing here waits, sends or knows what an answer means.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from itertools import count, islice

from airflow_provider_bkitsm.itsm.errors import (
    ItsmAuthenticationError,
    ItsmError,
    ItsmPermissionError,
    ItsmRateLimitedError,
)
from airflow_provider_bkitsm.itsm.protocol import DEFAULT_SIZE

# Rounds come up to a twentieth early, never late, so that triggerers do not march in step.
_JITTER = 0.05
_LONGEST_PAUSE = 300.0
# So many good answers in a row, and a batch may be an eighth of the limit larger again.
_GOOD_ANSWERS = 8
# Whoever was asked about so shortly before is left out of a round.
_JUST_NOW = 0.5
# ITSM's own crashes: one ticket of a batch may be the cause. Any other outage is of something in front of it.
_CRASHES = frozenset({"SERVER_500_ERROR", "3900500"})
# Fewer failures in a row than this may be one chunk's own; from then on the connection is taken to be down.
_FAILURES_IN_A_ROW = 3
# Appointments of tickets that are no longer waited for are swept out when there are so many too many.
_FORGOTTEN = 100

Batch = tuple[str, ...]


@dataclass(kw_only=True)
class _Ticket:
    """A ticket that is waited for.

    :param failures: how often in a row its question failed.
    :param suspect: how often it was in a batch that ITSM answered with an error of its own: such batches are
        halved each time, until the one that spoils them is alone.
    """

    interval: float
    failures: int = 0
    suspect: int = 0
    asked_at: float = float("-inf")


@dataclass(kw_only=True)
class _Round:
    """The ``size`` tickets of one interval: when they are asked about next, who is still to be in this round."""

    next_at: float
    size: int = 0
    queue: deque[str] = field(default_factory=deque)


class Schedule:
    """Times are seconds of one clock that only goes forward.

    :param chunk: most tickets in one batch.
    :param chance: a number from 0 to 1, the seam for tests.
    """

    def __init__(self, *, chunk: int = DEFAULT_SIZE, chance: Callable[[], float] = random.random) -> None:
        self._limit = self.chunk = chunk
        self._chance = chance
        self._tickets: dict[str, _Ticket] = {}
        self._fresh: dict[str, None] = {}
        self._rounds: dict[float, _Round] = {}
        self._retries: list[tuple[float, int, str]] = []
        self._appointments: list[tuple[float, str]] = []
        self._backing_off: set[str] = set()
        self._asking: set[str] = set()
        self._numbers = count()
        self._good = self._bad = 0
        self._paused_until = 0.0

    def __len__(self) -> int:
        return len(self._tickets)

    def limit_to(self, chunk: int) -> None:
        """Change how many tickets a batch holds at most."""
        self._limit = self.chunk = chunk

    def add(self, sn: str, *, interval: float, now: float) -> None:
        """Wait for a ticket; it is asked about at once. The shortest interval of several waits counts."""
        known = self._tickets.get(sn)
        if known is None or interval < known.interval:
            self._leave_round(known)
            self._tickets[sn] = _Ticket(interval=interval)
            self._rounds.setdefault(interval, _Round(next_at=now + interval)).size += 1
        self.hurry(sn)

    def hurry(self, sn: str) -> None:
        """Ask about a ticket as soon as possible, before all rounds."""
        if sn in self._tickets and sn not in self._asking and sn not in self._backing_off:
            self._fresh[sn] = None

    def ask_at(self, sn: str, at: float) -> None:
        """Ask about a ticket at a certain time, as soon as possible from then on, whenever its next round is."""
        heappush(self._appointments, (at, sn))

    def discard(self, sn: str) -> None:
        """Wait for a ticket no longer."""
        self._leave_round(self._tickets.pop(sn, None))
        self._fresh.pop(sn, None)
        self._backing_off.discard(sn)
        if len(self._appointments) > 2 * len(self._tickets) + _FORGOTTEN:
            self._appointments = [one for one in self._appointments if one[1] in self._tickets]
            heapify(self._appointments)

    def next_batch(self, now: float) -> Batch:
        """Return the tickets to ask about now, in one call; nothing when none is due."""
        if now < self._paused_until:
            return ()
        while self._appointments and self._appointments[0][0] <= now:
            self.hurry(heappop(self._appointments)[1])
        return self._taken(self._fresh_batch() or self._retry_batch(now) or self._round_batch(now), now)

    def wake_at(self, now: float) -> float | None:
        """Return when a batch may be due next; None when nobody waits."""
        if not self._tickets:
            return None
        times = [one.next_at for one in self._rounds.values()]
        times += [heap[0][0] for heap in (self._retries, self._appointments) if heap]
        times += [now] if self._fresh or any(one.queue for one in self._rounds.values()) else []
        return max(min(times), self._paused_until)

    def answered(self, batch: Batch) -> None:
        """Take in that a batch was answered: its tickets are asked about again in their next round."""
        for sn in batch:
            self._asking.discard(sn)
            if sn in self._tickets:
                self._tickets[sn].failures = self._tickets[sn].suspect = 0
        self._bad = 0
        self._good += 1
        if self._good >= _GOOD_ANSWERS and self.chunk < self._limit:
            self._good, self.chunk = 0, min(self._limit, self.chunk + max(1, self._limit // 8))

    def failed(self, batch: Batch, error: ItsmError, now: float, *, timed_out: bool = False) -> None:
        """Take in that a batch was not answered: only its own tickets back off, until too many fail in a row.

        :param timed_out: ITSM took too long; smaller batches may do.
        """
        self._good = 0
        if timed_out:
            self.chunk = max(1, self.chunk // 2)
        whole = timed_out or _of_the_connection(error)
        for sn in batch:
            self._asking.discard(sn)
            if sn in self._tickets:
                self._back_off(sn, now, suspect=not whole)
        if whole:
            self._pause(error, now)

    def _leave_round(self, ticket: _Ticket | None) -> None:
        if ticket is not None:
            one = self._rounds[ticket.interval]
            one.size -= 1
            if not one.size:
                del self._rounds[ticket.interval]

    def _pause(self, error: ItsmError, now: float) -> None:
        self._bad += 1
        asked = error.retry_after if isinstance(error, ItsmRateLimitedError) else None
        if asked is not None:
            self._paused_until = max(self._paused_until, now + asked)
        if self._bad >= _FAILURES_IN_A_ROW:
            shortest = min(self._rounds, default=1.0)
            self._paused_until = max(self._paused_until, now + _backoff(shortest, self._bad - _FAILURES_IN_A_ROW))

    def _back_off(self, sn: str, now: float, *, suspect: bool) -> None:
        ticket = self._tickets[sn]
        ticket.failures += 1
        ticket.suspect += suspect
        self._backing_off.add(sn)
        heappush(self._retries, (now + _backoff(ticket.interval, ticket.failures), next(self._numbers), sn))

    def _fresh_batch(self) -> list[str]:
        return list(islice(self._fresh, self.chunk))

    def _retry_batch(self, now: float) -> list[str]:
        """Return due retries that are equally suspect, the more suspect the fewer."""
        batch: list[str] = []
        while self._retries and self._retries[0][0] <= now:
            sn = self._retries[0][2]
            if sn in self._backing_off:
                level = self._tickets[sn].suspect
                alike = not batch or level == self._tickets[batch[0]].suspect
                if not alike or len(batch) >= max(1, self.chunk >> level):
                    break
                batch.append(sn)
                self._backing_off.discard(sn)
            heappop(self._retries)
        return batch

    def _round_batch(self, now: float) -> list[str]:
        for interval, one in self._rounds.items():
            if not one.queue and one.next_at <= now:
                one.queue.extend(sn for sn, ticket in self._tickets.items() if ticket.interval == interval)
                one.next_at = now + interval * (1 - _JITTER * self._chance())
            batch: list[str] = []
            while one.queue and len(batch) < self.chunk:
                sn = one.queue.popleft()
                if self._is_due(sn, now):
                    batch.append(sn)
            if batch:
                return batch
        return []

    def _is_due(self, sn: str, now: float) -> bool:
        ticket = self._tickets.get(sn)
        if ticket is None or sn in self._asking or sn in self._backing_off:
            return False
        return now - ticket.asked_at >= min(_JUST_NOW, ticket.interval / 10)

    def _taken(self, batch: Iterable[str], now: float) -> Batch:
        taken = tuple(batch)
        for sn in taken:
            self._fresh.pop(sn, None)
            self._tickets[sn].asked_at = now
        self._asking.update(taken)
        return taken


def _of_the_connection(error: ItsmError) -> bool:
    """Whether an error says nothing about the tickets asked for, but that nobody is being answered."""
    denied = isinstance(error, ItsmAuthenticationError | ItsmPermissionError | ItsmRateLimitedError)
    return denied or (error.retry_safe and str(error.code) not in _CRASHES)


def _backoff(interval: float, failures: int) -> float:
    return float(min(interval * 2 ** min(failures, 10), max(_LONGEST_PAUSE, interval)))
