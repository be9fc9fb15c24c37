# SPDX-License-Identifier: Apache-2.0
"""Who may talk to the sandbox: programs, and its own pages; no page of another site in a developer's browser."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

_REFUSED = "Sent from another site, or to another name than the sandbox's. --public-url gives it its name.\n"


class SameOriginMiddleware:
    """ASGI middleware that refuses the names and origins of others.

    A site whose name resolves to this machine sends its own name as ``Host``; other sites' pages send their own
    ``Origin``. An address in numbers is nobody else's name.

    :param host: the name under which the sandbox is public.
    """

    def __init__(self, app: ASGIApp, *, host: str) -> None:
        self._app = app
        self._names = frozenset({"localhost", host.lower()})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or refuse it."""
        if scope["type"] == "http" and not self._is_own(Headers(scope=scope)):
            await PlainTextResponse(_REFUSED, 403)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _is_own(self, headers: Headers) -> bool:
        host, origins = headers.get("host", ""), headers.getlist("origin")
        return self._is_ours(host) and all(_netloc(origin) == host.lower() for origin in origins)

    def _is_ours(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
            return name in self._names or bool(ip_address(name))
        except ValueError:
            return False


def _netloc(origin: str) -> str:
    """Return host and port of an http(s) origin; empty for any other one."""
    scheme, _, rest = origin.lower().partition("://")
    return rest if scheme in ("http", "https") else ""
