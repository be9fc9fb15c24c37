# SPDX-License-Identifier: Apache-2.0
"""Whom each waiting ticket asks, read beside the poll and never in its way."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar

import pytest

from airflow_provider_bkitsm.hooks.itsm import ItsmHook
from airflow_provider_bkitsm.itsm.models import TicketStatus
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


async def test_everybody_who_waits_for_a_stalled_ticket_is_told_in_a_context_of_their_own(stalled):
    calls: list[tuple[str, str]] = []
    name: ContextVar[str] = ContextVar("name")

    async def wait(one: str) -> None:
        name.set(one)

        def on_steps(status: TicketStatus, stalled: bool) -> None:
            if stalled:
                calls.append((name.get(), status.current_status))

        async with TicketWait(CONN, sn=stalled, interval=0.05, on_steps=on_steps) as waiting:
            while not waiting.stalled:
                await waiting.look()

    await asyncio.gather(wait("first"), wait("second"))
    assert sorted(calls) == [("first", "RUNNING"), ("second", "RUNNING")]


async def test_each_ticket_costs_one_request_and_the_poll_stays_batched(sandbox, connections):
    numbers = opened(sandbox, 30)
    calls: list[tuple[str, tuple[str, ...], bool]] = []

    async def wait(sn: str) -> None:
        def on_steps(status: TicketStatus, stalled: bool) -> None:
            calls.append((sn, status.waits_for, stalled))

        async with TicketWait(CONN, sn=sn, interval=0.1, on_steps=on_steps) as one:
            while len(calls) < len(numbers):
                await one.look()
            for _ in range(5):
                await one.look()

    await asyncio.gather(*map(wait, numbers))
    requests = [one["query"].removeprefix("sn=") for one in sandbox.requests("get_ticket_status")]
    assert sorted(calls) == [(sn, ("alice",), False) for sn in sorted(numbers)]
    assert len(sandbox.requests("ticket_approval_result")) < 60
    assert sorted(requests) == sorted(numbers)


async def test_the_next_step_is_read_once_somebody_has_acted(two_steps, sandbox):
    people: list[tuple[str, ...]] = []

    async with TicketWait(
        CONN, sn=two_steps, interval=0.05, on_steps=lambda status, _: people.append(status.waits_for)
    ) as waiting:
        while not people:
            await waiting.look()
        for _ in range(5):
            await waiting.look()
        sandbox.approve(two_steps, operator="alice")
        while len(people) < 2:
            await waiting.look()
    assert people == [("alice",), ("admin",)]


async def test_a_check_that_fails_disturbs_no_wait(stalled, sandbox):
    sandbox.fault("get_ticket_status", "refuse")
    async with TicketWait(CONN, sn=stalled, interval=0.05) as waiting:
        for _ in range(8):
            await waiting.look()
    assert sandbox.requests("get_ticket_status")
    assert not waiting.stalled
