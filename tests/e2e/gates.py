# SPDX-License-Identifier: Apache-2.0
"""A run that waits for a ticket, what a person does to it, and what became of its callbacks."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from threading import Barrier
from typing import Any

from airflow_provider_bkitsm.sandbox.control import SandboxControl
from demo.airflow_api import AirflowApi, wait_until
from demo.local_airflow import LocalAirflow

# So long after a callback can find it a task may go back to a worker, and its trigger has looked once.
SETTLED = timedelta(seconds=12)
DECISIONS = {"approve": "approved", "reject": "rejected", "withdraw": "withdrawn", "terminate": "terminated"}


def settle() -> None:
    """Let a wait settle: only a callback, or the next poll, can tell it of a decision then."""
    time.sleep(SETTLED.total_seconds())


def waits_for(api: AirflowApi, dag: str, run: str, task: str = "gate") -> str:
    """Wait until a task waits; return the number of its ticket."""
    path, mark = f"dags/{dag}/dagRuns/{run}/taskInstances/{task}/xcomEntries", "bkitsm_wait:"

    def number() -> str | None:
        keys = [one["key"] for one in api.call("GET", path)["xcom_entries"]]
        return next((key.removeprefix(mark) for key in keys if key.startswith(mark)), None)

    return wait_until(number, lambda: f"no wait is registered: {api.task_states(dag, run)}")


@dataclass(kw_only=True)
class Gate:
    """One run.

    :param tasks: those that wait for its ticket.
    """

    airflow: LocalAirflow
    itsm: SandboxControl
    dag: str
    run: str
    tasks: tuple[str, ...] = ("wait",)
    sn: str = ""

    @classmethod
    def open(cls, airflow: LocalAirflow, itsm: SandboxControl, dag: str, *tasks: str, **conf: Any) -> Gate:
        """Start a run."""
        run = airflow.api.trigger(dag, conf)
        return cls(airflow=airflow, itsm=itsm, dag=dag, run=run, tasks=tasks or ("wait",))

    @property
    def api(self) -> AirflowApi:
        return self.airflow.api

    def asks(self) -> Gate:
        """Wait for its ticket."""
        self.sn = wait_until(self._ticket, lambda: f"{self.states()}")
        return self

    def waits(self) -> Gate:
        """Wait until only a callback, or the next poll, can tell it of a decision."""
        self.asks()
        for task in self.tasks:
            wait_until(lambda one=task: self._settled(one), lambda: f"{self.states()}")
        return self

    def decide(self, decision: str, remark: str = "") -> None:
        """Decide as a person does in ITSM."""
        match decision:
            case "approve":
                self.itsm.approve(self.sn, remark=remark)
            case "reject":
                self.itsm.reject(self.sn, remark=remark)
            case _:
                self.itsm.operate(self.sn, decision.upper())

    def end(self) -> str:
        """Wait for the run's end and return its state."""
        return self.api.wait_for_run(self.dag, self.run)

    def states(self) -> dict[str, str | None]:
        return self.api.task_states(self.dag, self.run)

    def xcom(self, task: str, key: str = "return_value") -> Any:
        return self.api.xcom(self.dag, self.run, task, key)

    def log(self, task: str) -> str:
        return self.api.log(self.dag, self.run, task)

    def tries(self) -> dict[str, int]:
        """Return how often each task ran."""
        return {one["task_id"]: one["try_number"] for one in self.api.tasks(self.dag, self.run)}

    def callbacks(self, *logs: str) -> Counter[str]:
        """Count what became of its ticket's callbacks, as the API servers' logs say."""
        about = f"callback for ticket {self.sn}: "
        lines = (line for name in logs or ("api-server",) for line in self._lines(name) if about in line)
        return Counter(line.split(about)[1].split()[0] for line in lines)

    def resumed(self) -> Counter[str]:
        """Count its callbacks once one has ended the wait: the API server writes its log after that."""
        self.heard("resumed")
        return self.callbacks()

    def retried(self, task: str) -> None:
        """Wait until a task that a person cleared runs again."""
        wait_until(lambda: self.tries()[task] > 1, lambda: f"{self.tries()}")

    def release(self) -> None:
        """Let its held task end."""
        self.api.wait_for_task(self.dag, self.run, "hold", "deferred")
        self.api.set_task_state(self.dag, self.run, "hold", "success")

    def heard(self, *results: str, log: str = "api-server") -> None:
        """Wait until its callbacks have had all these results."""
        seen = partial(self.callbacks, log)
        wait_until(lambda: set(results) <= set(seen()), lambda: f"{self.sn}: {seen()}")

    def callback(self) -> tuple[str, dict[str, str], dict[str, Any]]:
        """Return the callback ITSM would send now: address, headers, body."""
        ticket, body = self.itsm.ticket(self.sn), self.itsm.callback_body(self.sn)
        if self.itsm.dialect == "v4":
            return ticket["callback_url"], {}, body
        return ticket["meta"]["callback_url"], ticket["meta"]["headers"], body

    def _ticket(self) -> str | None:
        sn: str | None = self.xcom("ask")
        if sn is None and self.states()["ask"] == "failed":
            raise RuntimeError(self.log("ask"))
        return sn

    def _settled(self, task: str) -> bool:
        since = self.api.xcom_written(self.dag, self.run, task, f"bkitsm_wait:{self.sn}")
        if since is None or datetime.now(UTC) - since <= SETTLED:
            return False
        return bool(self.api.task(self.dag, self.run, task)["state"] == "deferred")

    def _lines(self, log: str) -> Iterable[str]:
        return (self.airflow.process_logs / f"{log}.log").read_text(errors="replace").splitlines()


def at_once(*doings: Callable[[], Any]) -> list[Any]:
    """Do everything at the same moment; return what each came to."""
    together = Barrier(len(doings))

    def do(one: Callable[[], Any]) -> Any:
        together.wait()
        return one()

    with ThreadPoolExecutor(len(doings)) as pool:
        return list(pool.map(do, doings))
