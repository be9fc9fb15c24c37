# SPDX-License-Identifier: Apache-2.0
"""One client for all who use the same connection in the same event loop.

In a triggerer, a thousand waits for tickets of one ITSM then keep one pool of connections. It lives as long as
somebody uses it; loops and connections never share.
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
    """A transport and how many use it; the last who leaves closes it."""

    def __init__(self, desk: _Slot, gateway: Gateway) -> None:
        self.transport = AsyncTransport(gateway)
        self._desk = desk
        self._users = 0

    def join(self) -> SharedClient:
        """Count one more user."""
        self._users += 1
        return self

    async def leave(self) -> None:
        """Count one user less."""
        self._users -= 1
        if self._users == 0:
            if self._desk.current is self:
                self._desk.current = None
            await self.transport.close()

    def invalidate(self) -> None:
        """Have the next who joins read the connection anew; who uses this transport now is not disturbed."""
        if self._desk.current is self:
            self._desk.doubtful = True

    @asynccontextmanager
    async def in_use(self) -> AsyncIterator[AsyncTransport]:
        """Keep the transport open during a request, whoever leaves meanwhile."""
        self.join()
        try:
            yield self.transport
        finally:
            await self.leave()


class _Slot:
    """Where the users of one connection meet in one loop."""

    def __init__(self) -> None:
        self.current: SharedClient | None = None
        self.doubtful = False
        self._lock = asyncio.Lock()

    async def join(self, read: Callable[[], Awaitable[Gateway]]) -> SharedClient:
        async with self._lock:
            if self.current is not None and not self.doubtful:
                return self.current.join()
            self.doubtful = False
            try:
                gateway = await read()
            except BaseException:
                self.doubtful = True
                raise
            if self.current is None or self.current.transport.gateway != gateway:
                self.current = SharedClient(self, gateway)
            return self.current.join()


# By loop, then by connection. What a desk holds refers to its loop, so that weak references to loops would
# keep them for ever: dead loops are swept out instead.
_desks: dict[asyncio.AbstractEventLoop, defaultdict[str, _Slot]] = {}
_guard = threading.Lock()


async def join(conn_id: str, read: Callable[[], Awaitable[Gateway]]) -> SharedClient:
    """Join those who use a connection in the running loop.

    :param read: reads the connection; called only when nobody uses it yet, or somebody doubted it.
    """
    loop = asyncio.get_running_loop()
    with _guard:
        for dead in [one for one in _desks if one.is_closed()]:
            del _desks[dead]
        desk = _desks.setdefault(loop, defaultdict(_Slot))[conn_id]
    return await desk.join(read)
