# SPDX-License-Identifier: Apache-2.0
"""The HTTP route of the callback. Without Airflow's authentication: the callback's signature counts."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from starlette.background import BackgroundTask
from starlette.requests import ClientDisconnect

from airflow_provider_bkitsm.callback.messages import SIZE_LIMIT, answer
from airflow_provider_bkitsm.callback.receiver import CallbackRequest, MetadataPort, Receiver
from airflow_provider_bkitsm.callback.signature import HEADER, QUERY, ROUTE
from airflow_provider_bkitsm.telemetry import called_back

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

# An id may hold slashes. The address has them escaped, and the server, or a proxy, has undone that by now.
_ROUTE = ROUTE.replace("{conn_id}", "{conn_id:path}")
_BODY_SECONDS = 5.0
# How long a server that stops waits for the check of a callback that it has answered.
_CHECK_SECONDS = 30.0
# Threads and database connections belong to Airflow's API server: a flood of callbacks gets no more than these.
THREADS = 4


def create_app(metadata: MetadataPort, **timing: Any) -> FastAPI:
    """Return the app with the callback route, without FastAPI's own documentation pages.

    :param timing: ``rest`` and ``retries`` of the receiver.
    """
    app = FastAPI(title="BlueKing ITSM", docs_url=None, redoc_url=None, openapi_url=None)
    receiver = Receiver(metadata=metadata, run=_in_thread, count=called_back, **timing)

    async def callback(request: Request) -> Response:
        received = CallbackRequest(
            conn_id=request.path_params["conn_id"],
            tag=request.path_params["tag"],
            expires=request.path_params["expires"],
            signature=request.headers.get(HEADER) or request.query_params.get(QUERY, ""),
            body=await _body(request),
        )
        reception = await receiver.receive(received)
        status, content = answer(reception.result)
        behind = BackgroundTask(_wait_for, reception.check) if reception.check is not None else None
        return JSONResponse(content, status, background=behind)

    # Starlette's own route: what FastAPI does for each request takes longer than all of this.
    app.add_route(_ROUTE, callback, methods=["POST"])
    return app


async def _wait_for(check: asyncio.Future[Any]) -> None:
    """Let the server count a request as unfinished until its ticket was checked once.

    A server that is told to stop finishes its requests first, so a callback that was answered is not dropped.
    """
    await asyncio.wait({check}, timeout=_CHECK_SECONDS)


async def _body(request: Request) -> bytes:
    """Read the body; of a body that is too long, only as much as shows that."""
    body = b""
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > SIZE_LIMIT:
                    break
    except (TimeoutError, ClientDisconnect):
        return b""
    return body


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(THREADS, thread_name_prefix="bkitsm-callback")


async def _in_thread(blocking: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(_threads(), blocking)
