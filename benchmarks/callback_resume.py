# SPDX-License-Identifier: Apache-2.0
"""How long after a decision the next task starts: by ITSM's callback, and by Airflow's own human-in-the-loop.

    python -m benchmarks.callback_resume [--runs 20] [--postgres]

One Airflow with the LocalExecutor, the gates decided in turns. Times are seconds, from the moment the decision is
sent to the moment Airflow notes as the task's start. The sandbox, in ITSM's place, ends a ticket as soon as it is
approved: what a real ITSM takes for that, about a second, is the same whoever waits and no part of these times.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from benchmarks.report import machine, publish, spread
from demo.airflow_api import AirflowApi
from demo.local_airflow import LocalAirflow
from demo.processes import ends_orderly
from demo.sandbox_process import SandboxProcess
from tests.collectors.servers import postgres

SECTION = "callback_resume"
DAGS = Path(__file__).parent / "dags"
CALLBACK, HUMAN = "by_callback", "by_airflow"
NAMES = {CALLBACK: "ITSM's callback", HUMAN: "Airflow's human in the loop"}
# The executor's late report about the worker that deferred the task, and the wait's first look, are over.
SETTLE_SECONDS = 8.0


class Gates:
    """One Airflow, one ITSM, two ways to be asked."""

    def __init__(self, *, api: AirflowApi, itsm: SandboxProcess) -> None:
        self.api = api
        self.itsm = itsm

    def measure(self, dag: str) -> tuple[float, float]:
        """Run a DAG to its gate, decide, and return when the gate ended and when the next task started."""
        run = self.api.trigger(dag)
        self.api.wait_for_task(dag, run, "wait", "deferred", "awaiting_input", seconds=120)
        sn = self.api.xcom(dag, run, "ask") if dag == CALLBACK else ""
        time.sleep(SETTLE_SECONDS)
        sent = datetime.now(UTC)
        self._decide(run, sn)
        self.api.wait_for_run(dag, run, seconds=120)
        ended = self.api.task(dag, run, "wait")["end_date"]
        started = self.api.task(dag, run, "then")["start_date"]
        return _seconds(sent, ended), _seconds(sent, started)

    def _decide(self, run: str, sn: str) -> None:
        if sn:
            self.itsm.decide(sn, "approve", "")
        else:
            self.api.choose(HUMAN, run, "wait", "Approve")


@contextmanager
def gates(database_url: str | None) -> Iterator[Gates]:
    """Start everything in a temporary home."""
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bkitsm-")))
        itsm = stack.enter_context(SandboxProcess(home=home, options=("--start-delay", "0")))
        airflow = LocalAirflow(home=home, dags=DAGS, database_url=database_url, env=itsm.control.connections())
        stack.enter_context(airflow)
        airflow.wait_ready(CALLBACK, HUMAN)
        yield Gates(api=airflow.api, itsm=itsm)


def report(measured: Mapping[str, Sequence[tuple[float, float]]], database: str) -> str:
    """Return the section of the page."""
    with_them = machine("apache-airflow-providers-standard")
    runs = f"{len(measured[CALLBACK])} runs each, seconds after the decision, without ITSM's own time to act on it"
    lines = [
        f"{with_them}; LocalExecutor, {database}. {runs}.",
        "",
        "| gate | wait ended: median | next task started: median | 90 % | longest |",
        "| --- | --- | --- | --- | --- |",
    ]
    for dag, name in NAMES.items():
        ended, started = zip(*measured[dag], strict=True)
        lines.append(f"| {name} | {median(ended):.2f} | {spread(started)} |")
    callback, human = (median(started for _, started in measured[dag]) for dag in (CALLBACK, HUMAN))
    ratio = f"Callback against human in the loop: {callback / human:.2f} times (target: at most 0.5)."
    return "\n".join([*lines, "", ratio])


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description="From a decision to the next task's start.")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--postgres", action="store_true", help="metadata in a PostgreSQL of its own")
    given = parser.parse_args()
    with ends_orderly(), ExitStack() as stack:
        url = stack.enter_context(postgres()) if given.postgres else None
        running = stack.enter_context(gates(url))
        for dag in NAMES:
            running.measure(dag)  # the first of each imports what the later ones find in memory
        measured: dict[str, list[tuple[float, float]]] = {dag: [] for dag in NAMES}
        for _ in range(given.runs):
            for dag, times in measured.items():
                times.append(running.measure(dag))
    publish(SECTION, report(measured, "PostgreSQL" if given.postgres else "SQLite"))


def _seconds(since: datetime, moment: str) -> float:
    return (datetime.fromisoformat(moment) - since).total_seconds()


if __name__ == "__main__":
    main()
