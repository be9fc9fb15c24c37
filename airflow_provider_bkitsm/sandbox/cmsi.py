# SPDX-License-Identifier: Apache-2.0
"""BlueKing's message centre (CMSI) at the API gateway and at the ESB: it takes messages and sends nothing.

What it took is among the requests of the control API. Its rules are those of the ESB's documentation and of public
clients (docs/reminders.md#message-centre).
"""

from __future__ import annotations

import json
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from airflow_provider_bkitsm.sandbox import gateway
from airflow_provider_bkitsm.sandbox.itsm.entrances import GENERAL, NO_COMPONENT, esb_answer
from airflow_provider_bkitsm.sandbox.settings import CMSI_ESB_ROOT, CMSI_ROOT
from airflow_provider_bkitsm.sandbox.world import InWorld

_TEXTS = {"send_mail": ("title", "content"), "send_weixin": (), "send_msg": ("msg_type", "title", "content")}
_HEAD = ("heading", "message")
NO_RECEIVER, MISSING = 1306201, 1306406
UNKNOWN_PERSON = "nobody"
"""The user whom the message centre has no address for."""

routes = APIRouter()


@routes.post(f"{CMSI_ROOT}/v1/{{action}}/")
async def send_at_gateway(world: InWorld, request: Request, action: str) -> Response:
    """Take a message as the gateway does: real statuses, and people as a list."""
    away = gateway.turn_away(gateway.caller_of(request), world.settings)
    if away is not None:
        return away
    if action not in ("send_mail", "send_weixin"):
        return gateway.not_found()
    body = await _body(request)
    people, problem = body.get("receiver__username"), _problem(action, body, "message_data")
    if not isinstance(people, list) or not people or problem:
        return JSONResponse(
            {
                "error": {"code": "INVALID_ARGUMENT", "message": problem or "receiver__username"},
                "message": problem,
            },
            status_code=400,
        )
    return JSONResponse({"data": _check(people)})


@routes.post(f"{CMSI_ESB_ROOT}/{{action}}/")
async def send_at_esb(world: InWorld, request: Request, action: str) -> Response:
    """Take a message as the ESB does: HTTP 200 with its envelope, and people as a text."""
    body = await _body(request)
    if action not in _TEXTS:
        return esb_answer(NO_COMPONENT, "component not found")
    if not gateway.knows(gateway.caller_of(request, body), world.settings):
        return esb_answer(GENERAL, "app code or app secret is wrong")
    people, problem = body.get("receiver__username"), _problem(action, body, "data")
    if not isinstance(people, str) or not people or problem:
        return esb_answer(MISSING, problem or "receiver__username: this field is required")
    names = people.split(",")
    if set(names) == {UNKNOWN_PERSON}:
        return JSONResponse(
            {"result": False, "code": NO_RECEIVER, "message": "no valid receiver", "data": _check(names)}
        )
    return JSONResponse({"result": True, "code": 0, "message": "OK", "data": _check(names)})


async def _body(request: Request) -> dict[str, Any]:
    try:
        found = json.loads(await request.body() or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _problem(action: str, body: dict[str, Any], head: str) -> str:
    """Return what a message lacks."""
    holder, names = (body.get(head), _HEAD) if action == "send_weixin" else (body, _TEXTS[action])
    if not isinstance(holder, dict):
        return f"{head}: this field is required"
    missing = [name for name in names if not holder.get(name)]
    return f"{', '.join(missing)}: this field is required" if missing else ""


def _check(names: list[str]) -> dict[str, Any]:
    return {"username_check": {"invalid": [name for name in names if name == UNKNOWN_PERSON]}}
