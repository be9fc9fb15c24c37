# SPDX-License-Identifier: Apache-2.0
"""The part of a ticket's life that takes time: its start and each step's end, a moment later, and its callback.

A worker does that work, as in ITSM; while it is stopped nothing starts and no answer has an effect.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from airflow_provider_bkitsm.sandbox.itsm import flow
from airflow_provider_bkitsm.sandbox.itsm.callbacks import post_callback
from airflow_provider_bkitsm.sandbox.itsm.forms import Draft
from airflow_provider_bkitsm.sandbox.itsm.services import AUTOMATIC_KINDS, Node
from airflow_provider_bkitsm.sandbox.itsm.tickets import FINISHED, Ticket
from airflow_provider_bkitsm.sandbox.world import World


def open_ticket(world: World, draft: Draft) -> Ticket:
    """Add a ticket and start its flow, unless that flow can never start."""
    ticket = world.add(draft)
    _resume(world, ticket)
    return ticket


def start_all(world: World) -> None:
    """Resume what was unfinished when the sandbox was last stopped."""
    for ticket in world.tickets.values():
        _resume(world, ticket)


async def change(
    world: World, ticket: Ticket, event: Callable[[], None], *, wait: bool = False, at_once: bool = False
) -> None:
    """Apply an event to a ticket; if it ends the ticket, post the callback once.

    :param wait: post it before returning, as ITSM does for a withdrawal
        (docs/itsm-behaviour.md#callback-inside-the-call).
    :param at_once: an answer has its effect before this returns.
    """
    was_over, working = ticket.over, world.worker.is_set()
    event()
    if at_once:
        flow.settle(ticket, world.clock())
    while working and not ticket.over and _quick_step(world, ticket):
        pass
    if ticket.status == FINISHED and not ticket.comment:
        ticket.comment = world.next_comment()
    world.save(ticket)
    _schedule_rest(world, ticket)
    if was_over or not ticket.over:
        return
    if wait:
        await post_callback(world, ticket)
    else:
        world.spawn(post_callback(world, ticket))


def _quick_step(world: World, ticket: Ticket) -> bool:
    """Do one step that takes no time in this sandbox; return whether there was one."""
    if ticket.queued and world.settings.settle_after == 0:
        flow.settle(ticket, world.clock())
        return True
    for node in flow.automatic_nodes(ticket):
        if _delay(world, node) == 0:
            _run(world, ticket, node)
            return True
    return False


def _schedule_rest(world: World, ticket: Ticket) -> None:
    if ticket.queued:
        world.spawn(_settle(world, ticket))
    for node in flow.automatic_nodes(ticket):
        if (ticket.id, node.state_id) not in world.scheduled:
            world.scheduled.add((ticket.id, node.state_id))
            world.spawn(_automatic(world, ticket, node))


def _delay(world: World, node: Node) -> float:
    return world.settings.settle_after if node.kind in AUTOMATIC_KINDS else world.settings.auto_approve_delay


def _run(world: World, ticket: Ticket, node: Node) -> None:
    fails = node.kind in AUTOMATIC_KINDS and world.faults.take_of_task(ticket.sn) is not None
    flow.run_automatic(ticket, node, world.clock(), fails=fails)


def _resume(world: World, ticket: Ticket) -> None:
    if ticket.over or ticket.orphan or (ticket.stuck and ticket.started):
        return
    if not ticket.submitted:
        world.spawn(_start(world, ticket))
    else:
        _schedule_rest(world, ticket)


async def _start(world: World, ticket: Ticket) -> None:
    half = world.settings.start_delay / 2
    await asyncio.sleep(half)
    await world.worker.wait()
    await change(world, ticket, lambda: flow.begin(ticket))
    await asyncio.sleep(half)
    await world.worker.wait()
    await change(world, ticket, lambda: flow.submit(ticket, world.clock()))


async def _settle(world: World, ticket: Ticket) -> None:
    await asyncio.sleep(world.settings.settle_after)
    await world.worker.wait()
    if not ticket.over and ticket.queued:
        await change(world, ticket, lambda: flow.settle(ticket, world.clock()))


async def _automatic(world: World, ticket: Ticket, node: Node) -> None:
    await asyncio.sleep(_delay(world, node))
    await world.worker.wait()
    world.scheduled.discard((ticket.id, node.state_id))
    await change(world, ticket, lambda: _run(world, ticket, node))
