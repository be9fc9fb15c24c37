# SPDX-License-Identifier: Apache-2.0
"""The middleware in front of every platform route: records each request, and applies the faults asked for."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from airflow_provider_bkitsm.sandbox.bklog.api import refused
from airflow_provider_bkitsm.sandbox.faults import Fault
from airflow_provider_bkitsm.sandbox.gateway import crashed, gateway_answer, proxy_page
from airflow_provider_bkitsm.sandbox.itsm.entrances import NO_ANSWER, esb_answer
from airflow_provider_bkitsm.sandbox.itsm_v4.entrance import REFUSED
from airflow_provider_bkitsm.sandbox.itsm_v4.entrance import refused as refused_v4
from airflow_provider_bkitsm.sandbox.settings import ESB_ROOT, ITSM_V4_ROOT, ITSM_V4_TE_ROOT, SAAS_ROOT
from airflow_provider_bkitsm.sandbox.world import LoggedRequest, World

TRANSPORT = "airflow_provider_bkitsm.sandbox.transport"
"""Key of the connection in a request's scope; see ``server``."""

_PLATFORMS = ("/api/", f"{SAAS_ROOT}/")
_CONNECTION_LOST = "http.disconnect"
_NAMES = {
    400: (1640001, "INVALID_ARGS"),
    403: (1640301, "APP_NO_PERMISSION"),
    404: (1640401, "API_NOT_FOUND"),
    413: (1641301, "BODY_TOO_LARGE"),
    414: (1641401, "URI_TOO_LARGE"),
    429: (1642902, "RATE_LIMIT_RESTRICTION"),
    502: (1650200, "BAD_GATEWAY"),
    504: (1650401, "REQUEST_BACKEND_TIMEOUT"),
    508: (1650801, "RECURSIVE_REQUEST_DETECTED"),
}


class FaultMiddleware:
    """Middleware that records the platforms' requests and applies faults to them.

    Requests to the control API and to the pages pass unrecorded and without a fault.
    """

    def __init__(self, app: ASGIApp, *, world: World) -> None:
        self.app = app
        self.world = world

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward a request, at once or late, cut its connection, or answer with the fault instead."""
        if scope["type"] != "http" or not scope["path"].startswith(_PLATFORMS):
            await self.app(scope, receive, send)
            return
        body = await _whole_body(receive)
        self.world.log_request(_logged(scope, body))
        fault = self.world.faults.take(scope["path"])
        if fault is None:
            await self.app(scope, _replay(body, receive), send)
        elif fault.kind == "delay":
            await asyncio.sleep(fault.seconds)
            await self.app(scope, _replay(body, receive), send)
        elif fault.kind == "drop_answer":
            await self.app(scope, _replay(body, receive), _discard)
            await _cut(scope, receive)
        else:
            await _fault_answer(fault, scope["path"])(scope, receive, send)


def _fault_answer(fault: Fault, path: str) -> ASGIApp:
    """Return a fault's answer, which replaces the platform's."""
    if fault.kind == "html":
        return crashed()
    if fault.kind == "app_refused":
        return _app_refused(path)
    if fault.kind == "page":
        return proxy_page(fault.status or 502)
    if fault.kind == "status":
        return _status(fault, fault.status or 502)
    if path.startswith((ITSM_V4_ROOT, ITSM_V4_TE_ROOT)):
        return refused_v4("sandbox fault", status=fault.status or 400, code=str(fault.code or REFUSED))
    if fault.kind == "esb":
        answer = esb_answer(fault.code or NO_ANSWER, "sandbox fault")
    else:
        # An int code is ITSM's, a text the log platform's (and of ITSM's unwrapped endpoints).
        answer = refused(fault.code or 3900004, "sandbox fault")
    answer.status_code = fault.status or 200
    return answer


def _status(fault: Fault, status: int) -> ASGIApp:
    usual, name = _NAMES.get(status, (status * 1000, "ERROR"))
    headers = {"Retry-After": str(fault.retry_after)} if fault.retry_after is not None else {}
    return gateway_answer(status, fault.code or usual, name, "sandbox fault", headers)


def _app_refused(path: str) -> ASGIApp:
    message = "the application may not use this API"
    if path.startswith(ESB_ROOT):
        return esb_answer(1306403, message)
    return gateway_answer(403, 1640301, "APP_NO_PERMISSION", message)


def _logged(scope: Scope, body: bytes) -> LoggedRequest:
    try:
        content: Any = json.loads(body) if body else None
    except ValueError:
        content = body.decode("utf-8", "replace")
    query = scope["query_string"].decode("latin-1")
    return LoggedRequest(method=scope["method"], path=scope["path"], query=query, body=content)


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


async def _discard(_message: Message) -> None:
    """Discard a message of the platform's answer."""
