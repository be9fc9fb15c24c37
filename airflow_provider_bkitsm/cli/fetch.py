# SPDX-License-Identifier: Apache-2.0
"""One request of ``check`` without credentials, and its answer."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

from airflow_provider_bkitsm.hooks.connection import Gateway
from airflow_provider_bkitsm.hooks.route import find_route, tls_context
from airflow_provider_bkitsm.hooks.transport import reason_of
from airflow_provider_bkitsm.itsm.errors import ItsmConfigurationError
from airflow_provider_bkitsm.translation import Text

CONNECT_SECONDS, READ_SECONDS = 5.0, 10.0
"""How long whoever is asked has to accept a connection, and to answer."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """An HTTP answer of whoever answers at an address; names of headers in lower case."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    def describe(self) -> Text:
        """Return status and type of the content."""
        kind = self.headers.get("content-type", "").partition(";")[0]
        if not kind:
            return Text("HTTP {status} with no type", status=self.status)
        return Text("HTTP {status} with {kind}", status=self.status, kind=kind)


def fetch(
    gateway: Gateway, url: str, *, body: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None
) -> Answer:
    """Send a request without credentials over the route that this process takes to a URL.

    :param body: posted as JSON; None sends a GET.
    :raises OSError: nobody answered; its text holds no secret.
    """
    import httpx

    route = find_route(gateway, url, os.environ)
    context: Any = tls_context(gateway, route, gateway.client_cert) if route.tls else False
    proxy = httpx.Proxy(route.proxy.url, auth=_texts(route.proxy.auth)) if route.proxy else None
    seconds = httpx.Timeout(gateway.timeouts[1], connect=gateway.timeouts[0])
    try:
        with httpx.Client(verify=context, proxy=proxy, timeout=seconds, trust_env=False) as client:
            got = client.request("GET" if body is None else "POST", url, json=body, headers=headers)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise OSError(reason_of(error)) from None
    return Answer(status=got.status_code, headers={k.lower(): v for k, v in got.headers.items()}, body=got.content)


def other_scheme(gateway: Gateway, url: str) -> str | None:
    """Return an address with the other of http and https, where only that is spoken there; else None.

    Many a server answers http on its TLS port with an error, so TLS is tried for both. Nothing secret is sent:
    whose certificate it is does not matter.
    """
    parts = urlsplit(url)
    over_tls, in_clear = (parts._replace(scheme=one).geturl() for one in ("https", "http"))
    if _answers(replace(gateway, verify=False, client_cert=None), over_tls):
        return over_tls if parts.scheme == "http" else None
    return in_clear if parts.scheme == "https" and _answers(gateway, in_clear) else None


def _answers(gateway: Gateway, url: str) -> bool:
    try:
        fetch(gateway, url)
    except (OSError, ItsmConfigurationError):
        return False
    return True


def _texts(auth: tuple[bytes, bytes] | None) -> tuple[str, str] | None:
    return (auth[0].decode(), auth[1].decode()) if auth else None
