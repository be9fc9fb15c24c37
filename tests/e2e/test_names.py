# SPDX-License-Identifier: Apache-2.0
"""Decisions arrive whatever DAGs, tasks, runs and connections are called, and wherever a connection is kept."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from demo.airflow_api import wait_until
from demo.local_airflow import LocalAirflow
from demo.sandbox_process import SandboxProcess
from tests.collectors.servers import postgres
from tests.e2e.gates import SETTLED
from tests.e2e.named_dags.named import NAMES, ONE_TASK

PLAIN, CHINESE, MIXED, LATIN, LONG, LONG_CHINESE = NAMES
IN_ENVIRONMENT = ("team/itsm", "bk:itsm#1", "审批连接", "team/审批(1)", "c" * 200)
AS_URI = "uri.连接"
IN_DATABASE = ("库里的连接", "库" * 200, "stored_itsm")
IN_BACKEND = ("后端/连接", "backend#1")
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


@dataclass(frozen=True, kw_only=True)
class NamedRun:
    """One of the runs.

    :param tasks: the last one waits.
    """

    airflow: LocalAirflow
    dag: str
    tasks: tuple[str, ...]
    run: str
    conn_id: str = "bkitsm_default"

    @property
    def path(self) -> str:
        return f"dags/{quote(self.dag, safe='')}/dagRuns/{quote(self.run, safe='')}"

    @property
    def task(self) -> dict[str, str]:
        """Its waiting task, as the pages name it."""
        return {"dag_id": self.dag, "run_id": self.run, "task_id": self.tasks[-1]}

    def start(self) -> NamedRun:
        body = {"dag_run_id": self.run, "logical_date": None, "conf": {"conn_id": self.conn_id}}
        self.airflow.api.call("POST", f"dags/{quote(self.dag, safe='')}/dagRuns", json=body)
        return self

    def states(self) -> dict[str, str | None]:
        listed = self.airflow.api.call("GET", f"{self.path}/taskInstances")["task_instances"]
        return {one["task_id"]: one["state"] for one in listed}

    def state(self) -> str:
        return str(self.airflow.api.call("GET", self.path)["state"])

    def row(self) -> dict[str, Any]:
        """Return this run's row of the approvals page; empty while there is none."""
        wanted = {"view": "all", "dag_id": self.dag, "run_id": self.run}
        rows = self.airflow.api.call("GET", "approvals", root="bkitsm/api/v1", params=wanted)["rows"]
        return rows[0] if rows else {}

    def is_open(self) -> bool:
        """Whether the page, which may be some seconds old, does not show its end yet."""
        return bool(self.row().get("open", True))

    def ticket(self) -> str | None:
        """Return the number of its ticket, once only a callback tells it of a decision."""
        row = self.row()
        if row.get("status") != "waiting" or not row["registered_at"]:
            return None
        is_settled = datetime.now(UTC) - datetime.fromisoformat(row["registered_at"]) > SETTLED
        return str(row["sn"]) if is_settled else None

    def __str__(self) -> str:
        names = (f"{name[:20]}({len(name)})" for name in (self.dag, self.run, self.conn_id))
        ended_badly = self.state() == "failed"
        return f"{' '.join(names)}: {self.states()} {self.row()}{self.log() if ended_badly else ''}"

    def log(self) -> str:
        """Return the end of its waiting task's log."""
        dag, run, task = (quote(name, safe="") for name in (self.dag, self.run, self.tasks[-1]))
        return "\n" + self.airflow.api.log(dag, run, task)[-4000:]


@pytest.fixture(scope="module")
def connections(itsm, tmp_path_factory) -> dict[str, str]:
    """Return the environment in which the connections are that are not in Airflow's database."""
    text = itsm.control.connection("bkitsm", settle_seconds=2)
    given = json.loads(text)
    file = tmp_path_factory.mktemp("backend") / "connections.json"
    file.write_text(json.dumps(dict.fromkeys(IN_BACKEND, given)))
    texts = (given["login"], given["password"], given["host"], json.dumps(given["extra"]))
    login, password, host, extra = (quote(one, safe="") for one in texts)
    return {
        **itsm.control.connections(settle_seconds=2),
        **{f"AIRFLOW_CONN_{conn_id.upper()}": text for conn_id in IN_ENVIRONMENT},
        f"AIRFLOW_CONN_{AS_URI.upper()}": f"bkitsm://{login}:{password}@{host}/?__extra__={extra}",
        "AIRFLOW__SECRETS__BACKEND": "airflow.secrets.local_filesystem.LocalFilesystemBackend",
        "AIRFLOW__SECRETS__BACKEND_KWARGS": json.dumps({"connections_file_path": str(file)}),
    }


@pytest.fixture(scope="module")
def named(tmp_path_factory, itsm, connections) -> Iterator[LocalAirflow]:
    """Run an Airflow that allows such names, and put the other connections into its database."""
    env = {
        **connections,
        "AIRFLOW__SCHEDULER__ALLOWED_RUN_ID_PATTERN": ".+",
        # By default the names are those of folders, which a file system limits to 255 bytes.
        "AIRFLOW__LOGGING__LOG_FILENAME_TEMPLATE": "{{ ti.id }}/{{ try_number|default(ti.try_number) }}.log",
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "300",
    }
    fields = json.loads(itsm.control.connection("bkitsm", settle_seconds=2))
    dags, home = Path(__file__).parent / "named_dags", tmp_path_factory.mktemp("named")
    with (
        postgres() as url,
        LocalAirflow(home=home / "airflow", dags=dags, database_url=url, env=env) as running,
    ):
        running.wait_ready(*(dag for dag, *_ in (*NAMES, ONE_TASK)))
        for conn_id in IN_DATABASE:
            body = {**fields, "connection_id": conn_id, "extra": json.dumps(fields["extra"])}
            running.api.call("POST", "connections", json=body)
        yield running


@pytest.fixture(scope="module")
def runs(named) -> list[NamedRun]:
    """Start all runs at once."""
    return [
        NamedRun(airflow=named, dag=dag, tasks=tuple(tasks), run=run, conn_id=conn_id).start()
        for (dag, *tasks), run, conn_id in CASES
    ]


def decide_each(runs: Iterable[NamedRun], itsm: SandboxProcess, decision: str) -> None:
    """Answer each ticket once its wait is registered; a run that ends before has none."""
    pending = list(runs)

    def all_decided() -> bool:
        for run in list(pending):
            if sn := run.ticket():
                itsm.decide(sn, decision, "go")
            if sn or run.state() == "failed":
                pending.remove(run)
        return not pending

    wait_until(all_decided, 200, lambda: "\n".join(map(str, pending)))


def test_p1_every_decision_arrives_by_callback(runs, itsm):
    assert len(runs) == 24
    decide_each(runs, itsm, "approve")
    left = lambda: [run for run in runs if run.state() != "success" or run.is_open()]  # noqa: E731
    wait_until(lambda: not left(), 60, lambda: "\n".join(map(str, left())))
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
    sn = wait_until(run.ticket, 60, lambda: str(run))
    path = f"{run.path}/taskInstances/{quote(tasks[-1], safe='')}"
    named.api.call("PATCH", path, json={"new_state": "failed"})
    status = lambda: itsm.control.ticket(sn)["status"]  # noqa: E731
    wait_until(lambda: status() == "REVOKED", 60, status)
