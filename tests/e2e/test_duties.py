# SPDX-License-Identifier: Apache-2.0
"""Separation of duties on a real Airflow: who starts a run, and who alone may not approve it (P3)."""

from __future__ import annotations

import pytest

from airflow_provider_bkitsm.callback.waiters import WAIT_PREFIX
from demo.airflow_api import AirflowApi, wait_until
from tests.e2e.gates import Gate, settle

# May start runs, and is not the connection's user.
SOMEBODY = "single"


def ask(airflow, itsm, dag: str, **conf: str) -> Gate:
    return Gate.open(airflow, itsm, dag, "gate", **conf)


def waiting(gate: Gate) -> Gate:
    """Wait until a gate has opened its ticket and waits for it."""
    where = f"dags/{gate.dag}/dagRuns/{gate.run}/taskInstances/gate/xcomEntries"

    def number() -> str | None:
        keys = (one["key"] for one in gate.api.call("GET", where)["xcom_entries"])
        return next((key.removeprefix(WAIT_PREFIX) for key in keys if key.startswith(WAIT_PREFIX)), None)

    gate.sn = wait_until(number, lambda: f"{gate.states()}")
    settle()
    return gate


@pytest.mark.parametrize(("operator", "end"), [("admin", "failed"), ("bob", "success")])
def test_p3_who_starts_a_run_cannot_approve_it_alone(airflow, itsm, operator, end):
    gate = waiting(ask(airflow, itsm.control, "not_alone"))
    gate.itsm.approve(gate.sn, operator=operator)
    assert gate.end() == end
    if end == "success":
        assert gate.xcom("then") == f"{gate.sn} approved"
    else:
        assert gate.xcom("gate", "verdict")["reason_code"] == "self_approved"
        assert "admin asked" in gate.log("gate")


def test_p3_where_nobody_else_is_asked_no_ticket_is_opened(airflow, itsm):
    before = len(itsm.control.tickets())
    gate = ask(airflow, itsm.control, "not_alone", approvers="admin")
    assert gate.end() == "failed"
    assert "admin asks, and the ticket would ask nobody but admin" in gate.log("gate")
    assert len(itsm.control.tickets()) == before


def test_a_run_that_no_person_started_is_the_connections_users(airflow, itsm):
    """The schedule asks, and of the two approvers the connection's user has no say."""
    api, dag = airflow.api, "not_alone_by_schedule"
    api.call("PATCH", f"dags/{dag}", json={"is_paused": False})
    runs = wait_until(lambda: api.call("GET", f"dags/{dag}/dagRuns")["dag_runs"], lambda: "no run")
    gate = waiting(Gate(airflow=airflow, itsm=itsm.control, dag=dag, run=runs[0]["dag_run_id"], tasks=("gate",)))
    gate.itsm.approve(gate.sn, operator="admin")
    assert gate.end() == "failed"
    assert gate.xcom("gate", "verdict")["reason_code"] == "self_approved"
    assert "the schedule asks" in str(gate.itsm.ticket(gate.sn))
    assert "No person has started this run" in gate.log("gate")


def test_two_people_agree_to_what_is_asked_in_the_requesters_name(airflow, itsm):
    somebody = AirflowApi(url=airflow.url, username=SOMEBODY, password=airflow.password_of(SOMEBODY))
    run = somebody.trigger("two_agree")
    gate = waiting(Gate(airflow=airflow, itsm=itsm.control, dag="two_agree", run=run, tasks=("gate",)))
    ticket = gate.itsm.ticket(gate.sn)
    assert ticket["creator"] == SOMEBODY
    assert f"{SOMEBODY} asks" in str(ticket)
    gate.itsm.approve(gate.sn, operator="alice")
    settle()
    assert gate.states()["gate"] == "deferred"
    gate.itsm.approve(gate.sn, operator="bob")
    assert gate.end() == "success"
    assert {one["operator"] for one in gate.xcom("gate")["approvers"]} == {"alice", "bob"}


@pytest.mark.parametrize(
    ("approvers", "words"),
    [("alice", "the ticket would ask alice"), (f"alice,{SOMEBODY}", f"without {SOMEBODY}, who asks")],
)
def test_p3_where_two_cannot_agree_no_ticket_is_opened(airflow, itsm, approvers, words):
    somebody = AirflowApi(url=airflow.url, username=SOMEBODY, password=airflow.password_of(SOMEBODY))
    before = len(itsm.control.tickets())
    run = somebody.trigger("two_agree", {"approvers": approvers})
    gate = Gate(airflow=airflow, itsm=itsm.control, dag="two_agree", run=run, tasks=("gate",))
    assert gate.end() == "failed"
    assert words in gate.log("gate")
    assert len(itsm.control.tickets()) == before
