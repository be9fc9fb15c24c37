# SPDX-License-Identifier: Apache-2.0
"""Names that people give to DAGs, runs and connections: an Airflow that allows them, and runs that have them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from airflow_provider_bkitsm.sandbox.control import SandboxControl
from demo.local_airflow import LocalAirflow
from tests.e2e.gates import SETTLED

IN_ENVIRONMENT = ("team/itsm", "bk:itsm#1", "审批连接", "team/审批(1)", "c" * 200)
AS_URI = "uri.连接"
IN_DATABASE = ("库里的连接", "库" * 200, "stored_itsm")
IN_BACKEND = ("后端/连接", "backend#1")
# By default logs are in folders of these names, which a file system limits to 255 bytes.
LOGS_BY_NUMBER = {
    "AIRFLOW__LOGGING__LOG_FILENAME_TEMPLATE": "{{ ti.id }}/{{ try_number|default(ti.try_number) }}.log"
}
# The most that the approvals page, and Airflow's own list of runs, give at once.
_MOST = 100


def environment(itsm: SandboxControl, folder: Path) -> dict[str, str]:
    """Return what allows such names, and the connections that are not in Airflow's database."""
    text = itsm.connection("bkitsm", settle_seconds=2)
    given = json.loads(text)
    file = folder / "connections.json"
    file.write_text(json.dumps(dict.fromkeys(IN_BACKEND, given)))
    texts = (given["login"], given["password"], given["host"], json.dumps(given["extra"]))
    login, password, host, extra = (quote(one, safe="") for one in texts)
    return {
        **LOGS_BY_NUMBER,
        "AIRFLOW__SCHEDULER__ALLOWED_RUN_ID_PATTERN": ".+",
        **{f"AIRFLOW_CONN_{conn_id.upper()}": text for conn_id in IN_ENVIRONMENT},
        f"AIRFLOW_CONN_{AS_URI.upper()}": f"bkitsm://{login}:{password}@{host}/?__extra__={extra}",
        "AIRFLOW__SECRETS__BACKEND": "airflow.secrets.local_filesystem.LocalFilesystemBackend",
        "AIRFLOW__SECRETS__BACKEND_KWARGS": json.dumps({"connections_file_path": str(file)}),
    }


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
    def key(self) -> tuple[str, str]:
        return self.dag, self.run

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
        return ticket_in(self.row())

    def __str__(self) -> str:
        names = (f"{name[:20]}({len(name)})" for name in (self.dag, self.run, self.conn_id))
        ended_badly = self.state() == "failed"
        return f"{' '.join(names)}: {self.states()} {self.row()}{self.log() if ended_badly else ''}"

    def log(self) -> str:
        """Return the end of its waiting task's log."""
        dag, run, task = (quote(name, safe="") for name in (self.dag, self.run, self.tasks[-1]))
        return "\n" + self.airflow.api.log(dag, run, task)[-4000:]


def ticket_in(row: dict[str, Any]) -> str | None:
    """Return the number of the ticket in a row of the page, once only a callback tells its wait of a decision."""
    if row.get("status") != "waiting" or not row["registered_at"]:
        return None
    is_settled = datetime.now(UTC) - datetime.fromisoformat(row["registered_at"]) > SETTLED
    return str(row["sn"]) if is_settled else None


def newest_rows(airflow: LocalAirflow) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the newest rows of the approvals page, by DAG and run: all runs' in one request."""
    wanted = {"view": "all", "size": _MOST}
    rows = airflow.api.call("GET", "approvals", root="bkitsm/api/v1", params=wanted)["rows"]
    return {(one["dag_id"], one["run_id"]): one for one in rows}


def newest_ended(airflow: LocalAirflow, state: str) -> set[tuple[str, str]]:
    """Return DAG and run of the newest runs that have ended so."""
    wanted = {"state": state, "limit": _MOST, "order_by": "-run_after"}
    runs = airflow.api.call("GET", "dags/~/dagRuns", params=wanted)["dag_runs"]
    return {(one["dag_id"], one["dag_run_id"]) for one in runs}
