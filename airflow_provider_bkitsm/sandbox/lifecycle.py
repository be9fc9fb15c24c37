# SPDX-License-Identifier: Apache-2.0
"""The part of a ticket's life that takes time: its start and each step's end, a moment later, and its callback.

A worker does that work, as in ITSM; while it is stopped nothing starts and no answer has an effect.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from airflow_provider_bkitsm.sandbox import flow
from airflow_provider_bkitsm.sandbox.callbacks import post_callback
from airflow_provider_bkitsm.sandbox.forms import Draft
from airflow_provider_bkitsm.sandbox.tickets import AT_SUBMIT, FINISHED, Ticket
from airflow_provider_bkitsm.sandbox.world import World


def open_ticket(world: World, draft: Draft) -> Ticket:
    """Take in a ticket; its flow starts by itself, unless it is doomed."""
    ticket = world.add(draft)
    _go_on(world, ticket)
    return ticket


def start_all(world: World) -> None:
    """Go on with what was still to do when the sandbox was last stopped."""
    for ticket in world.tickets.values():
        _go_on(world, ticket)


async def change(
    world: World, ticket: Ticket, event: Callable[[], None], *, wait: bool = False, at_once: bool = False
) -> None:
    """Apply an event to a ticket; if it ends the ticket, post the callback once.

    :param wait: post it before returning, as ITSM does for a withdrawal (reference 4.7).
    :param at_once: an answer has its effect before this returns.
    """
    was_over = ticket.over
    event()
    if at_once or (ticket.queued and world.settings.settle_after == 0 and world.worker.is_set()):
        flow.settle(ticket, world.clock())
    if ticket.status == FINISHED and not ticket.comment:
        ticket.comment = world.next_comment()
    world.save(ticket)
    if ticket.queued:
        world.spawn(_settle(world, ticket))
    if was_over or not ticket.over:
        return
    if wait:
        await post_callback(world, ticket)
    else:
        world.spawn(post_callback(world, ticket))


def _go_on(world: World, ticket: Ticket) -> None:
    if ticket.over or ticket.orphan:
        return
    if ticket.node <= AT_SUBMIT:
        world.spawn(_start(world, ticket))
    elif ticket.queued:
        world.spawn(_settle(world, ticket))


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
