# SPDX-License-Identifier: Apache-2.0
"""``python -m demo``: Airflow, the sandbox and one collector's approval, from nothing to the decision's result."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from airflow_provider_bkitsm.collectors.row import CollectorRow
from airflow_provider_bkitsm.collectors.store import CollectorStore, sqlite_engine
from airflow_provider_bkitsm.translation import spell_what_output_lacks
from demo.airflow_api import wait_until
from demo.local_airflow import LocalAirflow
from demo.processes import alone, empty, ends_orderly, stop_all
from demo.result import Result, problems
from demo.sandbox_process import SandboxProcess

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / ".demo"
DAG_ID = "bkitsm_collector_onboarding"
COLLECTOR = 1001
# The workflow for log collectors that the sandbox has, and who is asked in it. An approval by who asks is none.
_EXTRA: dict[str, dict[str, Any]] = {
    "v2": {},
    "v4": {"workflow_key": "collector", "form_approvers": "approvals", "bk_username": "airflow"},
}
REMARKS = {
    "approve": "Capacity is fine, go ahead",
    "reject": "Keep it for three days only, please",
    "withdraw": "Not needed any more",
}


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("--decide", choices=sorted(REMARKS), help="decide without a person")
    parser.add_argument("--dialect", choices=["v2", "v4"], default="v2", help="the version of ITSM (%(default)s)")
    parser.add_argument("--keep", action="store_true", help="stay up after the result, until Ctrl-C")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; 0 only if everything is as it should be."""
    spell_what_output_lacks()
    options = _options(arguments)
    try:
        with ends_orderly():
            return _demo(options.decide, keep=options.keep, dialect=options.dialect)
    except KeyboardInterrupt:
        print("\nInterrupted; everything is stopped.")
        return 130


def _demo(decide: str | None, *, keep: bool, dialect: Literal["v2", "v4"]) -> int:
    HOME.mkdir(exist_ok=True)
    with alone(HOME):
        return _run(decide, keep=keep, dialect=dialect)


def _run(decide: str | None, *, keep: bool, dialect: Literal["v2", "v4"]) -> int:
    stop_all([], home=HOME)  # what an earlier demo left that was killed outright
    empty(HOME)
    print("Starting the sandbox and Airflow (about half a minute) ...", flush=True)
    with SandboxProcess(home=HOME, dialect=dialect) as sandbox:
        dags, env = ROOT / "dags", sandbox.control.connections(**_EXTRA[dialect])
        with LocalAirflow(home=HOME, dags=dags, env=env) as airflow:
            airflow.wait_ready(DAG_ID)
            run_id = airflow.api.trigger(DAG_ID, {"collector_config_id": COLLECTOR})
            _announce(airflow, sandbox, run_id)
            sn = _ticket(airflow, run_id)
            if decide:
                airflow.api.wait_for_task(DAG_ID, run_id, "wait", "deferred")
                sandbox.decide(sn, decide, REMARKS[decide])
            else:
                print(f"Ticket {sn} waits for you on the approver page ...", flush=True)
            _wait_for_the_end(airflow, run_id)
            status = _report(_result(airflow, sandbox, run_id), _row(), decide)
            while keep:
                time.sleep(1)
                airflow.check()
    return status


def _announce(airflow: LocalAirflow, sandbox: SandboxProcess, run_id: str) -> None:
    run = f"{airflow.url}/dags/{DAG_ID}/runs/{run_id}"
    print(f"\n  Airflow        {run}\n  login          {airflow.username} / {airflow.password}")
    print(f"  Approver page  {sandbox.url}/\n", flush=True)


def _ticket(airflow: LocalAirflow, run_id: str) -> str:
    airflow.api.wait_for_task(DAG_ID, run_id, "apply", "success", "failed", seconds=90)
    sn: str | None = airflow.api.xcom(DAG_ID, run_id, "apply")
    if not sn:
        raise SystemExit(f"No ticket was opened:\n{airflow.api.log(DAG_ID, run_id, 'apply')}")
    return sn


def _wait_for_the_end(airflow: LocalAirflow, run_id: str) -> None:
    def ended() -> bool:
        airflow.check()
        return airflow.api.run_state(DAG_ID, run_id) in {"success", "failed"}

    wait_until(ended, str, seconds=float("inf"))


def _row() -> CollectorRow:
    return CollectorStore(sqlite_engine(HOME / "bkitsm.db")).get("bklog_default", COLLECTOR)


def _result(airflow: LocalAirflow, sandbox: SandboxProcess, run_id: str) -> Result:
    row = _row()
    return Result(
        run_state=airflow.api.run_state(DAG_ID, run_id),
        task_states=airflow.api.task_states(DAG_ID, run_id),
        collector_state=row.state.value,
        outcome=row.outcome.value if row.outcome else None,
        table_id=sandbox.control.collector(COLLECTOR)["table_id"],
        completion_log=airflow.api.log(DAG_ID, run_id, "complete"),
    )


def _report(result: Result, row: CollectorRow, decide: str | None) -> int:
    print(f"The run is {result.run_state}.")
    _table("Tasks", dict(result.task_states))
    shown = ("collector_config_id", "state", "ticket_sn", "outcome", "etl_digest", "provisioned_at", "last_error")
    _table("Collector", {name: getattr(row, name) for name in shown})
    _table("Log platform", {"table_id": result.table_id})
    approved = decide == "approve" if decide else row.outcome is not None and row.outcome.value == "approved"
    wrong = list(
        problems(result, approved=approved, said=REMARKS.get(decide or "") if decide == "reject" else None)
    )
    print("\nNot as it should be:\n  " + "\n  ".join(wrong) if wrong else "\nEverything is as it should be.")
    return 1 if wrong else 0


def _table(title: str, values: dict[str, Any]) -> None:
    width = max(len(name) for name in values)
    print(f"\n{title}")
    for name, value in values.items():
        print(f"  {name:<{width}}  {value}")


if __name__ == "__main__":
    sys.exit(main())
