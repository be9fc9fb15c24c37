# SPDX-License-Identifier: Apache-2.0
"""The everyday gate in a running Airflow: with branches, and one approval for many."""

from __future__ import annotations

import time

import pytest

from demo.airflow_api import wait_until
from tests.e2e.conftest import POSTGRES
from tests.e2e.gates import settle, waits_for

DATABASES = (POSTGRES,)
SHARED = "shared_approval"


def only_ticket(control, title: str) -> str:
    """Return the number of the one open ticket of this title, once somebody is asked."""
    (sn,) = [
        one["sn"] for one in control.tickets() if one["title"].startswith(title) and one["status"] == "RUNNING"
    ]
    control.wait_for_step(sn)
    return str(sn)


def numbers(control) -> set[str]:
    return {one["sn"] for one in control.tickets()}


@pytest.fixture(scope="module")
def runs(airflow, control) -> dict[str, list[str]]:
    """Start all runs at once; return those of each DAG once they wait."""
    api = airflow.api
    started = {dag: [api.trigger(dag) for _ in range(number)] for dag, number in (("branching", 1), (SHARED, 2))}

    def waiting() -> int:
        tasks = [one for dag, runs in started.items() for run in runs for one in api.tasks(dag, run)]
        return sum(one["state"] == "deferred" for one in tasks)

    wait_until(lambda: waiting() == 1 + 2 * 3, lambda: f"only {waiting()} wait")
    settle()
    return started


def test_p3_a_rejection_takes_its_own_branch(airflow, control, runs):
    api, [run] = airflow.api, runs["branching"]
    control.reject(only_ticket(control, "Which way"))
    assert api.wait_for_run("branching", run) == "success"
    assert api.task_states("branching", run) == {"ask": "success", "go": "skipped", "stop": "success"}


def test_p2_mapped_tasks_of_two_runs_share_one_approval(airflow, control, runs):
    control.approve(only_ticket(control, "a, b and c"))
    ends = [airflow.api.wait_for_run(SHARED, run) for run in runs[SHARED]]
    assert ends == ["success", "success"]


def test_p1_an_approval_outlasts_a_scheduler_that_hears_late_of_the_worker_before(airflow, control):
    """With the task queued again, the scheduler would take that worker's end for the task's own, and fail it."""
    api, dag = airflow.api, "gated_by_callback"
    run = api.trigger(dag)
    api.wait_for_task(dag, run, "gate", "running", "deferred")
    with airflow.stands_still("scheduler"):
        sn = waits_for(api, dag, run)
        settle()
        control.approve(sn)
        # So long its callback, which is tried again and again, finds that the scheduler stands still.
        time.sleep(5)
    assert api.wait_for_run(dag, run) == "success"
    assert api.xcom(dag, run, "gate")["seen_by"] == "callback"
