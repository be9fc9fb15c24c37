# SPDX-License-Identifier: Apache-2.0
"""One run of the main job: brought to a point, decided on, and looked at when it has ended."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count

from tests.chaos.points import Point, wanted
from tests.chaos.stage import DAG_ID, Stage
from tests.chaos.turnstile import Hold

_SECONDS = 240
_COLLECTORS = count(3001)
TASKS = frozenset({"apply", "wait", "provision_etl", "complete"})


@dataclass(eq=False, kw_only=True)
class Case:
    """A run for a collector of its own.

    :param approve: what people will decide.
    """

    stage: Stage
    point: Point
    approve: bool
    collector: int = field(default_factory=lambda: next(_COLLECTORS))
    run: str = ""
    hold: Hold | None = None

    def __str__(self) -> str:
        return f"{self.point}, {'approved' if self.approve else 'rejected'}, collector {self.collector}"

    def open(self) -> None:
        """Start the run; it will be stopped at its point."""
        conf = {"collector_config_id": self.collector, "bk_biz_id": self.collector}
        self.stage.sandbox.control.put_collector(self.collector, bk_biz_id=self.collector)
        request = wanted(self.point, collector=self.collector, sn=lambda: self.sn, turnstile=self.stage.turnstile)
        if request is not None:
            self.hold = self.stage.turnstile.hold(request, after=self.point is Point.ASKED)
        self.run = self.stage.airflow.api.trigger(DAG_ID, conf)

    @property
    def tickets(self) -> list[dict]:
        """All tickets ever opened for it, by the sandbox's own record."""
        listed = self.stage.sandbox.control.tickets()
        return [one for one in listed if f"collector-{self.collector}-" in one["title"]]

    @property
    def sn(self) -> str | None:
        """Number of its first ticket."""
        found = self.tickets
        return found[0]["sn"] if found else None

    def stands_still(self) -> None:
        """Wait until a request of its has been held."""
        assert self.hold is not None
        held = self.hold.reached
        self.stage.until(lambda: held.wait(0.2), _SECONDS, lambda: f"{self} is not there yet: {self.states()}")

    def waits(self) -> None:
        """Wait until it waits for its ticket in a triggerer."""
        self.stage.until(self._registered, _SECONDS, lambda: f"{self} does not wait: {self.states()}")

    def decide(self) -> None:
        """Decide as a person does, whatever happens to the sandbox meanwhile; on two tickets, if there are two."""
        control = self.stage.sandbox.control
        # Either the sandbox is gone, or it was decided in the moment the sandbox went.
        with suppress(OSError, RuntimeError):
            for one in self.tickets:
                if one["status"] == "RUNNING":
                    (control.approve if self.approve else control.reject)(one["sn"])

    def is_decided(self) -> bool:
        """Decide unless it is done; whether it is done then."""
        self.decide()
        return {one["status"] for one in self.tickets} == {"FINISHED"}

    def end(self) -> str:
        """Wait for the end; return the run's state."""

        def ended() -> str | None:
            state = self.stage.airflow.api.run_state(DAG_ID, self.run)
            return state if state in {"success", "failed"} else None

        state: str = self.stage.until(ended, _SECONDS, lambda: f"{self} has not ended: {self.states()}")
        return state

    def states(self) -> dict[str, str | None]:
        return self.stage.airflow.api.task_states(DAG_ID, self.run)

    def running_task(self) -> dict:
        """Return the task instance that has a worker."""
        api = self.stage.airflow.api
        running = [name for name, state in self.states().items() if state == "running"]
        assert len(running) == 1, f"{self}: {self.states()}"
        found: dict = api.task(DAG_ID, self.run, running[0])
        return found

    def tries(self, task: str) -> int:
        """Return how often a task was tried."""
        number: int = self.stage.airflow.api.task(DAG_ID, self.run, task)["try_number"]
        return number

    def triggerer(self) -> str | None:
        """Return which triggerer has its wait, as the component's name."""
        api = self.stage.airflow.api
        trigger = api.task(DAG_ID, self.run, "wait")["trigger"] or {}
        jobs = api.call("GET", "jobs", params={"job_type": "TriggererJob", "limit": 100})["jobs"]
        return {job["id"]: job["unixname"] for job in jobs}.get(trigger.get("triggerer_id"))

    def problems(self) -> list[str]:
        """Say what is not as it should be after the end."""
        state, tickets = self.end(), self.tickets
        row = self.stage.store.get("bklog_default", self.collector)
        etl = self.stage.sandbox.control.collector(self.collector)["etl_writes"]
        seen = {
            "run": state,
            "tickets": [(one["status"], one["approve_result"]) for one in tickets],
            "collector": row.state.value,
            "number": row.ticket_sn,
            "outcome": str(row.outcome),
            "ETL written": etl > 0,
        }
        good = {
            "run": "success" if self.approve else "failed",
            "tickets": [("FINISHED", self.approve)],
            "collector": "success_apply" if self.approve else "fail_apply",
            "number": tickets[0]["sn"] if tickets else "one",
            "outcome": "approved" if self.approve else "rejected",
            "ETL written": self.approve,
        }
        return [f"{self}: {name} {seen[name]}, not {good[name]}" for name in good if seen[name] != good[name]]

    def is_cut(self) -> bool:
        """Whether Airflow does not have the run, or a task of it, any more."""
        try:
            return set(self.states()) < TASKS
        except RuntimeError as error:
            if "HTTP 404" in str(error):
                return True
            raise

    def _registered(self) -> bool:
        if self.states().get("wait") != "deferred":
            return False
        api, keys = self.stage.airflow.api, [f"bkitsm_wait:{one['sn']}" for one in self.tickets]
        return any(api.xcom(DAG_ID, self.run, "wait", key) is not None for key in keys)
