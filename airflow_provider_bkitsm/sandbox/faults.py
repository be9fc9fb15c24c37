"""Faults on demand: the one place where a sandbox misbehaves, in front of every platform route."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any, Literal

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from airflow_provider_bkitsm.sandbox.bklog_api import refused
from airflow_provider_bkitsm.sandbox.gateway import crashed, gateway_answer
from airflow_provider_bkitsm.sandbox.world import LoggedRequest, World

Kind = Literal["html", "status", "drop_answer", "delay", "refuse", "etl_refuse"]

TRANSPORT = "airflow_provider_bkitsm.sandbox.transport"
"""Key of the connection in a request's scope; see ``serving``."""

_PLATFORMS = "/api/"
_ETL_PATH = "update_or_create_clean_config/"
_CONNECTION_LOST = "http.disconnect"
_NAMES = {
    400: (1640001, "INVALID_ARGS"),
    403: (1640301, "APP_NO_PERMISSION"),
    404: (1640401, "API_NOT_FOUND"),
    429: (1642902, "RATE_LIMIT_RESTRICTION"),
    502: (1650200, "BAD_GATEWAY"),
    504: (1650401, "REQUEST_BACKEND_TIMEOUT"),
}


@dataclass(kw_only=True)
class Fault:
    """A fault of the next ``times`` requests whose path contains ``path``.

    ``html``: the crash page with HTTP 200, nothing done. ``status``: that HTTP status as the gateway answers
    it, with ``Retry-After`` if given, nothing done. ``refuse``: an envelope with that ``code``, nothing done;
    ``etl_refuse``: the same for clean configurations only. ``drop_answer``: the work is done, then the
    connection is cut. ``delay``: so many ``seconds`` before the work.
    """

    path: str
    kind: Kind
    times: int = 1
    status: int = 502
    code: int | str = 3900004
    seconds: float = 1.0
    retry_after: int | None = None

    def strikes(self, path: str) -> bool:
        """Whether it is this request's turn to fail."""
        etl = self.kind != "etl_refuse" or path.endswith(_ETL_PATH)
        return self.times > 0 and self.path in path and etl


@dataclass(kw_only=True)
class Faults:
    """The faults that are still to come, in the order they were asked for."""

    pending: list[Fault] = field(default_factory=list)

    def take(self, path: str) -> Fault | None:
        """Return the fault of a request, if one is due, and use it up."""
        fault = next((one for one in self.pending if one.strikes(path)), None)
        if fault is not None:
            fault.times -= 1
            self.pending = [one for one in self.pending if one.times > 0]
        return fault


class Misbehave:
    """Middleware that records the platforms' requests and applies faults to them."""

    def __init__(self, app: ASGIApp, *, world: World, faults: Faults) -> None:
        self.app = app
        self.world = world
        self.faults = faults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or not."""
        if scope["type"] != "http" or not scope["path"].startswith(_PLATFORMS):
            await self.app(scope, receive, send)
            return
        body = await _whole_body(receive)
        self.world.log_request(_logged(scope, body))
        fault = self.faults.take(scope["path"])
        if fault is None:
            await self.app(scope, _replay(body, receive), send)
        elif fault.kind == "delay":
            await asyncio.sleep(fault.seconds)
            await self.app(scope, _replay(body, receive), send)
        elif fault.kind == "drop_answer":
            await self.app(scope, _replay(body, receive), _nowhere)
            await _cut(scope, receive)
        else:
            await _instead(fault)(scope, receive, send)


def _instead(fault: Fault) -> ASGIApp:
    """Return the answer given instead of the work."""
    if fault.kind == "html":
        return crashed()
    if fault.kind == "status":
        code, name = _NAMES.get(fault.status, (fault.status * 1000, "ERROR"))
        headers = {"Retry-After": str(fault.retry_after)} if fault.retry_after is not None else {}
        return gateway_answer(fault.status, code, name, "sandbox fault", headers)
    # An int code is ITSM's, a text the log platform's (and of ITSM's unwrapped endpoints).
    return refused(fault.code, "sandbox fault")


def _logged(scope: Scope, body: bytes) -> LoggedRequest:
    try:
        said: Any = json.loads(body) if body else None
    except ValueError:
        said = body.decode("utf-8", "replace")
    query = scope["query_string"].decode("latin-1")
    return LoggedRequest(method=scope["method"], path=scope["path"], query=query, body=said)


async def _cut(scope: Scope, receive: Receive) -> None:
    scope[TRANSPORT].abort()
    while (await receive())["type"] != _CONNECTION_LOST:
        pass


async def _whole_body(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


def _replay(body: bytes, receive: Receive) -> Receive:
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return messages.pop() if messages else await receive()

    return again


async def _nowhere(_message: Message) -> None:
    """Swallow an answer."""
