# SPDX-License-Identifier: Apache-2.0
"""Tickets whose wait ends without a decision, and waits that only seem to end."""

from __future__ import annotations

import pytest

from demo.airflow_api import wait_until
from tests.e2e.conftest import POSTGRES
from tests.e2e.gates import settle
from tests.e2e.test_gated import numbers, only_ticket

DATABASES = (POSTGRES,)


@pytest.fixture
def start(airflow, control):
    """Return a starter of runs that wait for a ticket."""

    def waiting(dag: str, title: str) -> tuple[str, str]:
        known = numbers(control)
        run = airflow.api.trigger(dag)
        sn = only_ticket(control, title, known)
        wait_until(
            lambda: airflow.api.xcom(dag, run, "gate", f"bkitsm_wait:{sn}"), 60, lambda: "no wait is registered"
        )
        return run, sn

    return waiting


def ends_as(control, sn: str, status: str) -> None:
    wait_until(lambda: control.ticket(sn)["status"] == status, 60, lambda: f"{control.ticket(sn)['status']}")


def test_p5_a_person_who_calls_the_wait_a_success_ends_the_ticket(airflow, control, start):
    run, sn = start("gated", "Gate")
    airflow.api.set_task_state("gated", run, "gate", "success")
    ends_as(control, sn, "REVOKED")


def test_p5_a_task_that_is_killed_while_no_triggerer_runs_leaves_no_open_ticket(airflow, control, start):
    """The next triggerer with a wait on the connection looks once a minute."""
    run, sn = start("gated", "Gate")
    airflow.stop_one("triggerer")
    airflow.api.set_task_state("gated", run, "gate", "failed")
    airflow.start_one("triggerer")
    _, other = start("gated", "Gate")
    wait_until(lambda: control.ticket(sn)["status"] == "REVOKED", 150, lambda: f"{control.ticket(sn)['status']}")
    assert control.ticket(other)["status"] == "RUNNING"


def test_p5_a_person_who_ends_the_run_ends_the_ticket(airflow, control, start):
    run, sn = start("gated", "Gate")
    airflow.api.call("PATCH", f"dags/gated/dagRuns/{run}", json={"state": "failed"})
    ends_as(control, sn, "REVOKED")


def test_p2_p5_clearing_and_restarting_withdraw_nothing(airflow, control, start):
    run, sn = start("gated", "Gate")
    airflow.api.clear("gated", run, ["gate"])
    wait_until(
        lambda: (
            airflow.api.task("gated", run, "gate")["try_number"] > 1
            and airflow.api.task("gated", run, "gate")["state"] == "deferred"
        ),
        90,
        lambda: f"{airflow.api.task('gated', run, 'gate')}",
    )
    for component in ("triggerer", "scheduler"):
        airflow.stop_one(component)
        airflow.start_one(component)
    airflow.wait_ready()
    assert control.ticket(sn)["status"] == "RUNNING"
    control.approve(sn)
    assert airflow.api.wait_for_run("gated", run, seconds=120) == "success"
    assert airflow.api.xcom("gated", run, "then") == f"{sn} approved"


def test_p5_a_ticket_out_of_time_is_withdrawn(airflow, control, start):
    run, sn = start("gated_briefly", "Brief")
    assert airflow.api.wait_for_run("gated_briefly", run, seconds=120) == "failed"
    assert control.ticket(sn)["status"] == "REVOKED"


def test_p3_an_approval_of_something_else_is_refused(airflow, control, start):
    run, sn = start("changes_its_mind", "Mind")
    airflow.api.call("POST", "variables", json={"key": "mind", "value": "restart all"})
    settle()
    control.approve(sn)
    assert airflow.api.wait_for_run("changes_its_mind", run, seconds=120) == "failed"
    # A worker's last lines may be written after the task has its state.
    text = lambda: airflow.api.log("changes_its_mind", run, "gate")  # noqa: E731
    wait_until(lambda: "not those it was asked for" in text(), 30, text)
