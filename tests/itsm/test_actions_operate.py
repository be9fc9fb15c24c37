# SPDX-License-Identifier: Apache-2.0
"""Operating on tickets that may already be over."""

from __future__ import annotations

import pytest

from airflow_provider_bkitsm.hooks.itsm import ItsmHook
from airflow_provider_bkitsm.itsm import errors
from airflow_provider_bkitsm.itsm.actions import operate

FORM = {"title": "t", "APPROVER": "alice", "APPROVAL_CONTENT": "c"}


@pytest.fixture
def sn(connections, sandbox) -> str:
    number = ItsmHook().create_ticket(creator="robot", fields=FORM, fast_approval=True).sn
    sandbox.wait_for_step(number)
    return number


def run(sn: str, action: str, operator: str = "robot") -> str:
    return ItsmHook().run(operate(sn=sn, action_type=action, operator=operator, action_message="m")).current_status


def test_a_ticket_is_withdrawn_once_and_asking_again_is_no_error(sn):
    assert run(sn, "WITHDRAW") == "REVOKED"
    assert run(sn, "WITHDRAW") == "REVOKED"


def test_p1_a_decision_that_came_first_is_a_normal_answer(sn, sandbox):
    sandbox.approve(sn)
    assert run(sn, "WITHDRAW") == "FINISHED"


def test_a_lost_answer_is_judged_by_the_ticket(sn, sandbox):
    sandbox.fault("operate_ticket", "drop_answer")
    assert run(sn, "WITHDRAW") == "REVOKED"


def test_a_stranger_is_refused_and_nothing_changes(sn, sandbox):
    with pytest.raises(errors.ItsmConflictError, match="RUNNING"):
        run(sn, "WITHDRAW", operator="eve")
    assert sandbox.ticket(sn)["status"] == "RUNNING"


def test_suspend_resume_terminate_by_the_current_processor(sn):
    assert run(sn, "SUSPEND", "alice") == "SUSPENDED"
    assert run(sn, "UNSUSPEND", "alice") == "RUNNING"
    assert run(sn, "TERMINATE", "alice") == "TERMINATED"
    with pytest.raises(errors.ItsmConflictError):
        run(sn, "UNSUSPEND", "alice")
