"""The page where a person sees what waits and approves or rejects it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Form, HTTPException
from jinja2 import Environment, FileSystemLoader
from starlette.responses import HTMLResponse, RedirectResponse

from airflow_provider_bkitsm.sandbox.control_api import Decide, decide_ticket
from airflow_provider_bkitsm.sandbox.tickets import ENDED, Ticket, shanghai
from airflow_provider_bkitsm.sandbox.world import World

_PAGES = Environment(loader=FileSystemLoader(Path(__file__).with_name("templates")), autoescape=True)
_RECENT = 50


def router(world: World) -> APIRouter:
    """Return the pages."""
    routes = APIRouter()

    @routes.get("/")
    async def overview(problem: str = "") -> HTMLResponse:
        newest = sorted(world.tickets.values(), key=lambda one: one.id, reverse=True)
        return _page(
            "overview.html",
            waiting=[_shown(world, one) for one in newest if one.status not in ENDED],
            decided=[_shown(world, one) for one in newest if one.status in ENDED][:_RECENT],
            collectors=list(world.collectors.values()),
            problem=problem,
        )

    @routes.get("/ticket/{number}")
    async def ticket(number: int) -> HTMLResponse:
        if number not in world.tickets:
            raise HTTPException(404, "no such ticket")
        return _page("ticket.html", ticket=_shown(world, world.tickets[number]))

    @routes.post("/ticket/{number}/decide")
    async def decide(
        number: int,
        answer: Annotated[str, Form()],
        operator: Annotated[str, Form()],
        remark: Annotated[str, Form()] = "",
    ) -> RedirectResponse:
        if answer == "reject" and not remark.strip():
            return RedirectResponse("/?problem=remark", status_code=303)
        wanted = Decide(approve=answer == "approve", remark=remark, operator=operator)
        await decide_ticket(world, world.tickets[number], wanted)
        return RedirectResponse("/", status_code=303)

    return routes


def _page(name: str, **values: Any) -> HTMLResponse:
    return HTMLResponse(_PAGES.get_template(name).render(**values))


def _shown(world: World, ticket: Ticket) -> dict[str, Any]:
    node = ticket.current_node
    return {
        "id": ticket.id,
        "sn": ticket.sn,
        "title": ticket.title,
        "service": ticket.service.name,
        "creator": ticket.creator,
        "status": ticket.status,
        "approved": ticket.approve_result,
        "opened": shanghai(ticket.create_at),
        "ended": shanghai(ticket.end_at),
        "age": _age(world.clock() - ticket.create_at),
        "people": ticket.processors(node) if node else [],
        "step": node.name if node else "",
        "fields": [(one.name, _value(ticket.fields.get(one.key))) for one in ticket.service.form[1:]],
        "logs": ticket.logs,
    }


def _age(seconds: float) -> str:
    minutes = int(seconds // 60)
    if minutes < 1:
        return "just now"
    days, hours = minutes // 1440, minutes // 60 % 24
    return f"{days} d {hours} h" if days else f"{hours} h {minutes % 60} min" if hours else f"{minutes} min"


def _value(value: Any) -> dict[str, Any]:
    """Return a field for the page: a CUSTOM-FORM as rows, anything else as text."""
    form = value
    if isinstance(value, str) and value.startswith("{"):
        try:
            form = json.loads(value)
        except ValueError:
            return {"text": value}
    if isinstance(form, dict) and isinstance(form.get("form_data"), list):
        return {"rows": [row for block in form["form_data"] for row in block.get("children", [])]}
    return {"text": "" if value is None else str(value)}
