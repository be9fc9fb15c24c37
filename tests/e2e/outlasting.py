# SPDX-License-Identifier: Apache-2.0
"""Runs whose waits outlast something: who waits for which ticket, and how each wait has ended."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from airflow_provider_bkitsm.sandbox.control import SandboxControl
from demo.airflow_api import wait_until
from demo.local_airflow import LocalAirflow
from tests.e2e.conftest import DAG_ID
from tests.e2e.gates import DECISIONS, SETTLED, Gate

BY_CALLBACK, BY_POLL = "outlasts_by_callback", "outlasts_by_poll"
_ASKED_BY = {"wait": "ask", "wait_by_number": "ask", "gate": None}
# Each task that waits, with the one whose result is its ticket's number; a gate has none before it ends.
_WAITS = {BY_CALLBACK: _ASKED_BY, BY_POLL: _ASKED_BY, DAG_ID: {"wait": "apply"}}
REMARK = "decided afterwards"


@dataclass(kw_only=True)
class Outlasting:
    """One run.

    :param collector: the collector it applies for; None where it applies for none.
    :param waits: each task that waits, with its ticket.
    """

    airflow: LocalAirflow
    itsm: SandboxControl
    dag: str
    run: str
    collector: int | None = None
    waits: dict[str, Gate] = field(default_factory=dict)

    @classmethod
    def start(
        cls, airflow: LocalAirflow, itsm: SandboxControl, dag: str, collector: int | None = None
    ) -> Outlasting:
        """Start a run."""
        conf: dict[str, Any] = {}
        if collector is not None:
            itsm.put_collector(collector, bk_biz_id=2)
            conf = {"collector_config_id": collector, "bk_biz_id": 2}
        run = airflow.api.trigger(dag, conf)
        return cls(airflow=airflow, itsm=itsm, dag=dag, run=run, collector=collector)

    @property
    def numbers(self) -> set[str]:
        """The tickets that its tasks wait for."""
        return {wait.sn for wait in self.waits.values()}

    def is_waiting(self, *, since: datetime) -> bool:
        """Whether all its tasks have registered after a moment, and their triggers have looked once."""
        for task, opener in _WAITS[self.dag].items():
            wait = self.waits.setdefault(
                task, Gate(airflow=self.airflow, itsm=self.itsm, dag=self.dag, run=self.run)
            )
            wait.sn = wait.sn or (wait.xcom(opener) if opener else self._gate_number()) or ""
            registered = self.airflow.api.xcom_written(self.dag, self.run, task, f"bkitsm_wait:{wait.sn}")
            if registered is None or not since < registered < datetime.now(UTC) - SETTLED:
                return False
        return True

    def _gate_number(self) -> str | None:
        mine = (one["sn"] for one in self.itsm.tickets() if one["title"].startswith(f"Gate {self.run}"))
        return next(mine, None)

    def decide(self, decision: str, *, callback: bool = True) -> None:
        """Decide on its tickets as people do.

        :param callback: whether ITSM's callbacks arrive.
        """
        for wait in {wait.sn: wait for wait in self.waits.values()}.values():
            if not callback:
                self.itsm.fault(wait.sn, "callback_lost")
            wait.decide(decision, REMARK)

    def check_ended(self, decision: str, *, callback: bool) -> None:
        """Wait for the run's end; check that a callback, or else a poll, has ended each wait as was decided."""
        assert self.end() == ("success" if decision == "approve" else "failed")
        states = self.airflow.api.task_states(self.dag, self.run)
        assert {states[task] for task in self.waits} == {"success" if decision == "approve" else "failed"}
        for task, wait in self.waits.items():
            result = wait.xcom(task) or wait.xcom(task, "verdict")
            assert (result["sn"], result["outcome"]) == (wait.sn, DECISIONS[decision])
            if callback and self.dag != BY_CALLBACK:
                # It polls every few seconds besides: on a busy machine a poll is the first to know.
                wait_until(lambda one=wait: self._arrived(one), lambda one=wait: f"{one.callbacks()}")
                assert wait.callbacks()["resumed"] <= 1
                continue
            seen = wait.resumed() if callback else wait.callbacks()
            assert seen["resumed"] == int(callback)

    def _arrived(self, wait: Gate) -> int:
        """Count the callbacks that have ended a wait, or found it ended by a poll."""
        seen = wait.callbacks()
        return seen["resumed"] + seen["duplicate"]

    def end(self) -> str:
        """Wait for the run's end, and return its state."""
        return self.airflow.api.wait_for_run(self.dag, self.run)


def wait_for_all(runs: Collection[Outlasting], *, since: datetime) -> None:
    """Wait until every task of these runs waits in a triggerer that took it up after a moment."""
    left = list(runs)

    def all_wait() -> bool:
        left[:] = [run for run in left if not run.is_waiting(since=since)]
        return not left

    wait_until(all_wait, lambda: [(run.dag, run.airflow.api.task_states(run.dag, run.run)) for run in left])
