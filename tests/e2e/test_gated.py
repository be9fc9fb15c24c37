# SPDX-License-Identifier: Apache-2.0
"""The everyday gate in a running Airflow: with branches, and one approval for many."""

from __future__ import annotations

from demo.airflow_api import wait_until
from tests.e2e.conftest import POSTGRES
from tests.e2e.gates import settle

DATABASES = (POSTGRES,)


def only_ticket(control, title: str, known: set[str]) -> str:
    """Return the number of the one ticket that is new, once somebody is asked."""

    def new() -> list[str]:
        return [
            one["sn"] for one in control.tickets() if one["title"].startswith(title) and one["sn"] not in known
        ]

    (sn,) = wait_until(new, 60, lambda: "no ticket was opened")
    control.wait_for_step(sn)
    return sn


def numbers(control) -> set[str]:
    return {one["sn"] for one in control.tickets()}


def test_p3_a_rejection_takes_its_own_branch(airflow, control):
    api, known = airflow.api, numbers(control)
    run = api.trigger("branching")
    sn = only_ticket(control, "Which way", known)
    api.wait_for_task("branching", run, "ask", "deferred", seconds=60)
    settle()
    control.reject(sn)
    assert api.wait_for_run("branching", run, seconds=90) == "success"
    assert api.task_states("branching", run) == {"ask": "success", "go": "skipped", "stop": "success"}


def test_p2_mapped_tasks_of_two_runs_share_one_approval(airflow, control):
    api, known = airflow.api, numbers(control)
    runs = [api.trigger("shared_approval") for _ in range(2)]

    def waiting() -> int:
        rows = [
            one
            for run in runs
            for one in api.call("GET", f"dags/shared_approval/dagRuns/{run}/taskInstances")["task_instances"]
        ]
        return sum(one["state"] == "deferred" for one in rows)

    wait_until(lambda: waiting() == 6, 120, lambda: f"only {waiting()} wait")
    live = [one for one in control.tickets() if one["sn"] not in known and one["status"] == "RUNNING"]
    assert len(live) == 1
    settle()
    control.approve(live[0]["sn"])
    assert [api.wait_for_run("shared_approval", run, seconds=90) for run in runs] == ["success", "success"]
