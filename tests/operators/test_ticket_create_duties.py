# SPDX-License-Identifier: Apache-2.0
"""Who asks in a ticket, where it is shown and stored, and what is refused before a ticket is opened."""

from __future__ import annotations

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred

from airflow_provider_bkitsm.itsm.errors import ItsmConfigurationError, ItsmInvalidRequestError
from airflow_provider_bkitsm.operators.ticket import ItsmCreateTicketOperator
from airflow_provider_bkitsm.sandbox.itsm.service_catalog import (
    COUNTERSIGN,
    DELIVERABLE,
    ONE_APPROVAL,
    TWO_APPROVALS,
)
from airflow_provider_bkitsm.sensors.ticket import ItsmTicketSensor
from airflow_provider_bkitsm.tickets.ownership_records import read_request

CONTENT = "restart the database"


@pytest.fixture
def opening(connections, task):
    """Open a ticket of the built-in service, or of a service by number."""

    def run(who=None, *, approvers="bob", service=None, **more):
        if service is None:
            of = {"fast_approval": True, "fields": {"APPROVER": approvers, "APPROVAL_CONTENT": CONTENT}}
        else:
            of = {"service_id": service, "fields": {"approver": approvers, "content": CONTENT}}
        who = who or task("open", person="alice")
        return ItsmCreateTicketOperator(task_id="open", title="Restart", **of | more).execute(who.context)

    return run


@pytest.fixture
def waiting(connections, task):
    """Wait for a ticket on a worker, by one look."""

    def run(sn, run_id="run_1", **more):
        parameters = {"deferrable": False, "opened_by": "open", "mode": "poke"} | more
        sensor = ItsmTicketSensor(task_id="wait", ticket_sn=sn, on_not_approved="pass", **parameters)
        return sensor.execute(task("wait", run_id=run_id).context)

    return run


def stored(sn):
    return read_request(sn, "bkitsm_default")


# --- who asks


def test_the_ticket_shows_and_the_record_keeps_who_asks(opening, sandbox):
    sn = opening(forbid_self_approval=True)
    assert sandbox.ticket(sn)["fields"]["APPROVAL_CONTENT"] == f"{CONTENT}\n\nRequested by: alice"
    assert stored(sn)["requester"] == "alice"
    assert sandbox.ticket(sn)["creator"] == "admin"


def test_a_content_stays_as_it_was_written_where_no_duty_is_asked_for(opening, sandbox):
    sn = opening()
    assert sandbox.ticket(sn)["fields"]["APPROVAL_CONTENT"] == CONTENT
    assert stored(sn)["requester"] == "alice"


def test_nothing_changes_where_no_person_asks(opening, sandbox, task):
    sn = opening(task("open"))
    assert sandbox.ticket(sn)["fields"]["APPROVAL_CONTENT"] == CONTENT
    assert "requester" not in stored(sn)
    assert stored(sn)["policy"]["requester"] is None


def test_a_form_field_shows_who_asks(opening, sandbox):
    sn = opening(service=ONE_APPROVAL, requester_field="content")
    assert sandbox.ticket(sn)["fields"]["content"] == "alice"


def test_whom_the_task_names_asks(opening, sandbox):
    sn = opening(requester="carol")
    assert "Requested by: carol" in sandbox.ticket(sn)["fields"]["APPROVAL_CONTENT"]
    assert stored(sn)["requester"] == "carol"


def test_the_name_in_itsm_is_the_mappings(opening, monkeypatch, task):
    monkeypatch.setenv("AIRFLOW__BKITSM__USER_MAPPING", '{"Alice Smith": "alice"}')
    assert stored(opening(task("open", person="Alice Smith")))["requester"] == "alice"


def test_the_ticket_is_opened_in_the_requesters_name(opening, sandbox, task):
    assert sandbox.ticket(opening(creator="requester"))["creator"] == "alice"
    scheduled = opening(task("open", run_id="scheduled"), creator="requester")
    assert sandbox.ticket(scheduled)["creator"] == "admin"


@pytest.mark.parametrize("more", [{"creator": "requester"}, {"forbid_self_approval": True}])
def test_p3_a_person_whom_itsm_cannot_know_is_told_before_a_ticket_is_opened(opening, sandbox, task, more):
    with pytest.raises(ItsmConfigurationError, match="user_mapping"):
        opening(task("open", person="Alice Smith"), **more)
    assert sandbox.tickets() == []


def test_a_person_whom_itsm_cannot_know_is_no_matter_where_it_does_not_count(opening, task):
    assert "requester" not in stored(opening(task("open", person="Alice Smith")))


def test_p2_a_retry_or_another_persons_clear_of_an_open_ticket_changes_nothing(opening, sandbox, task):
    sn = opening()
    assert opening(task("open", clear_number=1, person="alice")) == sn
    assert opening(task("open", clear_number=1, try_number=2, person="alice")) == sn
    assert stored(sn)["requester"] == "alice"
    assert len(sandbox.tickets()) == 1


# --- told in advance


@pytest.mark.parametrize(
    ("service", "approvers", "duties", "words"),
    [
        (None, "alice", {"forbid_self_approval": True}, "alice asks, and the ticket would ask nobody but alice"),
        (None, "Alice", {"forbid_self_approval": True}, "nobody but Alice"),
        (ONE_APPROVAL, "alice", {"forbid_self_approval": True}, "nobody but alice"),
        (ONE_APPROVAL, "bob,carol", {"min_approvers": 2}, "its flow goes on after 1"),
        (COUNTERSIGN, "bob", {"min_approvers": 2}, "would ask bob. Name more approvers"),
        (COUNTERSIGN, "alice,bob", {"min_approvers": 2, "forbid_self_approval": True}, "without alice, who asks"),
        (COUNTERSIGN, "carol", {"creator": "carol", "forbid_self_approval": True}, "alice,carol asks"),
        (DELIVERABLE, "bob", {"requester": "admin", "forbid_self_approval": True}, "nobody but admin"),
    ],
)
def test_p3_what_nobody_could_approve_is_not_asked(opening, sandbox, service, approvers, duties, words):
    with pytest.raises(ItsmInvalidRequestError, match=words):
        opening(service=service, approvers=approvers, **duties)
    assert sandbox.tickets() == []


@pytest.mark.parametrize(
    ("service", "approvers", "duties"),
    [
        (None, "alice,bob", {"forbid_self_approval": True}),
        (TWO_APPROVALS, "alice", {"forbid_self_approval": True}),
        (COUNTERSIGN, "bob,carol", {"min_approvers": 2}),
        (None, "alice", {"forbid_self_approval": False}),
    ],
)
def test_what_may_be_approved_is_asked(opening, service, approvers, duties):
    assert opening(service=service, approvers=approvers, **duties)


def test_the_built_in_service_takes_one_answer():
    with pytest.raises(ValueError, match="goes on after one answer"):
        ItsmCreateTicketOperator(task_id="open", title="t", fast_approval=True, min_approvers=2)


def test_what_counts_in_a_run_without_a_person_is_in_the_log(opening, task, capsys):
    opening(task("open"), forbid_self_approval=True)
    assert "No person has started this run: the connection's user admin asks" in capsys.readouterr().out


# --- what its sensor makes of it


@pytest.mark.parametrize(("answers", "reason"), [(["alice"], "self_approved"), (["bob"], "approved")])
def test_p3_a_sensor_keeps_to_what_the_opener_has_stored(opening, waiting, sandbox, answers, reason):
    sn = opening(approvers="alice,bob", forbid_self_approval=True)
    for who in answers:
        sandbox.approve(sn, operator=who)
    assert waiting(sn)["reason_code"] == reason


def test_p3_what_is_set_later_loosens_nothing(opening, waiting, sandbox, monkeypatch):
    monkeypatch.setenv("AIRFLOW__BKITSM__FORBID_SELF_APPROVAL", "True")
    sn = opening(approvers="alice,bob")
    monkeypatch.delenv("AIRFLOW__BKITSM__FORBID_SELF_APPROVAL")
    sandbox.approve(sn, operator="alice")
    assert waiting(sn)["reason_code"] == "self_approved"
    assert waiting(sn, forbid_self_approval=False)["reason_code"] == "self_approved"


def test_a_task_says_otherwise_than_the_configuration(opening, waiting, sandbox, monkeypatch):
    monkeypatch.setenv("AIRFLOW__BKITSM__FORBID_SELF_APPROVAL", "True")
    sn = opening(approvers="alice", forbid_self_approval=False)
    sandbox.approve(sn, operator="alice")
    assert waiting(sn)["reason_code"] == "approved"


def test_p3_a_sensor_may_be_stricter_than_the_opener(opening, waiting, sandbox):
    sn = opening(approvers="alice,bob")
    sandbox.approve(sn, operator="alice")
    assert waiting(sn, forbid_self_approval=True)["reason_code"] == "self_approved"
    assert waiting(sn, min_approvers=2)["reason_code"] == "too_few_approvers"
    assert waiting(sn)["reason_code"] == "approved"


def test_p3_countersigners_are_counted(opening, waiting, sandbox):
    sn = opening(service=COUNTERSIGN, approvers="alice,bob,carol", forbid_self_approval=True, min_approvers=2)
    for who in ("alice", "bob", "carol"):
        sandbox.approve(sn, operator=who)
    result = waiting(sn)
    assert (result["reason_code"], len(result["approvers"])) == ("approved", 3)
    assert waiting(sn, min_approvers=3)["reason_code"] == "too_few_approvers"


def test_p3_the_person_counts_to_whom_it_was_handed_over(opening, waiting, sandbox):
    asks = {"service": DELIVERABLE, "forbid_self_approval": True, "requester": "bob"}
    sn = opening(**asks)
    sandbox.wait_for_step(sn)
    deliver = {"sn": sn, "state_id": 80, "operator": "admin", "action_type": "DELIVER"}
    sandbox.call(
        "POST",
        "operate_node",
        json={**deliver, "action_message": "yours", "processors": "bob", "processors_type": "PERSON"},
    )
    sandbox.approve(sn, operator="bob")
    assert waiting(sn)["reason_code"] == "self_approved"


@pytest.mark.parametrize(
    "opener", [{}, {"opened_by": None}, {"opened_by": "anyone"}, {"opened_by": "no_task,open"}]
)
def test_p3_who_joins_a_ticket_asks_as_well(opening, waiting, sandbox, task, opener):
    shared = {"approval_key": "k", "approvers": "alice,bob", "forbid_self_approval": True}
    sn = opening(task("open", run_id="run_1", person="alice"), **shared)
    assert opening(task("open", run_id="run_2", person="bob"), **shared) == sn
    sandbox.approve(sn, operator="bob")
    assert waiting(sn, "run_1", **opener)["reason_code"] == "approved"
    assert waiting(sn, "run_2", **opener)["reason_code"] == "self_approved"


def test_p3_the_tickets_creator_asked_where_no_record_says_who(connections, sandbox, waiting):
    from airflow_provider_bkitsm.hooks.itsm import ItsmHook

    form = {"title": "t", "APPROVER": "alice,robot", "APPROVAL_CONTENT": "c"}
    sn = ItsmHook().create_ticket(creator="robot", fields=form, fast_approval=True).sn
    sandbox.approve(sn, operator="alice")
    free = {"opened_by": None, "forbid_self_approval": True}
    assert waiting(sn, **free)["reason_code"] == "approved"
    assert waiting(sn, **free, requester="alice")["reason_code"] == "self_approved"
    own = ItsmHook().create_ticket(creator="alice", fields=form, fast_approval=True).sn
    sandbox.approve(own, operator="alice")
    assert waiting(own, **free)["reason_code"] == "self_approved"


def test_p3_who_asked_is_not_guessed_where_the_record_is_lost(opening, waiting, sandbox, tmp_path):
    sn = opening(approvers="alice,bob", forbid_self_approval=True)
    sandbox.approve(sn, operator="alice")
    for one in tmp_path.glob("bkitsm.db*"):
        one.unlink()
    anyone = {"opened_by": "anyone", "forbid_self_approval": True}
    assert waiting(sn, **anyone)["reason_code"] == "requester_unknown"
    assert waiting(sn, **anyone, requester="carol")["reason_code"] == "approved"


def test_the_duties_of_a_sensor_reach_its_trigger(opening, task):
    sn = opening()
    sensor = ItsmTicketSensor(task_id="wait", ticket_sn=sn, opened_by="open", min_approvers=2, requester="dave")
    with pytest.raises(TaskDeferred) as caught:
        sensor.execute(task("wait").context)
    arguments = caught.value.trigger.serialize()[1]
    assert (arguments["min_approvers"], arguments["requester"]) == (2, "dave")
    assert "forbid_self_approval" not in arguments


def test_p3_a_refused_approval_fails_for_good(opening, sandbox, task):
    sn = opening(approvers="alice,bob", forbid_self_approval=True)
    sandbox.approve(sn, operator="alice")
    sensor = ItsmTicketSensor(task_id="wait", ticket_sn=sn, opened_by="open", deferrable=False)
    with pytest.raises(AirflowFailException, match="alice asked; alice said yes"):
        sensor.execute(task("wait").context)
