"""What stands in front of both platforms: the API gateway's checks, and the envelope all answers share."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from airflow_provider_bkitsm.sandbox.settings import Settings

CRASH_PAGE = "<html><head><title>应用异常(500页)</title></head><body>应用异常</body></html>"


def ok(data: Any) -> JSONResponse:
    """Success."""
    return JSONResponse({"result": True, "code": 0, "message": "success", "data": data})


def refused(code: int | str, message: str) -> JSONResponse:
    """A refusal: HTTP 200 all the same."""
    return JSONResponse({"result": False, "code": code, "data": None, "message": message})


def crashed() -> HTMLResponse:
    """The page a crash outside the API layer shows, with HTTP 200."""
    return HTMLResponse(CRASH_PAGE)


def turn_away(request: Request, settings: Settings, *, verified: bool = False) -> Response | None:
    """Return the gateway's own answer to a caller it does not let through (reference 2.3)."""
    caller = _caller(request)
    if (caller.get("bk_app_code"), caller.get("bk_app_secret")) != (settings.app_code, settings.app_secret):
        return _gateway(400, 1640001, "INVALID_ARGS", "app code or app secret is wrong")
    proven = any(caller.get(key) for key in ("access_token", "bk_token", "bk_ticket"))
    if verified and settings.demand_verified_user and not proven:
        return _gateway(400, 1640001, "INVALID_ARGS", "user authentication failed, the user is not verified")
    return None


def not_found() -> Response:
    """The gateway knows no such path or method."""
    return _gateway(404, 1640401, "API_NOT_FOUND", "API not found")


def with_slash(request: Request) -> Response:
    """ITSM's answer to a path without its trailing slash."""
    return RedirectResponse(f"{request.url.path}/", status_code=301)


def user_of(request: Request) -> str:
    """Return the user the caller names."""
    return str(_caller(request).get("bk_username") or "")


def _caller(request: Request) -> Mapping[str, Any]:
    try:
        caller = json.loads(request.headers.get("X-Bkapi-Authorization") or "{}")
    except ValueError:
        return {}
    return caller if isinstance(caller, dict) else {}


def _gateway(status: int, code: int, name: str, message: str) -> Response:
    body = {"code_name": name, "code": code, "message": message, "data": None, "result": False}
    return JSONResponse(body, status_code=status, headers={"X-Bkapi-Request-Id": "sandbox"})
