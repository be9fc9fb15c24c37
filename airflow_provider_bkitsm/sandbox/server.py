# SPDX-License-Identifier: Apache-2.0
"""The sandbox as an ASGI application, and as a server in a thread of this process."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Literal, Self, cast
from urllib.parse import urlsplit

from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

try:
    import jinja2  # noqa: F401 - of the pages
    import jwt  # noqa: F401 - of what a gateway attests
    import python_multipart  # noqa: F401 - FastAPI reads the pages' forms with it
    import uvicorn
    from uvicorn.protocols.http.auto import AutoHTTPProtocol
except ModuleNotFoundError as problem:
    raise ModuleNotFoundError(
        f"The sandbox needs the module {problem.name}, which is not installed. To install what it needs: "
        "pip install 'airflow-provider-bkitsm[sandbox]'",
        name=problem.name,
    ) from None

from airflow_provider_bkitsm.sandbox import cmsi, control_api
from airflow_provider_bkitsm.sandbox.bklog import api as bklog_api
from airflow_provider_bkitsm.sandbox.control import SandboxControl, wait_until
from airflow_provider_bkitsm.sandbox.fault_middleware import TRANSPORT, FaultMiddleware
from airflow_provider_bkitsm.sandbox.itsm import entrances, lifecycle
from airflow_provider_bkitsm.sandbox.itsm_v4 import entrance as entrance_v4
from airflow_provider_bkitsm.sandbox.itsm_v4 import lifecycle as lifecycle_v4
from airflow_provider_bkitsm.sandbox.same_origin import SameOriginMiddleware
from airflow_provider_bkitsm.sandbox.settings import Settings
from airflow_provider_bkitsm.sandbox.web import routes as web
from airflow_provider_bkitsm.sandbox.world import World

_HOST = "127.0.0.1"
_STARTUP_SECONDS = 15.0
_QUICK = Settings(start_delay=0.05)


class SandboxServer(SandboxControl):
    """A sandbox on a free port of this machine, served by a thread; use as a context manager.

    Its methods do what a person or another client would do.

    :param settings: ``public_url`` is replaced by the real address.
    :param port: for a restart on the same address; 0 takes a free one.
    :param dialect: the version of ITSM that its connections lead to.
    """

    def __init__(
        self, settings: Settings | None = None, *, port: int = 0, dialect: Literal["v2", "v4"] = "v2"
    ) -> None:
        self._socket = listening_socket(_HOST, port)
        self.port: int = self._socket.getsockname()[1]
        url, settings = f"http://{_HOST}:{self.port}", settings or _QUICK
        super().__init__(url, app_code=settings.app_code, app_secret=settings.app_secret, dialect=dialect)
        self.settings = replace(settings, public_url=url)
        self._server = server_of(create_app(self.settings))
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True)

    def start(self) -> Self:
        """Serve; returns when the sandbox answers."""
        self._thread.start()
        wait_until(lambda: self._server.started, _STARTUP_SECONDS, "the sandbox did not start")
        return self

    def stop(self) -> None:
        """Stop serving; the state survives in ``settings.database``."""
        self._server.should_exit = True
        self._thread.join(_STARTUP_SECONDS)
        self._http.close()
        self._socket.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_exc: object) -> None:
        self.stop()


def create_app(settings: Settings) -> FastAPI:
    """Return the application; its state is opened at once and closed when the server stops."""
    world = World(settings=settings)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        lifecycle.start_all(world)
        lifecycle_v4.start_all(world)
        yield
        await world.close()

    app = FastAPI(
        title="BK-ITSM sandbox",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
    )
    app.state.world = world
    v2 = (entrances.gateway_routes, entrances.esb_routes, entrances.saas_routes)
    routers = (
        *(v2 if settings.dialect != "v4" else ()),
        *((entrance_v4.routes,) if settings.dialect != "v2" else ()),
        *(bklog_api.routes, cmsi.routes, control_api.routes, web.routes),
    )
    for router in routers:
        # `include_router` would make each route anew, which would be most of what starting a sandbox costs.
        app.router.routes.extend(router.routes)
    app.add_middleware(FaultMiddleware, world=world)
    app.add_middleware(SameOriginMiddleware, host=urlsplit(settings.public_url).hostname or "")
    return app


def listening_socket(host: str, port: int) -> socket.socket:
    """Bind a socket and return it; port 0 takes a free one.

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
    """Return one connection's protocol; it passes the transport to the application, so that a fault can cut it."""
    protocol: Any = AutoHTTPProtocol(**options)
    app: ASGIApp = protocol.app

    async def app_with_transport(scope: Scope, receive: Receive, send: Send) -> None:
        scope[TRANSPORT] = protocol.transport
        await app(scope, receive, send)

    protocol.app = app_with_transport
    return cast("asyncio.Protocol", protocol)
