# SPDX-License-Identifier: Apache-2.0
"""The approvals pages: one HTML shell with its scripts and styles, all served from the package."""

from __future__ import annotations

import logging
from functools import cache
from html import escape
from pathlib import Path

from fastapi import APIRouter, HTTPException
from fastapi.responses import HTMLResponse, Response

from airflow_provider_bkitsm import settings
from airflow_provider_bkitsm.plugins.security import SignedIn, framing, is_of, origin_of
from airflow_provider_bkitsm.version_compat import airflow_conf

log = logging.getLogger(__name__)

IMPORTED = {"approvals": ("approvals_columns", "filters"), "ticket": ("dialogs",)}
"""What a page's own script imports alone: the browser asks for it before it has read that script."""

_ASSETS = Path(__file__).with_name("assets")
_KINDS = {".js": "text/javascript", ".css": "text/css"}


def router() -> APIRouter:
    """Return the pages' routes."""
    routes = APIRouter()

    @routes.get("/approvals")
    def approvals(_user: SignedIn) -> HTMLResponse:
        return _page("approvals")

    @routes.get("/ticket")
    def ticket(_user: SignedIn) -> HTMLResponse:
        return _page("ticket", framing(frame_origin()))

    @routes.get("/collectors")
    def collectors(_user: SignedIn) -> HTMLResponse:
        return _page("collectors")

    @routes.get("/assets/{name}")
    def asset(_user: SignedIn, name: str) -> Response:
        if name not in _served():
            raise HTTPException(404, "Not Found")
        return Response(_read(name), media_type=f"{_KINDS[Path(name).suffix]}; charset=utf-8")

    return routes


def frame_origin() -> str:
    """Return the origin whose pages a ticket's page may frame: ``[bkitsm] itsm_frame_origin``; empty for none."""
    return _origin(
        settings.itsm_frame_origin(), str(airflow_conf().get("api", "base_url", fallback="") or "").strip()
    )


@cache
def _origin(setting: str, own: str) -> str:
    """Return the setting's origin; empty for an unusable one, with one warning.

    Airflow's own origin is refused: a framed page of it could do in Airflow whatever the viewer may do.
    """
    origin = origin_of(setting)
    if origin and not is_of(own, origin):
        return origin
    if setting.strip():
        log.warning("[bkitsm] itsm_frame_origin must be one origin other than Airflow's; no frame is shown")
    return ""


def _page(name: str, headers: dict[str, str] | None = None) -> HTMLResponse:
    return HTMLResponse(shell(name), headers=headers)


def shell(page: str) -> str:
    """Return the HTML of a page, which names the scripts that draw it."""
    preloads = [f'<link rel="modulepreload" href="assets/{one}.js">' for one in IMPORTED.get(page, ())]
    return _read("shell.html").replace("{{ imported }}", "\n".join(preloads)).replace("{{ page }}", escape(page))


@cache
def _served() -> frozenset[str]:
    return frozenset(path.name for path in _ASSETS.iterdir() if path.suffix in _KINDS)


@cache
def _read(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8")
