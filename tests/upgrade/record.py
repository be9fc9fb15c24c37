# SPDX-License-Identifier: Apache-2.0
"""Write down what the installed version of the provider leaves behind while people decide.

Before a release that stores or reads anything in another way, run it with the version that is to be replaced, in
an environment of its own with Airflow 3.3 or later, and keep the file::

    git worktree add ../before <commit> && pip install ../before
    python tests/upgrade/record.py <commit> tests/upgrade/data/<version>.json

It imports nothing of this repository but the installed package, and no name that a later version may lose.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import sqlite3
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

FAST = {
    "title": "Restart the cluster",
    "fast_approval": True,
    "fields": {"APPROVER": "alice", "APPROVAL_CONTENT": "all of it"},
}
CLEAN = {
    "table_id": "app_runtime",
    "etl_config": "bk_log_text",
    "storage_cluster_id": 3,
    "retention": 7,
    "allocation_min_days": 0,
}
BUSINESS, BYPASSED_BUSINESS = 2, 7
# One collector for each way in which an application can be left.
APPLYING, BYPASSED, LOST = 1001, 2002, 2003


class States(dict[str, Any]):
    """Airflow's task state store."""

    def set(self, key: str, value: Any) -> None:
        self[key] = value


class Task:
    """A task instance: what it was given, and what it left behind."""

    def __init__(self, task_id: str, run_id: str = "run_1") -> None:
        self.task_id, self.run_id, self.began = task_id, run_id, datetime.now(UTC)
        self.xcoms: dict[str, Any] = {}
        self.states = States()

    def push(self, key: str, value: Any) -> None:
        self.xcoms[key] = value

    @property
    def instance(self) -> SimpleNamespace:
        return SimpleNamespace(
            id=uuid.uuid5(uuid.NAMESPACE_OID, self.run_id + self.task_id),
            dag_id="dag",
            run_id=self.run_id,
            task_id=self.task_id,
            map_index=-1,
            try_number=1,
            max_tries=0,
            start_date=self.began,
            xcom_push=self.push,
        )

    @property
    def context(self) -> Any:
        run = SimpleNamespace(
            dag_id="dag", run_id=self.run_id, run_after=self.began, start_date=self.began, clear_number=0
        )
        return {"ti": self.instance, "dag_run": run, "task_state_store": self.states}


def deferred(operator: Any, task: Task) -> Any:
    """Run a task until it gives its worker back."""
    from airflow.sdk.exceptions import TaskDeferred

    try:
        operator.execute(task.context)
    except TaskDeferred as waits:
        return waits
    raise RuntimeError(f"{task.task_id} does not wait")


def fired(waits: Any, task: Task) -> Any:
    """Run a trigger in a triggerer until it fires; return its event."""
    from airflow_provider_bkitsm.triggers import ticket

    async def push(_task_instance: Any, key: str, value: Any) -> None:
        task.push(key, value)

    async def run() -> Any:
        trigger = type(waits.trigger)(**waits.trigger.serialize()[1])
        trigger.task_instance = task.instance
        (event,) = [event async for event in trigger.run()]
        return event.payload

    # Versions keep it in modules of different names.
    loaded = [one for name, one in sys.modules.items() if name.startswith("airflow_provider_bkitsm.triggers.")]
    (writer,) = (one for one in loaded if hasattr(one, "push_xcom"))
    writer.push_xcom = push
    # Of that version and of later ones.
    for pause in {"_FIRST_PAUSE", "FIRST_PAUSE_SECONDS"} & vars(ticket).keys():
        setattr(ticket, pause, 0.0)
    return asyncio.run(run())


def sent(server: Any) -> dict[str, Any]:
    """Return the last request for a ticket, without who sent it."""
    body = server.requests("create_ticket")[-1]["body"]
    return {key: value for key, value in body.items() if not key.startswith("bk_")}


def gate(server: Any) -> dict[str, Any]:
    """The everyday gate, waiting; and how its trigger tells of either decision."""
    from airflow_provider_bkitsm.operators.ticket import ItsmApprovalOperator

    found: dict[str, Any] = {}
    for decision, run_id in (("reject", "run_0"), ("approve", "run_1")):
        task, operator = Task("gate", run_id), ItsmApprovalOperator(task_id="gate", **FAST)
        waits = deferred(operator, task)
        (stored,) = task.states.values()
        found |= {
            "sn": stored["sn"],
            "request": sent(server),
            "trigger": waits.trigger.serialize()[1],
            "next_kwargs": waits.kwargs,
            "states": {**task.states},
        }
        getattr(server, decision)(stored["sn"])
        found[decision] = json.loads(json.dumps(fired(waits, task)).replace(stored["sn"], "{sn}"))
        found["xcoms"] = task.xcoms
    return found


def sensor(server: Any) -> dict[str, Any]:
    """A ticket of a task of its own, and both ways in which a sensor begins to wait for it."""
    from airflow.sdk import DAG

    from airflow_provider_bkitsm.operators.ticket import ItsmCreateTicketOperator
    from airflow_provider_bkitsm.sensors.ticket import ItsmTicketSensor

    with DAG("dag", schedule=None):
        ask = ItsmCreateTicketOperator(task_id="ask", **FAST)
        waiting = ItsmTicketSensor(task_id="wait", ticket_sn=ask.output, approval_timeout=604800.0)
    opener = Task("ask")
    sn = ask.execute(opener.context)
    start = getattr(waiting, "start_trigger_args", None)
    by_worker = ItsmTicketSensor(task_id="wait", ticket_sn=sn, start_from_trigger=False)
    waits = deferred(by_worker, Task("wait"))
    return {
        "sn": sn,
        "request": sent(server),
        "start": None if start is None else start.trigger_kwargs,
        "trigger": waits.trigger.serialize()[1],
        "next_kwargs": waits.kwargs,
        "states": {**opener.states},
    }


def collectors(server: Any, home: Path) -> dict[str, Any]:
    """Applications for collectors, each left at another place, and the store as SQL."""
    from airflow_provider_bkitsm.itsm.errors import ItsmOutcomeUnknownError
    from airflow_provider_bkitsm.operators.collector import CollectorApplyOperator

    def apply(number: int, business: int = BUSINESS) -> str | None:
        if number != APPLYING:
            server.put_collector(number, bk_biz_id=business)
        operator = CollectorApplyOperator(
            task_id="apply",
            collector_config_id=str(number),
            bk_biz_id=str(business),
            clean_config=CLEAN,
            approvers=["alice"],
            reason="a new service",
        )
        # It skips the waits behind it with the help of a running Airflow.
        operator.skip_waits = lambda _context: None  # type: ignore[method-assign]
        return operator.execute(Task("apply").context)

    found: dict[str, Any] = {"sn": apply(APPLYING), "request": sent(server)}
    apply(BYPASSED, BYPASSED_BUSINESS)
    server.fault("create_ticket", "html")
    with suppress(ItsmOutcomeUnknownError):
        apply(LOST)
    found["lost"] = {"request": sent(server)}
    with sqlite3.connect(home / "bkitsm.db") as store:
        found["store"] = [line for line in store.iterdump() if "sqlite_" not in line]
    return found


@contextmanager
def installed(home: Path) -> Iterator[Any]:
    """Serve the installed version's sandbox, and connect to it."""
    from airflow_provider_bkitsm.sandbox.server import SandboxServer
    from airflow_provider_bkitsm.sandbox.settings import Settings

    with SandboxServer(Settings(start_delay=0.02)) as server:
        caller = {"login": "sandbox", "password": "sandbox-secret"}
        itsm = {"settle_seconds": 0.2, "read_retries": 0}
        for name, host, extra in (("bkitsm", server.itsm_url, itsm), ("bklog", server.bklog_url, {})):
            connection = {"conn_type": name, "host": host, "extra": extra, **caller}
            os.environ[f"AIRFLOW_CONN_{name.upper()}_DEFAULT"] = json.dumps(connection)
        yield server


def main(commit: str) -> dict[str, Any]:
    """Return everything, with the signatures by which a later version has to call this one."""
    with TemporaryDirectory() as home:
        os.environ["AIRFLOW_HOME"] = home
        # Nobody listens there.
        os.environ["AIRFLOW__API__BASE_URL"] = "http://127.0.0.1:9"
        os.environ["AIRFLOW__BKITSM__COLLECT_ITSM_BUSINESSES"] = f"{BYPASSED_BUSINESS}=off"
        with installed(Path(home)) as server:
            return {
                "commit": commit,
                "provider": version("airflow-provider-bkitsm"),
                "airflow": version("apache-airflow-core"),
                "at": datetime.now(UTC).isoformat(timespec="seconds"),
                "gate": gate(server),
                "sensor": sensor(server),
                "collectors": collectors(server, Path(home)),
                "parameters": parameters(),
            }


def parameters() -> dict[str, list[str]]:
    """Return what may be given to a trigger, and to the task that it hands its event to."""
    from airflow_provider_bkitsm.operators.ticket import ItsmApprovalOperator
    from airflow_provider_bkitsm.sensors.ticket import ItsmTicketSensor
    from airflow_provider_bkitsm.triggers.ticket import ItsmTicketTrigger

    calls = {
        "trigger": ItsmTicketTrigger.__init__,
        "gate": ItsmApprovalOperator.execute_complete,
        "sensor": ItsmTicketSensor.execute_complete,
    }
    return {name: [*inspect.signature(call).parameters][1:] for name, call in calls.items()}


if __name__ == "__main__":
    commit, file = sys.argv[1:]
    Path(file).write_text(json.dumps(main(commit), indent=1, ensure_ascii=False) + "\n")
