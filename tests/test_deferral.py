# SPDX-License-Identifier: Apache-2.0
"""What a worker makes of an event, for a task that opened its ticket itself."""

from __future__ import annotations

import contextlib
import logging
from typing import get_args

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSkipException, TaskDeferred

from airflow_provider_bkitsm.deferral import act_on_refusal
from airflow_provider_bkitsm.hooks.itsm import ItsmHook
from airflow_provider_bkitsm.itsm.errors import ItsmError
from airflow_provider_bkitsm.mixins import OnNotApproved
from airflow_provider_bkitsm.operators.ticket import ItsmApprovalOperator
from tests.tickets.records import record_round

FORM = {"APPROVER": "alice", "APPROVAL_CONTENT": "c"}


@pytest.fixture
def sn(connections) -> str:
    form = FORM | {"title": "t"}
    return ItsmHook().create_ticket(creator="robot", fields=form, fast_approval=True).sn


@pytest.fixture
def who(task):
    return task("gate")


def gate() -> ItsmApprovalOperator:
    return ItsmApprovalOperator(
        task_id="gate", title="t", fields=FORM, fast_approval=True, compare_parameters=False
    )


def event(sn: str, outcome: str = "approved") -> dict:
    return {"verdict": {"sn": sn, "outcome": outcome, "reason": outcome, "current_status": "FINISHED"}}


@pytest.mark.parametrize("outcome", ["approved", "rejected", "withdrawn", "timed_out"])
def test_p3_an_event_about_another_ticket_ends_nothing_and_the_same_is_remembered_again(sn, who, outcome):
    with pytest.raises(TaskDeferred) as deferred:
        gate().take_event(event("REQ_chairs", outcome), who.context, sn=sn, asked="sha256:1")
    assert deferred.value.trigger.serialize()[1]["ticket_sn"] == sn
    assert deferred.value.kwargs == {"sn": sn, "asked": "sha256:1"}
    assert who.xcom == {}


@pytest.mark.parametrize("remembered", [{}, {"sn": None}, {"asked": "sha256:1"}])
def test_p1_a_wait_that_the_version_before_began_goes_on(connections, who, remembered):
    assert gate().take_event(event("REQ1"), who.context, **remembered)["outcome"] == "approved"


def test_p3_a_wake_up_has_it_read_its_own_ticket(sn, sandbox, who):
    with pytest.raises(TaskDeferred):
        gate().take_event({"look": True}, who.context, sn=sn)
    sandbox.reject(sn)
    with pytest.raises(AirflowFailException, match=sn):
        gate().take_event({"look": True}, who.context, sn=sn)


def test_p1_where_its_number_is_not_known_a_wake_up_is_an_error_that_a_retry_gets_past(connections, who):
    with pytest.raises(ItsmError, match="a retry waits for the same ticket again"):
        gate().take_event({"look": True}, who.context)


def test_p3_a_ticket_that_another_run_has_opened_is_not_its_own(sn, who):
    record_round(sn, run_id="another", task_id="gate")
    with pytest.raises(AirflowFailException, match="another"):
        gate().take_event(event(sn), who.context, sn=sn)


@pytest.mark.parametrize("verdict", [None, 7, [], {}, {"outcome": "approved"}, {"sn": "REQ1", "outcome": "later"}])
def test_p3_an_event_that_cannot_be_read_is_not_approved(sn, who, verdict):
    with pytest.raises((AirflowFailException, TaskDeferred)):
        gate().take_event({"verdict": verdict}, who.context, sn=sn)


@pytest.mark.parametrize(
    ("policy", "raised", "pushed"),
    [
        ("pass", None, {}),
        ("skip", AirflowSkipException, {"verdict": 1}),
        ("fail", AirflowFailException, {"verdict": 1}),
    ],
)
def test_a_refusal_does_what_the_policy_says(who, policy, raised, pushed, caplog):
    caplog.set_level(logging.INFO)
    given = {"context": who.context, "advice": ". Ask bob", "xcoms": {"verdict": 1}}
    if raised is None:
        act_on_refusal(policy, "refused", **given)
        assert "refused" in caplog.text
    else:
        with pytest.raises(raised) as caught:
            act_on_refusal(policy, "refused", **given)
        assert str(caught.value) == ("refused. Ask bob" if policy == "fail" else "refused")
    assert who.xcom == pushed


def test_p3_a_policy_that_nobody_has_written_lets_nothing_continue(who):
    with pytest.raises(AssertionError):
        act_on_refusal("ask again", "refused", context=who.context)


def test_every_policy_is_acted_on(who):
    for policy in get_args(OnNotApproved):
        with contextlib.suppress(AirflowFailException, AirflowSkipException):
            act_on_refusal(policy, "refused", context=who.context)
