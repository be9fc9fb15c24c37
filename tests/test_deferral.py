# SPDX-License-Identifier: Apache-2.0
"""What a worker makes of an event, for a task that opened its ticket itself."""

from __future__ import annotations

import contextlib
import logging
from typing import get_args

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSkipException, TaskDeferred

from airflow_provider_bkitsm.collectors.errors import StoreUnavailable
from airflow_provider_bkitsm.deferral import act_on_refusal
from airflow_provider_bkitsm.hooks.itsm import ItsmHook
from airflow_provider_bkitsm.itsm.errors import ItsmError
from airflow_provider_bkitsm.mixins import OnNotApproved
from airflow_provider_bkitsm.operators.ticket import ItsmApprovalOperator
from airflow_provider_bkitsm.sensors.ticket import ItsmTicketSensor
from airflow_provider_bkitsm.tickets.approval_store import installation
from airflow_provider_bkitsm.tickets.waits import WaitRecord, WaitStore, open_wait_store
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


@pytest.mark.parametrize(("policy", "raised"), [("skip", AirflowSkipException), ("fail", AirflowFailException)])
def test_a_refusal_stands_though_an_xcom_backend_stores_nothing(who, monkeypatch, policy, raised):
    """Any other error would be retried, hours later, and tell nobody of the refusal until then."""

    def fails(**_: object) -> None:
        raise OSError("no bucket")

    context = who.context
    monkeypatch.setattr(context["ti"], "xcom_push", fails)
    with pytest.raises(raised, match="refused"):
        act_on_refusal(policy, "refused", context=context, xcoms={"verdict": 1, "return_value": 1})


def test_p3_a_policy_that_nobody_has_written_lets_nothing_continue(who):
    with pytest.raises(AssertionError):
        act_on_refusal("ask again", "refused", context=who.context)


def test_every_policy_is_acted_on(who):
    for policy in get_args(OnNotApproved):
        with contextlib.suppress(AirflowFailException, AirflowSkipException):
            act_on_refusal(policy, "refused", context=who.context)


def _deferred(context, call) -> TaskDeferred:
    with pytest.raises(TaskDeferred) as caught:
        call(context)
    assert caught.value.method_name == "execute_complete"
    return caught.value


def _run_on_worker(operator, who, call) -> TaskDeferred:
    operator.pre_execute(who.context)
    return _deferred(who.context, call)


def waits() -> list[WaitRecord]:
    return open_wait_store().waiting(installation())


def test_p5_a_task_that_comes_back_without_an_event_waits_for_its_own_ticket(sn, who):
    """Its trigger's row was deleted, or the task was missing from its DAG for a while."""
    remembered = {"asked": "d", "sn": sn, "sent": {"service_id": 1}}
    again = _deferred(who.context, lambda it: gate().execute_complete(it, **remembered))
    assert (again.kwargs, again.trigger.ticket_sn) == (remembered, sn)


def test_p1_a_decision_taken_while_the_task_was_gone_counts(sn, who, sandbox):
    sandbox.approve(sn)
    record_round(sn, task_id="gate")
    assert gate().execute_complete(who.context, sn=sn)["outcome"] == "approved"


def test_p3_a_refusal_given_while_the_task_was_gone_counts(sn, who, sandbox):
    sandbox.reject(sn)
    with pytest.raises(AirflowFailException):
        gate().execute_complete(who.context, sn=sn)


def test_p2_a_task_of_the_version_before_that_comes_back_finds_its_ticket(connections, task, sandbox):
    own = _deferred(task("gate").context, gate().execute).trigger.ticket_sn
    again = _deferred(task("gate").context, gate().execute_complete)
    assert again.trigger.ticket_sn == own
    assert len(sandbox.tickets()) == 1


def test_a_sensor_that_comes_back_without_an_event_waits_on(sn, who):
    wait = ItsmTicketSensor(task_id="wait", ticket_sn=sn)
    assert _deferred(who.context, wait.execute_complete).trigger.ticket_sn == sn


def test_p5_a_wait_is_stored_before_the_triggerer_takes_it_up(connections, who):
    one = gate()
    own = _run_on_worker(one, who, one.execute).trigger.ticket_sn
    [stored] = waits()
    assert (stored.sn, stored.task_id, stored.withdraw, stored.opened_by) == (own, "gate", True, None)


def test_a_sensors_wait_is_stored_with_whose_ticket_it_is(sn, who):
    wait = ItsmTicketSensor(task_id="wait", ticket_sn=sn, opened_by="ask", on_kill="withdraw")
    _run_on_worker(wait, who, wait.execute)
    assert [(one.opened_by, one.withdraw) for one in waits()] == [("ask", True)]


def test_p5_what_fails_a_task_on_a_worker_has_ended_no_wait(connections, who):
    """A worker that dies, or an ITSM that cannot be read: nobody wanted the end of the ticket."""
    one = gate()
    _run_on_worker(one, who, one.execute)
    gate().pre_execute(who.context)
    assert waits() == []


def test_a_store_that_cannot_be_used_stops_no_wait(connections, who, monkeypatch):
    def fails(*_args, **_kwargs):
        raise StoreUnavailable("no such host")

    monkeypatch.setattr(WaitStore, "begin", fails)
    monkeypatch.setattr(WaitStore, "take_up", fails)
    one = gate()
    assert _run_on_worker(one, who, one.execute).trigger.ticket_sn
