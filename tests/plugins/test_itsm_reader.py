# SPDX-License-Identifier: Apache-2.0
"""How tickets stand in ITSM, with the sandbox as ITSM."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import Mock

import pytest

from airflow_provider_bkitsm.hooks.connection import Gateway
from airflow_provider_bkitsm.hooks.itsm import ItsmHook
from airflow_provider_bkitsm.itsm.errors import ItsmError
from airflow_provider_bkitsm.itsm.models import Progress, TicketStatus
from airflow_provider_bkitsm.itsm.v2.dialect import V2, DialectV2
from airflow_provider_bkitsm.plugins import itsm_reader
from airflow_provider_bkitsm.plugins.itsm_reader import ItsmReader, TicketCache
from tests.callback.conftest import FORM, gateway_of

CONN = "bkitsm_default"


@dataclass
class Desk:
    """A clock that only moves when told to, and a connection that can break."""

    gateways: dict[str, Gateway]
    now: datetime = datetime(2026, 11, 24, tzinfo=UTC)
    asked: list[str] = field(default_factory=list)

    async def gateway(self, conn_id: str) -> Gateway | None:
        self.asked.append(conn_id)
        return self.gateways.get(conn_id)

    def later(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def tickets(self) -> TicketCache:
        return TicketCache(ItsmReader(gateway=self.gateway, clock=lambda: self.now))


@pytest.fixture
def desk(sandbox, connections) -> Desk:
    return Desk(gateways={CONN: gateway_of(sandbox)})


@pytest.fixture
def opened(desk, sandbox) -> Callable[..., list[tuple[str, str]]]:
    """Return a maker of tickets that wait for their approver."""

    def make(count: int = 1) -> list[tuple[str, str]]:
        made = [ItsmHook().create_ticket(creator="robot", fields=FORM, fast_approval=True) for _ in range(count)]
        for one in made:
            sandbox.wait_for_step(one.sn)
        return [(CONN, one.sn) for one in made]

    return make


async def test_a_page_of_tickets_takes_one_search(desk, opened):
    tickets, seen = desk.tickets(), opened(5)
    assert await tickets.refresh(seen) is True
    assert desk.asked == [CONN]
    snapshots = [tickets.snapshot(one) for one in seen]
    assert {(one.progress, one.title, one.stale) for one in snapshots} == {
        (Progress.RUNNING, FORM["title"], False)
    }
    assert {one.approvers for one in snapshots} == {("alice",)}
    assert all(one.created_at and one.created_at.tzinfo and one.step for one in snapshots)


async def test_what_was_just_read_is_not_asked_again(desk, opened):
    tickets, seen = desk.tickets(), opened()
    await tickets.refresh(seen)
    await tickets.refresh(seen)
    assert len(desk.asked) == 1
    desk.later(5)
    await tickets.refresh(seen)
    assert len(desk.asked) == 2


def no_step(_dialect: DialectV2, _sn: str) -> Iterator[Any]:
    """Answer as ITSM does of a ticket whose flow has not started."""
    yield from ()
    return TicketStatus(current_status="RUNNING", progress=Progress.RUNNING)


async def test_people_who_look_at_the_same_moment_share_one_question(desk, opened):
    tickets, seen = desk.tickets(), opened(3)
    assert all(await asyncio.gather(*(tickets.refresh(seen) for _ in range(5))))
    assert len(desk.asked) == 1


async def test_a_decision_is_seen_with_the_next_question(desk, opened, sandbox):
    tickets, (one,) = desk.tickets(), opened()
    await tickets.refresh([one])
    sandbox.approve(one[1])
    desk.later(5)
    await tickets.refresh([one])
    assert tickets.snapshot(one).progress is Progress.FINISHED


async def test_steps_of_many_tickets_come_a_few_at_a_time(desk, opened):
    tickets, seen = desk.tickets(), opened(15)
    await tickets.refresh(seen)
    assert sum(bool(tickets.snapshot(one).step) for one in seen) == 10
    await tickets.refresh(seen)
    assert all(tickets.snapshot(one).step for one in seen)


async def test_a_ticket_without_a_step_yet_is_asked_again_soon(desk, opened, monkeypatch):
    tickets, (one,) = desk.tickets(), opened()
    with monkeypatch.context() as patch:
        patch.setattr(DialectV2, "status", no_step)
        await tickets.refresh([one])
    assert tickets.snapshot(one).step == ""
    desk.later(5)
    await tickets.refresh([one])
    assert tickets.snapshot(one).approvers == ("alice",)


async def test_when_itsm_is_down_what_is_known_grows_stale(desk, opened):
    tickets, (one,) = desk.tickets(), opened()
    await tickets.refresh([one])
    desk.gateways.clear()
    desk.later(5)
    assert tickets.snapshot(one).stale is False
    assert await tickets.refresh([one]) is False
    assert (tickets.snapshot(one).progress, tickets.snapshot(one).stale) == (Progress.RUNNING, True)


async def test_a_failure_is_not_repeated_at_once(desk, opened):
    tickets, (one,) = desk.tickets(), opened()
    working = dict(desk.gateways)
    desk.gateways.clear()
    assert [await tickets.refresh([one]) for _ in range(3)] == [False, False, False]
    assert len(desk.asked) == 1
    desk.gateways.update(working)
    desk.later(16)
    assert await tickets.refresh([one]) is True


async def test_a_silent_itsm_does_not_hold_the_page(desk, monkeypatch):
    async def never(*_: object, **__: object) -> None:
        await asyncio.sleep(3600)

    monkeypatch.setattr("airflow_provider_bkitsm.plugins.itsm_reader.ITSM_SECONDS", 0.05)
    monkeypatch.setattr("airflow_provider_bkitsm.hooks.itsm.ItsmAsyncHook.run", never)
    assert await desk.tickets().refresh([(CONN, "REQ1")]) is False


async def test_an_unknown_ticket_stays_unknown(desk):
    tickets = desk.tickets()
    assert await tickets.refresh([(CONN, "REQ_nobody")]) is True
    assert tickets.snapshot((CONN, "REQ_nobody")) is None


@pytest.mark.parametrize("ticket", [("", "REQ1"), (CONN, "")])
async def test_without_connection_or_number_nobody_is_asked(desk, ticket):
    assert await desk.tickets().refresh([ticket]) is True
    assert desk.asked == []


async def test_a_ticket_that_asks_nobody_for_a_minute_is_stalled(desk, sandbox, connections, monkeypatch):
    status = Mock(side_effect=lambda sn: no_step(V2, sn))
    monkeypatch.setattr(DialectV2, "status", status)
    one = (CONN, ItsmHook().create_ticket(creator="robot", fields=FORM, fast_approval=True).sn)
    tickets = desk.tickets()
    await tickets.refresh([one])
    desk.now = tickets.snapshot(one).created_at
    desk.later(30)
    await tickets.refresh([one])
    assert not tickets.snapshot(one).stalled
    desk.later(31)
    await tickets.refresh([one])
    assert tickets.snapshot(one).stalled
    asked = status.call_count
    desk.later(30)
    await tickets.refresh([one])
    assert status.call_count == asked


# Asking an ITSM that may be down.


class Clock:
    now = datetime(2026, 11, 24, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def itsm(sandbox, clock) -> ItsmReader:
    async def gateway(conn_id: str):
        return gateway_of(sandbox) if conn_id == CONN else None

    return ItsmReader(gateway=gateway, clock=clock)


async def count(hook) -> int:
    return (await hook.get_tickets(sns=["REQ1"])).count


async def test_an_answer_is_returned(itsm):
    assert await itsm.ask(CONN, count) == 0
    assert not itsm.is_paused(CONN)


async def test_a_failure_is_none_and_followed_by_a_pause(itsm, sandbox, clock):
    sandbox.fault("get_tickets", "html")
    assert await itsm.ask(CONN, count) is None
    assert itsm.is_paused(CONN)
    assert await itsm.ask(CONN, count) is None
    assert len(sandbox.requests("get_tickets")) == 1
    clock.now += timedelta(seconds=16)
    assert await itsm.ask(CONN, count) == 0


async def test_an_itsm_is_down_until_it_answers(itsm, sandbox, clock):
    sandbox.fault("get_tickets", "html", times=2)
    for _ in range(2):
        await itsm.ask(CONN, count)
        clock.now += timedelta(seconds=16)
        assert (itsm.is_down(CONN), itsm.is_paused(CONN)) == (True, False)
    assert await itsm.ask(CONN, count) == 0
    assert not itsm.is_down(CONN)


async def test_an_itsm_that_answers_others_meanwhile_is_not_down(itsm):
    answered = asyncio.Event()

    async def fails_late(_hook) -> None:
        await answered.wait()
        raise ItsmError("no")

    late = asyncio.create_task(itsm.ask(CONN, fails_late))
    assert await itsm.ask(CONN, count) == 0
    answered.set()
    assert await late is None
    assert not itsm.is_down(CONN)


async def test_a_connection_that_is_not_there_pauses_no_other(itsm):
    assert await itsm.ask("nowhere", count) is None
    assert await itsm.ask(CONN, count) == 0


async def test_a_silent_itsm_is_not_waited_for(itsm, monkeypatch):
    monkeypatch.setattr(itsm_reader, "ITSM_SECONDS", 0.05)

    async def never(_hook) -> None:
        await asyncio.sleep(3600)

    assert await itsm.ask(CONN, never) is None
