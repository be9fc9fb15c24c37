"""BK-ITSM behind the gateway: which calls there are, how they are reached, and how they fail."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from airflow_provider_bkitsm.sandbox import gateway, itsm_calls, itsm_reads, refusals
from airflow_provider_bkitsm.sandbox.itsm_calls import Asked
from airflow_provider_bkitsm.sandbox.refusals import OPERATION_FAILED, SERVER_ERROR, Refusal
from airflow_provider_bkitsm.sandbox.settings import ITSM_ROOT
from airflow_provider_bkitsm.sandbox.world import World


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """How a call is reached.

    :param wrapped: unexpected failures have an int code; else a text (reference 3.1).
    :param verified: the gateway demands a verified user (reference 1.1).
    """

    method: str
    handler: Callable[[Asked], Awaitable[Any]]
    wrapped: bool = True
    verified: bool = False


def _get(handler: Callable[[Asked], Awaitable[Any]], **more: bool) -> Endpoint:
    return Endpoint(method="GET", handler=handler, **more)


def _post(handler: Callable[[Asked], Awaitable[Any]], **more: bool) -> Endpoint:
    return Endpoint(method="POST", handler=handler, **more)


ENDPOINTS: dict[str, Endpoint] = {
    "create_ticket": _post(itsm_calls.create_ticket),
    "operate_ticket": _post(itsm_calls.operate_ticket),
    "operate_node": _post(itsm_calls.operate_node),
    "approve": _post(itsm_calls.approve, verified=True),
    "get_ticket_status": _get(itsm_reads.get_ticket_status, wrapped=False),
    "get_ticket_info": _get(itsm_reads.get_ticket_info, wrapped=False),
    "get_ticket_logs": _get(itsm_reads.get_ticket_logs, wrapped=False),
    "get_tickets": _post(itsm_reads.get_tickets, wrapped=False),
    "ticket_approval_result": _post(itsm_reads.ticket_approval_result, wrapped=False, verified=True),
    "token/verify": _post(itsm_reads.token_verify),
    "callback_failed_ticket": _get(itsm_reads.callback_failed_ticket, verified=True),
    "get_approver": _get(itsm_reads.get_approver),
    "get_approve_node_result": _get(itsm_reads.get_approve_node_result),
    "get_services": _get(itsm_reads.get_services),
    "get_service_detail": _get(itsm_reads.get_service_detail),
    "get_service_roles": _get(itsm_reads.get_service_roles, verified=True),
    "get_service_catalogs": _get(itsm_reads.get_service_catalogs),
}


def router(world: World) -> APIRouter:
    """Return the routes below ITSM's gateway root."""
    routes = APIRouter(prefix=ITSM_ROOT)

    @routes.api_route("/{path:path}", methods=list(gateway.METHODS))
    async def dispatch(request: Request, path: str) -> Response:
        endpoint = ENDPOINTS.get(path.removesuffix("/"))
        if endpoint is None or request.method != endpoint.method:
            return gateway.not_found()
        caller = gateway.caller_of(request)
        away = gateway.turn_away(caller, world.settings, verified=endpoint.verified)
        if away is not None:
            return away
        if not path.endswith("/"):
            return gateway.with_slash(request)
        return await _answer(world, request, endpoint, caller)

    return routes


async def _answer(world: World, request: Request, endpoint: Endpoint, caller: gateway.Caller) -> Response:
    user = (caller.user or "admin") if caller.verified else ""
    try:
        args = await _arguments(request)
        asked = Asked(world=world, args=args, query=dict(request.query_params), user=user)
        return _ok(await endpoint.handler(asked))
    except Refusal as refusal:
        return _refused(refusal)
    except sqlite3.Error:
        return gateway.crashed()
    except Exception as problem:
        return _failed(endpoint, problem)


def _ok(data: Any) -> Response:
    return JSONResponse({"result": True, "code": 0, "message": "success", "data": data})


def _refused(refusal: Refusal) -> Response:
    return JSONResponse({"result": False, "code": refusal.code, "data": None, "message": refusal.message})


def _failed(endpoint: Endpoint, problem: Exception) -> Response:
    """Answer what the server did not expect: its two kinds of endpoints differ, in key order too."""
    if endpoint.wrapped:
        return _refused(Refusal(OPERATION_FAILED, refusals.unexpected(str(problem)).message))
    return JSONResponse({"result": False, "data": None, "code": SERVER_ERROR, "message": str(problem)})


async def _arguments(request: Request) -> dict[str, Any]:
    if request.method == "GET":
        return dict(request.query_params)
    body = await request.body()
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not body:
        return {}
    if kind == "application/x-www-form-urlencoded":
        return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
    if kind != "application/json":
        raise TypeError(f"不支持请求中的媒体类型 “{kind}”。")
    return _object(body)


def _object(body: bytes) -> dict[str, Any]:
    try:
        args = json.loads(body)
    except ValueError as problem:
        raise ValueError(f"JSON parse error - {problem}") from problem
    if not isinstance(args, dict):
        raise TypeError(f"'{type(args).__name__}' object has no attribute 'get'")
    return args
