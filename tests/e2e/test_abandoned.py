# SPDX-License-Identifier: Apache-2.0
"""Tickets whose wait ends without a decision, and waits that only seem to end."""

from __future__ import annotations

import pytest

from demo.airflow_api import wait_until
from tests.e2e.conftest import POSTGRES
from tests.e2e.gates import settle, waits_for

DATABASES = (POSTGRES,)
RUNS = {
    **dict.fromkeys(("called_a_success", "killed_unseen", "beside_it", "ended", "cleared"), "gated"),
    "out_of_time": "gated_briefly",
    "of_another_mind": "changes_its_mind",
}


@pytest.fixture(scope="module")
def waits(airflow) -> dict[str, tuple[str, str]]:
    """Start all runs at once; return each with the number of the ticket it waits for."""
    runs = {name: airflow.api.trigger(dag) for name, dag in RUNS.items()}
    found = {name: (run, waits_for(airflow.api, RUNS[name], run)) for name, run in runs.items()}
    settle()
    return found


def ends_as(control, sn: str, status: str) -> None:
    wait_until(lambda: control.ticket(sn)["status"] == status, lambda: f"{control.ticket(sn)['status']}")


def test_p5_a_person_who_calls_the_wait_a_success_ends_the_ticket(airflow, control, waits):
    run, sn = waits["called_a_success"]
    airflow.api.set_task_state("gated", run, "gate", "success")
    ends_as(control, sn, "REVOKED")


def test_p5_a_task_that_is_killed_while_no_triggerer_runs_leaves_no_open_ticket(airflow, control, waits):
    """The next triggerer with a wait on the connection looks once a minute."""
    run, sn = waits["killed_unseen"]
    airflow.stop_one("triggerer")
    airflow.api.set_task_state("gated", run, "gate", "failed")
    airflow.start_one("triggerer")
    wait_until(
        lambda: control.ticket(sn)["status"] == "REVOKED", lambda: f"{control.ticket(sn)['status']}", seconds=150
    )
    assert control.ticket(waits["beside_it"][1])["status"] == "RUNNING"


def test_p5_a_person_who_ends_the_run_ends_the_ticket(airflow, control, waits):
    run, sn = waits["ended"]
    airflow.api.call("PATCH", f"dags/gated/dagRuns/{run}", json={"state": "failed"})
    ends_as(control, sn, "REVOKED")


def test_p2_p5_clearing_and_restarting_withdraw_nothing(airflow, control, waits):
    run, sn = waits["cleared"]
    airflow.api.clear("gated", run, ["gate"])
    wait_until(
        lambda: (
            airflow.api.task("gated", run, "gate")["try_number"] > 1
            and airflow.api.task("gated", run, "gate")["state"] == "deferred"
        ),
        lambda: f"{airflow.api.task('gated', run, 'gate')}",
    )
    for component in ("triggerer", "scheduler"):
        airflow.stop_one(component)
        airflow.start_one(component)
    airflow.wait_ready()
    assert control.ticket(sn)["status"] == "RUNNING"
    control.approve(sn)
    assert airflow.api.wait_for_run("gated", run) == "success"
    assert airflow.api.xcom("gated", run, "then") == f"{sn} approved"


def test_p5_a_ticket_out_of_time_is_withdrawn(airflow, control, waits):
    run, sn = waits["out_of_time"]
    assert airflow.api.wait_for_run("gated_briefly", run) == "failed"
    assert control.ticket(sn)["status"] == "REVOKED"


def test_p3_an_approval_of_something_else_is_refused(airflow, control, waits):
    run, sn = waits["of_another_mind"]
    airflow.api.call("POST", "variables", json={"key": "mind", "value": "restart all"})
    control.approve(sn)
    assert airflow.api.wait_for_run("changes_its_mind", run) == "failed"
    # A worker's last lines may be written after the task has its state.
    text = lambda: airflow.api.log("changes_its_mind", run, "gate")  # noqa: E731
    wait_until(lambda: "not those it was asked for" in text(), text)
