# SPDX-License-Identifier: Apache-2.0
"""What one approval asks of ITSM: its requests, counted call by call, before and now.

    python -m benchmarks.approval_requests [--before COMMIT]

A real Airflow with the LocalExecutor and the sandbox in ITSM's place. Each DAG runs to its gate; its wait has
looked once when the ticket is approved. Then the run goes on to its end. The same again with the package of an
earlier commit. Requests of the log platform, and those of the approvers themselves, do not count.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from benchmarks.report import machine, publish
from benchmarks.versions import BEFORE, ROOT, importing, package_of
from demo.airflow_api import AirflowApi, wait_until
from demo.local_airflow import LocalAirflow
from demo.processes import ends_orderly
from demo.sandbox_process import SandboxProcess

SECTION = "approval_requests"
DAGS = Path(__file__).parent / "gate_dags"
GATES = {
    "approval_by_callback": "`ItsmApprovalOperator`, by callback",
    "approval_by_poll": "`ItsmApprovalOperator`, by polling",
    "created_and_waited_for": "`ItsmCreateTicketOperator` and `ItsmTicketSensor`, by callback",
    "collector_goes_live": "the collector's four tasks, by callback",
}
_SECONDS = 180.0
# What the triggerer asks for many tickets at once.
_LOOK = "ticket_approval_result"

Calls = Counter[str]


class Gates:
    """One Airflow and one ITSM, whose requests are counted."""

    def __init__(self, *, api: AirflowApi, itsm: SandboxProcess) -> None:
        self._api = api
        self._itsm = itsm

    def calls_of(self, dag: str) -> Calls:
        """Run a DAG, approve its ticket, and return ITSM's calls."""
        before, tickets = self._calls(), len(self._itsm.control.tickets())
        run = self._api.trigger(dag)
        self._api.wait_for_task(dag, run, "wait", "deferred", seconds=_SECONDS)
        looks = before[_LOOK]
        wait_until(
            lambda: self._calls()[_LOOK] > looks, lambda: f"{dag} does not look at its ticket", seconds=_SECONDS
        )
        (ticket,) = self._itsm.control.tickets()[tickets:]
        self._itsm.decide(ticket["sn"], "approve", "")
        self._api.wait_for_run(dag, run, seconds=_SECONDS)
        states = self._api.task_states(dag, run)
        assert set(states.values()) == {"success"}, states
        return self._calls() - before

    def _calls(self) -> Calls:
        counts = self._itsm.control.request_counts()
        ours = {name: count for name, count in counts.items() if "/itsm/" in name}
        return Counter({name.rstrip("/").rpartition("itsm/")[2]: count for name, count in ours.items()})


def measure(version: Mapping[str, str]) -> dict[str, Calls]:
    """Return each gate's calls.

    :param version: environment in which the package is imported.
    """
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bkitsm-")))
        itsm = stack.enter_context(SandboxProcess(home=home, options=("--start-delay", "0")))
        env = {**itsm.control.connections(), **version}
        airflow = stack.enter_context(LocalAirflow(home=home, dags=DAGS, env=env))
        airflow.wait_ready(*GATES)
        gates = Gates(api=airflow.api, itsm=itsm)
        return {dag: gates.calls_of(dag) for dag in GATES}


def report(earlier: Mapping[str, Calls], now: Mapping[str, Calls], before: str) -> str:
    """Return the section of the page."""
    lines = [
        f"{machine()}; before is commit {before}. One approval each, looked at once while it was open.",
        "",
        "| gate | requests before | requests now |",
        "| --- | ---: | ---: |",
        *(f"| {name} | {earlier[dag].total()} | {now[dag].total()} |" for dag, name in GATES.items()),
    ]
    for dag, name in GATES.items():
        calls = sorted(earlier[dag] | now[dag])
        lines += [
            "",
            f"{name}:",
            "",
            "| call | before | now |",
            "| --- | ---: | ---: |",
            *(f"| `{call}` | {earlier[dag][call]} | {now[dag][call]} |" for call in calls),
        ]
    return "\n".join(lines)


def main() -> None:
    """Count and write."""
    parser = argparse.ArgumentParser(description="ITSM's requests for one approval.")
    parser.add_argument("--before", default=BEFORE, help="the commit to compare with")
    given = parser.parse_args()
    with ends_orderly(), package_of(given.before) as earlier:
        counted = measure(earlier), measure(importing(ROOT))
    publish(SECTION, report(*counted, given.before))


if __name__ == "__main__":
    main()
