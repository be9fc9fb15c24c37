# SPDX-License-Identifier: Apache-2.0
"""BK-ITSM behind the API gateway: exact methods, exact paths."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from airflow_provider_bkitsm.sandbox import gateway
from airflow_provider_bkitsm.sandbox.answering import answer
from airflow_provider_bkitsm.sandbox.endpoints import AT_GATEWAY
from airflow_provider_bkitsm.sandbox.settings import ITSM_ROOT
from airflow_provider_bkitsm.sandbox.world import InWorld

routes = APIRouter(prefix=ITSM_ROOT)


@routes.api_route("/{path:path}", methods=list(gateway.METHODS))
async def dispatch(world: InWorld, request: Request, path: str) -> Response:
    """Answer as the gateway, or as ITSM behind it."""
    endpoint = AT_GATEWAY.get(path.removesuffix("/"))
    if endpoint is None or request.method != endpoint.method:
        return gateway.not_found()
    caller = gateway.caller_of(request)
    away = gateway.turn_away(caller, world.settings, verified=endpoint.verified)
    if away is not None:
        return away
    if endpoint.broken:
        return gateway.no_such_page()
    if not path.endswith("/"):
        return gateway.with_slash(request)
    return await answer(world, request, endpoint, caller.verified_user)
