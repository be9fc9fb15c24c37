# SPDX-License-Identifier: Apache-2.0
"""The three ways into BK-ITSM: the API gateway, the ESB, and ITSM itself past both.

The gateway knows exact methods and paths. The ESB has its own names, takes either method, and answers everything
with HTTP 200. ITSM itself has its own checks and its own ways to fail. See
docs/itsm-behaviour.md#fronts.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Mapping
from typing import Any

import jwt
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from airflow_provider_bkitsm.sandbox import gateway
from airflow_provider_bkitsm.sandbox.itsm.dispatch import (
    AT_ESB,
    AT_GATEWAY,
    AT_SAAS,
    Endpoint,
    answer,
    answer_to,
    ok,
    unwrapped,
)
from airflow_provider_bkitsm.sandbox.itsm.search import paged
from airflow_provider_bkitsm.sandbox.itsm.ticket_views import detail
from airflow_provider_bkitsm.sandbox.settings import ESB_ROOT, ITSM_ROOT, SAAS_ROOT
from airflow_provider_bkitsm.sandbox.world import InWorld, World

gateway_routes = APIRouter(prefix=ITSM_ROOT)


@gateway_routes.api_route("/{path:path}", methods=list(gateway.METHODS))
async def answer_at_gateway(world: InWorld, request: Request, path: str) -> Response:
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


GENERAL, NO_COMPONENT, BAD_ARGUMENT, NOT_JSON = 1306000, 1306404, 1306406, 1306206
NO_ANSWER = 1306201
_KEPT_BACK = frozenset(
    {"bk_app_code", "app_code", "bk_app_secret", "app_secret", "bk_token", "bk_ticket", "bk_username", "username"}
    | {"access_token", "signature"}
)


esb_routes = APIRouter(prefix=ESB_ROOT)


@esb_routes.api_route("/{path:path}", methods=["GET", "POST"])
async def answer_at_esb(world: InWorld, request: Request, path: str) -> Response:
    """Answer as the ESB, or as ITSM behind it."""
    endpoint = AT_ESB.get(path.removesuffix("/"))
    if endpoint is None:
        return esb_answer(NO_COMPONENT, "component not found")
    try:
        given = await _esb_arguments(request)
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


async def _esb_arguments(request: Request) -> dict[str, Any]:
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


JWT_HEADER = "X-Bkapi-JWT"
_KEY_ID, _ALGORITHM = "sandbox-gateway", "HS256"
_V2 = ("service", "workflow", "state", "field", "transition", "role_type", "workflow_version", "ticket")


saas_routes = APIRouter(prefix=SAAS_ROOT)


@saas_routes.api_route("/{path:path}", methods=list(gateway.METHODS))
async def answer_at_saas(world: InWorld, request: Request, path: str) -> Response:
    """Answer as ITSM does to a request that came past its gateways."""
    if not path.endswith("/"):
        return gateway.with_slash(request)
    name = path.removesuffix("/")
    endpoint = AT_SAAS.get(name)
    if endpoint is None:
        return _saas_collection(world, request, name)
    if request.method != endpoint.method:
        return unwrapped("METHOD_NOT_ALLOWED", f"方法 “{request.method}” 不被允许。")
    return await _saas_call(world, request, endpoint)


async def _saas_call(world: World, request: Request, endpoint: Endpoint) -> Response:
    try:
        user = _user_of(request, world) if endpoint.jwt else ""
    except LookupError:
        return gateway.only_through_gateway()
    except jwt.InvalidTokenError:
        return gateway.crashed()
    return await answer(world, request, endpoint, user)


def issue_jwt(installation: str, *, user: str, verified: bool, seconds: float = 300) -> str:
    """Return a gateway's signature: which app and which user it attests, for how many seconds."""
    claims = {
        "app": {"app_code": "sandbox", "verified": True},
        "user": {"username": user, "verified": verified},
        "exp": int(time.time() + seconds),
    }
    return jwt.encode(claims, installation, algorithm=_ALGORITHM, headers={"kid": _KEY_ID})


def _user_of(request: Request, world: World) -> str:
    """Return the verified user of a request, else "".

    :raises LookupError: no gateway this ITSM knows has signed it.
    :raises jwt.InvalidTokenError: it is no signature, or an old one.
    """
    token = request.headers.get(JWT_HEADER)
    if not token or jwt.get_unverified_header(token).get("kid") != _KEY_ID:
        raise LookupError
    user = jwt.decode(token, world.installation, algorithms=[_ALGORITHM]).get("user") or {}
    return str(user.get("username") or "") if user.get("verified") else ""


def _saas_collection(world: World, request: Request, name: str) -> Response:
    """Answer a path that is no call: a collection that is open by accident, or an unknown path."""
    family, _, rest = name.partition("/")
    if name == "v2":
        return JSONResponse({one: f"{world.settings.public_url}{SAAS_ROOT}/v2/{one}/" for one in _V2})
    if family != "ticket" or "/" in rest:
        return gateway.no_such_page()
    if not rest:
        return ok(_all(world, dict(request.query_params)))
    ticket = world.tickets.get(int(rest)) if rest.isdecimal() else None
    if ticket is None:
        return unwrapped("OBJECT_NOT_EXIST", "当前操作的对象不存在")
    return ok(detail(ticket))


def _all(world: World, query: dict[str, str]) -> Any:
    return paged(world.newest_first(), query, detail, f"{world.settings.public_url}{SAAS_ROOT}/ticket/")
