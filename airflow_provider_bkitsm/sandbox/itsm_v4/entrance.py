# SPDX-License-Identifier: Apache-2.0
"""ITSM v4 behind the API gateway: real HTTP statuses, and a code that is a text."""

from __future__ import annotations

import json
from typing import Any

from fastapi import APIRouter
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from airflow_provider_bkitsm.sandbox import gateway
from airflow_provider_bkitsm.sandbox.itsm_v4.endpoints import ENDPOINTS
from airflow_provider_bkitsm.sandbox.itsm_v4.request import RequestV4
from airflow_provider_bkitsm.sandbox.itsm_v4.workflows import Refusal
from airflow_provider_bkitsm.sandbox.settings import ITSM_V4_ROOT, ITSM_V4_TE_ROOT
from airflow_provider_bkitsm.sandbox.world import InWorld, World

_TENANT_HEADER, _TOKEN_HEADER = "X-Bk-Tenant-Id", "SYSTEM-TOKEN"
REFUSED = "40000"

routes = APIRouter()


@routes.api_route(ITSM_V4_ROOT + "/api/v1/{path:path}", methods=list(gateway.METHODS))
@routes.api_route(ITSM_V4_TE_ROOT + "/api/v1/{path:path}", methods=list(gateway.METHODS))
async def answer(world: InWorld, request: Request, path: str) -> Response:
    """Answer as the gateway, or as ITSM behind it."""
    handler = ENDPOINTS.get((request.method, path.removesuffix("/")))
    if handler is None or (world.itsm_v4.switches.slash == "needed" and not path.endswith("/")):
        return gateway.not_found()
    caller = gateway.caller_of(request)
    away = gateway.turn_away(caller, world.settings) or _without_tenant(world, request)
    if away is not None:
        return away
    try:
        args, file = await _arguments(request)
        data = await handler(
            RequestV4(
                world=world,
                args=args,
                file=file,
                tenant=_tenant(world, request),
                user=caller.user,
                token=request.headers.get(_TOKEN_HEADER) or "",
            )
        )
    except Refusal as refusal:
        return refused(refusal.message)
    return JSONResponse({"result": True, "code": world.itsm_v4.switches.code, "message": "success", "data": data})


@routes.api_route(ITSM_V4_ROOT + "/{path:path}", methods=list(gateway.METHODS))
@routes.api_route(ITSM_V4_TE_ROOT + "/{path:path}", methods=list(gateway.METHODS))
async def unknown() -> Response:
    """Answer as the gateway for a path that it does not know."""
    return gateway.not_found()


def refused(message: str, *, status: int = 400, code: str = REFUSED) -> Response:
    """Return a refusal of ITSM's own."""
    body = {"result": False, "code": code, "message": message, "data": {"detail": message}}
    return JSONResponse(body, status_code=status)


def _tenant(world: World, request: Request) -> str:
    return request.headers.get(_TENANT_HEADER) or world.itsm_v4.tenants[0]


def _without_tenant(world: World, request: Request) -> Response | None:
    """Return the gateway's refusal of a request for no tenant, or for one that there is not."""
    itsm = world.itsm_v4
    if _TENANT_HEADER not in request.headers and itsm.is_multi_tenant:
        return gateway.gateway_answer(400, 1640001, "INVALID_ARGS", "X-Bk-Tenant-Id is required")
    if _tenant(world, request) not in itsm.tenants:
        return gateway.gateway_answer(403, 1640301, "APP_NO_PERMISSION", "the tenant does not allow this app")
    return None


async def _arguments(request: Request) -> tuple[dict[str, Any], bytes | None]:
    if request.method == "GET":
        return dict(request.query_params), None
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        return await _form(request)
    try:
        args = json.loads(await request.body() or b"{}")
    except ValueError as problem:
        raise Refusal(f"JSON parse error - {problem}") from problem
    if not isinstance(args, dict):
        raise Refusal("无效数据。")
    return args, None


async def _form(request: Request) -> tuple[dict[str, Any], bytes | None]:
    form = await request.form()
    texts = {key: value for key, value in form.items() if isinstance(value, str)}
    file = form.get("file")
    return texts, await file.read() if isinstance(file, UploadFile) else None
