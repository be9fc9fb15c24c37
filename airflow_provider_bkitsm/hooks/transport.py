# SPDX-License-Identifier: Apache-2.0
"""One HTTP request and its answer, limited in size and time: with ``requests`` and with ``httpx``."""

from __future__ import annotations

import hashlib
import json
import math
import os
import socket
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from airflow_provider_bkitsm.hooks.connection import Gateway
from airflow_provider_bkitsm.itsm.errors import ItsmInvalidRequestError
from airflow_provider_bkitsm.itsm.protocol import Call

if TYPE_CHECKING:
    import httpx
    import requests

# A longer requested pause is cut to this: a gateway's pauses are seconds or minutes.
LONGEST_PAUSE = 3600.0


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
    time. The error's own text is left out, since it may hold a proxy's credentials. The reasons that the operating
    system or TLS gives are named.
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
    kind = type(error).__name__
    for cause in causes(error):
        if isinstance(cause, ssl.SSLError):
            return _tls_reason(cause)
        if isinstance(cause, socket.gaierror):
            return f"{kind}: the host's name cannot be resolved"
        if isinstance(cause, OSError) and cause.errno:
            return f"{kind}: {os.strerror(cause.errno)}"
    return kind


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and all its causes, those that requests and urllib3 keep in their arguments included."""
    left, seen = [error], set()
    while left:
        cause = left.pop()
        if id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        linked = (cause.__cause__, cause.__context__, getattr(cause, "reason", None), *cause.args)
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
    """Return the answer of a gateway. ``headers`` has to ignore upper and lower case."""
    return Reply(
        status_code=status_code,
        content_type=headers.get("Content-Type"),
        body=body,
        request_id=headers.get("X-Bkapi-Request-Id"),
        retry_after=requested_pause(headers, datetime.now(UTC)),
        gateway=gateway,
    )


def requested_pause(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return the pause that an answer requests, in seconds from ``now``; None without a valid one.

    ``Retry-After`` is a number of seconds or an HTTP date; ``X-Bkapi-RateLimit-Reset`` a number.
    """
    named = (headers.get("Retry-After"), headers.get("X-Bkapi-RateLimit-Reset"))
    pauses = (_seconds(text, now) for text in named if text)
    return next((min(pause, LONGEST_PAUSE) for pause in pauses if pause is not None), None)


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


class SyncTransport:
    """One ``requests`` session, opened by the first call."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self._session: requests.Session | None = None

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
        import requests

        if self._session is None:
            self._session = self._open()
        try:
            answer = self._session.request(
                request.method,
                request.url,
                params=request.params,
                data=request.body,
                headers=request.headers,
                timeout=self.gateway.timeouts,
                # Set on each request: REQUESTS_CA_BUNDLE overrides a session's False.
                verify=self.gateway.verify,
                allow_redirects=False,
            )
        except (requests.RequestException, ValueError) as error:
            sent = not _never_sent(error)
            cut = requests.ConnectionError | requests.exceptions.ChunkedEncodingError
            dropped, late = sent and isinstance(error, cut), sent and isinstance(error, requests.Timeout)
            raise NoAnswerError(self.gateway, error, sent=sent, dropped=dropped, late=late) from None
        return build_reply(answer.status_code, answer.headers, answer.content, gateway=self.gateway)

    def _open(self) -> requests.Session:
        import requests

        session, gateway = requests.Session(), self.gateway
        session.cert = gateway.client_cert
        if gateway.proxy:
            session.proxies = {"http": gateway.proxy, "https": gateway.proxy}
        return session

    def close(self) -> None:
        """Close the session; the next call opens a new one."""
        if self._session is not None:
            self._session.close()
            self._session = None


def _never_sent(error: Exception) -> bool:
    import ssl

    import requests
    from urllib3.exceptions import MaxRetryError, NewConnectionError

    # Errors of requests that are also a ValueError are about the address or the headers.
    if isinstance(error, requests.ConnectTimeout | ValueError):
        return True
    # An untrusted certificate ends the handshake before anything is sent.
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes(error)):
        return True
    first = error.args[0] if error.args else None
    return isinstance(first, MaxRetryError) and isinstance(first.reason, NewConnectionError)


class AsyncTransport:
    """One ``httpx`` client, opened by the first call and bound to its event loop."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self._client: httpx.AsyncClient | None = None

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
        import httpx

        if self._client is None:
            self._client = self._open()
        try:
            answer = await self._client.request(
                request.method,
                request.url,
                params=request.params,
                content=request.body,
                headers=request.headers,
            )
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            unsent = httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout | httpx.UnsupportedProtocol
            sent = not isinstance(error, unsent | httpx.InvalidURL | ValueError)
            cut = httpx.RemoteProtocolError | httpx.ReadError | httpx.WriteError
            dropped, late = isinstance(error, cut), sent and isinstance(error, httpx.TimeoutException)
            raise NoAnswerError(self.gateway, error, sent=sent, dropped=dropped, late=late) from None
        return build_reply(answer.status_code, answer.headers, answer.content, gateway=self.gateway)

    def _open(self) -> httpx.AsyncClient:
        import httpx

        gateway = self.gateway
        connect, read = gateway.timeouts
        return httpx.AsyncClient(
            verify=_tls_context(gateway.verify, gateway.client_cert),
            proxy=gateway.proxy,
            timeout=httpx.Timeout(read, connect=connect),
            follow_redirects=False,
        )

    async def close(self) -> None:
        """Close the client; the next call opens a new one."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()


@cache
def _tls_context(verify: bool | str, client_cert: tuple[str, str] | None) -> ssl.SSLContext:
    """Return a cached context: building it takes tens of milliseconds, and blocks a triggerer's event loop."""
    import ssl

    context = ssl.create_default_context(cafile=verify if isinstance(verify, str) else None)
    if verify is False:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if client_cert:
        context.load_cert_chain(*client_cert)
    return context
