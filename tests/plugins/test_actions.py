"""Withdrawing from Airflow, with the sandbox as ITSM."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import FastAPI, HTTPException
from fastapi.testclient import TestClient

from airflow_provider_bkitsm.approvals.rows import Found, TaskKey
from airflow_provider_bkitsm.hooks.itsm import ItsmHook
from airflow_provider_bkitsm.plugins import actions, views
from airflow_provider_bkitsm.plugins.access import HEADER
from tests.callback.conftest import FORM
from tests.plugins.people import Person, auth_manager

TASK = TaskKey(dag_id="dag", run_id="run", task_id="wait")
ALL = frozenset({"dag"})


@dataclass
class Tickets:
    """Airflow's database with one wait in it."""

    sn: str

    def of_run(self, *_run: str) -> list[Found]:
        return [Found(task=TASK, state="deferred", sn=self.sn, conn_id="bkitsm_default")]


@pytest.fixture
def sn(connections, sandbox) -> str:
    """Open a ticket; it can be withdrawn once its flow has started."""
    opened = ItsmHook().create_ticket(creator="robot", fields=FORM, fast_approval=True).sn
    sandbox.wait_for_step(opened)
    return opened


@pytest.fixture
def withdraw(metadata, sn, monkeypatch) -> Iterator[Any]:
    monkeypatch.setattr("airflow.models.dag.DagModel.get_team_name", lambda *_: None)
    seen = views.Views(metadata)
    seen.tickets = Tickets(sn)  # type: ignore[assignment]
    app = FastAPI()
    app.include_router(actions.router(seen))
    with auth_manager() as manager:

        def post(name: str, reason: str = "not needed") -> Any:
            person = Person(name=name, reads=ALL, changes=ALL)
            client = TestClient(app, cookies={"_token": manager.sign_in(person)})
            body = {"dag_id": "dag", "run_id": "run", "task_id": "wait", "sn": sn, "reason": reason}
            return client.post("/api/ticket/withdraw", json=body, headers={HEADER: "1"})

        yield post


def test_who_opened_the_ticket_withdraws_it_in_their_own_name(withdraw, sn):
    answer = withdraw("robot", "<b>changed my mind</b>")
    assert (answer.status_code, answer.json()) == (200, {"current_status": "REVOKED"})
    assert ItsmHook().get_ticket_status(sn).current_status == "REVOKED"
    last = [one for one in ItsmHook().get_ticket_logs(sn).logs if one.operator == "robot"][-1]
    assert "changed my mind" in str(last)


def test_whom_itsm_does_not_let_changes_nothing(withdraw, sn):
    answer = withdraw("mallory")
    assert answer.status_code == 409
    assert "mallory" in answer.json()["detail"]
    assert ItsmHook().get_ticket_status(sn).current_status == "RUNNING"


def test_a_ticket_that_is_over_is_left_as_it_is(withdraw, sn, sandbox):
    sandbox.approve(sn)
    assert withdraw("robot").json() == {"current_status": "FINISHED"}


def test_a_mapped_name_is_the_one_itsm_hears(withdraw, sn, monkeypatch):
    monkeypatch.setenv("AIRFLOW__BKITSM__USER_MAPPING", '{"r@example.com": "robot"}')
    assert withdraw("r@example.com").status_code == 200


def test_a_mapping_that_cannot_be_read_lets_nobody_act(withdraw, sn, monkeypatch):
    monkeypatch.setenv("AIRFLOW__BKITSM__USER_MAPPING", "{")
    assert withdraw("robot").status_code == 500
    assert ItsmHook().get_ticket_status(sn).current_status == "RUNNING"


@pytest.mark.parametrize(
    ("mapping", "name"), [("", "alice"), ("{}", "alice"), ('{"bob": "b"}', "alice"), ('{"alice": "a"}', "a")]
)
def test_a_person_is_called_as_the_mapping_says(monkeypatch, mapping, name):
    monkeypatch.setenv("AIRFLOW__BKITSM__USER_MAPPING", mapping)
    assert actions.itsm_name(Person(name="alice")) == name


def test_a_login_goes_before_a_display_name(monkeypatch):
    monkeypatch.delenv("AIRFLOW__BKITSM__USER_MAPPING", raising=False)
    assert actions.itsm_name(SimpleNamespace(username="alice", get_name=lambda: "Alice Doe")) == "alice"


@pytest.mark.parametrize("mapping", ["[", "[]", "7", '"x"'])
def test_a_mapping_has_to_be_an_object(monkeypatch, mapping):
    monkeypatch.setenv("AIRFLOW__BKITSM__USER_MAPPING", mapping)
    with pytest.raises(HTTPException, match="user_mapping"):
        actions.itsm_name(Person(name="alice"))
