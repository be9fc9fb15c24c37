# SPDX-License-Identifier: Apache-2.0
"""One HTTP request and its answer, in a thread and in an event loop.

Both go over ``httpcore``, which does what it is told and no more: it reads no environment and no ``.netrc``,
follows no redirect, keeps no cookie and decodes nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import os
import socket
import ssl
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urlsplit

from airflow_provider_bkitsm.hooks.connection import Gateway
from airflow_provider_bkitsm.hooks.route import (
    Proxy,
    Route,
    Stamp,
    ascii_host,
    files_stamp,
    find_route,
    tls_context,
)
from airflow_provider_bkitsm.itsm.errors import ItsmInvalidRequestError
from airflow_provider_bkitsm.itsm.protocol import Call

if TYPE_CHECKING:
    import httpcore

    from airflow_provider_bkitsm.hooks.limits import Body
    from airflow_provider_bkitsm.hooks.loop_connections import LoopConnections

# A longer requested pause is cut to this: a gateway's pauses are seconds or minutes.
LONGEST_PAUSE = 3600.0
_AGENT = {"User-Agent": "airflow-provider-bkitsm"}
# What a path may hold besides letters and digits; a percent sign begins what is encoded already.
_SAFE_IN_PATHS = "/%:@!$&'()*+,;=~"


@dataclass(frozen=True, kw_only=True)
class Request:
    """The HTTP request of a call. ``headers`` hold the authorization: never log them."""

    method: str
    url: str
    params: Mapping[str, str] | None
    headers: Mapping[str, str]
    body: bytes | None


@dataclass(frozen=True, kw_only=True)
class Reply:
    """A raw HTTP answer; ``retry_after`` is the pause that it requests, in seconds."""

    status_code: int
    content_type: str | None
    body: bytes
    request_id: str | None = None
    retry_after: float | None = None
    gateway: Gateway | None = None


class NoAnswerError(Exception):
    """The network gave no answer.

    ``sent`` is False only when the request surely never left. ``dropped``: an open connection was cut, for example
    a pooled connection that the gateway closed just when it was used again. ``late``: the answer did not come in
    time, or is too large. The error's own text is left out, since it may hold a proxy's credentials. The reasons
    that the operating system or TLS gives are named.
    """

    def __init__(self, gateway: Gateway, error: Exception, *, sent: bool, dropped: bool, late: bool) -> None:
        super().__init__(f"connection {gateway.conn_id!r}: no answer from {gateway.root} ({reason_of(error)})")
        self.sent = sent
        self.dropped = dropped
        self.late = late

    def may_be_resent(self, call: Call[Any]) -> bool:
        """Whether it is safe and useful to send the call again on a new connection."""
        return self.dropped and not call.is_write


def reason_of(error: BaseException) -> str:
    """Return why there was no answer: the error's class, and the reason from TLS or the operating system."""
    from airflow_provider_bkitsm.hooks.limits import UnreadableAnswerError

    kind = type(error).__name__
    for cause in _causes(error):
        if isinstance(cause, UnreadableAnswerError):
            return f"the answer cannot be read: {cause}"
        if isinstance(cause, ssl.SSLError):
            return _tls_reason(cause)
        if isinstance(cause, socket.gaierror):
            return f"{kind}: the host's name cannot be resolved"
        if isinstance(cause, OSError) and cause.errno:
            return f"{kind}: {os.strerror(cause.errno)}"
    return kind


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and all its causes, the members of groups included."""
    left, seen = [error], set()
    while left:
        cause = left.pop()
        if id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        linked = (cause.__cause__, cause.__context__, *getattr(cause, "exceptions", ()))
        left += [other for other in linked if isinstance(other, BaseException)]


def _tls_reason(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"TLS: certificate verify failed: {error.verify_message or 'no reason given'}. The connection's extra"
            " 'verify' takes the path of a CA bundle that knows the certificate's issuer"
        )
    return f"TLS: {(error.reason or 'handshake failed').replace('_', ' ').lower()}. Is the port the one of https?"


def build_request(gateway: Gateway, call: Call[Any]) -> Request:
    """Return the HTTP request of a call.

    :raises ItsmInvalidRequestError: its body is not JSON.
    """
    body, headers = None, gateway.headers()
    if call.body is not None:
        try:
            body = json.dumps(call.body, allow_nan=False).encode()
        except (TypeError, ValueError, RecursionError) as error:
            raise ItsmInvalidRequestError(
                f"{call.path.rstrip('/')}: what was given is not JSON ({type(error).__name__}); nothing was sent"
            ) from None
        headers["Content-Type"] = "application/json"
    if call.file is not None:
        body, headers["Content-Type"] = _form_of_file(*call.file)
    return Request(method=call.method, url=gateway.url(call), params=call.params, headers=headers, body=body)


def _form_of_file(field: str, name: str, content: bytes) -> tuple[bytes, str]:
    """Return a multipart form that holds one file, and its content type."""
    boundary = hashlib.sha256(content).hexdigest()
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"; filename="{name}"\r\n'
    start = f"{head}Content-Type: application/octet-stream\r\n\r\n".encode()
    return start + content + f"\r\n--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


def build_reply(
    status_code: int, headers: Mapping[str, str], body: bytes, *, gateway: Gateway | None = None
) -> Reply:
    """Return the answer of a gateway. The names of headers may be in upper or lower case."""
    given = _lowered(headers)
    return Reply(
        status_code=status_code,
        content_type=given.get("content-type"),
        body=body,
        request_id=given.get("x-bkapi-request-id"),
        retry_after=requested_pause(given, datetime.now(UTC)),
        gateway=gateway,
    )


def requested_pause(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return the pause that an answer requests, in seconds from ``now``; None without a valid one.

    ``Retry-After`` is a number of seconds or an HTTP date; ``X-Bkapi-RateLimit-Reset`` a number.
    """
    given = _lowered(headers)
    named = (given.get("retry-after"), given.get("x-bkapi-ratelimit-reset"))
    pauses = (_seconds(text, now) for text in named if text)
    return next((min(pause, LONGEST_PAUSE) for pause in pauses if pause is not None), None)


def _lowered(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _seconds(text: str, now: datetime) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return _until(text, now)
    return value if value >= 0 and math.isfinite(value) else None


def _until(text: str, now: datetime) -> float | None:
    try:
        moment = parsedate_to_datetime(text)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    return max((moment.replace(tzinfo=moment.tzinfo or UTC) - now).total_seconds(), 0.0)


_SYNC_POOL = {"max_connections": 100, "max_keepalive_connections": 20, "keepalive_expiry": 5.0}


class SyncTransport:
    """Pools of connections for one gateway, opened by the first call."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self._pools: dict[Route, tuple[Stamp, httpcore.ConnectionPool]] = {}

    def send(self, call: Call[Any]) -> Reply:
        """Send a call; a read whose connection was cut is sent a second time.

        :raises NoAnswerError: nothing came back.
        """
        request = build_request(self.gateway, call)
        try:
            return self._once(request)
        except NoAnswerError as error:
            if not error.may_be_resent(call):
                raise
        return self._once(request)

    def _once(self, request: Request) -> Reply:
        try:
            sent = _exchange(self.gateway, request)
            sent["extensions"] = {"timeout": sent.pop("timeouts")}
            with self._pool(request).stream(**sent) as answer:
                headers, body = _begun(answer.headers)
                for piece in answer.iter_stream():
                    body.add(piece)
                content = body.whole()
        except _failures() as error:
            raise _no_answer(self.gateway, error) from None
        return build_reply(answer.status, headers, content, gateway=self.gateway)

    def _pool(self, request: Request) -> httpcore.ConnectionPool:
        import httpcore

        from airflow_provider_bkitsm.hooks.limits import TimedBackend

        route = find_route(self.gateway, request.url, os.environ)
        stamp, before = files_stamp(route, self.gateway.client_cert), self._pools.get(route)
        if before is not None and before[0] == stamp:
            return before[1]
        options = _pool_options(self.gateway, route) | _SYNC_POOL
        pool = httpcore.ConnectionPool(network_backend=TimedBackend(), **options)
        self._pools[route] = stamp, pool
        if before is not None:
            before[1].close()
        return pool

    def close(self) -> None:
        """Close all connections; the next call opens new ones."""
        pools, self._pools = self._pools, {}
        for _, pool in pools.values():
            pool.close()


class AsyncTransport:
    """Pools of connections for one gateway, opened by the first call and bound to its event loop."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self._routes: dict[tuple[str, str], Route] = {}
        self._pools: dict[tuple[str, str], tuple[Stamp, LoopConnections]] = {}

    async def send(self, call: Call[Any]) -> Reply:
        """Send a call; a read whose connection was cut is sent a second time.

        :raises NoAnswerError: nothing came back.
        """
        request = build_request(self.gateway, call)
        try:
            return await self._once(request)
        except NoAnswerError as error:
            if not error.may_be_resent(call):
                raise
        return await self._once(request)

    async def _once(self, request: Request) -> Reply:
        from airflow_provider_bkitsm.hooks.loop_connections import Sending

        try:
            async with asyncio.timeout(sum(self.gateway.timeouts)):
                to_send = Sending(**_exchange(self.gateway, request), begun=_begun)
                status, headers, content = await (await self._pool(request)).exchange(to_send)
        except _failures() as error:
            raise _no_answer(self.gateway, error) from None
        return build_reply(status, headers, content, gateway=self.gateway)

    async def _pool(self, request: Request) -> LoopConnections:
        """Return the connections to a server. Those that its earlier certificates opened are closed."""
        from airflow_provider_bkitsm.hooks.loop_connections import LoopConnections

        server = urlsplit(request.url)[:2]
        route = self._routes.get(server)
        if route is None:
            route = self._routes[server] = find_route(self.gateway, request.url, os.environ)
        stamp, before = files_stamp(route, self.gateway.client_cert), self._pools.get(server)
        if before is not None and before[0] == stamp:
            return before[1]
        pool = LoopConnections(**_pool_options(self.gateway, route))
        self._pools[server] = stamp, pool
        if before is not None:
            await before[1].close()
        return pool

    async def close(self) -> None:
        """Close all connections; the next call opens new ones."""
        pools, self._pools = self._pools, {}
        for _, pool in pools.values():
            await pool.close()


def _exchange(gateway: Gateway, request: Request) -> dict[str, Any]:
    """Return what is sent for a request, and the timeouts of its steps. Its time begins now."""
    from airflow_provider_bkitsm.hooks.limits import OFFERED, step_timeouts

    url, host = _address(request)
    fixed = {"Host": host, "Accept-Encoding": OFFERED}
    if request.body is not None:
        fixed["Content-Length"] = str(len(request.body))
    named = {name.lower(): (name, text) for name, text in {**_AGENT, **request.headers, **fixed}.items()}
    return {
        "method": request.method,
        "url": url,
        "headers": [(name.encode("ascii"), text.encode("ascii")) for name, text in named.values()],
        "content": request.body,
        "timeouts": step_timeouts(*gateway.timeouts),
    }


def _address(request: Request) -> tuple[httpcore.URL, str]:
    """Return a request's URL in ASCII, and its header ``Host``."""
    import httpcore

    parts, path, shown = _server(request.url)
    query = f"?{urlencode(request.params)}" if request.params else ""
    return httpcore.URL(**parts, target=path + query), shown


@lru_cache(maxsize=1_000)
def _server(address: str) -> tuple[dict[str, Any], str, str]:
    """Return scheme, host and port of an address, its path, all in ASCII, and the header ``Host``."""
    url = urlsplit(address)
    host = ascii_host(url.hostname or "")
    bracketed = f"[{host}]" if ":" in host else host
    parts = {"scheme": url.scheme, "host": host, "port": url.port}
    path = quote(url.path or "/", safe=_SAFE_IN_PATHS)
    return parts, path, f"{bracketed}:{url.port}" if url.port else bracketed


def _begun(given: Sequence[tuple[bytes, bytes]]) -> tuple[dict[str, str], Body]:
    """Return the headers of an answer, and its body that is still to come."""
    from airflow_provider_bkitsm.hooks.limits import Body

    headers: dict[str, str] = {}
    for name, text in given:
        key, value = name.decode("latin-1").lower(), text.decode("latin-1")
        headers[key] = f"{headers[key]}, {value}" if key in headers else value
    return headers, Body(headers)


def _failures() -> tuple[type[Exception], ...]:
    import httpcore

    from airflow_provider_bkitsm.hooks.limits import UnreadableAnswerError

    of_httpcore = httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError, httpcore.ProxyError
    return *of_httpcore, httpcore.UnsupportedProtocol, UnreadableAnswerError, OSError, ValueError


def _no_answer(gateway: Gateway, error: Exception) -> NoAnswerError:
    import httpcore

    from airflow_provider_bkitsm.hooks.limits import UnreadableAnswerError

    if isinstance(error, TimeoutError):
        error = httpcore.ReadTimeout()
    unsent = httpcore.ConnectError | httpcore.ConnectTimeout | httpcore.PoolTimeout | httpcore.ProxyError
    unusable = httpcore.UnsupportedProtocol | httpcore.LocalProtocolError | ValueError
    cut = httpcore.RemoteProtocolError | httpcore.ReadError | httpcore.WriteError
    sent = not isinstance(error, unsent | unusable)
    too_large = isinstance(error, UnreadableAnswerError) and error.too_large
    late = sent and (too_large or isinstance(error, httpcore.TimeoutException))
    return NoAnswerError(gateway, error, sent=sent, dropped=isinstance(error, cut), late=late)


def _pool_options(gateway: Gateway, route: Route) -> dict[str, Any]:
    return {
        "ssl_context": tls_context(gateway, route, gateway.client_cert) if route.tls else None,
        "proxy": _proxy(gateway, route, route.proxy) if route.proxy else None,
    }


def _proxy(gateway: Gateway, route: Route, proxy: Proxy) -> httpcore.Proxy:
    """Return a proxy. The client certificate is for the gateway alone."""
    import httpcore

    context = tls_context(gateway, route, None) if proxy.url.startswith("https:") else None
    return httpcore.Proxy(proxy.url, auth=proxy.auth, ssl_context=context)
