# SPDX-License-Identifier: Apache-2.0
"""Withdrawing and reminding from Airflow, with the sandbox as ITSM."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from airflow_provider_bkitsm.approvals.rows import ApprovalWait, TaskKey
from airflow_provider_bkitsm.hooks.itsm import ItsmHook
from airflow_provider_bkitsm.plugins import api, api_actions, views
from airflow_provider_bkitsm.plugins.reminders import NOT_CONFIGURED
from airflow_provider_bkitsm.plugins.security import HEADER
from airflow_provider_bkitsm.tickets.senders import SenderSpec, write_senders
from airflow_provider_bkitsm.tickets.waits import WaitRecord, open_wait_store
from tests.callback.conftest import FORM
from tests.plugins.people import Person, auth_manager
from tests.tickets.records import record_round

TASK = TaskKey(dag_id="dag", run_id="run", task_id="wait")
ALL = frozenset({"dag"})


@dataclass
class Tickets:
    """Airflow's database with one wait in it."""

    sn: str

    def of_run(self, *_run: str) -> list[ApprovalWait]:
        return [ApprovalWait(task=TASK, state="deferred", sn=self.sn, conn_id="bkitsm_default")]


@pytest.fixture
def sn(connections, sandbox) -> str:
    """Open a ticket; it can be withdrawn once its flow has started."""
    opened = ItsmHook().create_ticket(creator="robot", fields=FORM, fast_approval=True).sn
    sandbox.wait_for_step(opened)
    return opened


@pytest.fixture
def act(metadata, sn, monkeypatch) -> Iterator[Any]:
    monkeypatch.setattr("airflow.models.dag.DagModel.get_team_name", lambda *_: None)
    seen = views.ApprovalViews(metadata)
    seen.tickets = Tickets(sn)  # type: ignore[assignment]
    app = FastAPI()
    app.mount(api.PATH, api.create_api(seen))
    with auth_manager() as manager:

        def post(action: str, name: str, **more: str) -> Any:
            person = Person(name=name, reads=ALL, changes=ALL)
            client = TestClient(app, cookies={"_token": manager.sign_in(person)})
            body = {"dag_id": "dag", "run_id": "run", "task_id": "wait", "sn": sn, **more}
            headers = {HEADER: "1", "Content-Type": "application/json"}
            return client.post(f"{api.PATH}/ticket/{action}", content=json.dumps(body), headers=headers)

        yield post


@pytest.fixture
def withdraw(act) -> Any:
    return lambda name, reason="not needed": act("withdraw", name, reason=reason)


SENT: list[dict[str, Any]] = []


def sends(**what: Any) -> None:
    SENT.append(what)


@pytest.fixture
def remind(act, monkeypatch) -> Any:
    monkeypatch.setenv("AIRFLOW__BKITSM__REMIND", f"{__name__}.sends")
    SENT.clear()
    return lambda name="robot": act("remind", name)


def test_who_opened_the_ticket_withdraws_it_in_their_own_name(withdraw, sn, sandbox):
    answer = withdraw("robot", "<b>changed my mind</b>")
    assert (answer.status_code, answer.json()) == (200, {"current_status": "REVOKED"})
    assert ItsmHook().get_ticket_status(sn).current_status == "REVOKED"
    # ITSM's log names who withdrew, but not the reason, which is in the request.
    assert ItsmHook().get_ticket_logs(sn).logs[-1].operator == "robot"
    (request,) = sandbox.requests("operate_ticket")
    assert "changed my mind" in request["body"]["action_message"]


def test_whom_itsm_does_not_let_changes_nothing(withdraw, sn):
    answer = withdraw("mallory")
    assert answer.status_code == 409
    assert "mallory" in answer.json()["detail"]
    assert ItsmHook().get_ticket_status(sn).current_status == "RUNNING"


def test_a_ticket_that_is_over_is_left_as_it_is(withdraw, sn, sandbox):
    sandbox.approve(sn)
    assert withdraw("robot").json() == {"current_status": "FINISHED"}


@pytest.mark.parametrize("call", ["get_ticket_status", "operate_ticket"])
def test_while_itsm_does_not_answer_a_withdrawal_may_be_repeated(withdraw, sandbox, call):
    sandbox.fault(call, "html", times=99)
    assert withdraw("robot").status_code == 503
    sandbox.clear_faults()
    assert withdraw("robot").json() == {"current_status": "REVOKED"}


def test_a_mapped_name_is_the_one_itsm_hears(withdraw, sn, monkeypatch):
    monkeypatch.setenv("AIRFLOW__BKITSM__USER_MAPPING", '{"r@example.com": "robot"}')
    assert withdraw("r@example.com").status_code == 200


def test_a_mapping_that_cannot_be_read_lets_nobody_act(withdraw, sn, monkeypatch):
    monkeypatch.setenv("AIRFLOW__BKITSM__USER_MAPPING", "{")
    assert withdraw("robot").status_code == 500
    assert ItsmHook().get_ticket_status(sn).current_status == "RUNNING"


def test_a_reminder_is_sent_with_what_itsm_says_now(remind, sn, sandbox):
    answer = remind("carol")
    assert (answer.status_code, answer.json()) == (200, {"approvers": ["alice"]})
    (said,) = SENT
    assert abs(datetime.now(UTC) - said.pop("waiting_since")) < timedelta(minutes=1)
    url = f"{sandbox.url}/#/ticket/detail?id=1"
    about = {"sn": sn, "title": "t", "ticket_url": url}
    assert said == {**about, "approvers": ["alice"], "by": "carol"}


def test_who_reminds_is_called_as_itsm_knows_them(remind, monkeypatch):
    monkeypatch.setenv("AIRFLOW__BKITSM__USER_MAPPING", '{"r@example.com": "robot"}')
    remind("r@example.com")
    assert SENT[0]["by"] == "robot"


def test_nobody_is_reminded_twice_a_minute(remind):
    assert [remind(name).status_code for name in ("carol", "dave")] == [200, 429]
    assert len(SENT) == 1


@pytest.mark.parametrize("end", ["approve", "reject", "withdraw"])
def test_nobody_is_reminded_of_a_ticket_that_is_over(remind, sn, sandbox, end):
    getattr(sandbox, end)(sn, remark="r")
    answer = remind()
    assert (answer.status_code, answer.json()["detail"]) == (409, api_actions.NOT_OPEN)
    assert SENT == []


def test_nobody_is_reminded_while_itsm_is_down(remind, sandbox):
    sandbox.fault("get_ticket_status", "html", times=9)
    assert remind().status_code == 503
    assert SENT == []


def test_without_a_function_there_is_nothing_to_send_with(remind, monkeypatch):
    monkeypatch.setenv("AIRFLOW__BKITSM__REMIND", "")
    answer = remind()
    assert (answer.status_code, answer.json()["detail"]) == (404, NOT_CONFIGURED)


@pytest.mark.parametrize("text", ["\x00", "run\x00", "\ud800", "\udfff tail"])
@pytest.mark.parametrize("name", ["dag_id", "run_id", "task_id", "sn", "reason", "another"])
def test_what_no_database_can_hold_is_not_there(act, sandbox, sn, name, text):
    answer = act("withdraw", "alice", **{"reason": "r", name: text})
    assert answer.status_code == 404
    assert sandbox.ticket(sn)["status"] == "RUNNING"


@pytest.mark.parametrize("index", [-2, 2**31, 10**30])
def test_nor_is_a_task_with_such_an_index(act, sandbox, sn, index):
    assert act("withdraw", "alice", reason="r", map_index=index).status_code == 422
    assert sandbox.ticket(sn)["status"] == "RUNNING"


@pytest.mark.parametrize("action", ["withdraw", "remind"])
def test_p6_the_same_number_in_another_itsm_is_neither_read_nor_changed(act, remind, sn, sandbox, action):
    """The connection speaks another dialect than when the ticket was opened."""
    record_round(sn, request={"dialect": "v9"})
    requests = len(sandbox.requests())
    answer = remind() if action == "remind" else act("withdraw", "robot", reason="r")
    assert (answer.status_code, SENT) == (409, [])
    assert "'v9'" in answer.json()["detail"]
    assert len(sandbox.requests()) == requests


@pytest.mark.parametrize("action", ["withdraw", "remind"])
def test_p6_nor_is_it_where_that_itsm_speaks_the_same_dialect(act, remind, sn, sandbox, action):
    """The connection leads to another ITSM of the same version by now, or its numbers began anew."""
    record_round(sn, request={"dialect": "v2", "creator": "alice", "fields": {"title": "ours"}})
    answer = remind() if action == "remind" else act("withdraw", "robot", reason="r")
    assert (answer.status_code, SENT) == (409, [])
    assert "another ITSM" in answer.json()["detail"]
    assert sandbox.ticket(sn)["status"] == "RUNNING"
    assert sandbox.requests("operate_ticket") == []


# -- what a task itself names


def own_sends(*, sn: str, by: str, **_: Any) -> None:
    SENT.append({"own": sn, "by": by})


OWN = f"{__name__}.{own_sends.__name__}"


@pytest.fixture
def names(sn) -> Any:
    """Let the waiting task name what sends its reminders."""

    def name(path: str) -> None:
        spec = SenderSpec(path=path)
        record = WaitRecord(
            installation="here",
            bkitsm_conn_id="bkitsm_default",
            sn=sn,
            opened_by=None,
            withdraw=False,
            remind_by=write_senders([spec]),
            **asdict(TASK),
        )
        open_wait_store().begin(record)

    return name


def test_the_tasks_own_sender_comes_first_where_an_administrator_allows_it(remind, names, sn, monkeypatch):
    monkeypatch.setenv("AIRFLOW__BKITSM__REMIND_BY_ALLOWED", f"some.other, {OWN}")
    names(OWN)
    assert remind("carol").json() == {"approvers": ["alice"]}
    assert [{"own": sn, "by": "carol"}] == SENT


def test_p8_no_code_of_a_dags_author_is_loaded_in_the_api_server(remind, names, sn):
    names(OWN)
    assert remind("carol").status_code == 200
    assert [one.get("own") for one in SENT] == [None]


def test_a_notifier_of_this_provider_may_always_send(act, names, sandbox, monkeypatch):
    monkeypatch.delenv("AIRFLOW__BKITSM__REMIND", raising=False)
    names("airflow_provider_bkitsm.notifications.cmsi.BkCmsiNotifier")
    assert act("remind", "carol").json() == {"approvers": ["alice"]}
    (request,) = sandbox.requests("send_mail")
    assert request["body"]["receiver__username"] == ["alice"]


def test_without_a_sender_that_may_send_there_is_none(act, names, monkeypatch):
    monkeypatch.delenv("AIRFLOW__BKITSM__REMIND", raising=False)
    names(OWN)
    answer = act("remind", "carol")
    assert (answer.status_code, answer.json()["detail"]) == (404, NOT_CONFIGURED)
