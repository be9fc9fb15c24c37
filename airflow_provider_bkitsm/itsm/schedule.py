# SPDX-License-Identifier: Apache-2.0
"""Which tickets to ask ITSM about next: the pure half of one connection's shared poll.

Tickets of one interval are due together, in rounds. Whoever is due longest is asked about first: nobody starves.
What fails is either the connection, which is then probed once an interval, or the question. Then its batch is
split until the ticket that spoils it is alone. State and clock in, batches out; nothing here waits, sends or knows
what an answer means.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from itertools import count, islice

from airflow_provider_bkitsm.itsm.backpressure import Backpressure, Cause, backoff, cause_of
from airflow_provider_bkitsm.itsm.errors import ItsmError
from airflow_provider_bkitsm.itsm.protocol import DEFAULT_SIZE

# Rounds come up to a twentieth early, never late, so that triggerers do not march in step.
_JITTER = 0.05
# Whoever was asked about so shortly before is left out of a round.
_JUST_NOW = 0.5
# So much later than due, or a quarter of the interval, is late.
_LATE_SECONDS = 5.0
# How long to sleep at most while all who wait are being asked about.
_LONGEST_SLEEP = 60.0
# Entries that are no longer true are swept out when there are so many too many.
_FORGOTTEN = 100

Batch = tuple[str, ...]


@dataclass(kw_only=True, slots=True)
class _Ticket:
    """A ticket that is waited for.

    :param due: when it is asked about next; while it is being asked about, the time after that.
    :param entry: number of its entry among those that are due, or of its part; every other entry is left over.
    :param failures: how often in a row its question failed with no other ticket in it.
    :param failed_after: how many answers there were when it did last.
    """

    interval: float
    due: float
    entry: int = -1
    failures: int = 0
    failed_after: int = 0


@dataclass(kw_only=True, slots=True)
class _Round:
    """The ``size`` tickets of one interval, and when they are due next."""

    interval: float
    next_at: float
    size: int = 0


class Schedule:
    """Times are seconds of one clock that only goes forward.

    :param chunk: most tickets in one batch.
    :param chance: a number from 0 to 1, the seam for tests.
    """

    def __init__(self, *, chunk: int = DEFAULT_SIZE, chance: Callable[[], float] = random.random) -> None:
        self.backpressure = Backpressure(limit=chunk)
        self._chance = chance
        self._tickets: dict[str, _Ticket] = {}
        self._fresh: dict[str, None] = {}
        self._rounds: dict[float, _Round] = {}
        self._due: list[tuple[float, int, str]] = []
        # Batches that failed, and halves of them; each is a question of its own.
        self._parts: list[tuple[float, int, Batch]] = []
        self._appointments: list[tuple[float, str]] = []
        # Of each ticket that is being asked about, the number of its batch; of each batch, whether it is a part.
        self._asking: dict[str, int] = {}
        self._batches: dict[int, bool] = {}
        self._numbers = count()
        self._last_batch = self._counted = -1
        self._answers = 0
        self._is_late = False

    def __len__(self) -> int:
        return len(self._tickets)

    @property
    def chunk(self) -> int:
        """Most tickets in one batch, as ITSM bears it."""
        return self.backpressure.chunk

    @property
    def is_down(self) -> bool:
        """Whether nobody is being answered."""
        return self.backpressure.is_down

    @property
    def has_room(self) -> bool:
        """Whether one more batch may be asked beside others: where one after the other would be late.

        What is asked at the same time when an outage begins fails together.
        """
        most = self.backpressure.at_a_time if self._is_late or self.is_down else 1
        return len(self._batches) < most

    def limit_to(self, chunk: int) -> None:
        """Change how many tickets a batch holds at most."""
        self.backpressure.limit_to(chunk)

    def add(self, sn: str, *, interval: float, now: float) -> None:
        """Wait for a ticket; it is asked about at once. The shortest interval of several waits counts."""
        interval, ticket = _rounded(interval), self._tickets.get(sn)
        if ticket is None or interval < ticket.interval:
            self._leave_round(ticket)
            one = self._rounds.setdefault(interval, _Round(interval=interval, next_at=now + interval))
            one.size += 1
            # One number for all of the round: garbage collections look at each that is there once more.
            ticket = self._tickets[sn] = _Ticket(interval=one.interval, due=one.next_at)
            self._enter(sn, one.next_at)
        if sn not in self._asking and not ticket.failures:
            self._fresh[sn] = None

    def hurry(self, sn: str, now: float = float("-inf")) -> None:
        """Ask about a ticket as soon as possible, before all rounds; in an outage, with the next probes."""
        ticket = self._tickets.get(sn)
        if ticket is None or sn in self._asking or ticket.failures:
            return
        if self.backpressure.is_down:
            self._enter(sn, min(ticket.due, now))
        else:
            self._fresh[sn] = None

    def ask_at(self, sn: str, at: float) -> None:
        """Ask about a ticket at a certain time, as soon as possible from then on, whenever its next round is."""
        heappush(self._appointments, (at, sn))

    def discard(self, sn: str) -> None:
        """Wait for a ticket no longer."""
        self._leave_round(self._tickets.pop(sn, None))
        self._fresh.pop(sn, None)
        most = 2 * len(self._tickets) + _FORGOTTEN
        if len(self._appointments) > most:
            self._appointments = [one for one in self._appointments if one[1] in self._tickets]
            heapify(self._appointments)
        self._sweep(most)

    def next_batch(self, now: float) -> Batch:
        """Return the tickets to ask about now, in one call; nothing when none is due."""
        while self._appointments and self._appointments[0][0] <= now:
            self.hurry(heappop(self._appointments)[1], now)
        new, turn = (self.backpressure.may_ask_at(now, new=new) <= now for new in (True, False))
        if self.backpressure.is_down:
            return self._probe(now, new=new, turn=turn)
        if not turn:
            return ()
        fresh = list(islice(self._fresh, self.chunk))
        part = [] if fresh else self._part(now, self.chunk)
        if part:
            return self._taken(part, now, is_part=True)
        return self._taken(self._with_due(fresh, now, self.chunk), now)

    def wake_at(self, now: float) -> float | None:
        """Return when a batch may be due next; None when nobody waits."""
        if not self._tickets:
            return None
        while self._due and not self._is_entered(self._due[0]):
            heappop(self._due)
        times = [heap[0][0] for heap in (self._due, self._parts, self._appointments) if heap]
        turn = max(min(times, default=now + _LONGEST_SLEEP), self.backpressure.may_ask_at(now, new=False))
        return min(turn, self.backpressure.may_ask_at(now, new=True)) if self._fresh else turn

    def answered(self, batch: Batch, *, seconds: float | None = None) -> None:
        """Take in that a batch was answered: its tickets are asked about again in their next round.

        :param seconds: how long that took; size and number of batches follow from it.
        """
        if not batch:
            return
        number, _ = self._give_back(batch)
        self._answers += 1
        for sn in self._waiting(batch):
            self._tickets[sn].failures = 0
            self._enter(sn, self._tickets[sn].due)
        self.backpressure.answered(seconds, again=number <= self._counted)

    def failed(self, batch: Batch, error: ItsmError, now: float, *, timed_out: bool = False) -> bool:
        """Take in that a batch was not answered; return whether that is an error for all who wait.

        :param timed_out: ITSM took too long; smaller batches may do.
        """
        if not batch:
            return False
        number, is_part = self._give_back(batch)
        is_spoilt = self._is_spoilt(batch)
        again = number <= self._counted or is_spoilt
        self._counted = max(self._counted, self._last_batch)
        if timed_out and not is_spoilt:
            self.backpressure.timed_out()
        cause = cause_of(error, timed_out=timed_out)
        shortest = min(self._rounds, default=1.0)
        self.backpressure.failed(error, cause, now, shortest=shortest, again=again, part=is_part)
        may_be_a_ticket = cause in (Cause.QUESTION, Cause.EITHER)
        if self.backpressure.is_down:
            self._put_off(batch, now, suspect=may_be_a_ticket and self.backpressure.suspects_tickets)
        elif may_be_a_ticket:
            self._suspect(batch, now, at_once=not timed_out)
        else:
            # One of several servers is down: another one may answer at once.
            self._enter_all(self._waiting(batch), now)
        return self.backpressure.refuses_all

    def _put_off(self, batch: Batch, now: float, *, suspect: bool) -> None:
        """Have the next probes ask about others first, new waits among them."""
        waiting = self._waiting(batch)
        if suspect:
            self._enter_part(waiting, now)
        else:
            self._enter_all(waiting, now)
        self._enter_all(self._fresh, now)
        self._fresh.clear()

    def _suspect(self, batch: Batch, now: float, *, at_once: bool) -> None:
        """Split a batch: one ticket of it may be the cause. A ticket that is alone backs off."""
        waiting = self._waiting(batch)
        if len(waiting) > 1:
            self._split(waiting, now if at_once else self._tickets[waiting[0]].due)
            return
        for sn in waiting:
            ticket = self._tickets[sn]
            # While any question may fail, one that failed says little of its ticket.
            ticket.failed_after = self._answers
            ticket.failures = 1 if self.backpressure.is_shaky(now) else ticket.failures + 1
            self._enter_part([sn], now + backoff(ticket.interval, ticket.failures - 1))

    def _is_spoilt(self, batch: Batch) -> bool:
        """Whether a batch is a ticket that failed alone, and others were answered since."""
        ticket = self._tickets.get(batch[0]) if len(batch) == 1 else None
        return ticket is not None and ticket.failures > 0 and ticket.failed_after < self._answers

    def _split(self, waiting: list[str], at: float) -> None:
        middle = (len(waiting) + 1) // 2
        for half in (waiting[:middle], waiting[middle:]):
            self._enter_part(half, at)

    def _enter_part(self, sns: Iterable[str], at: float) -> None:
        part, number = tuple(sns), next(self._numbers)
        for sn in part:
            self._tickets[sn].entry, self._tickets[sn].due = number, at
        heappush(self._parts, (at, number, part))

    def _enter_all(self, sns: Iterable[str], due: float) -> None:
        for sn in sns:
            self._enter(sn, min(due, self._tickets[sn].due))

    def _enter(self, sn: str, due: float) -> None:
        ticket = self._tickets[sn]
        ticket.due, ticket.entry = due, next(self._numbers)
        heappush(self._due, (due, ticket.entry, sn))

    def _is_entered(self, entry: tuple[float, int, str]) -> bool:
        ticket = self._tickets.get(entry[2])
        return ticket is not None and ticket.entry == entry[1] and entry[2] not in self._asking

    def _sweep(self, most: int) -> None:
        if len(self._due) > most:
            self._due = [one for one in self._due if self._is_entered(one)]
            heapify(self._due)

    def _leave_round(self, ticket: _Ticket | None) -> None:
        if ticket is not None:
            one = self._rounds[ticket.interval]
            one.size -= 1
            if not one.size:
                del self._rounds[ticket.interval]

    def _probe(self, now: float, *, new: bool, turn: bool) -> Batch:
        """Return one batch: new waits at once, others once an interval, half of one that failed last."""
        size = self.backpressure.probe_size
        if new and self._fresh:
            return self._taken(list(islice(self._fresh, size)), now)
        if not turn:
            return ()
        batch = self._with_due([], now, size)
        part = [] if batch else self._part(now, size, halved=True)
        return self._taken(batch or part, now, is_part=bool(part))

    def _with_due(self, batch: list[str], now: float, size: int) -> list[str]:
        """Fill a batch with whoever is due, the longest first."""
        taken = set(batch)
        while self._due and len(batch) < size and self._due[0][0] <= now:
            entry = heappop(self._due)
            if self._is_entered(entry) and entry[2] not in taken:
                batch.append(entry[2])
        return batch

    def _part(self, now: float, size: int, *, halved: bool = False) -> list[str]:
        """Return a part that is due; what is more than ``size``, or its other half, stays a part."""
        while self._parts and self._parts[0][0] <= now:
            at, number, part = heappop(self._parts)
            left = [
                sn for sn in self._waiting(part) if self._tickets[sn].entry == number and sn not in self._asking
            ]
            most = min(size, (len(left) + 1) // 2) if halved else size
            if left[most:]:
                self._enter_part(left[most:], at)
            if left:
                return left[:most]
        return []

    def _taken(self, taken: list[str], now: float, *, is_part: bool = False) -> Batch:
        if not taken:
            return ()
        self.backpressure.sent(now, alone=not self._batches)
        first = self._tickets[taken[0]]
        self._is_late = len(self._fresh) > len(taken) or now - first.due > min(_LATE_SECONDS, first.interval / 4)
        self._last_batch = next(self._numbers)
        self._batches[self._last_batch] = is_part
        for sn in taken:
            self._fresh.pop(sn, None)
            self._asking[sn] = self._last_batch
            self._tickets[sn].entry = -1
            self._tickets[sn].due = self._round_after(self._tickets[sn].interval, now)
        return tuple(taken)

    def _give_back(self, batch: Batch) -> tuple[float, bool]:
        """Return a batch's number, and whether it is a part of one that failed."""
        numbers = {self._asking.pop(sn) for sn in batch if sn in self._asking}
        for sn in batch:
            self._fresh.pop(sn, None)
        parts = [self._batches.pop(number, False) for number in numbers]
        return max(numbers, default=math.inf), any(parts)

    def _round_after(self, interval: float, now: float) -> float:
        one = self._rounds[interval]
        if one.next_at <= now:
            one.next_at = now + interval * (1 - _JITTER * self._chance())
        is_just_now = one.next_at - now < min(_JUST_NOW, interval / 10)
        return one.next_at + interval if is_just_now else one.next_at

    def _waiting(self, batch: Iterable[str]) -> list[str]:
        return [sn for sn in batch if sn in self._tickets]


def _rounded(interval: float) -> float:
    """Return an interval cut to two digits, never a longer one: rounds are then few and their batches full."""
    if not 0 < interval < math.inf:
        return interval
    step = 10.0 ** (math.floor(math.log10(interval)) - 1)
    digits = max(1, math.ceil(round(math.log10(1 / step)))) if step < 1 else 0
    return round(math.floor(round(interval / step, 9)) * step, digits)
