# SPDX-License-Identifier: Apache-2.0
"""What stands in front of both platforms: the API gateway's checks and its own answers.

See docs/itsm-behaviour.md#fronts.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from airflow_provider_bkitsm.sandbox.settings import Settings

_CRASH_PAGE = """<!DOCTYPE html>
<html>
<head><meta charset="utf-8" /><title>应用异常(500页)</title></head>
<body><h1>应用异常</h1><p>系统出现异常, 请记录下错误场景并与开发人员联系!</p></body>
</html>
"""
_PROXY_PAGE = """<html>
<head><title>{status}</title></head>
<body><center><h1>{status}</h1></center><hr><center>openresty</center></body>
</html>
"""
_PROOFS = ("access_token", "bk_token", "bk_ticket")
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Who a request says it comes from.

    :param verified: the user is proven, not just named.
    """

    app_code: str
    app_secret: str
    user: str
    verified: bool

    @property
    def verified_user(self) -> str:
        """The proven user's name, else ""."""
        return (self.user or "admin") if self.verified else ""


def caller_of(request: Request, arguments: Mapping[str, Any] | None = None) -> Caller:
    """Read the authorization header; at the ESB the arguments will do as well."""
    named = {**(arguments or {}), **_header(request)}
    return Caller(
        app_code=str(named.get("bk_app_code") or ""),
        app_secret=str(named.get("bk_app_secret") or ""),
        user=str(named.get("bk_username") or ""),
        verified=any(named.get(key) for key in _PROOFS),
    )


def turn_away(caller: Caller, settings: Settings, *, verified: bool = False) -> Response | None:
    """Return the gateway's answer to a caller it does not let through.

    :param verified: the resource demands a verified user.
    """
    if not knows(caller, settings):
        return gateway_answer(400, 1640001, "INVALID_ARGS", "app code or app secret is wrong")
    if verified and settings.demand_verified_user and not caller.verified:
        return gateway_answer(400, 1640001, "INVALID_ARGS", "the user is not verified")
    return None


def knows(caller: Caller, settings: Settings) -> bool:
    """Whether the application and its secret are right."""
    known = hmac.compare_digest(caller.app_code.encode(), settings.app_code.encode())
    return known and hmac.compare_digest(caller.app_secret.encode(), settings.app_secret.encode())


def not_found() -> Response:
    """The gateway knows no such path, or not with this method."""
    return gateway_answer(404, 1640401, "API_NOT_FOUND", "API not found")


def with_slash(request: Request) -> Response:
    """The answer to a path without its trailing slash, also to a POST."""
    query = f"?{request.url.query}" if request.url.query else ""
    return RedirectResponse(f"{request.url.path}/{query}", status_code=301)


def crashed() -> Response:
    """The page of a crash outside the API layer, with HTTP 200 (docs/itsm-behaviour.md#crash-page)."""
    return HTMLResponse(_CRASH_PAGE)


def proxy_page(status: int) -> Response:
    """The page of a proxy between the caller and the gateway, or between the gateway and the platform."""
    return HTMLResponse(_PROXY_PAGE.format(status=status), status_code=status)


def no_such_page() -> Response:
    """The page of a path outside every router of ITSM, with HTTP 200 too (docs/itsm-behaviour.md#crash-page)."""
    return HTMLResponse(_CRASH_PAGE.replace("500", "404"))


def only_through_gateway() -> Response:
    """ITSM's answer to a call that no gateway it knows has signed: its only 403.

    See docs/itsm-behaviour.md#crash-page.
    """
    return HTMLResponse("This API can only be accessed through API gateway", status_code=403)


def gateway_answer(
    status: int, code: int | str, name: str, message: str, headers: Mapping[str, str] | None = None
) -> Response:
    """Return an answer of the gateway's own: a real HTTP status and its own body."""
    body = {"code_name": name, "code": code, "message": message, "data": None, "result": False}
    return JSONResponse(body, status_code=status, headers={"X-Bkapi-Request-Id": "sandbox", **(headers or {})})


def _header(request: Request) -> Mapping[str, Any]:
    try:
        named = json.loads(request.headers.get("X-Bkapi-Authorization") or "{}")
    except ValueError:
        return {}
    return named if isinstance(named, dict) else {}
