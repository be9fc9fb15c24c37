# SPDX-License-Identifier: Apache-2.0
"""The shared poll against a running sandbox: few questions, everybody's answer."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from contextvars import ContextVar

import pytest

from airflow_provider_bkitsm.hooks.itsm import ItsmHook
from airflow_provider_bkitsm.itsm import errors
from airflow_provider_bkitsm.itsm.models import TicketStatus
from airflow_provider_bkitsm.tickets import poller
from airflow_provider_bkitsm.tickets.poller import TicketWait

FORM = {"title": "t", "APPROVER": "alice", "APPROVAL_CONTENT": "c"}
CONN = "bkitsm_default"


def opened(count: int) -> list[str]:
    hook = ItsmHook()
    return [hook.create_ticket(creator="robot", fields=FORM, fast_approval=True).sn for _ in range(count)]


def asked(sandbox) -> list[list[str]]:
    return [one["body"]["sn"] for one in sandbox.requests("ticket_approval_result")]


async def look(sn: str, times: int = 1, **more):
    async with TicketWait(CONN, sn=sn, **{"interval": 0.1} | more) as wait:
        return [await wait.look() for _ in range(times)], wait


async def test_many_who_wait_share_their_questions(sandbox, connections):
    numbers = opened(30)
    looks = await asyncio.gather(*(look(sn, times=3) for sn in numbers))
    assert [rows[0].sn for rows, _ in looks] == numbers
    questions = asked(sandbox)
    assert len(questions) < 12
    assert max(len(one) for one in questions) > 10


async def test_two_who_wait_for_one_ticket_ask_once(sandbox, connections):
    (sn,) = opened(1)
    async with AsyncExitStack() as stack:
        waits = [await stack.enter_async_context(TicketWait(CONN, sn=sn, interval=60)) for _ in range(2)]
        rows = await asyncio.gather(*(one.look() for one in waits))
    assert [one.sn for one in rows] == [sn, sn]
    assert asked(sandbox) == [[sn]]


async def test_whoever_comes_later_is_asked_about_at_once(sandbox, connections):
    first, second = opened(2)
    async with TicketWait(CONN, sn=first, interval=3600) as wait:
        await wait.look()
        assert (await look(second, interval=3600))[0][0].sn == second
    assert asked(sandbox) == [[first], [second]]


async def test_the_last_one_to_leave_closes_everything(sandbox, connections):
    (sn,) = opened(1)
    async with TicketWait(CONN, sn=sn, interval=60) as wait:
        await wait.look()
        shared = wait.poller
        assert shared._tasks
    assert not shared._tasks
    assert not poller._POLLERS[asyncio.get_running_loop()]
    before = len(asked(sandbox))
    await look(sn)
    assert len(asked(sandbox)) == before + 1


async def test_an_unknown_number_is_an_error_for_its_own_wait_only(sandbox, connections):
    (sn,) = opened(1)
    known, unknown = await asyncio.gather(look(sn), look("NOPE"), return_exceptions=True)
    assert known[0][0].sn == sn
    assert isinstance(unknown, errors.ItsmTicketNotFoundError)


async def test_p3_a_number_that_two_tickets_carry_is_an_error(sandbox, connections):
    (sn,) = opened(1)
    sandbox.forget_counters()
    assert opened(1) == [sn]
    with pytest.raises(errors.ItsmAmbiguousError):
        await look(sn)


async def test_p6_nobody_elses_tickets_are_asked_about(sandbox, connections):
    mine, foreign = opened(2)
    await look(mine, times=3)
    assert foreign not in {sn for one in asked(sandbox) for sn in one}


async def test_when_a_ticket_was_opened_is_read_for_all_in_one_call(sandbox, connections):
    numbers = opened(10)
    looks = await asyncio.gather(*(look(sn, times=2, dated=True) for sn in numbers))
    assert all(wait.created_at is not None for _, wait in looks)
    assert len(sandbox.requests("get_tickets")) < 5
    assert not sandbox.requests("get_ticket_info")


async def test_a_batch_holds_as_many_as_the_connection_says(sandbox, connections):
    login = {"login": "sandbox", "password": "sandbox-secret"}
    connections(CONN, conn_type="bkitsm", host=sandbox.itsm_url, extra={"batch_size": "4"}, **login)
    numbers = opened(9)
    await asyncio.gather(*(look(sn) for sn in numbers))
    assert max(len(one) for one in asked(sandbox)) == 4


async def test_p1_an_outage_is_told_and_survived(sandbox, connections):
    (sn,) = opened(1)
    sandbox.fault("ticket_approval_result", "html")
    async with TicketWait(CONN, sn=sn, interval=0.1) as wait:
        with pytest.raises(errors.ItsmUnavailableError):
            await wait.look()
        assert (await wait.look()).sn == sn


async def test_a_rotated_secret_is_picked_up(sandbox, connections):
    login = {"login": "sandbox", "password": "old"}
    connections(CONN, conn_type="bkitsm", host=sandbox.itsm_url, extra={"read_retries": 0}, **login)
    async with TicketWait(CONN, sn="REQ1", interval=0.05) as wait:
        with pytest.raises(errors.ItsmAuthenticationError):
            await wait.look()
        login["password"] = "sandbox-secret"
        connections(CONN, conn_type="bkitsm", host=sandbox.itsm_url, **login)
        with pytest.raises(errors.ItsmTicketNotFoundError):
            await wait.look()


async def test_a_connection_that_does_not_exist_is_an_error_not_a_hang(connections):
    async with TicketWait("nowhere", sn="REQ1", interval=0.05) as wait:
        with pytest.raises(errors.ItsmError):
            await wait.look()


async def test_p1_a_poll_that_stumbles_goes_on(sandbox, connections, monkeypatch):
    monkeypatch.setattr(poller.Poller, "stumbled_seconds", 0.0)
    (sn,) = opened(1)
    next_batch, stumbles = poller.Schedule.next_batch, [1] * 9

    def stumble(schedule, now):
        if stumbles:
            raise RuntimeError(stumbles.pop())
        return next_batch(schedule, now)

    monkeypatch.setattr(poller.Schedule, "next_batch", stumble)
    async with TicketWait(CONN, sn=sn, interval=60) as wait:
        assert (await asyncio.wait_for(wait.look(), 10)).sn == sn


async def test_one_of_many_notes_once_a_minute_that_itsm_answers(sandbox, connections, monkeypatch):
    noted = []

    async def note() -> None:
        noted.append(1)

    numbers = opened(5)
    await asyncio.gather(*(look(sn, times=3, note=note) for sn in numbers))
    assert noted == [1]
    monkeypatch.setattr(poller.Poller, "note_seconds", 0.0)
    await look(numbers[0], times=3, note=note)
    assert len(noted) > 2


async def test_when_the_one_who_notes_has_left_another_does(sandbox, connections, monkeypatch):
    monkeypatch.setattr(poller.Poller, "note_seconds", 0.0)
    noted: list[str] = []

    def noting(sn: str):
        async def note() -> None:
            noted.append(sn)

        return note

    first, second = opened(2)
    async with TicketWait(CONN, sn=second, interval=0.05, note=noting(second)) as stays:
        async with TicketWait(CONN, sn=first, interval=0.05, note=noting(first)) as leaves:
            await asyncio.gather(*(one.look() for one in (leaves, stays)))
            stayed = set(noted)
        noted.clear()
        await stays.look()
    assert len(stayed) == 1
    assert set(noted) <= {second}
    assert noted


async def test_an_itsm_that_does_not_answer_is_not_noted(sandbox, connections):
    noted = []

    async def note() -> None:
        noted.append(1)

    (sn,) = opened(1)
    sandbox.fault("ticket_approval_result", "html")
    async with TicketWait(CONN, sn=sn, interval=60, note=note) as wait:
        with pytest.raises(errors.ItsmUnavailableError):
            await wait.look()
    assert noted == []


@pytest.fixture
def stalled(sandbox, connections, monkeypatch) -> str:
    """A ticket whose flow never starts, and waits that look for it soon."""
    monkeypatch.setattr("airflow_provider_bkitsm.itsm.stall.START_SECONDS", 0.1)
    monkeypatch.setattr(poller.Poller, "between_checks", 0.0)
    login = {"login": "sandbox", "password": "sandbox-secret"}
    connections(CONN, conn_type="bkitsm", host=sandbox.itsm_url, extra={"four_byte": "send"}, **login)
    form = FORM | {"APPROVAL_CONTENT": "\U0001f680"}
    return ItsmHook().create_ticket(creator="robot", fields=form, fast_approval=True).sn


async def test_a_ticket_that_asks_nobody_is_told_once_to_everybody_who_waits_for_it(stalled):
    seen: list[tuple[str, str]] = []
    who: ContextVar[str] = ContextVar("who")

    async def wait(name: str) -> None:
        who.set(name)

        def tell(status: TicketStatus) -> None:
            seen.append((who.get(), status.current_status))

        async with TicketWait(CONN, sn=stalled, interval=0.05, on_stall=tell) as one:
            for _ in range(8):
                await one.look()
            assert one.stalled

    await asyncio.gather(wait("first"), wait("second"))
    assert sorted(seen) == [("first", "RUNNING"), ("second", "RUNNING")]


async def test_each_ticket_is_checked_once_and_the_poll_stays_batched(stalled, sandbox):
    numbers = [stalled, *opened(30)]
    for sn in numbers[1:]:
        await asyncio.to_thread(sandbox.wait_for_step, sn)
    stalls: list[str] = []

    async def wait(sn: str) -> None:
        async with TicketWait(CONN, sn=sn, interval=0.1, on_stall=lambda _: stalls.append(sn)) as one:
            for _ in range(8):
                await one.look()

    await asyncio.gather(*map(wait, numbers))
    checked = [one["query"].removeprefix("sn=") for one in sandbox.requests("get_ticket_status")]
    assert sorted(checked) == sorted(numbers)
    assert stalls == [stalled]
    assert len(asked(sandbox)) < 40


async def test_a_check_that_fails_disturbs_no_wait(stalled, sandbox):
    sandbox.fault("get_ticket_status", "refuse")
    rows, wait = await look(stalled, times=8)
    assert len(rows) == 8
    assert not wait.stalled


# What one wait is told, and when, against a running sandbox.


@pytest.fixture
def sn(connections) -> str:
    return ItsmHook().create_ticket(creator="robot", fields=FORM, fast_approval=True).sn


async def test_a_deadline_asks_before_its_turn(sn):
    async with TicketWait(CONN, sn=sn, interval=3600) as wait:
        await wait.look()
        assert (await wait.look(within=0.05)).sn == sn


async def test_who_knows_a_ticket_is_woken_only_by_news(sandbox, sn):
    async with TicketWait(CONN, sn=sn, interval=0.05) as wait:
        wait.known = (await wait.look()).current_status
        news = wait.look()
        while len(sandbox.requests("ticket_approval_result")) < 5:
            await asyncio.sleep(0.01)
        assert not news.done()
        await asyncio.to_thread(sandbox.approve, sn)
        assert (await news).current_status == "FINISHED"


async def test_p1_an_error_is_news(sandbox, sn):
    async with TicketWait(CONN, sn=sn, interval=0.05) as wait:
        wait.known = (await wait.look()).current_status
        sandbox.fault("ticket_approval_result", "refuse")
        with pytest.raises(errors.ItsmError):
            await wait.look()
        assert (await wait.look()).sn == sn


async def test_a_deadline_is_told_what_is_known(sn):
    async with TicketWait(CONN, sn=sn, interval=3600) as wait:
        wait.known = (await wait.look()).current_status
        assert (await wait.look(within=0.05)).current_status == "RUNNING"
