# SPDX-License-Identifier: Apache-2.0
"""HTTP connections of an event loop, kept open between calls, over asyncio's own streams.

``httpcore`` opens them, speaks HTTP and knows proxies. Its own pool looks at every connection twice in each call,
and its own streams give way to the event loop at every step: with twenty connections, four fifths of a call's CPU.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from socket import SOCK_STREAM
from typing import Any

import httpcore

from airflow_provider_bkitsm.hooks.limits import Body

_MOST_OPEN, _MOST_IDLE, _IDLE_SECONDS = 100, 20, 5.0


class LoopConnections:
    """Connections to one server, for one event loop.

    :param options: what ``httpcore`` opens connections with: TLS context and proxy.
    """

    def __init__(self, **options: Any) -> None:
        self._opener = httpcore.AsyncConnectionPool(
            network_backend=LoopBackend(), keepalive_expiry=_IDLE_SECONDS, **options
        )
        self._turns = asyncio.Semaphore(_MOST_OPEN)
        # The last used one is at the end, and is used next. So the first one is idle for the longest time.
        self._idle: deque[httpcore.AsyncConnectionInterface] = deque()
        self._is_closed = False

    async def exchange(
        self, request: httpcore.Request, begun: Callable[[httpcore.Response], tuple[dict[str, str], Body]]
    ) -> tuple[int, dict[str, str], bytes]:
        """Send a request; return the status, the headers and the body of its answer.

        :param begun: returns the headers of an answer, and its body that is still to come.
        """
        async with self._turns:
            connection = await self._idle_connection() or self._opener.create_connection(request.url.origin)
            try:
                answer = await connection.handle_async_request(request)
                try:
                    headers, body = begun(answer)
                    async for piece in answer.aiter_stream():
                        body.add(piece)
                    return answer.status, headers, body.whole()
                finally:
                    await answer.aclose()
            finally:
                await self._leave(connection)

    async def _idle_connection(self) -> httpcore.AsyncConnectionInterface | None:
        while self._idle:
            connection = self._idle.pop()
            if not connection.has_expired():
                return connection
            await connection.aclose()
        return None

    async def _leave(self, connection: httpcore.AsyncConnectionInterface) -> None:
        if connection.is_idle() and len(self._idle) < _MOST_IDLE and not self._is_closed:
            self._idle.append(connection)
        else:
            await connection.aclose()
        while self._idle and self._idle[0].has_expired():
            await self._idle.popleft().aclose()

    async def close(self) -> None:
        """Close every connection: those that are in use after their answer."""
        self._is_closed = True
        while self._idle:
            await self._idle.pop().aclose()
        await self._opener.aclose()


class LoopBackend(httpcore.AsyncNetworkBackend):
    """Opens connections. All addresses of a host share the time to connect."""

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first address of a host that can be reached."""
        del local_address, socket_options
        loop = asyncio.get_running_loop()
        ends_at = None if timeout is None else loop.time() + timeout
        failure: Exception = httpcore.ConnectError("the host has no address")
        async with _step(timeout, httpcore.ConnectTimeout, httpcore.ConnectError):
            addresses = [str(found[0]) for *_, found in await loop.getaddrinfo(host, port, type=SOCK_STREAM)]
        for tried, address in enumerate(addresses):
            share = None if ends_at is None else (ends_at - loop.time()) / (len(addresses) - tried)
            try:
                async with _step(share, httpcore.ConnectTimeout, httpcore.ConnectError):
                    return await LoopStream.connected(address, port)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure


class LoopStream(httpcore.AsyncNetworkStream):
    """A connection over asyncio's streams."""

    def __init__(self, reader: _CountingReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._taken = 0

    @classmethod
    async def connected(cls, address: str, port: int) -> LoopStream:
        """Connect to an address."""
        loop = asyncio.get_running_loop()
        reader = _CountingReader(loop=loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        transport, _ = await loop.create_connection(lambda: protocol, address, port)
        return cls(reader, asyncio.StreamWriter(transport, protocol, reader, loop))

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Return the next bytes; none at the end."""
        async with _step(timeout, httpcore.ReadTimeout, httpcore.ReadError):
            piece = await self._reader.read(max_bytes)
        self._taken += len(piece)
        return piece

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send bytes."""
        if not buffer:
            return
        async with _step(timeout, httpcore.WriteTimeout, httpcore.WriteError):
            self._writer.write(buffer)
            await self._writer.drain()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        """Return the connection with TLS on it."""
        try:
            async with _step(timeout, httpcore.ConnectTimeout, httpcore.ConnectError):
                await self._writer.start_tls(ssl_context, server_hostname=server_hostname)
        except BaseException:
            await self.aclose()
            raise
        return self

    def get_extra_info(self, info: str) -> Any:
        """Return a fact about the connection. ``is_readable``: what nobody has asked for has come, or the end."""
        if info == "is_readable":
            return self._reader.came > self._taken or self._reader.at_eof() or self._writer.is_closing()
        return self._writer.get_extra_info(info)

    async def aclose(self) -> None:
        """Close the connection at once: no answer is awaited any more."""
        self._writer.transport.abort()


class _CountingReader(asyncio.StreamReader):
    """A reader that counts the bytes that have come."""

    came = 0

    def feed_data(self, data: Any) -> None:
        self.came += len(data)
        super().feed_data(data)


@asynccontextmanager
async def _step(
    timeout: float | None, late: type[httpcore.TimeoutException], failed: type[httpcore.NetworkError]
) -> AsyncIterator[None]:
    """Limit the time of a step, and raise its errors as ``httpcore`` does."""
    try:
        async with asyncio.timeout(timeout):
            yield
    except TimeoutError as error:
        raise late from error
    except OSError as error:
        raise failed(str(error)) from error
