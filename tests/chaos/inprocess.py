# SPDX-License-Identifier: Apache-2.0
"""The sandbox without a network: its application called directly, one request after the other."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, cast
from urllib.parse import unquote, urlencode, urlsplit

from airflow.sdk import Connection

from airflow_provider_bkitsm.hooks import transport
from airflow_provider_bkitsm.hooks.connection import Gateway, read_gateway
from airflow_provider_bkitsm.hooks.transport import Reply, Request
from airflow_provider_bkitsm.sandbox.itsm.tickets import Ticket
from airflow_provider_bkitsm.sandbox.server import create_app
from airflow_provider_bkitsm.sandbox.settings import BKLOG_ROOT, ITSM_ROOT, Settings
from airflow_provider_bkitsm.sandbox.world import World

_HOST = "http://127.0.0.1"
# Enough for a new ticket to reach its first step, and for an answer to have its effect.
_TURNS = 6


class InProcessSandbox:
    """A sandbox in this thread. Its tickets move at once.

    :param clock: seconds since the epoch.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._loop = asyncio.new_event_loop()
        self._app = create_app(Settings(start_delay=0.0))
        layers = [one.kwargs for one in self._app.user_middleware]
        self.world = cast("World", next(given["world"] for given in layers if "world" in given))
        self.world.clock = clock

    def close(self) -> None:
        """Forget everything."""
        self._loop.run_until_complete(self.world.close())
        self._loop.close()

    @property
    def tickets(self) -> list[Ticket]:
        """All tickets, oldest first: the sandbox's own record."""
        return list(self.world.tickets.values())

    def send(self, request: Request) -> Reply:
        """Answer a request; what it sets in motion has happened when this returns."""
        return self._loop.run_until_complete(self._answer(request))

    async def _answer(self, request: Request) -> Reply:
        sent: list[dict[str, Any]] = []
        body = [{"type": "http.request", "body": request.body or b"", "more_body": False}]

        async def receive() -> dict[str, Any]:
            return body.pop() if body else {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await cast("Any", self._app)(_scope(request), receive, send)
        for _ in range(_TURNS):
            await asyncio.sleep(0)
        headers = {name.decode().title(): value.decode() for name, value in sent[0]["headers"]}
        return transport.build_reply(
            sent[0]["status"], headers, b"".join(one.get("body", b"") for one in sent[1:])
        )


def gateway(kind: str, *, root: str | None = None, **extra: Any) -> Gateway:
    """Return the gateway of a ``bkitsm`` or ``bklog`` connection.

    :param root: None for the sandbox in this process.
    """
    known = _HOST + (ITSM_ROOT if kind == "bkitsm" else BKLOG_ROOT)
    connection = Connection(
        conn_id=f"{kind}_default",
        conn_type=kind,
        host=root or known,
        login=Settings.app_code,
        password=Settings.app_secret,
        extra=json.dumps({"read_retries": 0, **extra}),
    )
    return read_gateway(connection)


def _scope(request: Request) -> dict[str, Any]:
    path = urlsplit(request.url).path
    headers = [(name.lower().encode(), value.encode()) for name, value in request.headers.items()]
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": "http",
        "path": unquote(path),
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": urlencode(request.params or {}).encode(),
        "headers": [*headers, (b"host", b"127.0.0.1")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
