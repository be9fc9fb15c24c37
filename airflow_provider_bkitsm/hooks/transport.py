"""Sending one call over the gateway and bringing back the raw reply: all that sync and async do differently.

Redirects are never followed: ITSM answers a POST without trailing slash with a 301, which would turn it into
a GET.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from airflow_provider_bkitsm.hooks.connection import Gateway
from airflow_provider_bkitsm.itsm.protocol import Call

if TYPE_CHECKING:
    import ssl

    import httpx
    import requests


@dataclass(frozen=True, kw_only=True)
class Reply:
    """A raw HTTP answer."""

    status_code: int
    content_type: str | None
    body: bytes
    request_id: str | None = None
    retry_after: float | None = None


class NoAnswerError(Exception):
    """The network gave no answer.

    ``sent`` is False only when the request surely never left. ``dropped`` says that an open connection was cut,
    as happens to a kept one that the gateway closes just when it is used again, ``timed_out`` that waiting for
    an answer took too long.
    """

    def __init__(self, message: str, *, sent: bool, dropped: bool, timed_out: bool) -> None:
        super().__init__(message)
        self.sent = sent
        self.dropped = dropped
        self.timed_out = timed_out

    def calls_for_another(self, call: Call[Any]) -> bool:
        """Whether sending the call again, on a new connection, is both safe and promising."""
        return self.dropped and not call.is_write


def _reply(status_code: int, headers: Mapping[str, str], body: bytes) -> Reply:
    return Reply(
        status_code=status_code,
        content_type=headers.get("Content-Type"),
        body=body,
        request_id=headers.get("X-Bkapi-Request-Id"),
        retry_after=_seconds(headers.get("Retry-After") or headers.get("X-Bkapi-RateLimit-Reset")),
    )


def _seconds(text: str | None) -> float | None:
    try:
        value = float(text) if text else None
    except ValueError:
        return None
    return value if value is not None and 0 <= value < float("inf") else None


class SyncTransport:
    """One ``requests`` session, opened by the first call."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self._session: requests.Session | None = None

    def send(self, call: Call[Any]) -> Reply:
        """Send a call; a read whose connection was cut is sent a second time.

        :raises NoAnswerError: nothing came back.
        """
        try:
            return self._once(call)
        except NoAnswerError as error:
            if not error.calls_for_another(call):
                raise
        return self._once(call)

    def _once(self, call: Call[Any]) -> Reply:
        import requests

        if self._session is None:
            self._session = self._open()
        try:
            answer = self._session.request(
                call.method,
                self.gateway.url(call),
                params=call.params,
                json=call.body,
                headers=self.gateway.headers(),
                timeout=self.gateway.timeouts,
                # Given with each request: a session's False would lose against REQUESTS_CA_BUNDLE.
                verify=self.gateway.verify,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            sent = not _never_sent(error)
            cut = requests.ConnectionError | requests.exceptions.ChunkedEncodingError
            dropped = sent and isinstance(error, cut)
            late = sent and isinstance(error, requests.Timeout)
            raise NoAnswerError(_why(self.gateway, error), sent=sent, dropped=dropped, timed_out=late) from None
        return _reply(answer.status_code, answer.headers, answer.content)

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


class AsyncTransport:
    """One ``httpx`` client, opened by the first call and bound to its event loop."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self._client: httpx.AsyncClient | None = None

    async def send(self, call: Call[Any]) -> Reply:
        """Send a call; a read whose connection was cut is sent a second time.

        :raises NoAnswerError: nothing came back.
        """
        try:
            return await self._once(call)
        except NoAnswerError as error:
            if not error.calls_for_another(call):
                raise
        return await self._once(call)

    async def _once(self, call: Call[Any]) -> Reply:
        import httpx

        if self._client is None:
            self._client = self._open()
        try:
            answer = await self._client.request(
                call.method,
                self.gateway.url(call),
                params=call.params,
                json=call.body,
                headers=self.gateway.headers(),
            )
        except httpx.HTTPError as error:
            sent = not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
            dropped = isinstance(error, httpx.RemoteProtocolError | httpx.ReadError | httpx.WriteError)
            late = sent and isinstance(error, httpx.TimeoutException)
            raise NoAnswerError(_why(self.gateway, error), sent=sent, dropped=dropped, timed_out=late) from None
        return _reply(answer.status_code, answer.headers, answer.content)

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
        if self._client is not None:
            await self._client.aclose()
            self._client = None


@cache
def _tls_context(verify: bool | str, client_cert: tuple[str, str] | None) -> ssl.SSLContext:
    """Build a context once: it takes tens of milliseconds, in which nothing else in a triggerer moves."""
    import ssl

    context = ssl.create_default_context(cafile=verify if isinstance(verify, str) else None)
    if verify is False:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if client_cert:
        context.load_cert_chain(*client_cert)
    return context


def _never_sent(error: requests.RequestException) -> bool:
    import requests
    from urllib3.exceptions import MaxRetryError, NewConnectionError

    if isinstance(error, requests.ConnectTimeout | requests.exceptions.InvalidURL):
        return True
    cause = error.args[0] if error.args else None
    return isinstance(cause, MaxRetryError) and isinstance(cause.reason, NewConnectionError)


def _why(gateway: Gateway, error: Exception) -> str:
    # The error's own text may hold a proxy's credentials: its kind says enough.
    return f"no answer from {gateway.root} ({type(error).__name__})"
