# SPDX-License-Identifier: Apache-2.0
"""How often a worker is started for one approved wait: ours, Airflow's human in the loop, the Jira sensor.

    python -m benchmarks.worker_starts [--quick]

A real Airflow with the LocalExecutor; each wait is open for a while, then approved.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from benchmarks.report import machine, publish
from demo.airflow_api import AirflowApi
from demo.local_airflow import LocalAirflow
from demo.processes import ends_orderly
from demo.sandbox_process import SandboxProcess

SECTION = "worker_starts"
DAGS = Path(__file__).parent / "peer_dags"
OURS, HUMAN, JIRA = "by_itsm", "by_airflow", "by_jira"
NAMES = {OURS: "ours", HUMAN: "Airflow's human in the loop", JIRA: "the Jira provider's sensor, reschedule mode"}
INTERVAL = 5.0


class Jira(ThreadingHTTPServer):
    """A Jira that knows one issue, for what the sensor asks."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Issue)
        self.status = "Open"
        self.asked = 0

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Issue(BaseHTTPRequestHandler):
    server: Jira

    def do_GET(self) -> None:
        """Answer with the issue."""
        self.server.asked += 1
        body = json.dumps({"key": "T-1", "fields": {"status": {"name": self.server.status}}}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: Any) -> None:
        """Say nothing."""


@contextmanager
def jira() -> Iterator[Jira]:
    """Run the Jira."""
    server = Jira()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def measure(seconds: float) -> dict[str, int]:
    """Return how often a worker was started for each wait that was open so long."""
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bkitsm-")))
        itsm = stack.enter_context(SandboxProcess(home=home))
        issues = stack.enter_context(jira())
        starts = home / "starts"
        starts.touch()
        env = itsm.control.connections() | {
            "AIRFLOW_CONN_JIRA_DEFAULT": json.dumps({"conn_type": "jira", "host": issues.url}),
            "BENCHMARK_STARTS": str(starts),
            "BENCHMARK_INTERVAL": str(INTERVAL),
        }
        airflow = stack.enter_context(LocalAirflow(home=home, dags=DAGS, env=env))
        airflow.wait_ready(*NAMES)
        runs = {dag: airflow.api.trigger(dag) for dag in NAMES}
        airflow.api.wait_for_task(OURS, runs[OURS], "wait", "deferred", seconds=120)
        airflow.api.wait_for_task(HUMAN, runs[HUMAN], "wait", "deferred", "awaiting_input", seconds=120)
        time.sleep(seconds)
        _approve(airflow.api, runs, itsm, issues)
        for dag, run in runs.items():
            ended = airflow.api.wait_for_run(dag, run, seconds=120)
            assert ended == "success", airflow.api.log(dag, run, "wait")
        counted = Counter(starts.read_text().split())
        ours = airflow.api.task(OURS, runs[OURS], "wait")["hostname"]
        return {OURS: int(bool(ours)), HUMAN: counted[HUMAN], JIRA: counted[JIRA]}


def _approve(api: AirflowApi, runs: Mapping[str, str], itsm: SandboxProcess, issues: Jira) -> None:
    issues.status = "Done"
    itsm.decide(api.xcom(OURS, runs[OURS], "ask"), "approve", "")
    api.choose(HUMAN, runs[HUMAN], "wait", "Approve")


def report(found: Mapping[str, int], seconds: float) -> str:
    """Return the section of the page."""
    lines = [
        f"{machine('apache-airflow-providers-standard', 'apache-airflow-providers-atlassian-jira')}. One approval"
        f" each, open for {seconds:.0f} s, looked at every {INTERVAL:.0f} s.",
        "",
        "| wait | worker starts | while it waits |",
        "| --- | ---: | --- |",
        f"| {NAMES[OURS]} | {found[OURS]} | in the triggerer (target: no worker start; end to end:"
        " `pytest tests/e2e/test_workerless.py`) |",
        f"| {NAMES[HUMAN]} | {found[HUMAN]} | in the database, with neither trigger nor requests |",
        f"| {NAMES[JIRA]} | {found[JIRA]} | a worker again for every look |",
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description="Worker starts for one approved wait.")
    parser.add_argument("--quick", action="store_true", help="a short wait, nothing is written")
    quick = parser.parse_args().quick
    seconds = 5.0 if quick else 60.0
    with ends_orderly():
        text = report(measure(seconds), seconds)
    publish(SECTION, text, only_print=quick)


if __name__ == "__main__":
    main()
