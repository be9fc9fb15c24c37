# SPDX-License-Identifier: Apache-2.0
"""BK-ITSM reached past every gateway: its own checks and its own ways to fail (reference 1, 2.2, 3.1)."""

from __future__ import annotations

import time
from typing import Any

import jwt
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from airflow_provider_bkitsm.sandbox import answering, gateway
from airflow_provider_bkitsm.sandbox.endpoints import AT_SAAS, Endpoint
from airflow_provider_bkitsm.sandbox.itsm_search import paged
from airflow_provider_bkitsm.sandbox.person_views import detail
from airflow_provider_bkitsm.sandbox.settings import SAAS_ROOT
from airflow_provider_bkitsm.sandbox.world import InWorld, World

JWT_HEADER = "X-Bkapi-JWT"
_KEY_ID, _ALGORITHM = "sandbox-gateway", "HS256"
_V2 = ("service", "workflow", "state", "field", "transition", "role_type", "workflow_version", "ticket")


routes = APIRouter(prefix=SAAS_ROOT)


@routes.api_route("/{path:path}", methods=list(gateway.METHODS))
async def dispatch(world: InWorld, request: Request, path: str) -> Response:
    """Answer as ITSM does to whom no gateway has sent."""
    if not path.endswith("/"):
        return gateway.with_slash(request)
    name = path.removesuffix("/")
    endpoint = AT_SAAS.get(name)
    if endpoint is None:
        return _other(world, request, name)
    if request.method != endpoint.method:
        return answering.unwrapped("METHOD_NOT_ALLOWED", f"方法 “{request.method}” 不被允许。")
    return await _called(world, request, endpoint)


async def _called(world: World, request: Request, endpoint: Endpoint) -> Response:
    try:
        user = _user_of(request, world) if endpoint.jwt else ""
    except LookupError:
        return gateway.only_through_gateway()
    except jwt.InvalidTokenError:
        return gateway.crashed()
    return await answering.answer(world, request, endpoint, user)


def issue_jwt(installation: str, *, user: str, verified: bool, seconds: float = 300) -> str:
    """Return what a gateway attests: the app and the user, for so long."""
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
    said = jwt.decode(token, world.installation, algorithms=[_ALGORITHM]).get("user") or {}
    return str(said.get("username") or "") if said.get("verified") else ""


def _other(world: World, request: Request, name: str) -> Response:
    """Answer what is no call: the collections that are open by accident, and everything unknown."""
    family, _, rest = name.partition("/")
    if name == "v2":
        return JSONResponse({one: f"{world.settings.public_url}{SAAS_ROOT}/v2/{one}/" for one in _V2})
    if family != "ticket" or "/" in rest:
        return gateway.no_such_page()
    if not rest:
        return answering.ok(_all(world, dict(request.query_params)))
    ticket = world.tickets.get(int(rest)) if rest.isdecimal() else None
    if ticket is None:
        return answering.unwrapped("OBJECT_NOT_EXIST", "当前操作的对象不存在")
    return answering.ok(detail(ticket))


def _all(world: World, query: dict[str, str]) -> Any:
    return paged(world.newest_first(), query, detail, f"{world.settings.public_url}{SAAS_ROOT}/ticket/")
