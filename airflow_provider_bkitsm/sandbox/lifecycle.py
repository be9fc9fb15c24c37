"""The part of a ticket's life that takes time: its start a moment after it was opened, and its callback."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from airflow_provider_bkitsm.sandbox import flow
from airflow_provider_bkitsm.sandbox.callbacks import post_callback
from airflow_provider_bkitsm.sandbox.forms import Draft
from airflow_provider_bkitsm.sandbox.tickets import AT_SUBMIT, Ticket
from airflow_provider_bkitsm.sandbox.world import World


def open_ticket(world: World, draft: Draft) -> Ticket:
    """Take in a ticket; its flow starts by itself, unless it is doomed."""
    ticket = world.add(draft)
    _start_later(world, ticket)
    return ticket


def start_all(world: World) -> None:
    """Start what was still to start when the sandbox was last stopped."""
    for ticket in world.tickets.values():
        _start_later(world, ticket)


async def change(world: World, ticket: Ticket, event: Callable[[], None], *, wait: bool = False) -> None:
    """Apply an event to a ticket; if it ends the ticket, post the callback once.

    :param wait: post it before returning, as ITSM does for a withdrawal (reference 4.7).
    """
    was_over = ticket.over
    event()
    world.save(ticket)
    if was_over or not ticket.over:
        return
    if wait:
        await post_callback(world, ticket)
    else:
        world.spawn(post_callback(world, ticket))


def _start_later(world: World, ticket: Ticket) -> None:
    if ticket.node <= AT_SUBMIT and not ticket.over and not ticket.orphan:
        world.spawn(_start(world, ticket))


async def _start(world: World, ticket: Ticket) -> None:
    half = world.settings.start_delay / 2
    await asyncio.sleep(half)
    await change(world, ticket, lambda: flow.begin(ticket))
    await asyncio.sleep(half)
    await change(world, ticket, lambda: flow.submit(ticket, world.clock()))
