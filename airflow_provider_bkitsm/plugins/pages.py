"""The approvals pages: one HTML shell, its script and its style, from the package; nothing from elsewhere."""

from __future__ import annotations

from functools import cache
from html import escape
from pathlib import Path

from fastapi import APIRouter, Depends, HTTPException
from fastapi.responses import HTMLResponse, Response

from airflow_provider_bkitsm.plugins.access import SignedIn

_ASSETS = Path(__file__).with_name("assets")
_KINDS = {"approvals.js": "text/javascript", "approvals.css": "text/css"}
# Only what comes from this very server is run, shown or asked; only Airflow's own pages may frame it.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def secured(response: Response) -> None:
    """Add the headers that every answer carries."""
    response.headers.update(_HEADERS)


def router() -> APIRouter:
    """Return the pages' routes."""
    routes = APIRouter(dependencies=[Depends(secured)])

    @routes.get("/approvals")
    def approvals(_user: SignedIn) -> HTMLResponse:
        return _page("approvals")

    @routes.get("/ticket")
    def ticket(_user: SignedIn) -> HTMLResponse:
        return _page("ticket")

    @routes.get("/collectors")
    def collectors(_user: SignedIn) -> HTMLResponse:
        return _page("collectors")

    @routes.get("/assets/{name}")
    def asset(_user: SignedIn, name: str) -> Response:
        if name not in _KINDS:
            raise HTTPException(404, "Not Found")
        return Response(_read(name), media_type=f"{_KINDS[name]}; charset=utf-8", headers=_HEADERS)

    return routes


def _page(name: str) -> HTMLResponse:
    return HTMLResponse(_read("shell.html").replace("{{ page }}", escape(name)), headers=_HEADERS)


@cache
def _read(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8")
