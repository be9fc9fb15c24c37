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


_MOST = 100


class SharedCache(Generic[T]):
    """Remembers an answer for each key; who asks while it is being read waits for it. For one event loop.

    :param seconds: how long an answer is good for.
    :param clock: seconds, never going back.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._known: dict[Hashable, tuple[float, T]] = {}
        self._locks: defaultdict[Hashable, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def get(self, key: Hashable, read: Callable[[], Awaitable[T]]) -> T:
        """Return what is remembered, or read it; an error is raised and not remembered."""
        async with self._locks[key]:
            known = self._known.get(key)
            if known is None or self._clock() - known[0] >= self._seconds:
                known = (self._clock(), await read())
                self._keep(key, known)
            return known[1]

    def last(self, key: Hashable) -> T | None:
        """Return what was read last, however long ago; None when nothing is remembered."""
        known = self._known.get(key)
        return known[1] if known else None

    def _keep(self, key: Hashable, known: tuple[float, T]) -> None:
        if len(self._known) >= _MOST:
            self._known.clear()
            idle = [one for one, lock in self._locks.items() if not lock.locked()]
            for one in idle:
                del self._locks[one]
        self._known[key] = known
