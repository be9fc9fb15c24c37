"""Faults on demand: the one place where a sandbox misbehaves, in front of every platform route."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Literal

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from airflow_provider_bkitsm.sandbox.gateway import crashed, refused
from airflow_provider_bkitsm.sandbox.world import LoggedRequest, World

Kind = Literal["html", "status", "drop_answer", "delay", "refuse"]


@dataclass(kw_only=True)
class Fault:
    """A fault of the next ``times`` requests whose path contains ``path``.

    ``html``: a crash page, nothing done. ``status``: that HTTP status, nothing done. ``refuse``: the envelope
    with that ``code``, nothing done. ``drop_answer``: the work is done, the answer never comes. ``delay``: so
    many ``seconds`` later.
    """

    path: str
    kind: Kind
    times: int = 1
    status: int = 502
    code: int | str = 3900004
    seconds: float = 1.0
    retry_after: str | None = None


class Misbehave:
    """Middleware that records requests and applies faults."""

    def __init__(self, app: ASGIApp, *, world: World, faults: list[Fault]) -> None:
        self.app = app
        self.world = world
        self.faults = faults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or not."""
        if scope["type"] != "http" or not scope["path"].startswith("/api/"):
            await self.app(scope, receive, send)
            return
        body = await _whole_body(receive)
        self.world.requests.append(
            LoggedRequest(method=scope["method"], path=scope["path"], body=body.decode("utf-8", "replace"))
        )
        fault = self._next(scope["path"])
        if fault is not None and fault.kind == "delay":
            await asyncio.sleep(fault.seconds)
        await self._serve(fault, scope, _replay(body, receive), send)

    def _next(self, path: str) -> Fault | None:
        for fault in self.faults:
            if fault.times > 0 and fault.path in path:
                fault.times -= 1
                return fault
        return None

    async def _serve(self, fault: Fault | None, scope: Scope, receive: Receive, send: Send) -> None:
        if fault is None or fault.kind == "delay":
            await self.app(scope, receive, send)
        elif fault.kind == "html":
            await crashed()(scope, receive, send)
        elif fault.kind == "refuse":
            await refused(fault.code, "sandbox fault")(scope, receive, send)
        elif fault.kind == "status":
            await _status(fault, send)
        else:
            await self.app(scope, receive, _nowhere)
            # A body shorter than announced makes the server cut the connection.
            headers = [(b"content-length", b"1")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": b""})


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


async def _nowhere(_message: Any) -> None:
    """Swallow an answer."""


async def _status(fault: Fault, send: Send) -> None:
    headers = [(b"content-type", b"text/html")]
    if fault.retry_after:
        headers.append((b"retry-after", fault.retry_after.encode()))
    await send({"type": "http.response.start", "status": fault.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"<html>gateway</html>"})
