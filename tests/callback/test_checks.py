# SPDX-License-Identifier: Apache-2.0
"""Checks after the answers: none is missing for a callback, and none is made that no callback needs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from airflow_provider_bkitsm.callback import checks as module
from airflow_provider_bkitsm.callback.checks import Check, Ticket, TicketChecks
from airflow_provider_bkitsm.callback.messages import Result

ONE, OTHER = Ticket("bkitsm_default", "REQ1"), Ticket("bkitsm_default", "REQ2")
OPEN, DECIDED = Check(result=Result.STILL_OPEN), Check(result=Result.RESUMED)
NOTHING = Check(result=Result.UNAVAILABLE, why="502", again=True)


@dataclass
class Itsm:
    """ITSM, as a check reads it: each read takes until ``answer`` is called."""

    reads: list[tuple[Ticket, tuple[str, ...]]] = field(default_factory=list)
    answers: list[asyncio.Future[Check]] = field(default_factory=list)
    recorded: list[Check] = field(default_factory=list)

    async def check(self, ticket: Ticket, hints: tuple[str, ...]) -> Check:
        self.reads.append((ticket, hints))
        self.answers.append(asyncio.get_running_loop().create_future())
        return await self.answers[-1]

    async def answer(self, check: Check) -> None:
        await turn(lambda: bool(self.answers))
        self.answers.pop(0).set_result(check)
        await asyncio.sleep(0)

    def checks(self, **more: Any) -> TicketChecks[str]:
        given = {"rest": 0.0, "retries": (), **more}
        return TicketChecks(self.check, record=lambda _, check: self.recorded.append(check), **given)


async def turn(done: Callable[[], bool]) -> None:
    for _ in range(500):
        if done():
            return
        await asyncio.sleep(0.002)
    raise AssertionError("it does not happen")


@pytest.fixture
def itsm() -> Itsm:
    return Itsm()


async def test_p1_a_callback_that_comes_during_a_check_brings_one_more(itsm):
    """The check under way may have read the ticket before its decision."""
    checks = itsm.checks()
    first = checks.add(ONE, "replayed")
    await turn(lambda: len(itsm.reads) == 1)
    late = [checks.add(ONE, "genuine") for _ in range(50)]
    await itsm.answer(OPEN)
    assert await first == OPEN
    await itsm.answer(DECIDED)
    assert [await one for one in late] == [DECIDED] * 50
    assert itsm.reads == [(ONE, ("replayed",)), (ONE, ("genuine",))]


async def test_p1_a_callback_that_comes_while_a_ticket_rests_is_checked_after_the_rest(itsm):
    checks = itsm.checks(rest=0.05)
    checks.add(ONE, "replayed")
    await itsm.answer(OPEN)
    await turn(lambda: len(itsm.recorded) == 1)
    genuine = checks.add(ONE, "genuine")
    assert len(itsm.reads) == 1
    await itsm.answer(DECIDED)
    assert await genuine == DECIDED


async def test_a_flood_of_replays_is_two_checks(itsm):
    checks = itsm.checks(rest=60.0)
    for _ in range(400):
        checks.add(ONE, "replayed")
        await asyncio.sleep(0)
    await itsm.answer(OPEN)
    for _ in range(400):
        checks.add(ONE, "replayed")
        await asyncio.sleep(0)
    assert len(itsm.reads) == 1


async def test_another_ticket_does_not_wait(itsm):
    checks = itsm.checks()
    checks.add(ONE, "a")
    checks.add(OTHER, "b")
    await turn(lambda: len(itsm.reads) == 2)


async def test_p1_what_had_no_result_is_repeated_with_whatever_came_meanwhile(itsm):
    checks = itsm.checks(retries=(0.01, 0.01))
    first = checks.add(ONE, "a")
    await itsm.answer(NOTHING)
    assert await first == NOTHING
    second = checks.add(ONE, "b")
    await itsm.answer(NOTHING)
    await itsm.answer(DECIDED)
    await turn(lambda: bool(itsm.recorded))
    assert [hints for _, hints in itsm.reads] == [("a",), ("a", "b"), ("a", "b")]
    assert itsm.recorded == [DECIDED]
    assert await second == NOTHING


async def test_repetitions_end_and_their_result_is_recorded_once(itsm):
    checks = itsm.checks(retries=(0.0, 0.0))
    checks.add(ONE, "a")
    for _ in range(3):
        await itsm.answer(NOTHING)
    await turn(lambda: bool(itsm.recorded))
    assert itsm.recorded == [NOTHING]
    assert len(itsm.reads) == 3
    # A later callback begins anew.
    checks.add(ONE, "a")
    await itsm.answer(DECIDED)
    await turn(lambda: itsm.recorded == [NOTHING, DECIDED])


async def test_a_ticket_some_of_whose_waits_went_on_is_checked_for_the_others(itsm):
    checks = itsm.checks(retries=(0.0,))
    some = Check(result=Result.RESUMED, again=True)
    checks.add(ONE, "a")
    await itsm.answer(some)
    await itsm.answer(Check(result=Result.RESUMED))
    await turn(lambda: len(itsm.recorded) == 2)
    assert itsm.recorded == [some, Check(result=Result.RESUMED)]


async def test_a_full_queue_takes_no_new_ticket_and_its_own_tickets_callbacks_all_the_same(itsm, monkeypatch):
    monkeypatch.setattr(module, "TICKETS_LIMIT", 1)
    checks = itsm.checks()
    assert checks.add(ONE, "a") is not None
    assert checks.add(OTHER, "a") is None
    assert checks.add(ONE, "b") is not None
    await itsm.answer(OPEN)
    await turn(lambda: checks.add(OTHER, "a") is not None)


async def test_different_callbacks_of_one_ticket_are_bounded_and_equal_ones_are_one(itsm, monkeypatch):
    monkeypatch.setattr(module, "HINTS_LIMIT", 2)
    checks = itsm.checks()
    assert [checks.add(ONE, hint) is not None for hint in "aabbcab"] == [True, True, True, True, False, True, True]
    await turn(lambda: itsm.reads == [(ONE, ("a", "b"))])


async def test_a_connections_tickets_take_turns_and_another_connections_do_not_wait_for_them(itsm, monkeypatch):
    monkeypatch.setattr(module, "TURNS", 1)
    checks, elsewhere = itsm.checks(), Ticket("other", "REQ1")
    for ticket in (ONE, OTHER, elsewhere):
        checks.add(ticket, "a")
    await turn(lambda: [ticket for ticket, _ in itsm.reads] == [ONE, elsewhere])
    # What comes before a check's turn is for that check.
    checks.add(OTHER, "b")
    await itsm.answer(OPEN)
    await turn(lambda: itsm.reads[-1] == (OTHER, ("a", "b")))


async def test_a_check_that_is_cancelled_leaves_no_ticket_behind(itsm):
    checks = itsm.checks()
    checked = checks.add(ONE, "a")
    await turn(lambda: bool(itsm.reads))
    for task in list(asyncio.all_tasks() - {asyncio.current_task()}):
        task.cancel()
    await turn(checked.done)
    assert checked.cancelled()
    checks.add(ONE, "b")
    await turn(lambda: len(itsm.reads) == 2)
