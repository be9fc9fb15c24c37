# SPDX-License-Identifier: Apache-2.0
"""Notifiers against a running sandbox."""

from __future__ import annotations

from datetime import UTC, datetime
from html import unescape
from types import SimpleNamespace

import pytest
from airflow.sdk import DAG
from airflow.sdk.log import mask_secret

from airflow_provider_bkitsm.hooks.itsm import ItsmHook
from airflow_provider_bkitsm.itsm import errors
from airflow_provider_bkitsm.notifications.ticket import ItsmCommentNotifier, ItsmTicketNotifier
from airflow_provider_bkitsm.tickets.ownership_records import read_request

FORM = {"APPROVER": "alice", "APPROVAL_CONTENT": "{{ ti.task_id }} of {{ run_id }}: {{ exception }}"}
DEADLINE = {"deadline": {"id": "7"}, "dag_run": {"dag_id": "d", "dag_run_id": "r", "start_date": None}}


def failed(**more):
    known = {"dag_id": "d", "run_id": "r", "task_id": "load", "map_index": -1, "start_date": datetime.now(UTC)}
    return {"ti": SimpleNamespace(**known | more), "run_id": "r", "exception": ValueError("boom")}


def notifier(**more) -> ItsmTicketNotifier:
    asked = {"title": "{{ ti.task_id }} failed", "fields": FORM, "fast_approval": True}
    return ItsmTicketNotifier(**asked | more)


def titles(sandbox) -> list[str]:
    return [one["title"].partition(" [#")[0] for one in sandbox.tickets()]


def test_a_failure_opens_a_ticket(connections, sandbox):
    notifier()(failed())
    (ticket,) = sandbox.tickets()
    assert ticket["title"].startswith("load failed [#")
    assert sandbox.ticket(ticket["sn"])["fields"]["APPROVAL_CONTENT"] == "load of r: boom"


async def test_so_it_does_in_the_triggerer(connections, sandbox):
    await notifier(title="late", fields=FORM | {"APPROVAL_CONTENT": "{{ dag_run.dag_id }}"}, context=DEADLINE)
    assert titles(sandbox) == ["late"]


def test_itsm_is_not_asked_to_call_back(connections, sandbox, monkeypatch):
    monkeypatch.setenv("AIRFLOW__BKITSM__CALLBACK_BASE_URL", "http://127.0.0.1:9")
    notifier()(failed())
    (request,) = sandbox.requests("create_ticket")
    assert "callback_url" not in str(request)


def test_p2_a_second_callback_finds_the_firsts_ticket(connections, sandbox):
    context = failed()
    notifier()(context)
    notifier()(context)
    notifier()(failed())
    assert titles(sandbox) == ["load failed"]


async def test_p2_in_whichever_process_it_runs(connections, sandbox):
    context = {**failed(), "reason": "x", "dag": DAG("d"), "dag_run": None}
    notifier()(context.copy())
    await notifier(context=context)
    assert titles(sandbox) == ["load failed"]


def test_p2_a_lost_answer_is_found_again(connections, sandbox):
    sandbox.fault("create_ticket", "drop_answer")
    notifier()(failed())
    assert titles(sandbox) == ["load failed"]


def test_p2_while_a_lost_ticket_may_still_appear_no_second_one_is_opened(connect, connections, sandbox):
    """A notifier has seconds; the gateway may take two minutes over what it was sent."""
    login = {"login": "sandbox", "password": "sandbox-secret"}

    def settling(seconds: float) -> None:
        extra = {"settle_seconds": seconds, "read_retries": 0}
        connect("bkitsm_default", conn_type="bkitsm", host=sandbox.itsm_url, extra=extra, **login)

    settling(600)
    hasty = notifier()
    hasty.patience = 0.2
    sandbox.fault("create_ticket", "html")
    for _ in range(2):
        with pytest.raises(errors.ItsmOutcomeUnknownError, match="a retry looks for it again"):
            hasty.notify(failed())
    assert len(sandbox.requests("create_ticket")) == 1
    settling(0.01)
    notifier().notify(failed())
    assert len(sandbox.requests("create_ticket")) == 2
    assert len(sandbox.tickets()) == 1


def test_what_fails_again_after_its_ticket_has_ended_gets_another(connections, sandbox):
    notifier()(failed())
    sandbox.approve(sandbox.tickets()[0]["sn"])
    notifier()(failed(start_date=datetime(2099, 1, 1, tzinfo=UTC)))
    assert titles(sandbox) == ["load failed"] * 2


def test_one_notifier_tells_of_each_failure_in_its_own_words(connections, sandbox):
    one = notifier()
    one(failed())
    one(failed(task_id="other"))
    assert titles(sandbox) == ["load failed", "other failed"]


def test_whatever_has_one_key_has_one_ticket(connections, sandbox):
    for task_id in ("load", "other"):
        notifier(failure_key="{{ ti.dag_id }}")(failed(task_id=task_id))
    assert titles(sandbox) == ["load failed"]


def test_a_title_that_is_too_long_is_cut(connections, sandbox):
    notifier(title="x" * 200)(failed())
    assert len(sandbox.tickets()[0]["title"]) == 128


def test_p8_what_airflow_hides_in_logs_is_hidden_in_the_ticket(connections, sandbox):
    mask_secret("correct-horse-battery")
    context = failed() | {"exception": ValueError("login with correct-horse-battery failed")}
    notifier(title="{{ exception }}")(context)
    assert "correct-horse" not in str(sandbox.requests("create_ticket"))


def test_a_form_that_cannot_be_sent_opens_nothing(connections, sandbox):
    with pytest.raises(errors.ItsmInvalidRequestError, match="APPROVER"):
        notifier(fields={})(failed())
    with pytest.raises(errors.ItsmInvalidRequestError, match="no service_id"):
        notifier(fast_approval=False)(failed())
    assert not sandbox.tickets()


def test_p8_a_failing_notifier_tells_no_secret(connections, sandbox, caplog):
    sandbox.fault("create_ticket", "status", status=403, times=9)
    with pytest.raises(errors.ItsmPermissionError) as raised:
        notifier()(failed())
    assert "sandbox-secret" not in str(raised.value) + caplog.text


@pytest.fixture
def finished(connections, sandbox) -> str:
    form = {"title": "t", "APPROVER": "alice", "APPROVAL_CONTENT": "c"}
    sn = ItsmHook().create_ticket(creator="robot", fields=form, fast_approval=True).sn
    sandbox.approve(sn)
    return sn


def comment(sn: str, **more) -> ItsmCommentNotifier:
    asked = {"ticket_sn": "{{ sn }}", "stars": 1, "comments": "{{ ti.task_id }} failed", "operator": "robot"}
    return ItsmCommentNotifier(**asked | more)


def test_a_finished_ticket_is_commented_on_once(finished, sandbox, caplog):
    for _ in range(2):
        comment(finished)(failed() | {"sn": finished})
    (sent,) = [one["body"] for one in sandbox.requests("comment")]
    assert (sent["sn"], sent["stars"], sent["comments"]) == (finished, 1, "load failed")


async def test_so_it_is_in_the_triggerer(finished, sandbox):
    await comment(finished, comments="late", context=DEADLINE | {"sn": finished})
    assert len(sandbox.requests("comment")) == 1


def test_a_number_that_is_not_there_is_an_error(connections):
    with pytest.raises(errors.ItsmConfigurationError, match="ticket_sn is empty"):
        comment("")(failed() | {"sn": None})


def test_a_title_is_cut_by_what_is_sent_and_stored(connections, sandbox):
    notifier(title='\U0001f680"' * 60)(failed())
    (request,) = sandbox.requests("create_ticket")
    (ticket,) = sandbox.tickets()
    assert ticket["title"].partition(" [#")[2]
    assert "\U0001f680" not in str(request)


def test_a_failure_with_emoji_asks_somebody(connections, sandbox):
    notifier()(failed(exception=None) | {"exception": ValueError("boom \U0001f680")})
    (ticket,) = sandbox.tickets()
    assert sandbox.ticket(ticket["sn"])["fields"]["APPROVAL_CONTENT"] == "load of r: boom [U+1F680]"


def test_people_of_a_failure_may_be_a_list_and_its_form_itsms_own(connections, sandbox):
    form = [{"key": "APPROVER", "value": ["alice", "bob"]}, {"key": "APPROVAL_CONTENT", "value": "{{ run_id }}"}]
    notifier(fields=form)(failed())
    assert sandbox.tickets()[0]["fields"] | {"title": ""} == {
        "title": "",
        "APPROVER": "alice,bob",
        "APPROVAL_CONTENT": "r",
    }


def test_a_title_that_itsm_would_store_too_long_is_cut(connections, sandbox):
    notifier(title="it's " * 30)(failed())
    (title,) = map(unescape, titles(sandbox))
    assert title.startswith("it's it's")
    assert len(title) < 60


def test_a_form_that_is_a_word_is_an_error_when_the_dag_is_parsed():
    with pytest.raises(errors.ItsmInvalidRequestError, match="not 'some text'"):
        notifier(fields="some text")


def test_two_services_for_one_ticket_are_an_error_when_the_dag_is_parsed():
    with pytest.raises(ValueError, match="service_id 7"):
        notifier(service_id=7)


def by(person, **more):
    return failed(**more) | {"dag_run": SimpleNamespace(triggering_user_name=person, start_date=None)}


@pytest.mark.parametrize(("person", "creator"), [("alice", "alice"), (None, "admin")])
def test_a_ticket_is_opened_in_the_name_of_who_started_the_run(connections, sandbox, person, creator):
    notifier(creator="requester")(by(person))
    (ticket,) = sandbox.tickets()
    assert ticket["creator"] == creator
    stored = read_request(ticket["sn"], "bkitsm_default")
    assert stored is not None
    assert stored.get("requester") == person


def test_p3_nobody_elses_name_is_taken_for_a_person_whom_itsm_cannot_know(connections, sandbox):
    with pytest.raises(errors.ItsmConfigurationError, match="user_mapping"):
        notifier(creator="requester").notify(by("Alice Smith"))
    assert sandbox.tickets() == []
