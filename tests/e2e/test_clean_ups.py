# SPDX-License-Identifier: Apache-2.0
"""``airflow db clean`` of what open waits do not need, on PostgreSQL: every decision arrives afterwards."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import inspect, text

from airflow_provider_bkitsm.approvals.snapshot import SEEN_KEY
from airflow_provider_bkitsm.callback.waiters import POLLED_KEY
from airflow_provider_bkitsm.collectors.database import server_engine
from demo.airflow_api import wait_until
from demo.local_airflow import LocalAirflow
from tests.e2e.conftest import POSTGRES, clean
from tests.e2e.outlasting import BY_CALLBACK, BY_POLL, Outlasting, wait_for_all
from tests.e2e.test_gated import numbers

DATABASES = (POSTGRES,)
# What Airflow deletes with task instances, which nobody could end any more; docs/reliability.md names them.
LOST = {"task_instance", "dag_run", "trigger", "dag_version", "dag"}
# The living keep this fresh: a minute is old for it.
JOBS = "job"
# A task's state expires 30 days after it was written.
EVER = timedelta(days=365)
RUNS = {
    "told_at_once": BY_CALLBACK,
    **{f"{decision}_{dag}": dag for dag in (BY_CALLBACK, BY_POLL) for decision in ("approve", "reject")},
    "cleared": BY_CALLBACK,
}


def rows(airflow: LocalAirflow) -> dict[str, int]:
    """Return how many rows Airflow has of what tasks leave behind; an older Airflow has XComs only.

    What a wait notes now and then for the approvals page does not count: it may be written at any moment.
    """
    engine = server_engine(airflow.env["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"])
    names = {"xcom", "task_state_store"} & {*inspect(engine).get_table_names()}
    with engine.connect() as connection:
        return {
            name: connection.execute(
                text(f"SELECT count(*) FROM {name} WHERE key NOT IN (:polled, :seen)"),
                {"polled": POLLED_KEY, "seen": SEEN_KEY},
            ).scalar_one()
            for name in sorted(names)
        }


@pytest.fixture(scope="module")
def runs(airflow, control) -> dict[str, Outlasting]:
    """Delete every row that may be deleted while all wait, as if it were old by now."""
    from airflow.utils.db_cleanup import config_dict

    started = {name: Outlasting.start(airflow, control, dag) for name, dag in RUNS.items()}
    wait_for_all(started.values(), since=datetime.now(UTC) - timedelta(hours=1))
    assert rows(airflow)["xcom"]
    now = datetime.now(UTC)
    clean(airflow, *sorted({*config_dict} - LOST - {JOBS}), before=now + EVER)
    clean(airflow, JOBS, before=now - timedelta(minutes=1))
    assert not any(rows(airflow).values())
    return started


@pytest.fixture(scope="module")
def restarted(airflow, runs) -> dict[str, Outlasting]:
    """Start the triggerer anew on what the clean-up has left."""
    airflow.stop_one("triggerer")
    stopped = datetime.now(UTC)
    airflow.start_one("triggerer")
    wait_for_all([run for name, run in runs.items() if name != "told_at_once"], since=stopped)
    return runs


def test_p1_a_callback_finds_waits_that_nothing_has_registered_since(runs):
    """No triggerer has started since the clean-up, and the next poll is an hour away."""
    run = runs["told_at_once"]
    run.decide("approve")
    run.check_ended("approve", callback=True)


@pytest.mark.parametrize("dag", [BY_CALLBACK, BY_POLL])
@pytest.mark.parametrize("decision", ["approve", "reject"])
def test_p1_after_a_restart_of_the_triggerer_a_decision_arrives(restarted, dag, decision):
    run = restarted[f"{decision}_{dag}"]
    run.decide(decision, callback=dag == BY_CALLBACK)
    run.check_ended(decision, callback=dag == BY_CALLBACK)


def test_p2_a_clear_asks_nobody_anew_while_the_tickets_are_open(restarted, airflow, control):
    run, asked = restarted["cleared"], numbers(control)
    cleared = datetime.now(UTC)
    airflow.api.clear(run.dag, run.run, ["ask", "gate"])
    wait_until(lambda: run.is_waiting(since=cleared), lambda: airflow.api.task_states(run.dag, run.run))
    assert numbers(control) == asked
    assert {control.ticket(sn)["status"] for sn in run.numbers} == {"RUNNING"}
    run.decide("approve")
    run.check_ended("approve", callback=True)
