# SPDX-License-Identifier: Apache-2.0
"""The gate and its separation of duties (promise P3): what it asks, keeps, and makes of an approval."""

from __future__ import annotations

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred

from airflow_provider_bkitsm.decorators.approval import ItsmApprovalDecoratedOperator
from airflow_provider_bkitsm.hooks.itsm import ItsmHook
from airflow_provider_bkitsm.itsm.verdict_reading import read_verdict
from airflow_provider_bkitsm.operators.ticket import ItsmApprovalOperator
from airflow_provider_bkitsm.sandbox.itsm.service_catalog import COUNTERSIGN

FORM = {"APPROVER": "alice,bob", "APPROVAL_CONTENT": "now"}
FAST = {"fast_approval": True, "title": "Restart", "fields": FORM}
COUNTED = {"service_id": COUNTERSIGN, "title": "Restart", "fields": {"approver": "alice,bob,carol"}}


@pytest.fixture
def who(connections, task):
    return task("gate", person="alice")


def asked(operator, who):
    with pytest.raises(TaskDeferred) as caught:
        operator.execute(who.context)
    return caught.value


def as_poll_and_callback_bring_it(sn, **settings):
    """Return the event of whoever has seen the decision first."""
    hook = ItsmHook()
    return {"verdict": hook.run(read_verdict(sn, hook.verdict_policy(**settings))).as_event()}


def gate(**parameters):
    return ItsmApprovalOperator(task_id="gate", **(FAST if "service_id" not in parameters else {}) | parameters)


@pytest.mark.parametrize("lost", [True, False])
@pytest.mark.parametrize(("operator", "words"), [("alice", "alice asked; alice said yes"), ("bob", None)])
def test_p3_a_yes_of_the_requester_alone_fails_for_good(who, sandbox, tmp_path, operator, words, lost):
    wait = asked(gate(forbid_self_approval=True), who)
    sn = wait.trigger.ticket_sn
    sandbox.approve(sn, operator=operator)
    if lost:
        for one in tmp_path.glob("bkitsm.db*"):
            one.unlink()
    # Whoever brings the approval may not know who asked.
    event, later = as_poll_and_callback_bring_it(sn), gate(forbid_self_approval=True)
    if words:
        with pytest.raises(AirflowFailException, match=words):
            later.execute_complete(who.context, event, **wait.kwargs)
        assert who.xcom["verdict"]["reason_code"] == "self_approved"
    else:
        assert later.execute_complete(who.context, event, **wait.kwargs)["outcome"] == "approved"


def test_p3_the_configuration_counts_as_it_was_when_it_was_asked(who, sandbox, monkeypatch):
    monkeypatch.setenv("AIRFLOW__BKITSM__FORBID_SELF_APPROVAL", "True")
    wait = asked(gate(), who)
    monkeypatch.delenv("AIRFLOW__BKITSM__FORBID_SELF_APPROVAL")
    sandbox.approve(wait.trigger.ticket_sn, operator="alice")
    event = as_poll_and_callback_bring_it(wait.trigger.ticket_sn)
    with pytest.raises(AirflowFailException, match="alice asked"):
        gate().execute_complete(who.context, event, **wait.kwargs)


def test_an_open_wait_is_not_tightened_by_the_configuration_of_later(who, sandbox, monkeypatch):
    wait = asked(gate(), who)
    monkeypatch.setenv("AIRFLOW__BKITSM__FORBID_SELF_APPROVAL", "True")
    sandbox.approve(wait.trigger.ticket_sn, operator="bob")
    event = as_poll_and_callback_bring_it(wait.trigger.ticket_sn)
    assert gate().execute_complete(who.context, event, **wait.kwargs)["outcome"] == "approved"


@pytest.mark.parametrize(("least", "reason"), [(2, "approved"), (3, "too_few_approvers")])
def test_p3_different_people_are_counted_in_the_log(who, sandbox, least, reason):
    strict = COUNTED | {"min_approvers": least, "on_not_approved": "pass"}
    wait = asked(gate(**strict), who)
    sn = wait.trigger.ticket_sn
    for one in ("alice", "bob", "carol"):
        sandbox.approve(sn, operator=one)
    # The requester counts as long as nothing forbids it.
    event = as_poll_and_callback_bring_it(sn)
    stricter = strict if reason == "approved" else strict | {"forbid_self_approval": True}
    if reason == "approved":
        assert gate(**strict).execute_complete(who.context, event, **wait.kwargs)["reason_code"] == reason
    else:
        result = gate(**stricter).execute_complete(who.context, event, **wait.kwargs)
        assert (result["reason_code"], len(result["approvers"])) == (reason, 3)


def test_p3_an_automatic_approval_is_no_persons(who, sandbox):
    wait = asked(gate(min_approvers=1, accept_automatic=True), who)
    sandbox.finish_without_evidence(wait.trigger.ticket_sn)
    event = as_poll_and_callback_bring_it(wait.trigger.ticket_sn, require_evidence=False)
    with pytest.raises(AirflowFailException, match="without any visible approval step"):
        gate(min_approvers=1, accept_automatic=True).execute_complete(who.context, event, **wait.kwargs)


def test_a_change_of_the_duties_is_another_question_and_another_person_is_not(who, task, sandbox):
    first = asked(gate(), who)
    again = asked(gate(), task("gate", clear_number=1, person="bob"))
    assert again.trigger.ticket_sn == first.trigger.ticket_sn
    stricter = asked(gate(forbid_self_approval=True), task("gate", clear_number=2, person="alice"))
    assert stricter.trigger.ticket_sn != first.trigger.ticket_sn


def test_p3_the_first_person_who_asked_stays_who_asked(who, task, sandbox):
    """A clear that goes on with the open ticket changes nothing, whoever Airflow shows with the run by then."""
    strict = {"forbid_self_approval": True}
    asked(gate(**strict), who)
    again = task("gate", clear_number=1, person="bob")
    wait = asked(gate(**strict), again)
    sandbox.approve(wait.trigger.ticket_sn, operator="alice")
    event = as_poll_and_callback_bring_it(wait.trigger.ticket_sn)
    with pytest.raises(AirflowFailException, match="alice,bob asked; alice said yes"):
        gate(**strict).execute_complete(again.context, event, **wait.kwargs)


def test_p3_each_who_shares_a_ticket_is_a_requester_of_their_own_run(connections, task, sandbox):
    shared = {"approval_key": "k", "forbid_self_approval": True}
    alice, bob = (task("gate", run_id=f"run_{one}", person=one) for one in ("alice", "bob"))
    first, second = asked(gate(**shared), alice), asked(gate(**shared), bob)
    sn = first.trigger.ticket_sn
    assert sn == second.trigger.ticket_sn
    sandbox.approve(sn, operator="bob")
    event = as_poll_and_callback_bring_it(sn)
    assert gate(**shared).execute_complete(alice.context, event, **first.kwargs)["outcome"] == "approved"
    with pytest.raises(AirflowFailException, match="bob said yes"):
        gate(**shared).execute_complete(bob.context, event, **second.kwargs)


def test_the_wait_knows_the_duties_and_an_earlier_versions_takes_what_nobody_set(who, task):
    plain = asked(gate(), who).trigger.serialize()[1]
    assert not {"forbid_self_approval", "min_approvers", "requester"} & plain.keys()
    strict = asked(gate(forbid_self_approval=True), task("gate", run_id="run_2", person="alice"))
    arguments = strict.trigger.serialize()[1]
    assert (arguments["forbid_self_approval"], arguments["requester"]) == (True, "alice")


def test_the_requester_is_shown_above_the_digest(who, sandbox):
    sn = asked(gate(forbid_self_approval=True), who).trigger.ticket_sn
    content = sandbox.ticket(sn)["fields"]["APPROVAL_CONTENT"]
    assert content.startswith("now\n\nRequested by: alice\n\nsha256:")


def test_a_function_asks_in_the_same_way(who, sandbox):
    def form():
        return FORM

    def decorated():
        return ItsmApprovalDecoratedOperator(
            task_id="gate", python_callable=form, title="Restart", fast_approval=True, forbid_self_approval=True
        )

    wait = asked(decorated(), who)
    sandbox.approve(wait.trigger.ticket_sn, operator="alice")
    event = as_poll_and_callback_bring_it(wait.trigger.ticket_sn)
    with pytest.raises(AirflowFailException, match="alice asked; alice said yes"):
        decorated().execute_complete(who.context, event, **wait.kwargs)


def test_the_requester_opens_the_ticket_and_it_is_compared(who, sandbox):
    wait = asked(gate(creator="requester"), who)
    assert sandbox.ticket(wait.trigger.ticket_sn)["creator"] == "alice"
    sandbox.approve(wait.trigger.ticket_sn, operator="bob")
    event = as_poll_and_callback_bring_it(wait.trigger.ticket_sn)
    later = gate(creator="requester")
    assert later.execute_complete(who.context, event, **wait.kwargs)["outcome"] == "approved"


def test_p3_who_joins_a_gate_asks_as_well_by_what_held_when_its_ticket_was_opened(
    connections, task, sandbox, monkeypatch
):
    first, second = (task("gate", run_id=f"run_{person}", person=person) for person in ("alice", "bob"))
    shared = {"approval_key": "k"}
    monkeypatch.setenv("AIRFLOW__BKITSM__FORBID_SELF_APPROVAL", "True")
    opened = asked(gate(**shared), first)
    monkeypatch.delenv("AIRFLOW__BKITSM__FORBID_SELF_APPROVAL")
    joined = asked(gate(**shared), second)
    assert joined.trigger.ticket_sn == opened.trigger.ticket_sn
    sandbox.approve(opened.trigger.ticket_sn, operator="bob")
    event = as_poll_and_callback_bring_it(opened.trigger.ticket_sn)
    assert gate(**shared).execute_complete(first.context, event, **opened.kwargs)["outcome"] == "approved"
    with pytest.raises(AirflowFailException, match="bob said yes"):
        gate(**shared).execute_complete(second.context, event, **joined.kwargs)
