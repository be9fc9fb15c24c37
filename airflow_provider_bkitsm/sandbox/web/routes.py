# SPDX-License-Identifier: Apache-2.0
"""The pages where a person sees the waiting tickets, approves or rejects them, and sees the collectors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import APIRouter, Form, HTTPException, Request
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse, RedirectResponse

from airflow_provider_bkitsm.sandbox.control_api import Decision, decide
from airflow_provider_bkitsm.sandbox.itsm.tickets import Ticket
from airflow_provider_bkitsm.sandbox.web.pages import shown_collector, shown_ticket
from airflow_provider_bkitsm.sandbox.world import InWorld, World

_PAGES = Environment(
    loader=FileSystemLoader(Path(__file__).with_name("templates")),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_RECENT = 50
_PROBLEMS = {
    "remark": "A rejection needs a remark. Nothing was decided.",
    "late": "That ticket no longer waits for this person. Nothing was decided.",
}


routes = APIRouter()


@routes.get("/")
@routes.get("/weixin/")
async def overview(world: InWorld, problem: str = "") -> HTMLResponse:
    """Show the waiting tickets, and those decided last."""
    newest, now = world.newest_first(), world.clock()
    return _page(
        "overview.html",
        page="tickets",
        waiting=[shown_ticket(one, now) for one in newest if not one.over],
        decided=[shown_ticket(one, now) for one in newest if one.over][:_RECENT],
        problem=_PROBLEMS.get(problem, ""),
    )


@routes.get("/collectors")
async def collectors(world: InWorld) -> HTMLResponse:
    """Show the collectors as the log platform has them now."""
    bklog = world.bklog
    rows = [shown_collector(bklog.shown(number), bklog.etl_writes[number]) for number in bklog.collectors]
    return _page("collectors.html", page="collectors", collectors=rows)


@routes.get("/ticket/{number}")
async def ticket(world: InWorld, number: int, problem: str = "") -> HTMLResponse:
    """Show one ticket."""
    shown = shown_ticket(_ticket(world, number), world.clock())
    return _page("ticket.html", page="tickets", ticket=shown, problem=_PROBLEMS.get(problem, ""))


@routes.post("/ticket/{number}/decide")
async def decide_ticket(
    world: InWorld,
    request: Request,
    number: int,
    *,
    answer: Annotated[str, Form()],
    operator: Annotated[str, Form(min_length=1)],
    remark: Annotated[str, Form()] = "",
    back: Annotated[str, Form()] = "list",
) -> RedirectResponse:
    """Take a decision, and show the page it was taken on."""
    _only_from_this_page(request)
    found, approves = _ticket(world, number), answer == "approve"
    problem = "" if approves or remark.strip() else "remark"
    if not problem:
        problem = await _decided(world, found, Decision(approve=approves, remark=remark, operator=operator))
    address = f"/ticket/{number}" if back == "ticket" else "/"
    return RedirectResponse(address + (f"?problem={problem}" if problem else ""), status_code=303)


async def _decided(world: World, ticket: Ticket, wanted: Decision) -> str:
    try:
        await decide(world, ticket, wanted)
    except HTTPException:
        return "late"
    return ""


def _only_from_this_page(request: Request) -> None:
    """Refuse a form that another site posts in the name of whoever looks at it."""
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        raise HTTPException(403, "posted from another site")


def _ticket(world: World, number: int) -> Ticket:
    if number not in world.tickets:
        raise HTTPException(404, f"no ticket {number}")
    return world.tickets[number]


def _page(name: str, **values: Any) -> HTMLResponse:
    return HTMLResponse(_PAGES.get_template(name).render(**values))
