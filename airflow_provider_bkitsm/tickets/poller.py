# SPDX-License-Identifier: Apache-2.0
"""Waiting for many tickets at once: one poller per connection and event loop, which all waits share."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from itertools import chain
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from airflow_provider_bkitsm import telemetry
from airflow_provider_bkitsm.hooks.itsm import ItsmAsyncHook, batch_size
from airflow_provider_bkitsm.itsm.dialect import another_dialect, ask
from airflow_provider_bkitsm.itsm.errors import ItsmError, ItsmTimeoutError, ItsmUnexpectedAnswerError
from airflow_provider_bkitsm.itsm.models import TicketState, TicketStatus
from airflow_provider_bkitsm.itsm.schedule import Batch, Schedule
from airflow_provider_bkitsm.itsm.stall import StepsRead
from airflow_provider_bkitsm.itsm.verdict_reading import rows_by_ticket
from airflow_provider_bkitsm.tickets.step_watch import StepWatch, loop_time

# A deadline that is computed twice differs by less.
_SAME_MOMENT = 0.01
# One float for all: a wait that keeps its own value is one more thing for the garbage collector to visit.
_NEVER = -math.inf
# Rounds come a little early: a rest of an interval ends before the next one.
_EARLY = 0.9

Beside = Callable[[str], AbstractAsyncContextManager[None]]


class PollNotes(Protocol):
    """What notes that ITSM answers the poll."""

    async def polled(self, conn_id: str) -> None:
        """Note that ITSM has answered on a connection; raises nothing."""


class TicketWait:
    """One who waits for a ticket; use as ``async with``.

    Thousands of these sleep side by side. So each is small, and only news wakes one: each object that it keeps is
    visited by every full garbage collection of the triggerer. ``known`` is the status that is no news to this
    wait: ``look`` does not return while ITSM reports this status. It holds for one look.

    :param interval: seconds between two looks.
    :param created_at: when the ticket was opened, where that is known.
    :param dated: ``created_at`` is wanted, which the first look brings if it is not known.
    :param dialect: the one that the ticket was opened in: in another one it is not asked about. None: any.
    :param notes: of one who waits, these note now and then that ITSM answers.
    :param steps: a look also returns when the ticket's steps were read, with them.
    :param beside: entered with the connection's id when somebody begins to wait on this connection, and left after
        the last one has left: once for all.
    """

    __slots__ = (
        "_began",
        "_conn_id",
        "_dated",
        "_due",
        "_is_told",
        "_next",
        "_rested_at",
        "_steps",
        "_wants_steps",
        "beside",
        "created_at",
        "dialect",
        "interval",
        "known",
        "notes",
        "poller",
        "sn",
        "stalled",
    )

    poller: Poller

    def __init__(
        self,
        conn_id: str,
        *,
        sn: str,
        interval: float,
        created_at: datetime | None = None,
        dated: bool = False,
        dialect: str | None = None,
        notes: PollNotes | None = None,
        steps: bool = False,
        beside: Beside | None = None,
    ) -> None:
        self.sn = sn
        self.beside = beside
        self.notes = notes
        self.stalled = False
        self.interval = interval
        self.created_at = created_at
        self.dialect = dialect
        self.known: str | None = None
        self._began = created_at or datetime.now(UTC)
        self._conn_id = conn_id
        self._dated = dated
        self._due = math.inf
        self._rested_at = _NEVER
        self._next: asyncio.Future[TicketState | StepsRead] | None = None
        # The first state comes before any steps: it has the title, and begins the wait's log.
        self._is_told = False
        self._wants_steps = steps
        # Those that nobody has taken yet.
        self._steps: StepsRead | None = None

    async def __aenter__(self) -> TicketWait:
        self.begin()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.end()

    def begin(self) -> None:
        """Wait with all others of the connection; the first one starts the poll."""
        here = _POLLERS.setdefault(asyncio.get_running_loop(), {})
        self.poller = here.get(self._conn_id) or here.setdefault(self._conn_id, Poller(self._conn_id))
        self.poller.add(self)

    async def end(self) -> None:
        """Wait no longer; the last one ends the poll."""
        if self.poller.is_last(self):
            del _POLLERS[asyncio.get_running_loop()][self._conn_id]
        await self.poller.remove(self)

    def look(self, within: float | None = None) -> asyncio.Future[TicketState | StepsRead]:
        """Return the ticket's next state whose status is not the ``known`` one, or its steps.

        :param within: after so many seconds ITSM is asked about the ticket once, before the ticket's turn. From
            then on every state is returned, news or not. A moment of the past asks nothing: the next round does.
        :raises ItsmError: ITSM was asked, and this came of it.
        """
        self._next = asyncio.get_running_loop().create_future()
        if within is not None:
            self._be_told_by(loop_time() + within)
        next_news = self._next
        self._tell_steps()
        return next_news

    def rest(self, seconds: float) -> None:
        """Take no look for so long; what asks ITSM about all goes on."""
        self._rested_at = loop_time() + _EARLY * seconds

    @property
    def hook(self) -> ItsmAsyncHook:
        """The client that all who wait here share."""
        return self.poller.hook

    @property
    def since(self) -> datetime:
        """When the ticket was opened, as far as it is known: latest when its wait began."""
        return self.created_at or self._began

    @property
    def wants_creation(self) -> bool:
        """Whether it is still to be learnt when the ticket was opened."""
        return self._dated and self.created_at is None

    def tell(self, look: Look, now: float) -> None:
        """Take in what was seen; of no use to somebody who is busy with what was seen before."""
        if self._next is None or self._next.done() or now < self._rested_at:
            return
        if isinstance(look, ItsmError):
            self._next.set_exception(look)
        elif look.current_status != self.known or now >= self._due:
            self._next.set_result(look)
            self._is_told = True
        else:
            return
        self._next = self.known = None

    def learn(self, created_at: datetime | None) -> None:
        """Take in when the ticket was opened, which is news."""
        self.created_at = created_at
        self.known = None

    def see_steps(self, status: TicketStatus, *, stalled: bool) -> None:
        """Take in the ticket's steps. They wait for the first state, and for whoever is busy with another."""
        self.stalled = stalled
        if self._wants_steps:
            self._steps = StepsRead(status=status, stalled=stalled)
            self._tell_steps()

    def _tell_steps(self) -> None:
        if not self._is_told or self._steps is None:
            return
        if self._next is not None and not self._next.done():
            self._next.set_result(self._steps)
            self._next = self._steps = None

    def is_overdue(self, now: float) -> bool:
        """Whether the time by which it was to be told has passed."""
        return now >= self._due

    def _be_told_by(self, due: float) -> None:
        if abs(due - self._due) < _SAME_MOMENT:
            return
        self._due = due
        if due > loop_time():
            self.poller.ask_at(self.sn, due)


# Of each event loop, the poller of each connection that somebody waits on.
_POLLERS: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, Poller]] = WeakKeyDictionary()
# An event loop refers to its tasks only weakly.
_CLOSING: set[asyncio.Task[None]] = set()


log = logging.getLogger(__name__)

# New waits are gathered this long, so that a burst of them shares its first questions.
_GATHER_SECONDS = 0.1
_STUMBLED_SECONDS = 5.0
# So many are told of an outage before anything else of the event loop has its turn.
_NOTIFIED_AT_ONCE = 100
# So often one who waits notes that ITSM answers, however many wait.
_NOTE_SECONDS = 60.0

Look = TicketState | ItsmError
Answer = dict[str, Look]


class WaitsByTicket:
    """Those who wait, by the number of their ticket. A tuple is kept only where several wait for one ticket."""

    def __init__(self) -> None:
        self._waits: dict[str, TicketWait | tuple[TicketWait, ...]] = {}

    def __len__(self) -> int:
        """Return how many tickets are waited for."""
        return len(self._waits)

    def __iter__(self) -> Iterator[TicketWait]:
        """Yield everybody who waits."""
        return chain.from_iterable(map(_each, self._waits.values()))

    def of(self, sn: str) -> tuple[TicketWait, ...]:
        """Return who waits for a ticket."""
        return _each(self._waits.get(sn, ()))

    def add(self, wait: TicketWait) -> None:
        """Let somebody wait."""
        self._keep(wait.sn, (*self.of(wait.sn), wait))

    def discard(self, wait: TicketWait) -> None:
        """Let somebody leave."""
        self._keep(wait.sn, tuple(one for one in self.of(wait.sn) if one is not wait))

    def _keep(self, sn: str, waits: tuple[TicketWait, ...]) -> None:
        if waits:
            self._waits[sn] = waits[0] if len(waits) == 1 else waits
        else:
            self._waits.pop(sn, None)


def _each(kept: TicketWait | tuple[TicketWait, ...]) -> tuple[TicketWait, ...]:
    return kept if isinstance(kept, tuple) else (kept,)


class Poller:
    """Asks ITSM about the tickets of one connection, in batches, until the last one who waits has left.

    Only tickets somebody here waits for are asked about (promise P6): the question also takes them off ITSM's
    lost-callback list.
    """

    stumbled_seconds: float = _STUMBLED_SECONDS
    note_seconds: float = _NOTE_SECONDS

    def __init__(self, conn_id: str) -> None:
        self.hook = ItsmAsyncHook(conn_id)
        # What it asks again, and when, is the schedule's to say.
        self._questions = ItsmAsyncHook(conn_id, repeats=False)
        self._schedule = Schedule()
        self._steps = StepWatch(self._questions, on_steps=self._see_steps)
        self._waits = WaitsByTicket()
        self._changed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._noter: TicketWait | None = None
        self._noted_at = -math.inf

    def add(self, wait: TicketWait) -> None:
        """Let somebody wait; the first one starts the poll."""
        self._waits.add(wait)
        self._schedule.add(wait.sn, interval=wait.interval, now=loop_time())
        self._steps.add(wait.sn)
        self._changed.set()
        if not self._tasks:
            self._spawn(self._poll())
            self._spawn(self._report())
            self._spawn(self._steps.run())
            if wait.beside is not None:
                self._spawn(self._stay_beside(wait.beside))

    async def _stay_beside(self, beside: Beside) -> None:
        async with beside(self.hook.bkitsm_conn_id):
            await asyncio.get_running_loop().create_future()

    async def remove(self, wait: TicketWait) -> None:
        """Let somebody leave; the last one closes the client."""
        self._waits.discard(wait)
        if self._waits.of(wait.sn):
            return
        self._schedule.discard(wait.sn)
        self._steps.discard(wait.sn)
        if not self._waits:
            # Whoever is cancelled again meanwhile is told Airflow's reason, and the client is closed all the same.
            closing = asyncio.create_task(self._close())
            _CLOSING.add(closing)
            closing.add_done_callback(_CLOSING.discard)
            await asyncio.shield(closing)

    def ask_at(self, sn: str, at: float) -> None:
        """Ask about a ticket at a certain time of the loop's clock."""
        self._schedule.ask_at(sn, at)
        self._changed.set()

    def read_steps(self, sn: str) -> None:
        """Read a ticket's steps soon: the poll's answers do not show every change of theirs."""
        self._steps.changed(sn)

    def is_last(self, wait: TicketWait) -> bool:
        """Whether nobody else waits."""
        return len(self._waits) == 1 and self._waits.of(wait.sn) == (wait,)

    async def _poll(self) -> None:
        await self._take_chunk_size()
        while True:
            try:
                await self._ask_next()
            except Exception:
                # Nobody would be told of anything any more: rather try again.
                log.exception("the poll of connection %s stumbled", self.hook.bkitsm_conn_id)
                await asyncio.sleep(self.stumbled_seconds)

    async def _report(self) -> None:
        """Say how many wait, now and then; in a thread, since the first metric of a process looks up a host."""
        while True:
            now = datetime.now(UTC)
            oldest = min((one.since for one in self._waits), default=now)
            age = max(0.0, (now - oldest).total_seconds())
            count, stalled = sum(1 for _ in self._waits), len({one.sn for one in self._waits if one.stalled})
            await asyncio.to_thread(telemetry.waiting, self.hook.bkitsm_conn_id, count, age, stalled)
            await asyncio.sleep(telemetry.GAUGE_SECONDS)

    def _see_steps(self, sn: str, status: TicketStatus, stalled: bool) -> None:
        for wait in self._waits.of(sn):
            wait.see_steps(status, stalled=stalled)

    async def _ask_next(self) -> None:
        if not self._schedule.has_room:
            self._changed.clear()
            await self._changed.wait()
            return
        batch = self._schedule.next_batch(loop_time())
        if batch:
            self._spawn(self._ask(batch))
        else:
            await self._rest()

    async def _take_chunk_size(self) -> None:
        try:
            gateway = (await self.hook.aget_conn()).gateway
            size = batch_size(gateway) if gateway.dialect.capabilities.batch else 1
        except Exception as error:
            log.warning("connection %s could not be read: %s", self.hook.bkitsm_conn_id, error)
        else:
            self._schedule.limit_to(size)

    async def _rest(self) -> None:
        self._changed.clear()
        try:
            # Not wait_for: on Python 3.11 that one can swallow a cancellation.
            async with asyncio.timeout_at(self._schedule.wake_at(loop_time())):
                await self._changed.wait()
        except TimeoutError:
            return
        await asyncio.sleep(_GATHER_SECONDS)

    async def _ask(self, batch: Batch) -> None:
        """Ask about a batch and give it back, whatever fails; then tell those who wait."""
        began = loop_time()
        answer: Answer | ItsmError = ItsmError("the poll was stopped")
        is_for_all = False
        try:
            answer = await self._answer(batch)
        except ItsmError as error:
            answer = error
        except Exception as error:
            answer = ItsmError(f"{type(error).__name__}: {error}")
        finally:
            if isinstance(answer, ItsmError):
                late = isinstance(answer, ItsmTimeoutError)
                is_for_all = self._schedule.failed(batch, answer, loop_time(), timed_out=late)
                if self._schedule.is_down:
                    self._steps.pause()
            else:
                self._schedule.answered(batch, seconds=loop_time() - began)
                self._steps.go_on()
            self._changed.set()
        if isinstance(answer, ItsmError):
            await self._tell_failure(batch, answer, is_for_all=is_for_all)
        else:
            await self._try_to_learn_creation(tuple(sn for sn in batch if isinstance(answer[sn], TicketState)))
            self._note(batch)
            for sn, look in answer.items():
                if isinstance(look, TicketState):
                    self._steps.take(look)
                self._tell(sn, look)

    async def _answer(self, batch: Batch) -> Answer:
        """Return what ITSM says of each ticket; a row that cannot be read is an error of its own ticket only."""
        others: Answer = dict(await self._of_another_dialect(batch))
        asked = [sn for sn in batch if sn not in others]
        if not asked:
            return others
        try:
            rows = await self._questions.run(ask(lambda itsm: itsm.states(asked)))
        except ItsmUnexpectedAnswerError as error:
            if error.rows is None:
                raise
            return others | rows_by_ticket(asked, error.rows, error)
        return others | rows_by_ticket(asked, rows)

    async def _of_another_dialect(self, batch: Batch) -> dict[str, ItsmError]:
        """Return the error of each ticket that was opened in another dialect than the connection speaks (P6)."""
        spoken, conn_id = (await self._questions.aget_conn()).gateway.dialect.name, self.hook.bkitsm_conn_id
        return {
            sn: another_dialect(f"ITSM ticket {sn}", conn_id, stored=wait.dialect, spoken=spoken)
            for sn in batch
            for wait in self._waits.of(sn)
            if wait.dialect and wait.dialect != spoken
        }

    def _note(self, batch: Batch) -> None:
        """Let one who waits note that ITSM answered: the same one as long as it waits, so that one note stays."""
        if loop_time() - self._noted_at < self.note_seconds:
            return
        here = (wait for sn in batch for wait in self._waits.of(sn))
        if self._noter is None or self._noter not in self._waits.of(self._noter.sn):
            self._noter = next((wait for wait in here if wait.notes), None)
        if self._noter is not None and self._noter.notes is not None:
            self._noted_at = loop_time()
            self._spawn(self._noter.notes.polled(self.hook.bkitsm_conn_id))

    async def _try_to_learn_creation(self, batch: Batch) -> None:
        """Whatever fails here, the states that were read are told all the same; the next look tries again."""
        try:
            await self._learn_creation(batch)
        except Exception as error:
            log.warning("when tickets were opened could not be read: %s: %s", type(error).__name__, error)

    async def _learn_creation(self, batch: Batch) -> None:
        """Read when tickets were opened, once for each whose deadline is counted from there."""
        unknown = [sn for sn in batch if any(one.wants_creation for one in self._waits.of(sn))]
        if not unknown:
            return
        for row in await self._questions.run(ask(lambda itsm: itsm.summaries(unknown))):
            for wait in self._waits.of(row.sn):
                wait.learn(row.created_at)

    async def _tell_failure(self, batch: Batch, error: ItsmError, *, is_for_all: bool) -> None:
        """Tell a batch of its failure, and others whom it keeps waiting beyond their time."""
        if not error.retry_safe:
            await self._forget_connection()
        for sn in batch:
            self._tell(sn, error)
        if not (is_for_all or self._schedule.is_down):
            return
        now, members = loop_time(), frozenset(batch)
        others = [one for one in self._waits if one.sn not in members]
        for number, wait in enumerate([one for one in others if is_for_all or one.is_overdue(now)], 1):
            wait.tell(error, now)
            if number % _NOTIFIED_AT_ONCE == 0:
                await asyncio.sleep(0)

    async def _forget_connection(self) -> None:
        """Read the connection anew: a secret may have been rotated."""
        for hook in (self._questions, self.hook):
            try:
                await hook.forget_connection()
            except Exception as error:
                log.warning("a client of connection %s did not close: %s", hook.bkitsm_conn_id, error)

    def _tell(self, sn: str, look: Look) -> None:
        now = loop_time()
        for wait in self._waits.of(sn):
            wait.tell(look, now)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _close(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        telemetry.waiting(self.hook.bkitsm_conn_id, 0, 0.0, 0)
        await self._forget_connection()
