# SPDX-License-Identifier: Apache-2.0
"""Whom each waiting ticket asks, read beside the poll and never in its way."""

from __future__ import annotations

import asyncio

import pytest

from airflow_provider_bkitsm.hooks.itsm import ItsmHook
from airflow_provider_bkitsm.itsm.models import Progress, TicketState, TicketStatus
from airflow_provider_bkitsm.itsm.stall import StepsRead
from airflow_provider_bkitsm.sandbox.itsm.service_catalog import TWO_APPROVALS
from airflow_provider_bkitsm.tickets.poller import TicketWait
from airflow_provider_bkitsm.tickets.step_watch import StepWatch

FORM = {"title": "t", "APPROVER": "alice", "APPROVAL_CONTENT": "c"}
CONN = "bkitsm_default"


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    monkeypatch.setattr("airflow_provider_bkitsm.itsm.stall.FIRST_SECONDS", 0.05)
    monkeypatch.setattr("airflow_provider_bkitsm.itsm.stall.START_SECONDS", 0.1)
    monkeypatch.setattr(StepWatch, "between_checks", 0.0)


@pytest.fixture
def stalled(sandbox, connections) -> str:
    """A ticket whose flow never starts."""
    login = {"login": "sandbox", "password": "sandbox-secret"}
    connections(CONN, conn_type="bkitsm", host=sandbox.itsm_url, extra={"four_byte": "send"}, **login)
    form = FORM | {"APPROVAL_CONTENT": "\U0001f680"}
    return ItsmHook().create_ticket(creator="robot", fields=form, fast_approval=True).sn


@pytest.fixture
def two_steps(sandbox, connections) -> str:
    """A ticket that asks alice, and then the administrator."""
    fields = {"title": "t", "approver": "alice", "content": "c"}
    sn = ItsmHook().create_ticket(creator="robot", fields=fields, service_id=TWO_APPROVALS).sn
    sandbox.wait_for_step(sn)
    return sn


def opened(sandbox, count: int) -> list[str]:
    hook = ItsmHook()
    numbers = [hook.create_ticket(creator="robot", fields=FORM, fast_approval=True).sn for _ in range(count)]
    for sn in numbers:
        sandbox.wait_for_step(sn)
    return numbers


async def test_everybody_who_waits_for_a_stalled_ticket_is_told(stalled):
    async def wait() -> StepsRead:
        async with TicketWait(CONN, sn=stalled, interval=0.05, steps=True) as waiting:
            while not isinstance(news := await waiting.look(), StepsRead) or not news.stalled:
                pass
            return news

    assert [one.status.current_status for one in await asyncio.gather(wait(), wait())] == ["RUNNING"] * 2


async def test_steps_wait_for_whoever_is_busy_with_a_state(two_steps):
    async with TicketWait(CONN, sn=two_steps, interval=0.05, steps=True) as waiting:
        while not isinstance(await waiting.look(), TicketState):
            pass
        waiting.known = "RUNNING"
        status = TicketStatus(
            current_status="RUNNING", progress=Progress.RUNNING, current_steps=(), ticket_url="u"
        )
        waiting.see_steps(status, stalled=True)
        assert await waiting.look() == StepsRead(status=status, stalled=True)


async def test_steps_wait_for_the_first_state_which_has_the_title(two_steps, sandbox):
    """A slow ITSM may answer the question about one ticket before the one about many."""
    sandbox.fault("ticket_approval_result", "delay", seconds=1, times=1)
    status = TicketStatus(current_status="RUNNING", progress=Progress.RUNNING, current_steps=(), ticket_url="u")
    async with TicketWait(CONN, sn=two_steps, interval=0.05, steps=True) as waiting:
        first = waiting.look()
        waiting.see_steps(status, stalled=False)
        assert isinstance(await first, TicketState)
        assert isinstance(await waiting.look(), StepsRead)


async def test_each_ticket_costs_one_request_and_the_poll_stays_batched(sandbox, connections):
    numbers = opened(sandbox, 30)
    calls: list[tuple[str, tuple[str, ...], bool]] = []

    async def wait(sn: str) -> None:
        async with TicketWait(CONN, sn=sn, interval=0.1, steps=True) as one:
            looks = 0
            while looks < 5:
                news = await one.look()
                if isinstance(news, StepsRead):
                    calls.append((sn, news.status.waits_for, news.stalled))
                looks += len(calls) == len(numbers)

    await asyncio.gather(*map(wait, numbers))
    requests = [one["query"].removeprefix("sn=") for one in sandbox.requests("get_ticket_status")]
    assert sorted(calls) == [(sn, ("alice",), False) for sn in sorted(numbers)]
    assert len(sandbox.requests("ticket_approval_result")) < 60
    assert sorted(requests) == sorted(numbers)


async def test_the_next_step_is_read_once_somebody_has_acted(two_steps, sandbox):
    people: list[tuple[str, ...]] = []

    async with TicketWait(CONN, sn=two_steps, interval=0.05, steps=True) as waiting:

        async def look() -> None:
            if isinstance(news := await waiting.look(), StepsRead):
                people.append(news.status.waits_for)

        while not people:
            await look()
        for _ in range(5):
            await look()
        sandbox.approve(two_steps, operator="alice")
        while len(people) < 2:
            await look()
    assert people == [("alice",), ("admin",)]


async def test_a_check_that_fails_disturbs_no_wait(stalled, sandbox):
    sandbox.fault("get_ticket_status", "refuse")
    async with TicketWait(CONN, sn=stalled, interval=0.05) as waiting:
        for _ in range(8):
            await waiting.look()
    assert sandbox.requests("get_ticket_status")
    assert not waiting.stalled
