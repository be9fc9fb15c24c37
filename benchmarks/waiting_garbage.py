# SPDX-License-Identifier: Apache-2.0
"""What many waits add to Python's full garbage collections in a triggerer.

    python -m benchmarks.waiting_garbage [--quick]

A full collection visits every object that can be part of a cycle, and stops all triggers meanwhile. Each kind of
trigger waits in a fresh process, run by Airflow's own trigger runner. What ITSM and Airflow answer is made here,
and the store is a file: measured is only what stays in memory once every ticket's steps were read.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.report import machine, publish
from benchmarks.waiting_report import IDLE, NAMES, OURS
from demo.processes import environment

if TYPE_CHECKING:
    from airflow.jobs.triggerer_job_runner import TriggerRunner

SECTION, CONN = "waiting_garbage", "bkitsm_default"
WAITS, QUICK_WAITS = 10_000, 200
_COLLECTIONS = 7
_TARGET = 1.2
_LONGEST_START = 900.0
_OTHER_TASKS = 20


@dataclass(frozen=True, kw_only=True)
class Garbage:
    """What one kind of trigger costs: the shortest of some full collections (CPU), and its objects."""

    seconds: float
    objects: float


class SimulatedAirflow:
    """The supervisor of the trigger runner: takes all in, and counts the tickets whose steps were read."""

    def __init__(self) -> None:
        self.steps_read: set[str] = set()

    async def asend(self, message: Any) -> Any:
        """Answer a trigger."""
        from airflow.sdk.execution_time.comms import OKResponse

        if getattr(message, "key", "") == "bkitsm_seen":
            self.steps_read.add(message.run_id)
        await asyncio.sleep(0)
        return OKResponse(ok=True)


def measure(kind: str, count: int) -> Garbage:
    """Measure one kind in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="bkitsm-") as home:
        env = {**environment(Path(home)), "AIRFLOW_HOME": home, "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
        command = [sys.executable, "-m", "benchmarks.waiting_garbage", "--one", kind, "--count", str(count)]
        done = subprocess.run(command, env=env, check=True, capture_output=True, text=True)
    return Garbage(**json.loads(done.stdout.splitlines()[-1]))


async def wait_and_collect(kind: str, count: int) -> Garbage:
    """Let all triggers of a kind wait, then collect."""
    from airflow.executors.workloads.trigger import RunTrigger
    from airflow.jobs.triggerer_job_runner import TriggerRunner
    from airflow.models.trigger import Trigger
    from airflow.sdk.execution_time import task_runner

    from benchmarks.triggerer import _task_instance

    airflow = SimulatedAirflow()
    vars(task_runner)["SUPERVISOR_COMMS"] = airflow
    runner: TriggerRunner = TriggerRunner()  # type: ignore[no-untyped-call]
    make = _maker(kind, count)
    for number in range(1, count + 1):
        classpath, arguments = make(number).serialize()
        row = {"id": number, "classpath": classpath, "encrypted_kwargs": Trigger.encrypt_kwargs(arguments)}
        runner.to_create.append(
            RunTrigger.model_validate({**row, "ti": _task_instance(number), "type": "RunTrigger"})
        )
    gc.collect()
    before = len(gc.get_objects())
    await runner.create_triggers()  # type: ignore[no-untyped-call]
    end = time.monotonic() + _LONGEST_START
    # What only their beginnings keep is no part of the waits: other tasks than theirs are few by then.
    while kind == OURS and (len(airflow.steps_read) < count or len(asyncio.all_tasks()) > count + _OTHER_TASKS):
        assert time.monotonic() < end, f"the steps of {len(airflow.steps_read)} of {count} tickets were read"
        await asyncio.sleep(0.5)
    await asyncio.sleep(6)
    seconds = [_collected() for _ in range(_COLLECTIONS)]
    return Garbage(seconds=min(seconds), objects=(len(gc.get_objects()) - before) / count)


def _collected() -> float:
    began = time.thread_time()
    gc.collect()
    return time.thread_time() - began


def _maker(kind: str, count: int) -> Callable[[int], Any]:
    from benchmarks.peers import IdleTrigger

    if kind == IDLE:
        return lambda _number: IdleTrigger()  # type: ignore[no-untyped-call]
    from airflow_provider_bkitsm.tickets import poller
    from airflow_provider_bkitsm.triggers.ticket import ItsmTicketTrigger
    from benchmarks.outage_drill import SimulatedItsm

    names = {number: f"REQ2026{number:08d}" for number in range(1, count + 1)}
    never = float("inf")
    decided = dict.fromkeys(names.values(), never)
    itsm = SimulatedItsm(
        down=None, begins=never, ends=never, seconds=lambda _size, _beside: 0.001, decided_at=decided
    )
    shared = poller.Poller(CONN)
    shared.hook = shared._questions = shared._steps._hook = itsm
    shared._steps.between_checks = 0.0
    poller._POLLERS.setdefault(asyncio.get_running_loop(), {})[CONN] = shared
    return lambda number: ItsmTicketTrigger(
        ticket_sn=names[number],
        bkitsm_conn_id=CONN,
        poll_interval=5.0,
        approval_timeout=7 * 86_400,
        ends_task=True,
    )


def report(found: Mapping[str, Garbage], count: int) -> str:
    """Return the section of the page."""
    lines = [
        f"{machine()}. {count:,} triggers of one kind in a fresh process; the shortest of {_COLLECTIONS} full"
        " collections.",
        "",
        "| how | full collection (CPU) | objects per trigger |",
        "| --- | ---: | ---: |",
    ]
    for kind, one in found.items():
        lines.append(f"| {NAMES[kind]} | {one.seconds * 1000:.0f} ms | {one.objects:.1f} |")
    times = found[OURS].seconds / found[IDLE].seconds
    return "\n".join(
        [*lines, "", f"Ours: {times:.2f} times as long as triggers that do nothing (target: at most {_TARGET})."]
    )


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description="What many waits add to full garbage collections.")
    parser.add_argument("--quick", action="store_true", help="small numbers, nothing is written")
    parser.add_argument("--one", choices=(IDLE, OURS), help=argparse.SUPPRESS)
    parser.add_argument("--count", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    count = given.count or (QUICK_WAITS if given.quick else WAITS)
    if given.one:
        from airflow.listeners.listener import get_listener_manager
        from airflow.sdk.log import configure_logging

        configure_logging(json_output=True, output=sys.stderr.buffer)
        # As ``airflow triggerer`` does before it forks: this loads the plugins, and with ours what waits need,
        # whatever waits there later.
        sys.argv[1:] = ["triggerer"]
        get_listener_manager().hook.on_starting(component=None)
        print(json.dumps(asdict(asyncio.run(wait_and_collect(given.one, count)))))
        return
    found = {kind: measure(kind, count) for kind in (IDLE, OURS)}
    publish(SECTION, report(found, count), only_print=given.quick)


if __name__ == "__main__":
    main()
