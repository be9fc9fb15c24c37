# SPDX-License-Identifier: Apache-2.0
"""Waits without a worker: none before the wait, none after an approval."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import NullPool, create_engine, text

from tests.e2e.conftest import POSTGRES

DATABASES = (POSTGRES,)
DAG = "workerless"


def asked(api) -> tuple[str, str]:
    """Start a run; return its id and the number of the ticket it waits for."""
    run = api.trigger(DAG)
    return run, waited_for(api, run)


def waited_for(api, run: str) -> str:
    """Return the number of the ticket a run waits for, once it does."""
    api.wait_for_task(DAG, run, "wait", "deferred")
    return str(api.xcom(DAG, run, "ask"))


def approved(api, itsm, remark: str) -> tuple[str, str]:
    """Start a run whose ticket is approved; return the run's id and the ticket's number once it has ended."""
    run, sn = asked(api)
    itsm.decide(sn, "approve", remark)
    assert api.wait_for_run(DAG, run) == "success"
    return run, sn


def overwrite_number(airflow, run: str, sn: str) -> None:
    """Have the wait of a run read another number. Airflow 3.1's API would write a text within a text."""
    statement = text(
        "UPDATE xcom SET value = CAST(:value AS jsonb)"
        " WHERE run_id = :run AND task_id = 'ask' AND key = 'return_value'"
    )
    engine = create_engine(airflow.env["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"], poolclass=NullPool)
    with engine.begin() as connection:
        assert connection.execute(statement, {"value": json.dumps(sn), "run": run}).rowcount == 1


def ran_on_a_worker(api, run: str, task: str) -> bool:
    """Whether a worker has ever taken a task up."""
    return bool(api.task(DAG, run, task)["hostname"])


@pytest.mark.since_airflow("3.3", "a wait begins on a worker before")
def test_an_approved_wait_never_touches_a_worker(airflow, itsm):
    api = airflow.api
    run, sn = approved(api, itsm, "go")
    assert api.xcom(DAG, run, "then") == f"{sn} approved"
    assert not ran_on_a_worker(api, run, "wait")
    assert ran_on_a_worker(api, run, "then")
    assert "/#/ticket/detail?id=" in api.xcom(DAG, run, "wait", "bkitsm_ticket_url")


def test_p1_a_parameter_without_a_default_ends_no_triggerer(airflow, itsm):
    """Airflow 3.3 cannot make a context of it in a triggerer, and the error would end the triggerer."""
    api = airflow.api
    run = api.trigger("released", {"version": "1.2"})
    api.wait_for_task("released", run, "wait", "deferred")
    itsm.decide(str(api.xcom("released", run, "ask")), "approve", "go")
    assert api.wait_for_run("released", run) == "success"


def test_p3_a_rejected_one_ends_on_a_worker_that_says_why(airflow, itsm):
    api = airflow.api
    run, sn = asked(api)
    itsm.decide(sn, "reject", "not today")
    assert api.wait_for_run(DAG, run) == "failed"
    assert ran_on_a_worker(api, run, "wait")
    assert "not today" in api.log(DAG, run, "wait")


def test_p3_an_empty_number_is_an_error_in_the_tasks_log(airflow):
    api = airflow.api
    run = api.trigger("nothing_to_wait_for")
    assert api.wait_for_run("nothing_to_wait_for", run) == "failed"
    assert "ticket_sn is empty" in api.log("nothing_to_wait_for", run, "wait")


def test_p3_a_cleared_round_that_is_refused_leaves_no_earlier_approval_behind(airflow, itsm):
    """Airflow clears XComs only of tries that begin on a worker; an ``all_done`` task behind reads the result."""
    api = airflow.api
    run, first = approved(api, itsm, "go")
    api.clear(DAG, run, ["ask", "wait", "then"])
    second = waited_for(api, run)
    assert second != first
    itsm.decide(second, "reject", "not this time")
    assert api.wait_for_run(DAG, run) == "failed"
    result = api.xcom(DAG, run, "wait")
    assert (result["sn"], result["outcome"]) == (second, "rejected")


def test_p3_a_wait_takes_its_own_tickets_approval_only(airflow, itsm):
    """Whoever may write XComs of the DAG gives the wait the number of office chairs, approved in another run."""
    api = airflow.api
    _, foreign = approved(api, itsm, "chairs")
    run, own = asked(api)
    overwrite_number(airflow, run, foreign)
    api.clear(DAG, run, ["wait"])
    api.wait_for_task(DAG, run, "wait", "failed")
    log = api.log(DAG, run, "wait")
    assert "not approved" in log.lower()
    assert own in log
    assert foreign in log
    itsm.decide(own, "reject", "never mind")
    assert api.wait_for_run(DAG, run) == "failed"
