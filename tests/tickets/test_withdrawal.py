# SPDX-License-Identifier: Apache-2.0
"""Ending tickets that nobody waits for any more, on a worker (promise P5)."""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial

import pytest

from airflow_provider_bkitsm.hooks.itsm import ItsmAsyncHook, ItsmHook
from airflow_provider_bkitsm.itsm import errors
from airflow_provider_bkitsm.itsm.verdict import VerdictPolicy
from airflow_provider_bkitsm.tickets.withdrawal import (
    async_withdraw_if_open,
    withdraw,
    withdraw_if_open,
    withdraw_on_timeout,
)
from tests.tickets.records import record_round

FORM = {"title": "t", "APPROVER": "alice", "APPROVAL_CONTENT": "c"}
ENDS = [withdraw, partial(withdraw_on_timeout, policy=VerdictPolicy()), withdraw_if_open]


@pytest.fixture
def hook(connections) -> ItsmHook:
    return ItsmHook()


@pytest.fixture
def sn(hook, sandbox) -> str:
    number = hook.create_ticket(creator="robot", fields=FORM, fast_approval=True).sn
    sandbox.wait_for_step(number)
    return number


def test_p5_a_ticket_of_this_moment_is_ended_as_soon_as_it_has_started(hook, sandbox):
    number = hook.create_ticket(creator="robot", fields=FORM, fast_approval=True).sn
    assert withdraw(hook, sn=number, why="over", sleep=lambda _: time.sleep(0.05)).current_status == "REVOKED"


def test_p5_a_ticket_out_of_time_is_ended(hook, sn, sandbox):
    verdict = withdraw_on_timeout(hook, sn=sn, why="over", policy=VerdictPolicy())
    assert (verdict.outcome, sandbox.ticket(sn)["status"]) == ("timed_out", "REVOKED")


def test_p1_a_decision_that_came_first_wins_over_the_deadline(hook, sn, sandbox):
    sandbox.approve(sn)
    assert withdraw_on_timeout(hook, sn=sn, why="over", policy=VerdictPolicy()).outcome == "approved"


def test_a_ticket_nobody_may_end_stays_open_and_the_log_says_so(hook, sn, sandbox, caplog):
    sandbox.fault("operate_ticket", "refuse", times=99)
    assert withdraw_on_timeout(hook, sn=sn, why="over", policy=VerdictPolicy()).outcome == "timed_out"
    assert "STAYS OPEN" in caplog.text


@pytest.mark.parametrize("times", [1, 99])
def test_p5_a_withdrawal_that_got_lost_is_made_again_never_taken_for_done(hook, sn, sandbox, times):
    sandbox.fault("operate_ticket", "html", times=times)
    if times > 1:
        with pytest.raises(errors.ItsmOutcomeUnknownError):
            withdraw_on_timeout(hook, sn=sn, why="over", policy=VerdictPolicy())
        sandbox.clear_faults()
    assert withdraw_on_timeout(hook, sn=sn, why="over", policy=VerdictPolicy()).outcome == "timed_out"
    assert sandbox.ticket(sn)["status"] == "REVOKED"


def test_an_outage_that_lasts_is_left_to_a_retry(hook, sn, sandbox):
    sandbox.fault("get_ticket_info", "status", times=99)
    with pytest.raises(errors.ItsmUnavailableError):
        withdraw_on_timeout(hook, sn=sn, why="over", policy=VerdictPolicy())


@pytest.mark.parametrize("end", ENDS)
def test_p6_a_ticket_of_another_itsm_is_neither_read_nor_ended(hook, sn, sandbox, end):
    """The connection speaks another dialect than when the ticket was opened."""
    record_round(sn, request={"dialect": "v9"})
    requests = len(sandbox.requests())
    with pytest.raises(errors.ItsmAnotherDialectError):
        end(hook, sn=sn, why="over")
    assert len(sandbox.requests()) == requests


@pytest.mark.parametrize("end", ENDS)
def test_p6_the_ticket_that_has_its_number_in_another_itsm_is_not_ended(hook, sn, sandbox, caplog, end):
    """The connection leads to another ITSM of the same version by now, or its numbers began anew."""
    record_round(sn, request={"dialect": "v2", "creator": "alice", "fields": {"title": "ours"}})
    with suppress(errors.ItsmTicketNotFoundError):
        assert end(hook, sn=sn, why="over").outcome == "timed_out"
    assert sandbox.ticket(sn)["status"] == "RUNNING"
    assert sandbox.requests("operate_ticket") == []


@pytest.mark.parametrize("end", ENDS)
def test_p5_a_ticket_whose_title_somebody_has_edited_is_ended(hook, sn, sandbox, end):
    sent = {"dialect": "v2", "creator": "robot", "fast_approval": True, "fields": {"title": "ours"}}
    record_round(sn, request=sent, create_started_at=datetime.now(UTC))
    end(hook, sn=sn, why="over")
    assert sandbox.ticket(sn)["status"] == "REVOKED"


async def test_p6_nor_is_it_in_an_event_loop(hook, sn, sandbox):
    record_round(sn, request={"dialect": "v2", "creator": "alice", "fields": {"title": "ours"}})
    async with ItsmAsyncHook() as loop_hook:
        with pytest.raises(errors.ItsmTicketNotFoundError, match="is robot's of"):
            await async_withdraw_if_open(loop_hook, sn=sn, why="over")
    assert sandbox.ticket(sn)["status"] == "RUNNING"
