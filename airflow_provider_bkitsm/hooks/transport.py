# SPDX-License-Identifier: Apache-2.0
"""Sending one call over the gateway and bringing back the raw reply: all that sync and async do differently.

Redirects are never followed: ITSM answers a POST without trailing slash with a 301, which would turn it into
a GET.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from airflow_provider_bkitsm.hooks import exchange
from airflow_provider_bkitsm.hooks.connection import Gateway
from airflow_provider_bkitsm.hooks.exchange import NoAnswerError, Reply, Request
from airflow_provider_bkitsm.itsm.protocol import Call

if TYPE_CHECKING:
    import ssl

    import httpx
    import requests


class SyncTransport:
    """One ``requests`` session, opened by the first call."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self._session: requests.Session | None = None

    def send(self, call: Call[Any]) -> Reply:
        """Send a call; a read whose connection was cut is sent a second time.

        :raises NoAnswerError: nothing came back.
        """
        request = exchange.write(self.gateway, call)
        try:
            return self._once(request)
        except NoAnswerError as error:
            if not error.calls_for_another(call):
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
                # Given with each request: a session's False would lose against REQUESTS_CA_BUNDLE.
                verify=self.gateway.verify,
                allow_redirects=False,
            )
        except (requests.RequestException, ValueError) as error:
            sent = not _never_sent(error)
            cut = requests.ConnectionError | requests.exceptions.ChunkedEncodingError
            dropped, late = sent and isinstance(error, cut), sent and isinstance(error, requests.Timeout)
            raise NoAnswerError(self.gateway, error, sent=sent, dropped=dropped, late=late) from None
        return exchange.read(answer.status_code, answer.headers, answer.content, gateway=self.gateway)

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

    # Of requests' own errors, those that are also a ValueError are about the address or the headers.
    if isinstance(error, requests.ConnectTimeout | ValueError):
        return True
    # A certificate that is not trusted ends the handshake, before anything is sent.
    if any(isinstance(one, ssl.SSLCertVerificationError) for one in exchange.causes(error)):
        return True
    cause = error.args[0] if error.args else None
    return isinstance(cause, MaxRetryError) and isinstance(cause.reason, NewConnectionError)


class AsyncTransport:
    """One ``httpx`` client, opened by the first call and bound to its event loop."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self._client: httpx.AsyncClient | None = None

    async def send(self, call: Call[Any]) -> Reply:
        """Send a call; a read whose connection was cut is sent a second time.

        :raises NoAnswerError: nothing came back.
        """
        request = exchange.write(self.gateway, call)
        try:
            return await self._once(request)
        except NoAnswerError as error:
            if not error.calls_for_another(call):
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
        return exchange.read(answer.status_code, answer.headers, answer.content, gateway=self.gateway)

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
    """Build a context once: it takes tens of milliseconds, in which nothing else in a triggerer moves."""
    import ssl

    context = ssl.create_default_context(cafile=verify if isinstance(verify, str) else None)
    if verify is False:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if client_cert:
        context.load_cert_chain(*client_cert)
    return context
