# SPDX-License-Identifier: Apache-2.0
"""How long many waits that begin at once hold up the event loop of their triggerer.

    python -m benchmarks.waiting_start [--quick]

Airflow's own trigger runner, fresh in each round (see ``benchmarks.triggerer``), is given all waits in one report,
as after a restart, and nothing has been imported for them yet. Ours and triggers that do nothing, in turns.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Mapping
from statistics import median

from benchmarks.report import machine, publish
from benchmarks.sandbox_throughput import quick_sandbox
from benchmarks.waiting import Bench, in_turns
from benchmarks.waiting_report import IDLE, NAMES, OURS, Cost, spread
from demo.processes import ends_orderly

SECTION = "waiting_start"
WAITS, ROUNDS = 200, 5
QUICK_WAITS, QUICK_ROUNDS = 50, 1
_KINDS = (IDLE, OURS)
# ``wall`` holds what the machine does besides, ``cpu`` does not.
_SHOWN = {
    "wall": "longest stall (wall)",
    "cpu": "longest stall (CPU)",
    "between": "without full collections",
}
_TARGET = 100


def start(bench: Bench, kind: str, count: int) -> Cost:
    """Begin so many waits at once, and measure until each has come to its first pause."""
    with bench.triggerer(kind) as triggerer:
        triggerer.forget_stalls()
        cpu, began = triggerer.cpu, time.monotonic()
        bench.start(triggerer, kind, bench.sns[:count])
        found = Cost(
            requests=time.monotonic() - began,
            cpu=triggerer.cpu - cpu,
            memory=0.0,
            stalls=triggerer.stalls(),
        )
        assert not triggerer.failures
        assert not triggerer.events
        return found


def report(found: Mapping[str, list[Cost]], count: int) -> str:
    """Return the section of the page."""
    rounds = len(found[OURS])
    lines = [
        f"{machine('httpx')}. One sandbox process; Airflow's own trigger runner in a process of its own; median"
        f" (smallest to largest) of {rounds} rounds, taken in turns. {count} waits begin at once.",
        "",
        f"| how | {' | '.join(_SHOWN.values())} | CPU in all |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for kind in _KINDS:
        stalls = [spread([one.stalls[which][0] * 1000 for one in found[kind]], "ms") for which in _SHOWN]
        lines.append(f"| {NAMES[kind]} | {' | '.join([*stalls, spread([one.cpu for one in found[kind]], 's')])} |")
    wall, cpu = (median(one.stalls[which][0] for one in found[OURS]) * 1000 for which in ("wall", "cpu"))
    load = f"The machine's load was {os.getloadavg()[1]:.1f}, on {os.cpu_count()} cores."
    target = f"Ours: {wall:.0f} ms, of which it computed {cpu:.0f} ms (target: less than {_TARGET} ms). {load}"
    return "\n".join([*lines, "", target])


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description="What many waits that begin at once hold up.")
    parser.add_argument("--quick", action="store_true", help="small numbers, nothing is written")
    quick = parser.parse_args().quick
    count, rounds = (QUICK_WAITS, QUICK_ROUNDS) if quick else (WAITS, ROUNDS)
    with ends_orderly(), quick_sandbox() as sandbox:
        bench = Bench(sandbox, interval=1.0)
        bench.open(count)
        found = in_turns(_KINDS, rounds, lambda kind: start(bench, kind, count))
    publish(SECTION, report(found, count), only_print=quick)


if __name__ == "__main__":
    main()
