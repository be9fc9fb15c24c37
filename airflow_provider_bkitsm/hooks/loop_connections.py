# SPDX-License-Identifier: Apache-2.0
"""HTTP connections of an event loop, kept open between calls, over asyncio's own streams.

``h11`` speaks HTTP with the server itself. Through a proxy ``httpcore`` does: it knows proxies, and takes several
times the CPU. Its own pool looks at every connection twice in each call, and its own streams give way to the event
loop at every step.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from socket import SOCK_STREAM
from typing import Any, Protocol

import h11
import httpcore

from airflow_provider_bkitsm.hooks.limits import Body

_MOST_OPEN, _MOST_IDLE, _IDLE_SECONDS = 100, 20, 5.0
_LONGEST_HEAD, _PIECE = 100 * 1024, 64 * 1024
# After so many parts of answers a connection gives way to the event loop.
_GIVES_WAY = 100
_PORTS = {b"http": 80, b"https": 443}

Headers = list[tuple[bytes, bytes]]
Answer = tuple[int, dict[str, str], bytes]
"""Status, headers and body."""


@dataclass(frozen=True, kw_only=True)
class Sending:
    """A request that is ready to be sent.

    :param timeouts: seconds of each step, as :func:`~airflow_provider_bkitsm.hooks.limits.step_timeouts` has them.
    :param begun: returns the headers of its answer, and the answer's body that is still to come.
    """

    method: str
    url: httpcore.URL
    headers: Headers = field(repr=False)
    content: bytes | None = field(repr=False)
    timeouts: dict[str, float]
    begun: Callable[[Headers], tuple[dict[str, str], Body]]


class _Connection(Protocol):
    async def exchange(self, sending: Sending) -> Answer: ...

    def can_be_used_again(self) -> bool: ...

    async def aclose(self) -> None: ...


class LoopConnections:
    """Connections to one server, for one event loop.

    :param ssl_context: for TLS with the server; None without TLS.
    :param proxy: None connects directly.
    """

    def __init__(self, *, ssl_context: ssl.SSLContext | None, proxy: httpcore.Proxy | None) -> None:
        self._tls = ssl_context
        self._opener = None if proxy is None else _opener(ssl_context, proxy)
        self._turns = asyncio.Semaphore(_MOST_OPEN)
        # The last used one is at the end, and is used next. So the first one is idle for the longest time.
        self._idle: deque[_Connection] = deque()
        self._is_closed = False

    async def exchange(self, sending: Sending) -> Answer:
        """Send a request; return its answer."""
        async with self._turns:
            connection = await self._idle_connection() or self._new(sending.url)
            try:
                return await connection.exchange(sending)
            finally:
                await self._leave(connection)

    def _new(self, url: httpcore.URL) -> _Connection:
        if self._opener is None:
            return DirectConnection(self._tls)
        return ProxiedConnection(self._opener.create_connection(url.origin))

    async def _idle_connection(self) -> _Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.can_be_used_again():
                return connection
            await connection.aclose()
        return None

    async def _leave(self, connection: _Connection) -> None:
        if connection.can_be_used_again() and len(self._idle) < _MOST_IDLE and not self._is_closed:
            self._idle.append(connection)
        else:
            await connection.aclose()
        while self._idle and not self._idle[0].can_be_used_again():
            await self._idle.popleft().aclose()

    async def close(self) -> None:
        """Close every connection: those that are in use after their answer."""
        self._is_closed = True
        while self._idle:
            await self._idle.pop().aclose()
        if self._opener is not None:
            await self._opener.aclose()


class ProxiedConnection:
    """A connection through a proxy."""

    def __init__(self, connection: httpcore.AsyncConnectionInterface) -> None:
        self._connection = connection

    async def exchange(self, sending: Sending) -> Answer:
        """Send a request; return its answer."""
        request = httpcore.Request(
            sending.method,
            sending.url,
            headers=sending.headers,
            content=sending.content,
            extensions={"timeout": sending.timeouts},
        )
        answer = await self._connection.handle_async_request(request)
        try:
            headers, body = sending.begun(answer.headers)
            async for piece in answer.aiter_stream():
                body.add(piece)
            return answer.status, headers, body.whole()
        finally:
            await answer.aclose()

    def can_be_used_again(self) -> bool:
        """Whether the next request may be sent on it."""
        return self._connection.is_idle() and not self._connection.has_expired()

    async def aclose(self) -> None:
        """Close the connection."""
        await self._connection.aclose()


class DirectConnection:
    """A connection to the server itself, opened by its first request.

    :param tls: None without TLS.
    """

    def __init__(self, tls: ssl.SSLContext | None) -> None:
        self._tls = tls
        self._stream: httpcore.AsyncNetworkStream | None = None
        self._http = h11.Connection(our_role=h11.CLIENT, max_incomplete_event_size=_LONGEST_HEAD)
        self._used_at: float | None = None
        self._events = 0

    async def exchange(self, sending: Sending) -> Answer:
        """Send a request; return its answer. After an error the connection cannot be used again."""
        self._used_at = None
        if self._stream is None:
            self._stream = await self._opened(sending)
        try:
            answer = await self._exchange(self._stream, sending)
            nothing_left = self._http.trailing_data == (b"", False)
            if self._http.our_state is self._http.their_state is h11.DONE and nothing_left:
                self._http.start_next_cycle()
                self._used_at = time.monotonic()
        except h11.LocalProtocolError as error:
            raise httpcore.LocalProtocolError(str(error)) from error
        except h11.RemoteProtocolError as error:
            raise httpcore.RemoteProtocolError(str(error)) from error
        return answer

    async def _opened(self, sending: Sending) -> httpcore.AsyncNetworkStream:
        url, timeout = sending.url, sending.timeouts["connect"]
        host, port = url.host.decode("ascii"), url.port or _PORTS[url.scheme]
        stream = await LoopBackend().connect_tcp(host, port, timeout)
        if self._tls is None:
            return stream
        self._tls.set_alpn_protocols(["http/1.1"])
        return await stream.start_tls(self._tls, server_hostname=host, timeout=timeout)

    async def _exchange(self, stream: httpcore.AsyncNetworkStream, sending: Sending) -> Answer:
        request = h11.Request(method=sending.method, target=sending.url.target, headers=sending.headers)
        events = (request, h11.Data(data=sending.content or b""), h11.EndOfMessage())
        # A server may answer, and end the connection, before it has read everything.
        with suppress(httpcore.WriteError):
            await stream.write(b"".join(self._http.send(one) or b"" for one in events), sending.timeouts["write"])
        answer = await self._next_event(stream, sending)
        while not isinstance(answer, h11.Response):
            answer = await self._next_event(stream, sending)
        headers, body = sending.begun(answer.headers.raw_items())
        while isinstance(piece := await self._next_event(stream, sending), h11.Data):
            body.add(bytes(piece.data))
        return answer.status_code, headers, body.whole()

    async def _next_event(self, stream: httpcore.AsyncNetworkStream, sending: Sending) -> Any:
        self._events += 1
        if self._events % _GIVES_WAY == 0:
            # What has come already may be thousands of chunks of a byte each.
            await asyncio.sleep(0)
        while (event := self._http.next_event()) is h11.NEED_DATA:
            came = await stream.read(_PIECE, sending.timeouts["read"])
            if not came and self._http.their_state is h11.SEND_RESPONSE:
                raise httpcore.RemoteProtocolError("the server has ended the connection without an answer")
            self._http.receive_data(came)
        return event

    def can_be_used_again(self) -> bool:
        """Whether the next request may be sent on it: nothing that nobody has asked for has come, nor its end."""
        if self._stream is None or self._used_at is None or time.monotonic() - self._used_at > _IDLE_SECONDS:
            return False
        return not self._stream.get_extra_info("is_readable")

    async def aclose(self) -> None:
        """Close the connection."""
        self._used_at = None
        if self._stream is not None:
            await self._stream.aclose()


def _opener(ssl_context: ssl.SSLContext | None, proxy: httpcore.Proxy) -> httpcore.AsyncConnectionPool:
    return httpcore.AsyncConnectionPool(
        ssl_context=ssl_context, proxy=proxy, network_backend=LoopBackend(), keepalive_expiry=_IDLE_SECONDS
    )


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
