# SPDX-License-Identifier: Apache-2.0
"""What takes time in the life of an ITSM v4 ticket: its start, a moment after it was opened, and its callback."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx

from airflow_provider_bkitsm.sandbox.itsm_v4 import flow
from airflow_provider_bkitsm.sandbox.itsm_v4.tickets import DRAFT, FINISHED, Ticket
from airflow_provider_bkitsm.sandbox.itsm_v4.views import ticket_object
from airflow_provider_bkitsm.sandbox.world import World

_USER_AGENT = "python-requests/2.31.0"
_LONGEST_MESSAGE = 200


def start_all(world: World) -> None:
    """Start the drafts that were left when the sandbox was last stopped."""
    for ticket in world.itsm_v4.tickets.values():
        start_later(world, ticket)


def start_later(world: World, ticket: Ticket) -> None:
    """Start a draft a moment from now, while the worker runs."""
    if ticket.status == DRAFT:
        world.spawn(_start(world, ticket))


async def _start(world: World, ticket: Ticket) -> None:
    await asyncio.sleep(world.settings.start_delay)
    await world.worker.wait()
    await change(world, ticket, lambda: flow.start(world.itsm_v4, ticket))


async def change(world: World, ticket: Ticket, event: Callable[[], None], *, inside: bool = False) -> None:
    """Apply an event to a ticket; if it ends the ticket, call back once.

    :param inside: call back before this returns, if the installation does so.
    :raises Refusal: the event is not possible; the ticket is as it was.
    """
    was_over = ticket.over
    event()
    world.itsm_v4.save(ticket)
    switches = world.itsm_v4.switches
    is_called_back = ticket.status == FINISHED or switches.callback_of == "every_end"
    if was_over or not ticket.over or not is_called_back:
        return
    if inside and switches.callback_inside:
        await _call_back(world, ticket)
    else:
        world.spawn(_call_back(world, ticket))


def callback_body(world: World, ticket: Ticket) -> dict[str, Any]:
    """Return what is posted about a ticket as it stands now."""
    shown = ticket_object(world.itsm_v4, ticket, world.settings.public_url)
    return {"callback_token": ticket.callback_token, "ticket": shown}


async def _call_back(world: World, ticket: Ticket) -> None:
    fault = world.faults.take_of_callback(ticket.id)
    kind = fault.kind if fault else None
    if not ticket.callback_url or kind == "callback_lost":
        return
    if fault and kind == "callback_late":
        await asyncio.sleep(fault.seconds)
    body = callback_body(world, ticket)
    await deliver(world, ticket, body)
    if kind == "callback_twice" or world.itsm_v4.switches.callback_twice:
        await deliver(world, ticket, body)


async def deliver(world: World, ticket: Ticket, body: dict[str, Any]) -> bool:
    """Post a body to a ticket's ``callback_url`` once; note and return whether the answer says ``result`` true."""
    headers, url = {"User-Agent": _USER_AGENT}, ticket.callback_url
    if world.itsm_v4.switches.callback_query == "dropped":
        url = url.partition("?")[0]
    try:
        async with httpx.AsyncClient(verify=False, trust_env=False, timeout=30) as client:  # noqa: S501
            answer = await client.post(url, json=body, headers=headers)
        said = answer.json()
        result = {
            "result": said.get("result") is True,
            "message": str(said.get("message") or "")[:_LONGEST_MESSAGE],
        }
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, AttributeError) as problem:
        result = {"result": False, "message": f"{type(problem).__name__}"}
    ticket.callback_result = result
    world.itsm_v4.save(ticket)
    return bool(result["result"])
