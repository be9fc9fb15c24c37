# SPDX-License-Identifier: Apache-2.0
"""Operating on tickets that may already be over."""

from __future__ import annotations

import time

import pytest

from airflow_provider_bkitsm.hooks.itsm import ItsmHook
from airflow_provider_bkitsm.hooks.operating import call_off, give_up, operate
from airflow_provider_bkitsm.itsm import errors
from airflow_provider_bkitsm.itsm.verdict import VerdictPolicy

FORM = {"title": "t", "APPROVER": "alice", "APPROVAL_CONTENT": "c"}


@pytest.fixture
def hook(connections) -> ItsmHook:
    return ItsmHook()


@pytest.fixture
def sn(hook, sandbox) -> str:
    number = hook.create_ticket(creator="robot", fields=FORM, fast_approval=True).sn
    sandbox.wait_for_step(number)
    return number


def run(hook: ItsmHook, sn: str, action: str, operator: str = "robot") -> str:
    status = operate(hook, sn=sn, action_type=action, operator=operator, action_message="m")
    return status.current_status


def test_a_ticket_is_withdrawn_once_and_asking_again_is_no_error(hook, sn):
    assert run(hook, sn, "WITHDRAW") == "REVOKED"
    assert run(hook, sn, "WITHDRAW") == "REVOKED"


def test_p1_a_decision_that_came_first_is_a_normal_answer(hook, sn, sandbox):
    sandbox.approve(sn)
    assert run(hook, sn, "WITHDRAW") == "FINISHED"


def test_a_lost_answer_is_judged_by_the_ticket(hook, sn, sandbox):
    sandbox.fault("operate_ticket", "drop_answer")
    assert run(hook, sn, "WITHDRAW") == "REVOKED"


def test_a_stranger_is_refused_and_nothing_changes(hook, sn, sandbox):
    with pytest.raises(errors.ItsmConflictError, match="RUNNING"):
        run(hook, sn, "WITHDRAW", operator="eve")
    assert sandbox.ticket(sn)["status"] == "RUNNING"


def test_suspend_resume_terminate_by_the_current_processor(hook, sn):
    assert run(hook, sn, "SUSPEND", "alice") == "SUSPENDED"
    assert run(hook, sn, "UNSUSPEND", "alice") == "RUNNING"
    assert run(hook, sn, "TERMINATE", "alice") == "TERMINATED"
    with pytest.raises(errors.ItsmConflictError):
        run(hook, sn, "UNSUSPEND", "alice")


def test_p5_a_ticket_of_this_moment_is_ended_as_soon_as_it_has_started(hook, sandbox):
    number = hook.create_ticket(creator="robot", fields=FORM, fast_approval=True).sn
    assert call_off(hook, sn=number, why="over", sleep=lambda _: time.sleep(0.05)).current_status == "REVOKED"


def test_p5_a_ticket_out_of_time_is_ended(hook, sn, sandbox):
    verdict = give_up(hook, sn=sn, why="over", policy=VerdictPolicy())
    assert (verdict.outcome, sandbox.ticket(sn)["status"]) == ("timed_out", "REVOKED")


def test_p1_a_decision_that_came_first_wins_over_the_deadline(hook, sn, sandbox):
    sandbox.approve(sn)
    assert give_up(hook, sn=sn, why="over", policy=VerdictPolicy()).outcome == "approved"


def test_a_ticket_nobody_may_end_stays_open_and_the_log_says_so(hook, sn, sandbox, caplog, monkeypatch):
    monkeypatch.setattr("airflow_provider_bkitsm.hooks.operating.UNTIL_STARTED_SECONDS", 0)
    sandbox.fault("operate_ticket", "refuse", times=99)
    assert give_up(hook, sn=sn, why="over", policy=VerdictPolicy()).outcome == "timed_out"
    assert "STAYS OPEN" in caplog.text


@pytest.mark.parametrize("times", [1, 99])
def test_p5_a_withdrawal_that_got_lost_is_made_again_never_taken_for_done(hook, sn, sandbox, monkeypatch, times):
    monkeypatch.setattr("airflow_provider_bkitsm.hooks.operating.UNTIL_STARTED_SECONDS", 0)
    sandbox.fault("operate_ticket", "html", times=times)
    if times > 1:
        with pytest.raises(errors.ItsmOutcomeUnknownError):
            give_up(hook, sn=sn, why="over", policy=VerdictPolicy())
        sandbox.clear_faults()
    assert give_up(hook, sn=sn, why="over", policy=VerdictPolicy()).outcome == "timed_out"
    assert sandbox.ticket(sn)["status"] == "REVOKED"


def test_an_outage_that_lasts_is_left_to_a_retry(hook, sn, sandbox, monkeypatch):
    monkeypatch.setattr("airflow_provider_bkitsm.hooks.operating.UNTIL_STARTED_SECONDS", 0)
    sandbox.fault("get_ticket_info", "status", times=99)
    with pytest.raises(errors.ItsmUnavailableError):
        give_up(hook, sn=sn, why="over", policy=VerdictPolicy())
