# SPDX-License-Identifier: Apache-2.0
"""For the pages' routes: a thread pool for reads that block, a shared cache, and reads that outlast a request."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from time import monotonic
from typing import Any, Generic, TypeVar

log = logging.getLogger(__name__)
T = TypeVar("T")

THREADS = 2


async def in_thread(blocking: Callable[..., T], *arguments: Any) -> T:
    """Run a blocking function in one of the pages' threads."""
    return await asyncio.get_running_loop().run_in_executor(_threads(), partial(blocking, *arguments))


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(THREADS, thread_name_prefix="bkitsm-pages")


_MOST_ENTRIES = 100


class SharedCache(Generic[T]):
    """Caches a value for each key; callers that come while it is being read wait for it. For one event loop.

    :param seconds: how long a value is fresh.
    :param clock: seconds, never going back.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._entries: dict[Hashable, tuple[float, T]] = {}
        self._locks: defaultdict[Hashable, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def get(self, key: Hashable, read: Callable[[], Awaitable[T]], *, seconds: float | None = None) -> T:
        """Return the cached value, or read it; an error is raised and not cached.

        :param seconds: how long a value is fresh to this caller, where another time suits it. Who has a fresh one
            does not wait for a read that is under way.
        """
        fresh = self._seconds if seconds is None else seconds
        entry = self._entry(key, fresh)
        if entry is None:
            async with self._locks[key]:
                entry = self._entry(key, fresh)
                if entry is None:
                    entry = (self._clock(), await read())
                    self._keep(key, entry)
        return entry[1]

    def forget(self, key: Hashable) -> None:
        """Have the next caller read a value anew."""
        self._entries.pop(key, None)

    def last(self, key: Hashable) -> T | None:
        """Return the value that was read last, however long ago; None without one."""
        entry = self._entries.get(key)
        return entry[1] if entry else None

    def _entry(self, key: Hashable, seconds: float) -> tuple[float, T] | None:
        """Return the entry whose value was read less than ``seconds`` ago."""
        entry = self._entries.get(key)
        return entry if entry is not None and self._clock() - entry[0] < seconds else None

    def _keep(self, key: Hashable, entry: tuple[float, T]) -> None:
        """Keep the value as the latest one; the oldest goes, never one that somebody is about to look at."""
        self._entries.pop(key, None)
        self._entries[key] = entry
        if len(self._entries) > _MOST_ENTRIES:
            del self._entries[next(iter(self._entries))]
        if len(self._locks) > _MOST_ENTRIES:
            idle = [name for name, lock in self._locks.items() if not lock.locked() and name not in self._entries]
            for name in idle:
                del self._locks[name]


class Background:
    """Tasks that go on behind the requests that started them, in groups. For one event loop."""

    def __init__(self) -> None:
        self._tasks: defaultdict[Hashable, dict[asyncio.Task[None], float]] = defaultdict(dict)

    def start(self, group: Hashable, work: Coroutine[Any, Any, None]) -> None:
        """Start a task. Its error is logged: nobody may be waiting for it any more."""
        loop = asyncio.get_running_loop()
        task = loop.create_task(work)
        self._tasks[group][task] = loop.time()
        task.add_done_callback(partial(self._ended, group))

    def running(self, group: Hashable) -> int:
        """Return how many tasks of a group are under way."""
        return len(self._tasks[group]) if group in self._tasks else 0

    async def settle(self, groups: Iterable[Hashable], *, seconds: float) -> None:
        """Wait for the tasks of some groups, for none longer than ``seconds`` after its start."""
        now = asyncio.get_running_loop().time()
        started = {task: at for group in groups for task, at in self._tasks.get(group, {}).items()}
        left = {task: at + seconds - now for task, at in started.items() if at + seconds > now}
        if left:
            await asyncio.wait(left, timeout=max(left.values()))

    def _ended(self, group: Hashable, task: asyncio.Task[None]) -> None:
        del self._tasks[group][task]
        if not self._tasks[group]:
            del self._tasks[group]
        error = None if task.cancelled() else task.exception()
        if error is not None:
            # Its text is left out: it may hold the address of a database.
            log.warning("a read for the pages failed: %s", type(error).__name__)
