# SPDX-License-Identifier: Apache-2.0
"""One pooled HTTP client per connection and event loop, closed when its last user leaves.

So a thousand waits in a triggerer for tickets of one ITSM share one pool of HTTP connections.
"""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from airflow_provider_bkitsm.hooks.connection import Gateway
from airflow_provider_bkitsm.hooks.transport import AsyncTransport


class SharedClient:
    """A transport and the number of its users. The last user to leave closes it."""

    def __init__(self, slot: _Slot, gateway: Gateway) -> None:
        self.transport = AsyncTransport(gateway)
        self._slot = slot
        self._users = 0

    def join(self) -> SharedClient:
        """Count one more user."""
        self._users += 1
        return self

    async def leave(self) -> None:
        """Count one user less; close the transport after the last user."""
        self._users -= 1
        if self._users == 0:
            if self._slot.current is self:
                self._slot.current = None
            await self.transport.close()

    def invalidate(self) -> None:
        """Have the next user read the connection anew. The present users keep this transport."""
        if self._slot.current is self:
            self._slot.invalidated = True

    @asynccontextmanager
    async def in_use(self) -> AsyncIterator[AsyncTransport]:
        """Keep the transport open during a request, even if every other user leaves."""
        self.join()
        try:
            yield self.transport
        finally:
            await self.leave()


class _Slot:
    """The current client of one connection in one event loop."""

    def __init__(self) -> None:
        self.current: SharedClient | None = None
        self.invalidated = False
        self._lock = asyncio.Lock()

    async def join(self, read: Callable[[], Awaitable[Gateway]]) -> SharedClient:
        async with self._lock:
            if self.current is not None and not self.invalidated:
                return self.current.join()
            self.invalidated = False
            try:
                gateway = await read()
            except BaseException:
                self.invalidated = True
                raise
            if self.current is None or self.current.transport.gateway != gateway:
                self.current = SharedClient(self, gateway)
            return self.current.join()


# By loop, then by connection. A slot refers to its loop, so weak references to loops would keep the loops for
# ever: closed loops are removed instead.
_slots: dict[asyncio.AbstractEventLoop, defaultdict[str, _Slot]] = {}
_guard = threading.Lock()


async def join(conn_id: str, read: Callable[[], Awaitable[Gateway]]) -> SharedClient:
    """Return the shared client of a connection in the running loop, with one more user.

    :param read: reads the connection; called only without a client, or after ``invalidate``.
    """
    loop = asyncio.get_running_loop()
    with _guard:
        for closed in [other for other in _slots if other.is_closed()]:
            del _slots[closed]
        slot = _slots.setdefault(loop, defaultdict(_Slot))[conn_id]
    return await slot.join(read)
