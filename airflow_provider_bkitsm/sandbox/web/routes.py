# SPDX-License-Identifier: Apache-2.0
"""The pages where a person sees the waiting tickets, approves or rejects them, and sees the collectors.

They are in the language that the reader chose on a page, which a cookie keeps, or else the browser prefers.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import APIRouter, Form, HTTPException, Request
from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup
from starlette.responses import HTMLResponse, RedirectResponse, Response

from airflow_provider_bkitsm.sandbox.control_api import Decision, decide, decide_v4
from airflow_provider_bkitsm.sandbox.itsm.tickets import Ticket
from airflow_provider_bkitsm.sandbox.itsm_v4.tickets import Ticket as TicketV4
from airflow_provider_bkitsm.sandbox.web.pages import shown_collector, shown_ticket, shown_ticket_v4
from airflow_provider_bkitsm.sandbox.world import InWorld, World
from airflow_provider_bkitsm.translation import Language, Text, template_in, values_in


@pass_context
def _printed(context: Context, value: object) -> object:
    """Return what a template prints for a value: a text in the reader's language."""
    return value.into(context["language"]) if isinstance(value, Text) else value


_PAGES = Environment(
    loader=FileSystemLoader(Path(__file__).with_name("templates")),
    autoescape=True,
    finalize=_printed,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_RECENT = 50
_PROBLEMS = {
    "remark": Text("A rejection needs a remark. Nothing was decided."),
    "late": Text("That ticket no longer waits for this person. Nothing was decided."),
}
_LANGUAGES: dict[Language, str] = {"en": "English", "zh": "中文"}
_COOKIE, _YEAR = "bkitsm_sandbox_language", 365 * 24 * 3600


routes = APIRouter()


@routes.get("/")
@routes.get("/weixin/")
async def overview(world: InWorld, request: Request, problem: str = "") -> Response:
    """Show the waiting tickets, and those decided last."""
    v4 = sorted(world.itsm_v4.tickets.values(), key=lambda one: one.id)
    tickets: list[Ticket | TicketV4] = [*reversed(v4), *world.newest_first()]
    newest = [_shown(world, one) for one in tickets]
    return _page(
        request,
        "overview.html",
        page="tickets",
        waiting=[one for one in newest if not one["over"]],
        decided=[one for one in newest if one["over"]][:_RECENT],
        problem=_PROBLEMS.get(problem, ""),
    )


@routes.get("/collectors")
async def collectors(world: InWorld, request: Request) -> Response:
    """Show the collectors as the log platform has them now."""
    bklog = world.bklog
    rows = [shown_collector(bklog.shown(number), bklog.etl_writes[number]) for number in bklog.collectors]
    return _page(request, "collectors.html", page="collectors", collectors=rows)


@routes.get("/ticket/{number}")
async def ticket(world: InWorld, request: Request, number: int, problem: str = "") -> Response:
    """Show one ticket."""
    shown = _shown(world, _ticket(world, number))
    return _page(request, "ticket.html", page="tickets", ticket=shown, problem=_PROBLEMS.get(problem, ""))


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


def _page(request: Request, name: str, **values: Any) -> Response:
    """Return a page in the reader's language; one that chooses a language, again without the choice."""
    if (chosen := request.query_params.get("language")) in _LANGUAGES:
        again = RedirectResponse(request.url.path, status_code=303)
        again.set_cookie(_COOKIE, chosen, max_age=_YEAR, httponly=True, samesite="lax")
        return again
    language = _language_of(request)
    words = {"_": partial(_in_markup, language), "language": language, "languages": _LANGUAGES}
    page = _PAGES.get_template(name).render(**values, **words)
    return HTMLResponse(page, headers={"Content-Language": language, "Vary": "Accept-Language, Cookie"})


def _language_of(request: Request) -> Language:
    chosen = request.cookies.get(_COOKIE)
    kept = next((one for one in _LANGUAGES if one == chosen), None)
    return kept or preferred_language(request.headers.get("accept-language", ""))


def preferred_language(accepted: str) -> Language:
    """Return the language of the pages that a browser likes best, by its header ``Accept-Language``."""
    best: Language = "en"
    most = 0.0
    for entry in accepted.lower().split(","):
        name, _, quality = entry.strip().partition(";")
        weight = _weight(quality)
        found = next((one for one in _LANGUAGES if name.partition("-")[0].strip() == one), None)
        if found and weight > most:
            best, most = found, weight
    return best


def _weight(quality: str) -> float:
    name, _, value = quality.partition("=")
    if name.strip() != "q":
        return 1.0
    try:
        return float(value)
    except ValueError:
        return 0.0


def _in_markup(language: Language, template: str, /, **values: object) -> Markup:
    """Return a literal of a page in a language. It may hold markup; values are escaped."""
    return Markup(template_in(template, language)).format(**values_in(values, language))  # noqa: S704
