# SPDX-License-Identifier: Apache-2.0
"""One pooled HTTP client per connection and event loop, closed when its last user leaves.

So a thousand waits in a triggerer for tickets of one ITSM share one pool of HTTP connections. In an API server the
users come one after another, so there a client stays open for a while after its last user.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections import defaultdict
from collections.abc import Awaitable, Callable

from airflow_provider_bkitsm.hooks.connection import Gateway
from airflow_provider_bkitsm.hooks.transport import AsyncTransport


class SharedClient:
    """A transport and the number of its users. The last user to leave closes it."""

    def __init__(self, slot: _Slot, gateway: Gateway) -> None:
        self.transport = AsyncTransport(gateway)
        self._slot = slot
        self._users = 0
        self._closing: asyncio.TimerHandle | None = None

    def join(self) -> SharedClient:
        """Count one more user."""
        self._users += 1
        if self._closing is not None:
            self._closing.cancel()
            self._closing = None
        return self

    async def leave(self) -> None:
        """Count one user less; close the transport after the last user, or some time later."""
        self._users -= 1
        if self._users:
            return
        idle_seconds = _idle_seconds.get(os.getpid(), 0.0)
        if idle_seconds and self._slot.current is self and not self._slot.invalidated:
            self._closing = asyncio.get_running_loop().call_later(idle_seconds, self._close_idle)
            return
        await self._close()

    def _close_idle(self) -> None:
        if self._slot.current is self:
            self._slot.current = None
        closing = asyncio.ensure_future(self._close())
        _being_closed.add(closing)
        closing.add_done_callback(_being_closed.discard)

    async def _close(self) -> None:
        if self._slot.current is self:
            self._slot.current = None
        await self.transport.close()

    async def retire(self) -> None:
        """Close the transport as soon as nobody uses it: another client has taken its place."""
        if self._closing is not None:
            self._closing.cancel()
            await self._close()

    def invalidate(self) -> None:
        """Have the next user read the connection anew. The present users keep this transport."""
        if self._slot.current is self:
            self._slot.invalidated = True

    async def __aenter__(self) -> AsyncTransport:
        """Keep the transport open during a request, even if every other user leaves."""
        return self.join().transport

    async def __aexit__(self, *_exc: object) -> None:
        await self.leave()


class _Slot:
    """The current client of one connection in one event loop."""

    def __init__(self) -> None:
        self.current: SharedClient | None = None
        self.invalidated = False
        self._lock = asyncio.Lock()

    async def join(self, read: Callable[[], Awaitable[Gateway]], gateway: Gateway | None) -> SharedClient:
        async with self._lock:
            if self.current is not None and not self.invalidated and gateway is None:
                return self.current.join()
            self.invalidated = False
            try:
                gateway = gateway or await read()
            except BaseException:
                self.invalidated = True
                raise
            before = self.current
            if before is not None and before.transport.gateway == gateway:
                return before.join()
            client = self.current = SharedClient(self, gateway)
            client.join()
        if before is not None:
            await before.retire()
        return client


# By process: one that is forked from an API server keeps nothing open.
_idle_seconds: dict[int, float] = {}
_being_closed: set[asyncio.Future[None]] = set()


def keep_clients_open(seconds: float = 60.0) -> None:
    """Let this process keep each client open for some seconds after its last user."""
    _idle_seconds[os.getpid()] = seconds


# By loop, then by connection. A slot refers to its loop, so weak references to loops would keep the loops for
# ever: closed loops are removed instead.
_slots: dict[asyncio.AbstractEventLoop, defaultdict[str, _Slot]] = {}
_guard = threading.Lock()


async def join(
    conn_id: str, read: Callable[[], Awaitable[Gateway]], gateway: Gateway | None = None
) -> SharedClient:
    """Return the shared client of a connection in the running loop, with one more user.

    :param read: reads the connection; called only without a client, or after ``invalidate``.
    :param gateway: the connection as the caller has read it: a client of another gateway does not do.
    """
    loop = asyncio.get_running_loop()
    with _guard:
        for closed in [other for other in _slots if other.is_closed()]:
            del _slots[closed]
        slot = _slots.setdefault(loop, defaultdict(_Slot))[conn_id]
    return await slot.join(read, gateway)
