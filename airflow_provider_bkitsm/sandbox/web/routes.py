# SPDX-License-Identifier: Apache-2.0
"""The pages where a person sees the waiting tickets, approves or rejects them, and sees the collectors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import APIRouter, Form, HTTPException, Request
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse, RedirectResponse

from airflow_provider_bkitsm.sandbox.control_api import Decision, decide, decide_v4
from airflow_provider_bkitsm.sandbox.itsm.tickets import Ticket
from airflow_provider_bkitsm.sandbox.itsm_v4.tickets import Ticket as TicketV4
from airflow_provider_bkitsm.sandbox.web.pages import shown_collector, shown_ticket, shown_ticket_v4
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
    v4 = sorted(world.itsm_v4.tickets.values(), key=lambda one: one.id)
    tickets: list[Ticket | TicketV4] = [*reversed(v4), *world.newest_first()]
    newest = [_shown(world, one) for one in tickets]
    return _page(
        "overview.html",
        page="tickets",
        waiting=[one for one in newest if not one["over"]],
        decided=[one for one in newest if one["over"]][:_RECENT],
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
    shown = _shown(world, _ticket(world, number))
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


async def _decided(world: World, ticket: Ticket | TicketV4, wanted: Decision) -> str:
    try:
        if isinstance(ticket, TicketV4):
            await decide_v4(world, ticket, wanted)
        else:
            await decide(world, ticket, wanted)
    except HTTPException:
        return "late"
    return ""


def _only_from_this_page(request: Request) -> None:
    """Refuse a form that another site posts in the name of whoever looks at it."""
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        raise HTTPException(403, "posted from another site")


def _shown(world: World, ticket: Ticket | TicketV4) -> dict[str, Any]:
    if isinstance(ticket, TicketV4):
        return shown_ticket_v4(world.itsm_v4, ticket, world.clock())
    return shown_ticket(ticket, world.clock())


def _ticket(world: World, number: int) -> Ticket | TicketV4:
    """Return a ticket: an id of ITSM v4 has 24 digits."""
    if (found := world.itsm_v4.tickets.get(str(number))) is not None:
        return found
    if number not in world.tickets:
        raise HTTPException(404, f"no ticket {number}")
    return world.tickets[number]


def _page(name: str, **values: Any) -> HTMLResponse:
    return HTMLResponse(_PAGES.get_template(name).render(**values))
