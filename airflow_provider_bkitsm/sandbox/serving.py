# SPDX-License-Identifier: Apache-2.0
"""Serving the application with uvicorn, in a way that a fault can reach the connection."""

from __future__ import annotations

import asyncio
import socket
from typing import Any, cast

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from airflow_provider_bkitsm.sandbox.misbehave import TRANSPORT


def listening_socket(host: str, port: int) -> socket.socket:
    """Return a bound socket; port 0 takes a free one.

    :raises OSError: the port is taken, or is not ours.
    """
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError:
        bound.close()
        raise
    return bound


def server_of(app: ASGIApp) -> uvicorn.Server:
    """Return a server, not yet running."""
    return uvicorn.Server(
        uvicorn.Config(
            app,
            http=cast("type[asyncio.Protocol]", _protocol),
            ws="none",
            log_level="warning",
            timeout_graceful_shutdown=1,
        )
    )


def _protocol(**options: Any) -> asyncio.Protocol:
    """Make one connection's protocol, which tells the application what it is served over."""
    made: Any = AutoHTTPProtocol(**options)
    served: ASGIApp = made.app

    async def told(scope: Scope, receive: Receive, send: Send) -> None:
        scope[TRANSPORT] = made.transport
        await served(scope, receive, send)

    made.app = told
    return cast("asyncio.Protocol", made)
