# SPDX-License-Identifier: Apache-2.0
"""The long ones: counted, and written to ``docs/reliability.md``.

    python -m tests.chaos [machine] [crashes] [crashes_v4] [contention]

A broken promise ends it with an error, and nothing is written about it.
"""

from __future__ import annotations

import argparse
import logging
import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal

import structlog
from airflow.sdk.bases.operator import ExecutorSafeguard

from airflow_provider_bkitsm.sandbox.server import SandboxServer
from airflow_provider_bkitsm.sandbox.settings import Settings
from benchmarks.report import machine as this_machine
from benchmarks.report import publish
from tests.chaos import contention, crashes, machine

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reliability.md"
STEPS, CRASHES, RUNS, COLLECTORS = 20_000, 1_000, 50, 10
_EXAMPLES, _STEPS_EACH = 900, 60


def report_machine() -> str:
    """Explore, and say what was done."""
    began = time.monotonic()
    totals = machine.explore(examples=_EXAMPLES, steps=_STEPS_EACH)
    if totals.steps < STEPS:
        raise SystemExit(f"only {totals.steps} steps; {STEPS} are wanted")
    counts = totals.counts
    said = (
        f"{totals.steps:,} steps in {totals.examples:,} sequences, {counts['stops']:,} stops between two steps of"
        f" a task, {counts['tries']:,} tries of tasks, {counts['crashes']:,} of them killed, in"
        f" {len(totals.where)} different places, {counts['late rows']:,} tickets that appeared late,"
        f" {counts['runs made again']:,} runs made again under their id, {counts['believed']:,} waits that went on"
        f" and {counts['refused']:,} that did not:"
        f" **0 promises broken** (in {time.monotonic() - began:.0f} s)."
    )
    return f"{this_machine('hypothesis')}.\n\n{said}\n\n{_table('step', totals.rules)}"


def report_crashes(dialect: Literal["v2", "v4"] = "v2") -> str:
    """Crash around the call that opens a ticket, and say what was left."""
    began = time.monotonic()
    with SandboxServer(Settings(start_delay=0.02), dialect=dialect) as sandbox:
        result = crashes.crash_around_create(sandbox, crashes=CRASHES)
    if result.duplicates or result.lost:
        raise SystemExit(f"{result.duplicates} duplicate tickets, {result.lost} lost ones")
    rows = [
        "| task | " + " | ".join(crashes.POINTS) + " |",
        "| --- |" + " ---: |" * len(crashes.POINTS),
        *(
            f"| {task} | " + " | ".join(str(result.crashes[task, point]) for point in crashes.POINTS) + " |"
            for task in crashes.TASKS
        ),
    ]
    said = (
        f"{result.crashes.total():,} crashes in {result.tries:,} tries for {len(result.sns):,} approvals:"
        f" **{result.duplicates} duplicate tickets, {result.lost} lost** (in {time.monotonic() - began:.0f} s)."
    )
    return "\n".join([f"{this_machine()}.", "", said, "", *rows])


def report_contention() -> str:
    """Let many runs apply at once, and say who got what."""
    began = time.monotonic()
    with SandboxServer(Settings(start_delay=0.02)) as sandbox:
        result = contention.contest(sandbox, runs=RUNS, collectors=COLLECTORS)
    most = max(result.at_once.values())
    if result.wrong or most > 1:
        raise SystemExit(f"{most} tickets at once; {result.wrong}")
    return (
        f"{this_machine()}.\n\n{result.runs} runs at once, each applying for the same {result.collectors}"
        f" collectors: {result.applications} applications, {result.refused} refused because another held the"
        f" collector, {result.crashes} tries killed on the way, {result.tickets} tickets one after the other."
        f" **At most {most} open ticket for each collector at any time; at the end each is held by one application"
        f" or none, the one its open ticket belongs to** (in {time.monotonic() - began:.0f} s)."
    )


def _table(what: str, counts: Counter[str]) -> str:
    rows = [f"| {name} | {number:,} |" for name, number in counts.most_common()]
    return "\n".join([f"| {what} | times |", "| --- | ---: |", *rows])


REPORTS: dict[str, Callable[[], str]] = {
    "machine": report_machine,
    "crashes": report_crashes,
    "crashes_v4": partial(report_crashes, "v4"),
    "contention": report_contention,
}


def _say_nothing() -> None:
    """Keep the logs of thousands of tasks to themselves."""
    logging.disable(logging.CRITICAL)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    ExecutorSafeguard.test_mode = True


def main() -> None:
    """Run what was asked for, by default everything."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="part", help=f"of {', '.join(REPORTS)}; default: all")
    parts = parser.parse_args().parts or list(REPORTS)
    _say_nothing()
    with tempfile.TemporaryDirectory() as home:
        os.environ["AIRFLOW_HOME"] = home
        for part in parts:
            publish(part, REPORTS[part](), page=PAGE)


if __name__ == "__main__":
    main()
