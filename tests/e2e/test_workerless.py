# SPDX-License-Identifier: Apache-2.0
"""Waits without a worker: none before the wait, none after an approval."""

from __future__ import annotations

import pytest

from tests.e2e.conftest import POSTGRES

DATABASES = (POSTGRES,)
DAG = "workerless"


def ran_on_a_worker(api, run: str, task: str) -> bool:
    """Whether a worker has ever taken a task up."""
    return bool(api.task(DAG, run, task)["hostname"])


@pytest.mark.since_airflow("3.3", "a wait begins on a worker before")
def test_an_approved_wait_never_touches_a_worker(airflow, itsm):
    api = airflow.api
    run = api.trigger(DAG)
    api.wait_for_task(DAG, run, "wait", "deferred", seconds=60)
    sn = api.xcom(DAG, run, "ask")
    itsm.decide(sn, "approve", "go")
    assert api.wait_for_run(DAG, run, seconds=60) == "success"
    assert api.xcom(DAG, run, "then") == f"{sn} approved"
    assert not ran_on_a_worker(api, run, "wait")
    assert ran_on_a_worker(api, run, "then")
    assert "/#/ticket/detail?id=" in api.xcom(DAG, run, "wait", "bkitsm_ticket_url")


def test_p3_a_rejected_one_ends_on_a_worker_that_says_why(airflow, itsm):
    api = airflow.api
    run = api.trigger(DAG)
    api.wait_for_task(DAG, run, "wait", "deferred", seconds=60)
    itsm.decide(api.xcom(DAG, run, "ask"), "reject", "not today")
    assert api.wait_for_run(DAG, run, seconds=60) == "failed"
    assert ran_on_a_worker(api, run, "wait")
    assert "not today" in api.log(DAG, run, "wait")


def test_p3_an_empty_number_is_an_error_in_the_tasks_log(airflow):
    api = airflow.api
    run = api.trigger("nothing_to_wait_for")
    assert api.wait_for_run("nothing_to_wait_for", run, seconds=60) == "failed"
    assert "ticket_sn is empty" in api.log("nothing_to_wait_for", run, "wait")
