# SPDX-License-Identifier: Apache-2.0
"""BK-ITSM behind the ESB: names of its own, either method, HTTP 200 for everything (reference 1, 2.1, 2.3)."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from airflow_provider_bkitsm.sandbox import gateway
from airflow_provider_bkitsm.sandbox.answering import answer_to
from airflow_provider_bkitsm.sandbox.endpoints import AT_ESB, Endpoint
from airflow_provider_bkitsm.sandbox.settings import ESB_ROOT
from airflow_provider_bkitsm.sandbox.world import InWorld, World

GENERAL, NO_COMPONENT, BAD_ARGUMENT, NOT_JSON = 1306000, 1306404, 1306406, 1306206
NO_ANSWER = 1306201
_KEPT_BACK = frozenset(
    {"bk_app_code", "app_code", "bk_app_secret", "app_secret", "bk_token", "bk_ticket", "bk_username", "username"}
    | {"access_token", "signature"}
)


routes = APIRouter(prefix=ESB_ROOT)


@routes.api_route("/{path:path}", methods=["GET", "POST"])
async def dispatch(world: InWorld, request: Request, path: str) -> Response:
    """Answer as the ESB, or as ITSM behind it."""
    endpoint = AT_ESB.get(path.removesuffix("/"))
    if endpoint is None:
        return esb_answer(NO_COMPONENT, "component not found")
    try:
        given = await _given(request)
    except ValueError:
        return esb_answer(BAD_ARGUMENT, "the arguments are no JSON object")
    caller = gateway.caller_of(request, given)
    if not gateway.knows(caller, world.settings):
        return esb_answer(GENERAL, "app code or app secret is wrong")
    if not caller.verified and (world.settings.demand_verified_user or not caller.user):
        return esb_answer(GENERAL, "user authentication failed")
    return await _forwarded(world, endpoint, given, caller.verified_user)


def esb_answer(code: int | str, message: str) -> Response:
    """Return an answer of the ESB's own."""
    return _with_id({"result": False, "code": code, "data": None, "message": message})


async def _forwarded(world: World, endpoint: Endpoint, given: Mapping[str, Any], user: str) -> Response:
    args = {key: value for key, value in given.items() if key not in _KEPT_BACK}
    if endpoint.method == "GET":
        args = {key: str(value) for key, value in args.items()}
    answered = await answer_to(world, endpoint, args, query={}, user=user)
    try:
        return _with_id(json.loads(bytes(answered.body)))
    except ValueError:
        return esb_answer(NOT_JSON, "the component's answer is no JSON")


async def _given(request: Request) -> dict[str, Any]:
    if request.method == "GET":
        return dict(request.query_params)
    body = await request.body()
    found = json.loads(body) if body else {}
    if not isinstance(found, dict):
        raise ValueError("no object")
    return {**request.query_params, **found}


def _with_id(body: dict[str, Any]) -> Response:
    number = uuid.uuid4().hex
    return JSONResponse(body | {"request_id": number}, headers={"X-Bkapi-Request-Id": number})
