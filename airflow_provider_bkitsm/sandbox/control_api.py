# SPDX-License-Identifier: Apache-2.0
"""The sandbox's own API below ``/sandbox``: what tests and demos need and no real platform offers.

It has no authentication, so it answers this machine only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Depends, HTTPException, Request
from pydantic import BaseModel

from airflow_provider_bkitsm.sandbox.bklog.provisioning import decide_natively
from airflow_provider_bkitsm.sandbox.bklog.seed import collector
from airflow_provider_bkitsm.sandbox.faults import Fault
from airflow_provider_bkitsm.sandbox.itsm import callbacks, flow, lifecycle, ticket_endpoints
from airflow_provider_bkitsm.sandbox.itsm.entrances import issue_jwt
from airflow_provider_bkitsm.sandbox.itsm.services import Node, filled_in
from airflow_provider_bkitsm.sandbox.itsm.tickets import Ticket
from airflow_provider_bkitsm.sandbox.itsm_v4 import flow as flow_v4
from airflow_provider_bkitsm.sandbox.itsm_v4 import lifecycle as lifecycle_v4
from airflow_provider_bkitsm.sandbox.itsm_v4.tickets import Ticket as TicketV4
from airflow_provider_bkitsm.sandbox.itsm_v4.views import verdict_of
from airflow_provider_bkitsm.sandbox.itsm_v4.workflows import Refusal as RefusalV4
from airflow_provider_bkitsm.sandbox.refusals import Refusal
from airflow_provider_bkitsm.sandbox.settings import CONTROL_ROOT
from airflow_provider_bkitsm.sandbox.world import InWorld, World

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
    "stuck",
    "started",
    "submitted",
    "queued",
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


routes = APIRouter(prefix=CONTROL_ROOT, dependencies=[Depends(only_from_here)])


async def decide(world: World, ticket: Ticket, wanted: Decision) -> None:
    """Answer on the current node the way ITSM's own page does.

    :raises HTTPException: nobody is asked, or not this person.
    """
    operator = wanted.operator or next(iter(ticket.waits_for), "")
    node = ticket.node_of(operator) or ticket.current_node
    if node is None:
        raise HTTPException(409, "nobody is asked at the moment")
    if operator not in ticket.waits_for:
        raise HTTPException(409, f"{operator or 'nobody'} is not asked at the moment")
    values = _page_form(ticket, node, wanted)
    now = world.clock()
    await lifecycle.change(
        world, ticket, lambda: flow.answer(ticket, node, operator, values, now, source="WEB"), at_once=True
    )


async def decide_v4(world: World, ticket: TicketV4, wanted: Decision) -> None:
    """Answer the current step of an ITSM v4 ticket the way its page does.

    :raises HTTPException: nobody is asked, or not this person.
    """
    operator = wanted.operator or next(iter(ticket.waits_for), "")
    action = flow_v4.APPROVE if wanted.approve else flow_v4.REFUSE
    given = flow_v4.Answer(operator=operator, action=action, remark=wanted.remark)
    await _changed_v4(world, ticket, lambda: flow_v4.answer(world.itsm_v4, ticket, given))


async def _changed_v4(world: World, ticket: TicketV4, event: Callable[[], None]) -> None:
    try:
        await lifecycle_v4.change(world, ticket, event)
    except RefusalV4 as refusal:
        raise HTTPException(409, refusal.message) from refusal


def _page_form(ticket: Ticket, node: Node, wanted: Decision) -> dict[str, str]:
    """Fill a step's form; the submit step, to which a ticket was sent back, keeps what it holds."""
    if node.state_id == ticket.service.submit_state_id:
        return {key: str(value) for key, value in ticket.fields.items()}
    return filled_in(node, approve=wanted.approve, remark=wanted.remark)


@routes.get("/tickets")
async def tickets(world: InWorld) -> list[dict[str, Any]]:
    """Return every ticket."""
    v4 = [_shown_v4(world, one) for one in world.itsm_v4.tickets.values()]
    return [_shown(one) for one in world.tickets.values()] + v4


@routes.get("/tickets/{sn}")
async def ticket(world: InWorld, sn: str) -> dict[str, Any]:
    """Return one ticket; an ITSM v4 one by its id."""
    if found := world.itsm_v4.tickets.get(sn):
        return _shown_v4(world, found)
    return _shown(_one(world, sn))


@routes.post("/tickets/{sn}/decide")
async def decide_ticket(world: InWorld, sn: str, wanted: Decision) -> dict[str, Any]:
    """Answer as a person would."""
    if found := world.itsm_v4.tickets.get(sn):
        await decide_v4(world, found, wanted)
        return _shown_v4(world, found)
    await decide(world, _one(world, sn), wanted)
    return _shown(_one(world, sn))


@routes.post("/tickets/{sn}/edit")
async def edit_ticket(world: InWorld, sn: str, values: dict[str, Any]) -> dict[str, Any]:
    """Change title and form of an open ticket as a person would."""
    if v4 := world.itsm_v4.tickets.get(sn):
        v4.form |= {"ticket__title" if key == "title" else key: value for key, value in values.items()}
        world.itsm_v4.save(v4)
        return _shown_v4(world, v4)
    found = _one(world, sn)
    try:
        ticket_endpoints.edit(found, values)
    except Refusal as refusal:
        raise HTTPException(409, refusal.message) from refusal
    world.save(found)
    return _shown(found)


@routes.post("/tickets/{sn}/finish_without_evidence")
async def finish_without_evidence(world: InWorld, sn: str) -> dict[str, Any]:
    """Finish a ticket that nobody has approved."""
    found = _one(world, sn)
    try:
        await lifecycle.change(world, found, lambda: flow.finish_without_evidence(found, world.clock()))
    except Refusal as refusal:
        raise HTTPException(409, refusal.message) from refusal
    return _shown(found)


@routes.get("/requests")
async def requests(world: InWorld, path: str = "") -> list[dict[str, Any]]:
    """Return the requests to paths that hold ``path``."""
    return [asdict(one) for one in world.requests if path in one.path]


@routes.get("/requests/counts")
async def request_counts(world: InWorld) -> dict[str, int]:
    """Return how many requests there were, by method and path."""
    return dict(world.request_counts)


@routes.get("/faults")
async def pending_faults(world: InWorld) -> list[dict[str, Any]]:
    """Return the faults that have not struck yet."""
    return [asdict(one) for one in world.faults.pending]


@routes.post("/faults", status_code=201)
async def add_fault(world: InWorld, fault: Fault) -> dict[str, Any]:
    """Add a fault."""
    world.faults.pending.append(fault)
    return asdict(fault)


@routes.delete("/faults", status_code=204)
async def clear_faults(world: InWorld) -> None:
    """Remove all faults."""
    world.faults.pending.clear()


@routes.post("/worker", status_code=204)
async def worker(world: InWorld, running: bool) -> None:
    """Stop or start the worker that lets tickets move."""
    (world.worker.set if running else world.worker.clear)()


@routes.delete("/counters", status_code=204)
async def forget_counters(world: InWorld) -> None:
    """Begin the day's ticket numbers again."""
    world.forget_counters()


@routes.get("/jwt")
async def attested(world: InWorld, user: str = "", verified: bool = False, seconds: float = 300) -> dict[str, str]:
    """Return the signature a gateway adds to a request, for calls past the gateway."""
    return {"jwt": issue_jwt(world.installation, user=user, verified=verified, seconds=seconds)}


@routes.get("/tickets/{sn}/callback")
async def callback(world: InWorld, sn: str) -> dict[str, Any]:
    """Return what ITSM posts for a ticket as it stands now, a good token included."""
    if found := world.itsm_v4.tickets.get(sn):
        return lifecycle_v4.callback_body(world, found)
    return callbacks.callback_body(world, _one(world, sn))


@routes.post("/tickets/{sn}/callback")
async def post_callback(world: InWorld, sn: str, body: dict[str, Any]) -> dict[str, bool]:
    """Post a ticket's callback again, or a forged one: the keys given replace ITSM's."""
    if v4 := world.itsm_v4.tickets.get(sn):
        return {"accepted": await lifecycle_v4.deliver(world, v4, lifecycle_v4.callback_body(world, v4) | body)}
    found = _one(world, sn)
    sent = callbacks.callback_body(world, found) | body
    return {"accepted": await callbacks.deliver(world, found, sent)}


@routes.delete("/services/{number}/nodes/{state_id}", status_code=204)
async def delete_node(world: InWorld, number: int, state_id: int, *, signal: bool = True) -> None:
    """Delete a node of a service's live workflow, as an administrator does while tickets are open."""
    try:
        world.services.delete_node(number, state_id, signal=signal)
    except LookupError as problem:
        raise HTTPException(404, f"no node {state_id} in service {number}") from problem


def _one(world: World, sn: str) -> Ticket:
    try:
        return world.one(sn)
    except (Refusal, LookupError) as problem:
        raise HTTPException(404, str(problem)) from problem


@routes.get("/itsm_v4")
async def switches(world: InWorld) -> dict[str, Any]:
    """Return how ITSM v4 behaves where its clients disagree."""
    return world.itsm_v4.switches.model_dump(mode="json")


@routes.post("/itsm_v4")
async def change_switches(world: InWorld, changes: dict[str, Any]) -> dict[str, Any]:
    """Let ITSM v4 behave in another way; what is not named stays."""
    try:
        world.itsm_v4.switches = world.itsm_v4.switches.changed(changes)
    except ValueError as problem:
        raise HTTPException(422, str(problem)) from problem
    return world.itsm_v4.switches.model_dump(mode="json")


@routes.post("/itsm_v4/{number}/suspend")
async def suspend(world: InWorld, number: str, on: bool = True) -> dict[str, Any]:
    """Suspend or resume an ITSM v4 ticket, which only its page can."""
    found = world.itsm_v4.tickets.get(number)
    if found is None:
        raise HTTPException(404, f"no ticket {number}")
    await _changed_v4(world, found, lambda: flow_v4.suspend(world.itsm_v4, found, on=on))
    return _shown_v4(world, found)


def _shown_v4(world: World, ticket: TicketV4) -> dict[str, Any]:
    return {
        "id": ticket.id,
        "sn": ticket.id,
        "number": ticket.sn,
        "tenant": ticket.tenant,
        "workflow_key": ticket.workflow_key,
        "title": ticket.title,
        "creator": ticket.creator,
        "fields": ticket.form,
        "status": ticket.status,
        "waits_for": ticket.waits_for,
        "over": ticket.over,
        "approve_result": verdict_of(world.itsm_v4, ticket),
        "callback_result": ticket.callback_result,
        "callback_url": ticket.callback_url,
    }


def _shown(ticket: Ticket) -> dict[str, Any]:
    return {key: getattr(ticket, key) for key in _SHOWN} | {
        "waits_for": ticket.waits_for,
        "over": ticket.over,
        "approve_result": ticket.approve_result,
    }


@routes.get("/collectors")
async def collectors(world: InWorld) -> list[dict[str, Any]]:
    """Return every collector, and how often its ETL was written."""
    return [shown_collector(world, number) for number in world.bklog.collectors]


@routes.get("/collectors/{number}")
async def one_collector(world: InWorld, number: int) -> dict[str, Any]:
    """Return one collector."""
    _check_known(world, number)
    return shown_collector(world, number)


@routes.put("/collectors/{number}")
async def put_collector(world: InWorld, number: int, row: dict[str, Any]) -> dict[str, Any]:
    """Create or replace a collector."""
    name = str(row.get("collector_config_name") or f"collector-{number}")
    try:
        world.bklog.put(number, collector(number, name) | row | {"collector_config_id": number})
    except (Refusal, LookupError) as problem:
        raise HTTPException(422, f"no table can be made of this: {problem}") from problem
    return shown_collector(world, number)


@routes.get("/collectors/{number}/clean_config")
async def clean_config(world: InWorld, number: int) -> dict[str, Any] | None:
    """Return the clean configuration written last, as the platform normalized it."""
    _check_known(world, number)
    return world.bklog.stashes.get(number)


@routes.get("/bklog")
async def setup(world: InWorld) -> dict[str, Any]:
    """Return the settings of the log platform."""
    return world.bklog.setup.model_dump(mode="json")


@routes.post("/bklog")
async def change_setup(world: InWorld, changes: dict[str, Any]) -> dict[str, Any]:
    """Change settings of the log platform; those not named stay."""
    try:
        world.bklog.change_setup(changes)
    except ValueError as problem:
        raise HTTPException(422, str(problem)) from problem
    return world.bklog.setup.model_dump(mode="json")


@routes.delete("/bklog/list_cache", status_code=204)
async def clear_list_cache(world: InWorld) -> None:
    """Let the ten minutes pass for which the list keeps what it has seen."""
    world.bklog.clear_list_cache()


@routes.post("/bklog/native/{sn}", status_code=204)
async def decide_native(world: InWorld, sn: str, approve: bool) -> None:
    """Decide a ticket that the log platform itself has opened."""
    try:
        decide_natively(world.bklog, sn, approve=approve)
    except LookupError as problem:
        raise HTTPException(404, f"the log platform has opened no ticket {sn}") from problem


def shown_collector(world: World, number: int) -> dict[str, Any]:
    """Return a collector as the platform holds it, and how often its ETL was written."""
    return world.bklog.shown(number) | {"etl_writes": world.bklog.etl_writes[number]}


def _check_known(world: World, number: int) -> None:
    if number not in world.bklog.collectors:
        raise HTTPException(404, f"no collector {number}")
