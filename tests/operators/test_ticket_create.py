# SPDX-License-Identifier: Apache-2.0
"""Opening and operating on any ticket."""

from __future__ import annotations

from datetime import timedelta

import pytest

from airflow_provider_bkitsm.collectors.errors import StoreUnavailable
from airflow_provider_bkitsm.hooks.itsm import ItsmHook
from airflow_provider_bkitsm.itsm import errors
from airflow_provider_bkitsm.operators.ticket import ItsmCreateTicketOperator
from airflow_provider_bkitsm.sandbox.itsm.service_catalog import ONE_APPROVAL
from airflow_provider_bkitsm.tickets.approval_store import open_approval_store
from airflow_provider_bkitsm.tickets.opener import TicketOpener

FAST = {"APPROVER": "alice", "APPROVAL_CONTENT": "restart the database"}


@pytest.fixture
def opening(connections, task):
    """Run the operator as one try of one task."""

    def run(who=None, **more):
        parameters = {"title": "Restart", "fields": FAST, "fast_approval": True} | more
        who = who or task("open")
        return ItsmCreateTicketOperator(task_id="open", **parameters).execute(who.context)

    return run


def test_a_ticket_is_opened_and_its_button_appears(opening, sandbox, task):
    who = task("open")
    sn = opening(who)
    ticket = sandbox.ticket(sn)
    assert ticket["title"].startswith("Restart [#")
    assert ticket["fields"]["APPROVAL_CONTENT"] == "restart the database"
    assert who.xcom == {"bkitsm_ticket_url": f"{sandbox.url}/#/ticket/detail?id={ticket['id']}"}


def test_p2_a_retry_returns_the_same_ticket(opening, sandbox):
    assert opening() == opening()
    assert len(sandbox.tickets()) == 1


def test_p2_a_retry_after_a_lost_answer_opens_no_second_ticket(opening, sandbox):
    sandbox.fault("create_ticket", "drop_answer")
    sandbox.fault("get_tickets", "status", times=99)
    with pytest.raises(errors.ItsmUnavailableError):
        opening()
    sandbox.clear_faults()
    opening()
    assert len(sandbox.tickets()) == 1


def test_another_run_asks_anew(opening, task):
    assert opening() != opening(task("open", run_id="run_2"))


def test_p2_clearing_while_the_ticket_is_open_keeps_it_and_after_its_end_asks_anew(opening, task, sandbox):
    sn = opening()
    assert opening(task("open", clear_number=2)) == sn
    sandbox.reject(sn)
    assert opening(task("open", clear_number=3)) != sn


def test_p2_a_first_try_and_a_retry_with_a_record_search_for_nothing(opening, task, sandbox):
    assert opening() == opening(task("open", try_number=2))
    assert sandbox.requests("get_tickets") == []


def test_p7_the_intent_is_stored_before_the_ticket_exists(opening, task, sandbox):
    sandbox.fault("create_ticket", "drop_answer")
    sandbox.fault("get_tickets", "status", times=99)
    with pytest.raises(errors.ItsmUnavailableError):
        opening()
    (record,) = open_approval_store().of_run("dag", "run_1")
    assert record.sn is None
    assert record.create_started_at is not None
    assert record.request["fields"]["title"] == sandbox.tickets()[0]["title"]


def test_p7_an_intent_that_cannot_be_stored_opens_no_ticket(opening, sandbox, monkeypatch):
    monkeypatch.setenv("AIRFLOW_HOME", "/dev/null")
    with pytest.raises(StoreUnavailable):
        opening()
    assert sandbox.tickets() == []


def test_p2_a_refusal_leaves_nothing_to_look_for(opening, task, sandbox):
    sandbox.fault("create_ticket", "status", status=403)
    with pytest.raises(errors.ItsmPermissionError):
        opening()
    opening(task("open", try_number=2))
    assert sandbox.requests("get_tickets") == []
    assert len(sandbox.tickets()) == 1


def test_clearing_may_withdraw_the_open_ticket_and_ask_anew(opening, task, sandbox):
    sn = opening()
    sandbox.wait_for_step(sn)
    again = opening(task("open", clear_number=1), on_clear="withdraw")
    assert [(one["sn"], one["status"]) for one in sandbox.tickets()] == [(sn, "REVOKED"), (again, "RUNNING")]


def test_p2_beside_a_ticket_that_itsm_lets_nobody_end_no_second_one_is_opened(opening, task, sandbox, monkeypatch):
    """However old it is: people may answer it. Only an orphan, which has not started, asks nobody."""
    sn = opening()
    sandbox.wait_for_step(sn)
    monkeypatch.setattr("airflow_provider_bkitsm.tickets.opener.MAY_START", timedelta(0))

    def refuse(*_args: object, **_more: object) -> None:
        raise errors.ItsmConflictError("neither withdrawn nor terminated")

    monkeypatch.setattr(TicketOpener, "withdraw", refuse)
    with pytest.raises(errors.ItsmConflictError, match="neither"):
        opening(task("open", clear_number=1), on_clear="withdraw")
    assert [one["sn"] for one in sandbox.tickets()] == [sn]


def test_p2_after_many_clears_the_first_rounds_open_ticket_is_found(opening, task, sandbox):
    sn = opening()
    assert opening(task("open", clear_number=30)) == sn
    assert len(sandbox.tickets()) == 1


def test_p1_a_kept_tickets_decision_is_not_lost_to_a_retry(opening, task, sandbox):
    sn = opening()
    assert opening(task("open", clear_number=1)) == sn
    sandbox.reject(sn)
    assert opening(task("open", clear_number=1, try_number=2)) == sn


def test_an_unknown_way_to_clear_is_an_error_in_the_dag(opening):
    with pytest.raises(ValueError, match="on_clear must be withdraw or keep"):
        opening(on_clear="forget")


def test_p2_a_title_among_the_fields_does_not_displace_the_marker(opening, sandbox):
    assert "[#" in sandbox.ticket(opening(fields=FAST | {"title": "Own title"}))["title"]


def test_p8_meta_is_rendered_but_not_shown(opening, sandbox, task):
    who = task("open")
    sn = opening(who, meta={"callback_url": "https://airflow.example.com/{{ 1 + 1 }}"})
    assert sandbox.ticket(sn)["meta"]["callback_url"] == "https://airflow.example.com/2"
    assert "meta" not in ItsmCreateTicketOperator.template_fields


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"title": "x" * 120}, errors.ItsmInvalidRequestError),
        ({"fields": {"APPROVER": "alice"}}, errors.ItsmInvalidRequestError),
        ({"fields": FAST | {"colour": "red"}}, errors.ItsmInvalidRequestError),
        ({"fast_approval": False}, errors.ItsmInvalidRequestError),
        ({"fast_approval": False, "service_id": 4711}, errors.CollectItsmNotExists),
        ({"fast_approval": False, "service_id": "nonsense"}, errors.CollectItsmNotExists),
        ({"bkitsm_conn_id": "broken"}, errors.ItsmConfigurationError),
    ],
)
def test_bad_input_opens_no_ticket_and_says_so(opening, sandbox, connections, wrong, error):
    connections("broken", conn_type="bkitsm", host="http://127.0.0.1:9")
    with pytest.raises(error):
        opening(**wrong)
    assert sandbox.tickets() == []


def test_the_service_comes_from_the_connection_when_the_task_names_none(opening, sandbox, connections):
    login = {"login": "sandbox", "password": "sandbox-secret"}
    extra = {"service_id": str(ONE_APPROVAL), "bk_username": "robot"}
    connections("other", conn_type="bkitsm", host=sandbox.itsm_url, extra=extra, **login)
    form = {"approver": "alice", "content": "c"}
    ticket = sandbox.ticket(opening(fast_approval=False, fields=form, bkitsm_conn_id="other"))
    assert (ticket["service_id"], ticket["creator"]) == (ONE_APPROVAL, "robot")


def test_what_a_person_varies_is_templated():
    assert {"title", "fields", "service_id", "creator"} <= set(ItsmCreateTicketOperator.template_fields)


@pytest.mark.parametrize(
    "people", [["alice", "bob"], "alice, bob", "['alice', 'bob']", '["alice","bob"]', "alice;bob\n"]
)
@pytest.mark.parametrize("as_list", [False, True])
def test_p3_every_spelling_of_two_people_asks_these_two(opening, sandbox, people, as_list):
    form = FAST | {"APPROVER": people}
    given = [{"key": key, "value": value} for key, value in form.items()] if as_list else form
    sn = opening(fields=given)
    assert sandbox.ticket(sn)["fields"]["APPROVER"] == "alice,bob"


def test_people_of_any_service_are_known_by_its_own_description(opening, sandbox):
    sn = opening(fields={"approver": ["alice"], "content": "c"}, fast_approval=False, service_id=ONE_APPROVAL)
    assert sandbox.ticket(sn)["fields"]["approver"] == "alice"


@pytest.mark.parametrize("people", ["alice, bob", '["alice", "bob"]', ["alice", "bob"], "alice;bob,"])
def test_p3_people_of_a_service_of_ones_own_are_asked_in_any_spelling(opening, sandbox, people):
    sn = opening(fields={"approver": people, "content": "a, b"}, fast_approval=False, service_id=ONE_APPROVAL)
    form = sandbox.ticket(sn)["fields"]
    assert (form["approver"], form["content"]) == ("alice,bob", "a, b")


@pytest.mark.parametrize("creator", [" robot ", ["robot"], '["robot"]'])
def test_p2_the_creator_is_one_person_in_any_spelling(opening, sandbox, creator):
    sn = opening(creator=creator)
    assert sandbox.ticket(sn)["creator"] == "robot"
    assert opening(creator=creator) == sn


@pytest.mark.parametrize("nobody", [None, "", " ", [], "[]"])
def test_without_a_creator_the_connections_user_asks(opening, sandbox, nobody):
    assert sandbox.ticket(opening(creator=nobody))["creator"] == "admin"


def test_two_creators_open_no_ticket(opening, sandbox):
    with pytest.raises(errors.ItsmInvalidRequestError, match="creator takes one person, not 2: alice, bob"):
        opening(creator="alice, bob")
    assert sandbox.tickets() == []


def test_a_person_who_cannot_be_one_opens_no_ticket(opening, sandbox):
    with pytest.raises(
        errors.ItsmInvalidRequestError, match=r"APPROVER: 'alice\(Alice\)'.*login name only: alice"
    ):
        opening(fields=FAST | {"APPROVER": "alice(Alice)"})
    assert sandbox.tickets() == []


def test_processors_of_a_step_may_be_a_list(opening, sandbox):
    first = opening()
    sandbox.wait_for_step(first)
    (step,) = ItsmHook().get_ticket_status(first).current_steps
    state = step.state_id
    sn = opening(meta={"state_processors": {str(state): ["zoe", "yan"]}}, title="Again", approval_key="another")
    assert sandbox.ticket(sn)["meta"]["state_processors"] == {str(state): "zoe,yan"}


def test_a_form_that_is_a_word_is_an_error_in_the_dag():
    with pytest.raises(errors.ItsmInvalidRequestError, match=r"fields must be a mapping .* not 'some text'"):
        ItsmCreateTicketOperator(task_id="open", title="t", fields="some text")


def test_a_form_that_a_template_renders_to_text_is_read(opening):
    assert opening(fields=str(FAST)) == opening()
    operator = ItsmCreateTicketOperator(task_id="open", title="t", fields="{{ x }}", fast_approval=True)
    operator.fields = "nothing"
    with pytest.raises(errors.ItsmInvalidRequestError, match="not 'nothing'"):
        operator.question()


@pytest.mark.parametrize(
    "changes",
    [
        {"fields": {"APPROVER": "alice", "APPROVAL_CONTENT": "now \ud800"}},
        {"title": "Restart \udfff"},
        {"meta": {"state_processors": {"4": "al\ud800ice"}}},
        {"fields": {"APPROVER": "alice", "APPROVAL_CONTENT": "now \0"}},
        {"meta": {"state_processors": {"4": "\0"}}},
    ],
)
def test_p2_what_no_database_holds_is_refused_before_anything_is_asked(task, connections, sandbox, changes):
    parameters = {"title": "t", "fast_approval": True, "fields": {"APPROVER": "a", "APPROVAL_CONTENT": "c"}}
    one, who = ItsmCreateTicketOperator(task_id="ask", **parameters | changes), task("ask")
    with pytest.raises(errors.ItsmInvalidRequestError, match="half a character"):
        one.execute(who.context)
    assert sandbox.tickets() == []
    assert one.approval_store.of_run("dag", "run_1") == []
