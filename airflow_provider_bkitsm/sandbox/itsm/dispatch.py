# SPDX-License-Identifier: Apache-2.0
"""ITSM's calls: under which name and method each entrance offers them, and how they answer.

See docs/itsm-behaviour.md#names-at-the-fronts and docs/itsm-behaviour.md#answers.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from airflow_provider_bkitsm.sandbox import gateway, refusals
from airflow_provider_bkitsm.sandbox.itsm import service_endpoints, ticket_endpoints
from airflow_provider_bkitsm.sandbox.itsm.request import ItsmRequest
from airflow_provider_bkitsm.sandbox.refusals import SERVER_ERROR, Refusal
from airflow_provider_bkitsm.sandbox.world import World

Handler = Callable[[ItsmRequest], Awaitable[Any]]


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """One call of ITSM.

    :param name: its path at the gateway, without slashes at the ends.
    :param esb: its name at the ESB; None: not offered there.
    :param saas: its path below ``/openapi/``.
    :param wrapped: unexpected failures have an int code; else a text
        (docs/itsm-behaviour.md#two-kinds-of-failures).
    :param verified: the gateway demands a verified user.
    :param jwt: the SaaS demands a gateway's signature.
    :param broken: the gateway's definition leads nowhere.
    """

    method: Literal["GET", "POST"]
    name: str
    handler: Handler
    esb: str | None
    saas: str
    wrapped: bool = True
    verified: bool = False
    jwt: bool = True
    broken: bool = False


def _get(name: str, handler: Handler, *, family: str = "ticket", esb: bool = True, **more: Any) -> Endpoint:
    return Endpoint(
        method="GET", name=name, handler=handler, saas=f"{family}/{name}", esb=name if esb else None, **more
    )


def _post(name: str, handler: Handler, **more: Any) -> Endpoint:
    names = {"esb": name, "saas": f"ticket/{name}"}
    return Endpoint(method="POST", name=name, handler=handler, **names | more)


ENDPOINTS: tuple[Endpoint, ...] = (
    _post("create_ticket", ticket_endpoints.create_ticket),
    _post("operate_ticket", ticket_endpoints.operate_ticket),
    _post("operate_node", ticket_endpoints.operate_node),
    _post("approve", ticket_endpoints.approve, esb=None, verified=True),
    _post("proceed_approval", ticket_endpoints.proceed_approval, esb=None, jwt=False),
    _post("comment", ticket_endpoints.comment, esb="comment_ticket", verified=True),
    _post("add_follower", ticket_endpoints.add_follower, esb=None, verified=True),
    _post("edit_field", ticket_endpoints.edit_field, esb=None, verified=True, wrapped=False),
    _get("get_ticket_status", ticket_endpoints.get_ticket_status, wrapped=False),
    _get("get_ticket_info", ticket_endpoints.get_ticket_info, wrapped=False),
    _get("get_ticket_logs", ticket_endpoints.get_ticket_logs, wrapped=False),
    _post("get_tickets", ticket_endpoints.get_tickets, wrapped=False),
    _get("get_tickets_by_user", ticket_endpoints.get_tickets_by_user, esb=False),
    _post("ticket_approval_result", ticket_endpoints.ticket_approval_result, wrapped=False, verified=True),
    _post("token/verify", ticket_endpoints.token_verify),
    _get("callback_failed_ticket", ticket_endpoints.callback_failed_ticket, verified=True),
    _get("get_approver", ticket_endpoints.get_approver, esb=False),
    _get("get_approve_node_result", ticket_endpoints.get_approve_node_result, esb=False),
    _get("get_services", service_endpoints.get_services, family="service"),
    _get("get_service_detail", service_endpoints.get_service_detail, family="service"),
    _get("get_service_catalogs", service_endpoints.get_service_catalogs, family="service"),
    _get("get_service_roles", service_endpoints.get_service_roles, family="service", verified=True),
    _get(
        "get_workflow_detail",
        service_endpoints.get_workflow_detail,
        family="workflow",
        verified=True,
        wrapped=False,
        broken=True,
    ),
    _post("import_service", service_endpoints.import_service, saas="service/import_service"),
    _post("update_service", service_endpoints.update_service, saas="service/update_service"),
    _post("create_service_catalog", service_endpoints.create_service_catalog, saas="service_catalog"),
)
AT_GATEWAY = {one.name: one for one in ENDPOINTS}
AT_ESB = {one.esb: one for one in ENDPOINTS if one.esb}
AT_SAAS = {one.saas: one for one in ENDPOINTS}


async def answer(world: World, request: Request, endpoint: Endpoint, user: str) -> Response:
    """Answer a request with its endpoint.

    :param user: the verified user, else "".
    """
    try:
        args = await _arguments(request)
    except Exception as problem:
        return _failed(endpoint, problem)
    return await answer_to(world, endpoint, args, query=dict(request.query_params), user=user)


async def answer_to(
    world: World, endpoint: Endpoint, args: dict[str, Any], *, query: dict[str, str], user: str
) -> Response:
    """Answer a call by its arguments."""
    try:
        return ok(await endpoint.handler(ItsmRequest(world=world, args=args, query=query, user=user)))
    except Refusal as refusal:
        return refused(refusal)
    except sqlite3.Error:
        return gateway.crashed()
    except Exception as problem:
        return _failed(endpoint, problem)


def ok(data: Any) -> Response:
    """Return a success."""
    return JSONResponse({"result": True, "code": 0, "message": "success", "data": data})


def refused(refusal: Refusal) -> Response:
    """Return a failure of a wrapped endpoint."""
    return JSONResponse({"result": False, "code": refusal.code, "data": None, "message": refusal.message})


def unwrapped(code: str, message: str) -> Response:
    """Return a failure of an unwrapped endpoint, or of none: its code is a text, its keys have another order."""
    return JSONResponse({"result": False, "data": None, "code": code, "message": message})


def _failed(endpoint: Endpoint, problem: Exception) -> Response:
    """Answer an unexpected error: with an int code where the endpoint is wrapped, else with a text."""
    if endpoint.wrapped:
        return refused(refusals.unexpected(str(problem)))
    return unwrapped(SERVER_ERROR, str(problem))


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
