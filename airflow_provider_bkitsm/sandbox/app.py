# SPDX-License-Identifier: Apache-2.0
"""The sandbox as one ASGI application."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from airflow_provider_bkitsm.sandbox import control_api, esb, itsm_api, lifecycle, saas, web
from airflow_provider_bkitsm.sandbox.bklog import api as bklog_api
from airflow_provider_bkitsm.sandbox.misbehave import Misbehave
from airflow_provider_bkitsm.sandbox.settings import Settings
from airflow_provider_bkitsm.sandbox.world import World


def create_app(settings: Settings) -> FastAPI:
    """Return the application; its state is opened at once and closed when the server stops."""
    world = World(settings=settings)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        lifecycle.start_all(world)
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
    for room in (itsm_api, esb, saas, bklog_api, control_api, web):
        # Included, FastAPI would make each route anew, which would be most of what starting a sandbox costs.
        app.router.routes.extend(room.routes.routes)
    app.add_middleware(Misbehave, world=world)
    return app
