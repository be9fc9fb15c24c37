"""The sandbox's own API below ``/sandbox``: what tests and demos need and no real platform offers."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, HTTPException
from pydantic import BaseModel

from airflow_provider_bkitsm.sandbox import tickets
from airflow_provider_bkitsm.sandbox.faults import Fault, Kind
from airflow_provider_bkitsm.sandbox.seed import collector
from airflow_provider_bkitsm.sandbox.services import answer
from airflow_provider_bkitsm.sandbox.tickets import Refusal, Ticket
from airflow_provider_bkitsm.sandbox.world import World


class Decide(BaseModel):
    """A person's decision. Without ``operator`` the first person the node waits for."""

    approve: bool
    remark: str = ""
    operator: str | None = None


class NewFault(BaseModel):
    """See :class:`~.faults.Fault`."""

    path: str
    kind: Kind
    times: int = 1
    status: int = 502
    code: int | str = 3900004
    seconds: float = 1.0
    retry_after: str | None = None


def router(world: World, faults: list[Fault]) -> APIRouter:
    """Return the control routes."""
    routes = APIRouter(prefix="/sandbox")
    _add_tickets(routes, world)
    _add_collectors(routes, world)
    _add_faults(routes, world, faults)
    return routes


def _add_tickets(routes: APIRouter, world: World) -> None:
    @routes.get("/tickets")
    async def list_tickets() -> list[dict[str, Any]]:
        return [_shown(one) for one in world.tickets.values()]

    @routes.post("/tickets/{sn}/decide")
    async def decide(sn: str, wanted: Decide) -> dict[str, Any]:
        return await decide_ticket(world, _one(world, sn), wanted)

    @routes.post("/tickets/{sn}/finish_without_evidence")
    async def finish_without_evidence(sn: str) -> dict[str, Any]:
        ticket = _one(world, sn)
        await world.change(ticket, lambda: tickets.finish_without_evidence(ticket, world.clock()))
        return _shown(ticket)


def _add_faults(routes: APIRouter, world: World, faults: list[Fault]) -> None:
    @routes.get("/requests")
    async def requests(path: str = "") -> list[dict[str, Any]]:
        return [vars(one) for one in world.requests if path in one.path]

    @routes.post("/faults")
    async def add_fault(fault: NewFault) -> None:
        faults.append(Fault(**fault.model_dump()))

    @routes.delete("/faults")
    async def clear_faults() -> None:
        faults.clear()


def _add_collectors(routes: APIRouter, world: World) -> None:
    @routes.get("/collectors/{number}")
    async def get_collector(number: int) -> dict[str, Any]:
        return world.collectors[number]

    @routes.put("/collectors/{number}")
    async def put_collector(number: int, row: dict[str, Any]) -> dict[str, Any]:
        world.save_collector(collector(number, f"collector-{number}") | row)
        return world.collectors[number]


async def decide_ticket(world: World, ticket: Ticket, wanted: Decide) -> dict[str, Any]:
    """Answer on the current node the way ITSM's own page does."""
    node = ticket.current_node
    if node is None:
        raise HTTPException(409, "nobody is asked at the moment")
    operator = wanted.operator or ticket.processors(node)[0]
    values = answer(node, approve=wanted.approve, remark=wanted.remark)
    await world.change(ticket, lambda: tickets.record(ticket, node, operator, values, world.clock(), source="WEB"))
    return _shown(ticket)


def _one(world: World, sn: str) -> Ticket:
    try:
        return world.one(sn)
    except (Refusal, LookupError) as error:
        raise HTTPException(404, str(error)) from error


def _shown(ticket: Ticket) -> dict[str, Any]:
    shown = ("id", "sn", "service_id", "title", "creator", "fields", "tag", "meta", "status")
    node = ticket.current_node
    return {key: getattr(ticket, key) for key in shown} | {
        "waits_for": ticket.processors(node) if node else [],
        "approve_result": ticket.approve_result,
    }
