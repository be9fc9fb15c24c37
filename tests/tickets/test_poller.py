# SPDX-License-Identifier: Apache-2.0
"""The shared poll against a running sandbox: few questions, everybody's answer."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest

from airflow_provider_bkitsm.hooks.itsm import ItsmHook
from airflow_provider_bkitsm.hooks.transport import AsyncTransport
from airflow_provider_bkitsm.itsm import errors
from airflow_provider_bkitsm.itsm.v2.dialect import DialectV2
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


async def test_p1_a_state_is_told_whatever_goes_wrong_with_when_its_ticket_was_opened(connections, monkeypatch):
    (sn,) = opened(1)

    def broken(*_: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(DialectV2, "summaries", broken)
    async with TicketWait(CONN, sn=sn, interval=60, dated=True) as wait:
        assert (await asyncio.wait_for(wait.look(), 10)).sn == sn


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


def spoilt(monkeypatch, sn: str, changed: dict) -> None:
    """Have the row of a ticket come with other values."""
    send = AsyncTransport.send

    async def spoil(transport, call):
        reply = await send(transport, call)
        if "ticket_approval_result" not in call.path:
            return reply
        answer = json.loads(reply.body)
        answer["data"] = [row | changed if row["sn"] == sn else row for row in answer["data"]]
        return replace(reply, body=json.dumps(answer).encode())

    monkeypatch.setattr(AsyncTransport, "send", spoil)


@pytest.mark.parametrize("changed", [{"approve_result": "perhaps"}, {"current_status": 3}, {"sn": 7}])
async def test_p1_a_row_that_cannot_be_read_is_an_error_of_its_own_ticket_only(
    sandbox, connections, monkeypatch, changed
):
    numbers = opened(5)
    spoilt(monkeypatch, numbers[2], changed)
    looks = await asyncio.gather(*(look(sn, interval=60) for sn in numbers), return_exceptions=True)
    unread = looks.pop(2)
    assert isinstance(unread, errors.ItsmUnexpectedAnswerError)
    assert [rows[0].sn for rows, _ in looks] == [sn for sn in numbers if sn != numbers[2]]
    assert len(asked(sandbox)) == 1


async def test_p1_a_ticket_that_gets_a_page_blocks_no_other_of_its_batch(sandbox, connections, monkeypatch):
    numbers = opened(8)
    send = AsyncTransport.send

    async def crash(transport, call):
        reply = await send(transport, call)
        is_spoilt = "ticket_approval_result" in call.path and numbers[3] in (call.body or {}).get("sn", ())
        return replace(reply, content_type="text/html", body=b"<html>500</html>") if is_spoilt else reply

    monkeypatch.setattr(AsyncTransport, "send", crash)

    async def read(sn: str) -> str:
        async with TicketWait(CONN, sn=sn, interval=0.2) as wait:
            while True:
                try:
                    return (await wait.look()).sn
                except errors.ItsmUnavailableError:
                    continue

    others = [sn for sn in numbers if sn != numbers[3]]
    spoilt_one = asyncio.create_task(read(numbers[3]))
    assert await asyncio.wait_for(asyncio.gather(*map(read, others)), 30) == others
    assert not spoilt_one.done()
    spoilt_one.cancel()
    await asyncio.gather(spoilt_one, return_exceptions=True)


async def test_p1_a_batch_is_given_back_whatever_fails(sandbox, connections, monkeypatch):
    (sn,) = opened(1)
    close = AsyncTransport.close
    async with TicketWait(CONN, sn=sn, interval=0.05) as wait:
        await wait.look()

        async def closes_badly(transport):
            await close(transport)
            raise RuntimeError("TLS session closed badly")

        monkeypatch.setattr(AsyncTransport, "close", closes_badly)
        sandbox.fault("ticket_approval_result", "status", status=403)
        with pytest.raises(errors.ItsmPermissionError):
            await asyncio.wait_for(wait.look(), 20)
        assert (await asyncio.wait_for(wait.look(), 20)).sn == sn


@pytest.fixture
def one_by_one(sandbox, connections) -> None:
    """A connection whose batches hold one ticket, and whose reads are repeated as by default."""
    login = {"login": "sandbox", "password": "sandbox-secret"}
    connections(CONN, conn_type="bkitsm", host=sandbox.itsm_url, extra={"batch_size": 1}, **login)


@pytest.mark.usefixtures("one_by_one")
async def test_in_an_outage_the_poll_sends_a_question_once(sandbox):
    sandbox.fault("ticket_approval_result", "status", status=502, times=1000)
    async with AsyncExitStack() as stack:
        waits = [
            await stack.enter_async_context(TicketWait(CONN, sn=f"REQ{number}", interval=60))
            for number in range(20)
        ]
        looks = [one.look() for one in waits]
        done, _ = await asyncio.wait(looks, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.sleep(1.5)
        assert len(done) == 1
        assert len(asked(sandbox)) == 1
        for one in looks:
            one.cancel()


@pytest.mark.usefixtures("one_by_one")
async def test_p1_a_new_wait_is_asked_about_at_once_in_an_outage(sandbox):
    sandbox.fault("ticket_approval_result", "status", status=502, times=1)
    (sn,) = opened(1)
    async with TicketWait(CONN, sn="REQ1", interval=60) as first:
        with pytest.raises(errors.ItsmUnavailableError):
            await first.look()
        rows, _ = await asyncio.wait_for(look(sn, interval=60), 20)
    assert rows[0].sn == sn


@pytest.mark.usefixtures("one_by_one")
@pytest.mark.parametrize("status", [502, 403])
async def test_whoever_an_outage_keeps_beyond_its_deadline_hears_of_it(sandbox, status):
    sandbox.fault("ticket_approval_result", "status", status=status, times=1000)
    async with AsyncExitStack() as stack:
        waits = [
            await stack.enter_async_context(TicketWait(CONN, sn=f"REQ{number}", interval=0.5))
            for number in range(20)
        ]
        looks = [one.look(within=0.1) for one in waits]
        heard = await asyncio.wait_for(asyncio.gather(*looks, return_exceptions=True), 20)
    assert {type(one) for one in heard} <= {errors.ItsmUnavailableError, errors.ItsmPermissionError}
    assert len(asked(sandbox)) < 20


async def test_who_rests_is_told_nothing_meanwhile(sandbox, connections):
    (sn,) = opened(1)
    async with TicketWait(CONN, sn=sn, interval=0.1) as wait:
        await wait.look()
        clock = asyncio.get_running_loop().time
        began = clock()
        wait.rest(0.5)
        assert (await asyncio.wait_for(wait.look(within=-5), 20)).sn == sn
        # A little of a rest is given away, as its end need not be met exactly.
        assert clock() - began >= 0.4


async def test_a_deadline_of_the_past_asks_nothing_of_its_own(sandbox, connections):
    (sn,) = opened(1)
    async with TicketWait(CONN, sn=sn, interval=60) as wait:
        await wait.look(within=-1)
        again = wait.look(within=-1)
        await asyncio.sleep(0.5)
        assert not again.done()
        again.cancel()
    assert len(asked(sandbox)) == 1
