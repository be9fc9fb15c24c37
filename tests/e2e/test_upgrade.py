# SPDX-License-Identifier: Apache-2.0
"""Waits of the version before the modules moved, upgraded in place on PostgreSQL while people decide."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from airflow_provider_bkitsm.collectors.database import server_engine
from airflow_provider_bkitsm.collectors.migrations import MIGRATIONS
from airflow_provider_bkitsm.collectors.store import CollectorStore
from benchmarks.versions import importing
from tests.collectors.servers import postgres
from tests.e2e.conftest import CALM, DAG_ID, ROOT
from tests.e2e.copied_airflow import CopiedAirflow
from tests.e2e.gates import DECISIONS
from tests.e2e.outlasting import BY_CALLBACK, BY_POLL, Outlasting, wait_for_all
from tests.upgrade.wheels import BEFORE_THE_MOVE, install_wheel

DAGS = (BY_CALLBACK, BY_POLL, DAG_ID)
DECIDED = ("approve", "reject", "withdraw")
CASES = [(dag, decision) for dag in DAGS for decision in DECIDED]
FILES = (f"dags/{DAG_ID}.py", "tests/e2e/dags/outlasting.py")


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    with postgres() as url:
        yield url


@pytest.fixture(scope="module")
def upgraded(itsm, database, tmp_path_factory) -> Iterator[dict[tuple[str, str], Outlasting]]:
    """Let the version before begin all waits; stop everything, upgrade, start it again, and decide."""
    folder = tmp_path_factory.mktemp("upgrade")
    dags = folder / "dags"
    dags.mkdir()
    for file in FILES:
        shutil.copy(ROOT / file, dags)
    before = importing(install_wheel(BEFORE_THE_MOVE, folder))
    env = {
        **itsm.control.connections(settle_seconds=2),
        "AIRFLOW__BKITSM__STORE_CONN_ID": "bkitsm_store",
        "AIRFLOW_CONN_BKITSM_STORE": database.replace("postgresql+psycopg2", "postgresql"),
        **CALM,
    }
    with CopiedAirflow(home=folder / "airflow", dags=dags, database_url=database, env=env | before) as airflow:
        airflow.wait_ready(*DAGS)
        runs = {
            (dag, decision): Outlasting.start(airflow, itsm.control, dag, number if dag == DAG_ID else None)
            for number, (dag, decision) in enumerate(CASES, 6001)
        }
        wait_for_all(runs.values(), since=datetime.now(UTC) - timedelta(hours=1))
        assert schema(database) < len(MIGRATIONS)
        airflow.stop()
        for name in before:
            del airflow.env[name]
        stopped = datetime.now(UTC)
        airflow.start()
        airflow.wait_ready(*DAGS)
        wait_for_all(runs.values(), since=stopped)
        for (dag, decision), run in runs.items():
            run.decide(decision, callback=dag != BY_POLL)
        yield runs
        airflow.kill()


def schema(database: str) -> int:
    """Return the version of the store's tables."""
    with server_engine(database).connect() as connection:
        version: int = connection.execute(text("SELECT max(version) FROM bkitsm_schema")).scalar_one()
    return version


@pytest.mark.parametrize(("dag", "decision"), CASES)
def test_p1_a_decision_after_the_upgrade_ends_the_waits_of_before(upgraded, dag, decision):
    upgraded[dag, decision].check_ended(decision, callback=dag != BY_POLL)


@pytest.mark.parametrize("decision", DECIDED)
def test_p7_a_collector_half_way_ends_as_decided(upgraded, itsm, database, decision):
    run, is_approved = upgraded[DAG_ID, decision], decision == "approve"
    run.end()
    row = CollectorStore(server_engine(database)).get("bklog_default", run.collector)
    assert row.outcome == DECISIONS[decision]
    assert row.state == ("success_apply" if is_approved else "fail_apply")
    assert bool(itsm.control.collector(run.collector)["table_id"]) is is_approved


def test_p2_nobody_is_asked_anew_and_the_store_is_migrated(upgraded, itsm, database):
    for run in upgraded.values():
        run.end()
        asked = {one["sn"] for one in itsm.control.tickets() if run.run in one["title"]}
        assert run.collector or asked == run.numbers
    assert schema(database) == len(MIGRATIONS)
