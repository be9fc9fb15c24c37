# SPDX-License-Identifier: Apache-2.0
"""Waits of the version before the rooms were moved, upgraded in place on PostgreSQL while people decide."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from airflow_provider_bkitsm.collectors.database import server_engine
from airflow_provider_bkitsm.collectors.migrations import MIGRATIONS
from airflow_provider_bkitsm.collectors.store import CollectorStore
from airflow_provider_bkitsm.itsm.outcome import Outcome
from airflow_provider_bkitsm.sandbox.control import SandboxControl
from demo.airflow_api import wait_until
from demo.local_airflow import LocalAirflow
from tests.collectors.servers import postgres
from tests.e2e.conftest import DAG_ID, ROOT
from tests.e2e.gates import DECISIONS, SETTLED, Gate
from tests.upgrade.wheels import install_wheel, uses

BEFORE = "289014b570cf586890af9d507ab4bfae9a4c9570"
BY_CALLBACK, BY_POLL = "upgraded_by_callback", "upgraded_by_poll"
ASKED = ("approve", "reject", "withdraw")
REMARK = "said after the upgrade"
CASES = [(dag, decision) for dag in (BY_CALLBACK, BY_POLL, DAG_ID) for decision in ASKED]
# What each opens: a sensor and a gate a ticket each, a collector's run one.
WAITS = {BY_CALLBACK: ("wait", "gate"), BY_POLL: ("wait", "gate"), DAG_ID: ("wait",)}


@dataclass(kw_only=True)
class Upgraded:
    """One run that waits across the upgrade.

    :param collector: its collector; None where it has none.
    :param waits: each task that waits, with its ticket's number.
    """

    dag: str
    decision: str
    run: str
    collector: int | None = None
    waits: dict[str, Gate] = field(default_factory=dict)

    def waiting(self, airflow: LocalAirflow, control: SandboxControl, since: datetime) -> bool:
        """Whether all its tasks have registered after a moment, and their triggers have looked once."""
        for task in WAITS[self.dag]:
            wait = self.waits.setdefault(task, Gate(airflow=airflow, itsm=control, dag=self.dag, run=self.run))
            wait.sn = wait.sn or self._ticket(wait, task) or ""
            key = f"bkitsm_wait:{wait.sn}"
            written = airflow.api.xcom_written(self.dag, self.run, task, key) if wait.sn else None
            if written is None or not since < written < datetime.now(UTC) - SETTLED:
                return False
        return True

    def _ticket(self, wait: Gate, task: str) -> str | None:
        if task == "gate":
            title = f"Gate {self.run}"
            return next((one["sn"] for one in wait.itsm.tickets() if one["title"].startswith(title)), None)
        found: str | None = wait.xcom("apply" if self.collector else "ask")
        return found

    def decide(self) -> None:
        """Decide on its tickets as people do; a poll is to find what no callback tells."""
        for wait in self.waits.values():
            if self.dag == BY_POLL:
                wait.itsm.fault(wait.sn, "callback_lost")
            wait.decide(self.decision, REMARK)


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    with postgres() as url:
        yield url


@pytest.fixture(scope="module")
def upgraded(itsm, database, tmp_path_factory) -> Iterator[dict[tuple[str, str], Upgraded]]:
    """Let the version before begin all waits; upgrade, and decide."""
    control, folder = itsm.control, tmp_path_factory.mktemp("upgrade")
    dags = folder / "dags"
    dags.mkdir()
    for file in (ROOT / "dags" / f"{DAG_ID}.py", ROOT / "tests" / "upgrade" / "dags" / "upgraded.py"):
        shutil.copy(file, dags)
    before = uses(install_wheel(BEFORE, folder))
    env = {
        **control.connections(settle_seconds=2),
        "AIRFLOW__BKITSM__STORE_CONN_ID": "bkitsm_store",
        "AIRFLOW_CONN_BKITSM_STORE": database.replace("postgresql+psycopg2", "postgresql"),
    }
    airflow = LocalAirflow(home=folder / "airflow", dags=dags, database_url=database, env=env | before)
    with ExitStack() as stack:
        stack.enter_context(airflow).wait_ready(DAG_ID, BY_CALLBACK, BY_POLL)
        runs = started(airflow, control)
        settled(airflow, control, runs, since=datetime.now(UTC) - timedelta(hours=1))
        assert schema(database) < len(MIGRATIONS)
        airflow.stop()
        for name in before:
            del airflow.env[name]
        upgraded_at = datetime.now(UTC)
        airflow.start()
        airflow.wait_ready(DAG_ID, BY_CALLBACK, BY_POLL)
        settled(airflow, control, runs, since=upgraded_at)
        for run in runs.values():
            run.decide()
        yield runs


def started(airflow: LocalAirflow, control: SandboxControl) -> dict[tuple[str, str], Upgraded]:
    runs = {}
    for number, (dag, decision) in enumerate(CASES, 6001):
        collector = number if dag == DAG_ID else None
        conf: dict[str, Any] = {}
        if collector:
            control.put_collector(collector, bk_biz_id=2)
            conf = {"collector_config_id": collector, "bk_biz_id": 2}
        run = airflow.api.trigger(dag, conf)
        runs[dag, decision] = Upgraded(dag=dag, decision=decision, run=run, collector=collector)
    return runs


def settled(
    airflow: LocalAirflow,
    control: SandboxControl,
    runs: dict[tuple[str, str], Upgraded],
    *,
    since: datetime,
) -> None:
    left = list(runs.values())

    def all_wait() -> bool:
        left[:] = [run for run in left if not run.waiting(airflow, control, since)]
        return not left

    wait_until(
        all_wait,
        240,
        lambda: [(run.dag, run.decision, airflow.api.task_states(run.dag, run.run)) for run in left],
    )


def schema(database: str) -> int:
    """Return the version of the store's tables."""
    with server_engine(database).connect() as connection:
        version: int = connection.execute(text("SELECT max(version) FROM bkitsm_schema")).scalar_one()
    return version


@pytest.mark.parametrize(("dag", "decision"), CASES)
def test_p1_a_decision_after_the_upgrade_ends_a_wait_of_before(upgraded, dag, decision):
    run = upgraded[dag, decision]
    one = run.waits["wait"]
    assert one.end() == ("success" if decision == "approve" else "failed")
    ended_as = "success" if decision == "approve" else "failed"
    assert {one.states()[task] for task in run.waits} == {ended_as}
    for task, wait in run.waits.items():
        result = wait.xcom(task) or wait.xcom(task, "verdict")
        assert (result["sn"], result["outcome"]) == (wait.sn, DECISIONS[decision])
        if decision == "reject":
            assert REMARK in json.dumps(result)
        if dag == BY_POLL:
            assert not wait.callbacks()
        if dag == BY_CALLBACK:
            assert wait.callbacks()["resumed"] == 1


@pytest.mark.parametrize("decision", ASKED)
def test_p7_a_collector_half_way_ends_as_decided(upgraded, itsm, database, decision):
    run = upgraded[DAG_ID, decision]
    run.waits["wait"].end()
    row = CollectorStore(server_engine(database)).get("bklog_default", run.collector)
    is_approved = decision == "approve"
    assert row.state == ("success_apply" if is_approved else "fail_apply")
    assert row.outcome == Outcome(DECISIONS[decision])
    assert bool(itsm.control.collector(run.collector)["table_id"]) is is_approved


def test_p2_nobody_is_asked_anew_and_the_stores_tables_are_those_of_now(upgraded, itsm, database):
    for run in upgraded.values():
        run.waits["wait"].end()
    ours = {wait.sn for run in upgraded.values() for wait in run.waits.values()}
    titles = [one["title"] for one in itsm.control.tickets()]
    asked = [one for one in titles if any(run.run in one for run in upgraded.values())]
    assert len(asked) == len([wait for run in upgraded.values() if not run.collector for wait in run.waits])
    assert all(itsm.control.ticket(sn)["status"] in ("FINISHED", "REVOKED") for sn in ours)
    assert schema(database) == len(MIGRATIONS)
