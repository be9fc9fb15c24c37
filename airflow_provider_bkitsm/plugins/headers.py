# SPDX-License-Identifier: Apache-2.0
"""The headers that every answer carries, whatever became of the request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.datastructures import MutableHeaders

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_POLICY_NAME = "Content-Security-Policy"
# Only what comes from this very server is run, shown or asked; only Airflow's own pages may frame it.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
_HEADERS = {
    _POLICY_NAME: _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def framing(origin: str) -> dict[str, str]:
    """Return the headers of a page that may show another origin's pages in a frame; none for no origin."""
    return {_POLICY_NAME: f"{_POLICY}; frame-src {origin}"} if origin else {}


class Secured:
    """Adds them to what an app answers; a header the app set itself stays."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""

        async def send_secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_secured)
