# SPDX-License-Identifier: Apache-2.0
"""When the reminders of the tickets are due that tasks of an event loop wait for.

One watch for an event loop looks after all tickets. While nothing is due it sleeps, and neither ITSM nor the store
is asked. Whatever fails here is logged, and harms no wait.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable
from contextvars import Context
from datetime import datetime, timedelta
from heapq import heappop, heappush
from weakref import WeakKeyDictionary

from airflow_provider_bkitsm.collectors.database import utc_now
from airflow_provider_bkitsm.itsm.errors import printable
from airflow_provider_bkitsm.tickets.reminder_sending import Sending, TicketReminders
from airflow_provider_bkitsm.tickets.reminder_store import (
    ReminderStore,
    open_reminder_store,
)
from airflow_provider_bkitsm.tickets.senders import ThreadPerCall

log = logging.getLogger(__name__)

# A clock may be set, and a machine may sleep: the watch looks at the time at least so often.
_LONGEST_SLEEP = 60.0
_MOST_AT_ONCE = 4
# Threads of senders that hang stay: beyond this nothing is sent until one of them ends.
_MOST_THREADS = 32
_AFTER_FAILURE = timedelta(minutes=1)


class ReminderWatch:
    """Looks after the reminders of many tickets, until the last one is discarded.

    :param now: the clock; aware.
    :param store: opens the store of reminders.
    """

    def __init__(
        self,
        *,
        now: Callable[[], datetime] = utc_now,
        store: Callable[[], ReminderStore] = open_reminder_store,
    ) -> None:
        self._now = now
        self._store = store
        self._items: dict[int, TicketReminders] = {}
        self._heap: list[tuple[datetime, int]] = []
        # When each is looked after next; entries of the heap with another time are left over.
        self._at: dict[int, datetime] = {}
        self._count = itertools.count()
        self._changed = asyncio.Event()
        self._slots = asyncio.Semaphore(_MOST_AT_ONCE)
        self._threads = ThreadPerCall(most=_MOST_THREADS)
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop_task: asyncio.Task[None] | None = None

    def add(self, item: TicketReminders) -> None:
        """Look after a ticket's reminders."""
        item.number = next(self._count)
        self._items[item.number] = item
        self._schedule(item, self._now())
        if self._loop_task is None:
            # In a context of its own: what it logs belongs to no task.
            self._loop_task = asyncio.get_running_loop().create_task(self._run(), context=Context())

    def discard(self, item: TicketReminders) -> None:
        """Look after a ticket no longer. What is just being sent is sent."""
        self._items.pop(item.number, None)
        self._at.pop(item.number, None)
        if not self._items and self._loop_task is not None:
            self._loop_task.cancel()
            self._loop_task = None
            self._heap.clear()

    async def settle(self) -> None:
        """Wait until nothing is being sent."""
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    def _schedule(self, item: TicketReminders, at: datetime) -> None:
        if item.number in self._items:
            self._at[item.number] = at
            heappush(self._heap, (at, item.number))
            self._changed.set()

    async def _run(self) -> None:
        while True:
            self._changed.clear()
            self._start_due(self._now())
            pause = (self._heap[0][0] - self._now()).total_seconds() if self._heap else _LONGEST_SLEEP
            try:
                async with asyncio.timeout(min(max(pause, 0.0), _LONGEST_SLEEP)):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def _start_due(self, now: datetime) -> None:
        while self._heap and self._heap[0][0] <= now:
            at, number = heappop(self._heap)
            if self._at.get(number) != at:
                continue
            del self._at[number]
            item = self._items[number]
            if not item.due(now):
                self._schedule_next(item, now, None)
                continue
            task = asyncio.get_running_loop().create_task(self._look_after(item), context=item.context)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _schedule_next(self, item: TicketReminders, looked_at: datetime, again: datetime | None) -> None:
        """Look again when something is due that was not at ``looked_at``: it may be by now."""
        moments = (again, item.plan.next_at(item.opened, looked_at))
        at = min((one for one in moments if one is not None), default=None)
        if at is not None:
            self._schedule(item, at)

    async def _look_after(self, item: TicketReminders) -> None:
        """Do what is due for a ticket; whatever fails is tried again."""
        sn = item.awaited.sn
        async with self._slots:
            if item.number not in self._items:
                return
            now, again = self._now(), None
            try:
                again = await Sending(item, self._store(), self._now, self._threads).do(item.due(now))
            except Exception as error:
                log.warning("Nobody was reminded of ITSM ticket %s now: %s", sn, printable(str(error)))
                again = now + _AFTER_FAILURE
        self._schedule_next(item, now, again)


_WATCHES: WeakKeyDictionary[asyncio.AbstractEventLoop, ReminderWatch] = WeakKeyDictionary()


def reminder_watch() -> ReminderWatch:
    """Return the watch of this event loop."""
    loop = asyncio.get_running_loop()
    if loop not in _WATCHES:
        _WATCHES[loop] = ReminderWatch()
    return _WATCHES[loop]
