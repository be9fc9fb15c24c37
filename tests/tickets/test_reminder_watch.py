# SPDX-License-Identifier: Apache-2.0
"""The watch over the reminders of many tickets: what it costs, what wakes it, what cannot stop it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_bkitsm.collectors.errors import StoreUnavailable
from airflow_provider_bkitsm.itsm.reminders import read_plan
from airflow_provider_bkitsm.tickets.reminder_sending import TicketReminders
from airflow_provider_bkitsm.tickets.reminder_store import ReminderStore, open_reminder_store
from airflow_provider_bkitsm.tickets.reminder_watch import ReminderWatch, reminder_watch
from airflow_provider_bkitsm.tickets.senders import SenderSpec
from tests.tickets import test_reminder_sending as sending
from tests.tickets.test_reminder_sending import SENT, item, opened

HOUR = 3600.0


@pytest.fixture(autouse=True)
def _afresh() -> None:
    SENT.clear()
    sending.FAILURES.clear()


class CountedStore:
    """Opens the store, and counts how often and from when on."""

    def __init__(self, failures: int = 0) -> None:
        self.opened = 0
        self.first: datetime | None = None
        self.failures = failures

    def __call__(self) -> ReminderStore:
        self.opened += 1
        self.first = self.first or datetime.now(UTC)
        if self.opened <= self.failures:
            raise StoreUnavailable("the database is down")
        return open_reminder_store()


def at_once(sn: str, *, after: float = 0.0, **more: Any) -> TicketReminders:
    """Return what is sent about a ticket, due so many seconds from now."""
    clock = sending.Clock()
    plan = read_plan(remind_after=HOUR + after)
    return item(sn, clock, plan=plan, opened=clock.now - timedelta(seconds=HOUR), **more)


async def until(done: Callable[[], bool]) -> None:
    while not done():
        await asyncio.sleep(0.01)


async def test_a_reminder_is_sent_when_it_is_due_and_nothing_is_asked_before(connections, sandbox):
    sn, store = opened(sandbox), CountedStore()
    before = len(sandbox.requests("get_ticket_status"))
    watch, later = ReminderWatch(store=store), at_once(sn, after=0.3)
    due = datetime.now(UTC) + timedelta(seconds=0.2)
    watch.add(later)
    await until(lambda: bool(SENT))
    await watch.settle()
    assert (store.opened, len(SENT), len(sandbox.requests("get_ticket_status")) - before) == (1, 1, 1)
    assert store.first is not None
    assert store.first > due
    watch.discard(later)


async def test_one_that_is_due_wakes_a_watch_that_sleeps_for_another(connections, sandbox):
    watch, far, near = ReminderWatch(), at_once("REQ0", after=9999), at_once(opened(sandbox))
    watch.add(far)
    await asyncio.sleep(0.05)
    watch.add(near)
    await until(lambda: bool(SENT))
    for one in (far, near):
        watch.discard(one)


async def test_who_waits_no_more_is_not_sent_anything(connections, sandbox):
    watch, gone, stays = ReminderWatch(), at_once(opened(sandbox), after=0.1), at_once("REQ0", after=9999)
    watch.add(stays)
    watch.add(gone)
    watch.discard(gone)
    await asyncio.sleep(0.3)
    assert SENT == []
    watch.discard(stays)


async def test_what_is_settled_is_asked_about_no_more(connections, sandbox):
    sn, store = opened(sandbox), CountedStore()
    watch, one = ReminderWatch(store=store), at_once(sn)
    watch.add(one)
    await until(lambda: bool(SENT))
    await watch.settle()
    other = at_once("REQ0", after=9999)
    for _ in range(5):
        watch.add(other)
        await asyncio.sleep(0.02)
        watch.discard(other)
    assert store.opened == 1
    watch.discard(one)


async def test_a_store_that_is_down_stops_neither_watch_nor_others(connections, sandbox, monkeypatch, caplog):
    monkeypatch.setattr("airflow_provider_bkitsm.tickets.reminder_watch._AFTER_FAILURE", timedelta(seconds=0.05))
    watch, one = ReminderWatch(store=CountedStore(failures=2)), at_once(opened(sandbox))
    watch.add(one)
    await until(lambda: bool(SENT))
    assert caplog.text.count("the database is down") == 2
    watch.discard(one)


async def test_a_watch_can_be_left_and_taken_up_again(connections, sandbox):
    watch, one = ReminderWatch(), at_once(opened(sandbox), after=0.2)
    watch.add(one)
    watch.discard(one)
    await asyncio.sleep(0.01)
    watch.add(one)
    await until(lambda: bool(SENT))
    watch.discard(one)


async def test_an_event_loop_has_one_watch(connections):
    assert reminder_watch() is reminder_watch()


async def test_a_clock_that_was_set_back_delays_a_reminder_and_loses_none(connections, sandbox):
    skew = [timedelta(0)]
    watch = ReminderWatch(now=lambda: datetime.now(UTC) + skew[0])
    one = at_once(opened(sandbox), after=0.3)
    watch.add(one)
    skew[0] = timedelta(seconds=-0.3)
    await until(lambda: bool(SENT))
    watch.discard(one)


async def test_what_becomes_due_while_a_slow_sender_sends_is_sent_after_it(connections, sandbox):
    clock = sending.Clock()
    more = {"senders": (SenderSpec(path=f"{sending.__name__}.hangs"), sending.HERE)}
    plan = read_plan(remind_after=[HOUR, HOUR + 30])
    one = item(opened(sandbox), clock, plan=plan, **more)
    sending.HANGS.clear()
    sending.HANGING.clear()
    watch = ReminderWatch(now=clock)
    watch.add(one)
    await until(sending.HANGING.is_set)
    clock.pass_by(40)
    sending.HANGS.set()
    await until(lambda: len(SENT) == 2)
    watch.discard(one)
