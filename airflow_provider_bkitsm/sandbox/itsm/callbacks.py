# SPDX-License-Identifier: Apache-2.0
"""Posting a ticket's callback as ITSM does: once, without a time limit, lost unless accepted.

See docs/itsm-behaviour.md#callback.
"""

from __future__ import annotations

import asyncio
from typing import Any

import httpx

from airflow_provider_bkitsm.sandbox.itsm import tokens
from airflow_provider_bkitsm.sandbox.itsm.tickets import Ticket
from airflow_provider_bkitsm.sandbox.times import shanghai
from airflow_provider_bkitsm.sandbox.world import World

_ACCEPTING = frozenset({200, 201})
_USER_AGENT = "python-requests/2.27.1"


def callback_body(world: World, ticket: Ticket) -> dict[str, Any]:
    """Return the nine keys of a callback; several differ from what the queries say.

    See docs/itsm-behaviour.md#callbacks-body.
    """
    return {
        "title": ticket.title,
        "current_status": ticket.status,
        "sn": ticket.sn,
        "ticket_url": f"{world.settings.public_url}/weixin/#/ticket/{ticket.id}/",
        "update_at": shanghai(ticket.update_at, microseconds=True),
        "updated_by": f",{','.join(ticket.updated_by)},",
        "approve_result": ticket.approve_result,
        "token": tokens.issue(world.installation),
        "last_approver": ticket.last_approver,
    }


async def post_callback(world: World, ticket: Ticket) -> None:
    """Post the callback of a ticket that has just ended, or do what a fault says instead."""
    if not ticket.meta.get("callback_url"):
        return
    fault = world.faults.take_of_callback(ticket.sn)
    kind = fault.kind if fault else None
    if fault and kind == "callback_lost":
        return
    if fault and kind == "callback_late":
        world.spawn(_later(world, ticket, fault.seconds))
        return
    body = callback_body(world, ticket)
    await deliver(world, ticket, body)
    if kind == "callback_twice":
        await deliver(world, ticket, body)


async def deliver(world: World, ticket: Ticket, body: dict[str, Any]) -> bool:
    """Post a body to a ticket's ``callback_url`` and return whether it was accepted.

    A ticket whose callback is not accepted goes to the lost-callback list.
    """
    try:
        answer = await _post(str(ticket.meta.get("callback_url")), ticket.meta.get("headers"), body)
        accepted = answer.status_code in _ACCEPTING and answer.json().get("code") == 0
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, TypeError, AttributeError):
        accepted = False
    if not accepted:
        world.lose_callback(ticket.sn)
    return accepted


async def _later(world: World, ticket: Ticket, seconds: float) -> None:
    await asyncio.sleep(seconds)
    await deliver(world, ticket, callback_body(world, ticket))


async def _post(url: str, given: Any, body: dict[str, Any]) -> httpx.Response:
    headers = httpx.Headers({"User-Agent": _USER_AGENT, "Content-Type": "application/json"})
    headers.update(_latin(given))
    # As ITSM: certificates are not checked, and a slow receiver is waited for without end
    # (docs/itsm-behaviour.md#sent-once).
    async with httpx.AsyncClient(
        verify=False,  # noqa: S501
        timeout=None,  # noqa: S113
        follow_redirects=True,
        trust_env=False,
    ) as client:
        return await client.post(url, json=body, headers=headers)


def _latin(given: Any) -> dict[bytes, bytes]:
    """Return headers as bytes; anything that is not text in Latin-1 means that nothing is sent."""
    return {name.encode("latin-1"): value.encode("latin-1") for name, value in (given or {}).items()}
