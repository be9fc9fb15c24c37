# SPDX-License-Identifier: Apache-2.0
"""How ITSM's views answer, whichever door a request came through (docs/itsm-behaviour.md#answers)."""

from __future__ import annotations

import json
import sqlite3
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from airflow_provider_bkitsm.sandbox import gateway, refusals
from airflow_provider_bkitsm.sandbox.asked import Asked
from airflow_provider_bkitsm.sandbox.endpoints import Endpoint
from airflow_provider_bkitsm.sandbox.refusals import SERVER_ERROR, Refusal
from airflow_provider_bkitsm.sandbox.world import World


async def answer(world: World, request: Request, endpoint: Endpoint, user: str) -> Response:
    """Return a view's answer to a request.

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
    """Return a view's answer to arguments."""
    try:
        return ok(await endpoint.handler(Asked(world=world, args=args, query=query, user=user)))
    except Refusal as refusal:
        return refused(refusal)
    except sqlite3.Error:
        return gateway.crashed()
    except Exception as problem:
        return _failed(endpoint, problem)


def ok(data: Any) -> Response:
    """A success."""
    return JSONResponse({"result": True, "code": 0, "message": "success", "data": data})


def refused(refusal: Refusal) -> Response:
    """A failure of a wrapped endpoint."""
    return JSONResponse({"result": False, "code": refusal.code, "data": None, "message": refusal.message})


def unwrapped(code: str, message: str) -> Response:
    """A failure of an unwrapped endpoint, or of none: a text as code, and another order of keys."""
    return JSONResponse({"result": False, "data": None, "code": code, "message": message})


def _failed(endpoint: Endpoint, problem: Exception) -> Response:
    """Answer what the server did not expect: its two kinds of endpoints differ."""
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
