# SPDX-License-Identifier: Apache-2.0
"""The sandbox's own API below ``/sandbox``: what tests and demos need and no real platform offers.

It has no authentication, so it answers this machine only.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Depends, HTTPException, Request
from pydantic import BaseModel

from airflow_provider_bkitsm.sandbox import callbacks, flow, lifecycle
from airflow_provider_bkitsm.sandbox.faults import Fault
from airflow_provider_bkitsm.sandbox.refusals import Refusal
from airflow_provider_bkitsm.sandbox.saas import issue_jwt
from airflow_provider_bkitsm.sandbox.seed import collector
from airflow_provider_bkitsm.sandbox.services import filled_in
from airflow_provider_bkitsm.sandbox.settings import CONTROL_ROOT
from airflow_provider_bkitsm.sandbox.tickets import Ticket
from airflow_provider_bkitsm.sandbox.world import World

_THIS_MACHINE = frozenset({"127.0.0.1", "::1"})
_SHOWN = (
    "id",
    "sn",
    "service_id",
    "title",
    "creator",
    "fields",
    "tag",
    "meta",
    "status",
    "orphan",
    "create_at",
    "end_at",
)


class Decision(BaseModel):
    """A person's decision. Without ``operator``, the first person the node waits for."""

    approve: bool
    remark: str = ""
    operator: str | None = None


def only_from_here(request: Request) -> None:
    """Refuse other machines."""
    if request.client is None or request.client.host not in _THIS_MACHINE:
        raise HTTPException(403, "the control API answers this machine only")


def router(world: World) -> APIRouter:
    """Return the control routes."""
    routes = APIRouter(prefix=CONTROL_ROOT, dependencies=[Depends(only_from_here)])
    _add_ticket_routes(routes, world)
    _add_collector_routes(routes, world)
    _add_request_routes(routes, world)
    _add_fault_routes(routes, world)
    _add_itsm_routes(routes, world)
    return routes


async def decide(world: World, ticket: Ticket, wanted: Decision) -> None:
    """Answer on the current node the way ITSM's own page does.

    :raises HTTPException: nobody is asked, or not this person.
    """
    node = ticket.current_node
    operator = wanted.operator or next(iter(ticket.waits_for), "")
    if node is None:
        raise HTTPException(409, "nobody is asked at the moment")
    if operator not in ticket.waits_for:
        raise HTTPException(409, f"{operator or 'nobody'} is not asked at the moment")
    values = filled_in(node, approve=wanted.approve, remark=wanted.remark)
    now = world.clock()
    await lifecycle.change(
        world, ticket, lambda: flow.answer(ticket, node, operator, values, now, source="WEB"), at_once=True
    )


def _add_ticket_routes(routes: APIRouter, world: World) -> None:
    @routes.get("/tickets")
    async def tickets() -> list[dict[str, Any]]:
        return [_shown(one) for one in world.tickets.values()]

    @routes.get("/tickets/{sn}")
    async def ticket(sn: str) -> dict[str, Any]:
        return _shown(_one(world, sn))

    @routes.post("/tickets/{sn}/decide")
    async def decide_ticket(sn: str, wanted: Decision) -> dict[str, Any]:
        await decide(world, _one(world, sn), wanted)
        return _shown(_one(world, sn))

    @routes.post("/tickets/{sn}/finish_without_evidence")
    async def finish_without_evidence(sn: str) -> dict[str, Any]:
        found = _one(world, sn)
        try:
            await lifecycle.change(world, found, lambda: flow.finish_without_evidence(found, world.clock()))
        except Refusal as refusal:
            raise HTTPException(409, refusal.message) from refusal
        return _shown(found)


def _add_collector_routes(routes: APIRouter, world: World) -> None:
    @routes.get("/collectors")
    async def collectors() -> list[dict[str, Any]]:
        return [_with_writes(world, number) for number in world.collectors]

    @routes.get("/collectors/{number}")
    async def one_collector(number: int) -> dict[str, Any]:
        if number not in world.collectors:
            raise HTTPException(404, f"no collector {number}")
        return _with_writes(world, number)

    @routes.put("/collectors/{number}")
    async def put_collector(number: int, row: dict[str, Any]) -> dict[str, Any]:
        name = str(row.get("collector_config_name") or f"collector-{number}")
        world.save_collector(collector(number, name) | row | {"collector_config_id": number})
        return _with_writes(world, number)


def _add_request_routes(routes: APIRouter, world: World) -> None:
    @routes.get("/requests")
    async def requests(path: str = "") -> list[dict[str, Any]]:
        return [asdict(one) for one in world.requests if path in one.path]

    @routes.get("/requests/counts")
    async def request_counts() -> dict[str, int]:
        return dict(world.request_counts)


def _add_fault_routes(routes: APIRouter, world: World) -> None:
    @routes.get("/faults")
    async def pending_faults() -> list[dict[str, Any]]:
        return [asdict(one) for one in world.faults.pending]

    @routes.post("/faults", status_code=201)
    async def add_fault(fault: Fault) -> dict[str, Any]:
        world.faults.pending.append(fault)
        return asdict(fault)

    @routes.delete("/faults", status_code=204)
    async def clear_faults() -> None:
        world.faults.pending.clear()


def _add_itsm_routes(routes: APIRouter, world: World) -> None:
    @routes.post("/worker", status_code=204)
    async def worker(running: bool) -> None:
        """Stop or start the worker that lets tickets move."""
        (world.worker.set if running else world.worker.clear)()

    @routes.delete("/counters", status_code=204)
    async def forget_counters() -> None:
        """Begin the day's ticket numbers again."""
        world.forget_counters()

    @routes.get("/jwt")
    async def attested(user: str = "", verified: bool = False, seconds: float = 300) -> dict[str, str]:
        """Return what a gateway would attest, for calls past it."""
        return {"jwt": issue_jwt(world.installation, user=user, verified=verified, seconds=seconds)}

    @routes.get("/tickets/{sn}/callback")
    async def callback(sn: str) -> dict[str, Any]:
        """Return what ITSM posts for a ticket as it stands now, a good token included."""
        return callbacks.callback_body(world, _one(world, sn))

    @routes.post("/tickets/{sn}/callback")
    async def post_callback(sn: str, body: dict[str, Any]) -> dict[str, bool]:
        """Post a callback again, or one that is not true; the keys given replace ITSM's."""
        found = _one(world, sn)
        sent = callbacks.callback_body(world, found) | body
        return {"accepted": await callbacks.deliver(world, found, sent)}


def _one(world: World, sn: str) -> Ticket:
    try:
        return world.one(sn)
    except (Refusal, LookupError) as problem:
        raise HTTPException(404, str(problem)) from problem


def _shown(ticket: Ticket) -> dict[str, Any]:
    return {key: getattr(ticket, key) for key in _SHOWN} | {
        "waits_for": ticket.waits_for,
        "approve_result": ticket.approve_result,
    }


def _with_writes(world: World, number: int) -> dict[str, Any]:
    return world.collectors[number] | {"etl_writes": world.etl_writes[number]}
