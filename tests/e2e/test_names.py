# SPDX-License-Identifier: Apache-2.0
"""Decisions arrive whatever DAGs, tasks, runs and connections are called, and wherever a connection is kept."""

from __future__ import annotations

import json
from collections import Counter
from urllib.parse import quote

import pytest

from demo.airflow_api import wait_until
from demo.local_airflow import LocalAirflow
from tests.e2e.conftest import POSTGRES
from tests.e2e.named_dags.named import NAMES, ONE_TASK
from tests.e2e.naming import (
    AS_URI,
    IN_BACKEND,
    IN_DATABASE,
    IN_ENVIRONMENT,
    NamedRun,
    newest_ended,
    newest_rows,
    ticket_in,
)

DATABASES = (POSTGRES,)
PLAIN, CHINESE, MIXED, LATIN, LONG, LONG_CHINESE = NAMES
RUNS = ("manual one", "2026-01-01T00:00:00+08:00", "50% of it", "a.b+c:d~e", "第一次 上线", "r" * 250)

# (DAG, task that opens, task that waits), run id, connection.
CASES = (
    (PLAIN, "plain", "bkitsm_default"),
    (CHINESE, "plain", "bkitsm_default"),
    (MIXED, "plain", "bkitsm_default"),
    (LATIN, "plain", "bkitsm_default"),
    (LONG, "plain", "bkitsm_default"),
    (LONG_CHINESE, "plain", "bkitsm_default"),
    (ONE_TASK, "plain", "bkitsm_default"),
    *((PLAIN, run, "bkitsm_default") for run in RUNS),
    *((ONE_TASK, f"of {index}", conn_id) for index, conn_id in enumerate((*IN_ENVIRONMENT, AS_URI))),
    *((PLAIN, f"of {index}", conn_id) for index, conn_id in enumerate((*IN_DATABASE, *IN_BACKEND))),
)


@pytest.fixture(scope="module")
def named(airflow, itsm) -> LocalAirflow:
    """Put the other connections into Airflow's database."""
    airflow.wait_ready(*(dag for dag, *_ in (*NAMES, ONE_TASK)))
    fields = json.loads(itsm.control.connection("bkitsm", settle_seconds=2))
    for conn_id in IN_DATABASE:
        body = {**fields, "connection_id": conn_id, "extra": json.dumps(fields["extra"])}
        airflow.api.call("POST", "connections", json=body)
    return airflow


@pytest.fixture(scope="module")
def runs(named) -> list[NamedRun]:
    """Start all runs at once."""
    return [
        NamedRun(airflow=named, dag=dag, tasks=tuple(tasks), run=run, conn_id=conn_id).start()
        for (dag, *tasks), run, conn_id in CASES
    ]


def test_p1_every_decision_arrives_by_callback(named, runs, itsm):
    """Each ticket is answered once its wait is registered; a run that ends before has none."""
    assert len(runs) == 24
    pending = {run.key: run for run in runs}

    def all_decided() -> bool:
        rows, failed = newest_rows(named), newest_ended(named, "failed")
        for key in list(pending):
            if sn := ticket_in(rows.get(key, {})):
                itsm.decide(sn, "approve", "go")
            if sn or key in failed:
                del pending[key]
        return not pending

    wait_until(all_decided, lambda: "\n".join(map(str, pending.values())))

    def left() -> list[NamedRun]:
        rows, ended = newest_rows(named), newest_ended(named, "success")
        return [run for run in runs if run.key not in ended or rows.get(run.key, {}).get("open", True)]

    wait_until(lambda: not left(), lambda: "\n".join(map(str, left())))
    ends = Counter((row["status"], row["seen_by"], *row["decided_by"]) for row in (run.row() for run in runs))
    assert ends == {("approved", "callback", "admin"): 24}


def test_the_pages_and_the_button_show_each_ticket(runs):
    for run in runs:
        page = run.airflow.api.call("GET", "ticket", root="bkitsm/api/v1", params=run.task)
        assert page["ticket"]["sn"] == run.row()["sn"]
        assert page["story"] is not None
        waits = quote(run.tasks[-1], safe="")
        links = run.airflow.api.call("GET", f"{run.path}/taskInstances/{waits}/links")["extra_links"]
        assert links["ITSM ticket"] == page["ticket"]["ticket_url"]


def test_p5_a_kill_ends_the_ticket_of_a_chinese_task(named, itsm):
    dag, *tasks = CHINESE
    run = NamedRun(airflow=named, dag=dag, tasks=tuple(tasks), run="第二次 1+1", conn_id=IN_DATABASE[0]).start()
    sn = wait_until(run.ticket, lambda: str(run))
    path = f"{run.path}/taskInstances/{quote(tasks[-1], safe='')}"
    named.api.call("PATCH", path, json={"new_state": "failed"})
    status = lambda: itsm.control.ticket(sn)["status"]  # noqa: E731
    wait_until(lambda: status() == "REVOKED", status)
