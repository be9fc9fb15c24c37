# SPDX-License-Identifier: Apache-2.0
"""A thread pool and a shared cache for routes whose reads block."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from time import monotonic
from typing import Any, Generic, TypeVar

T = TypeVar("T")

_THREADS = 2


async def in_thread(blocking: Callable[..., T], *arguments: Any) -> T:
    """Run a blocking function in one of the pages' threads."""
    return await asyncio.get_running_loop().run_in_executor(_threads(), partial(blocking, *arguments))


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_THREADS, thread_name_prefix="bkitsm-pages")


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

    async def get(self, key: Hashable, read: Callable[[], Awaitable[T]]) -> T:
        """Return the cached value, or read it; an error is raised and not cached."""
        async with self._locks[key]:
            entry = self._entries.get(key)
            if entry is None or self._clock() - entry[0] >= self._seconds:
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

    def _keep(self, key: Hashable, entry: tuple[float, T]) -> None:
        if len(self._entries) >= _MOST_ENTRIES:
            self._entries.clear()
            idle = [name for name, lock in self._locks.items() if not lock.locked()]
            for name in idle:
                del self._locks[name]
        self._entries[key] = entry
