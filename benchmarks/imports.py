# SPDX-License-Identifier: Apache-2.0
"""What importing the operators and sensors adds to the parsing of a DAG file, ours and the Jira provider's.

    python -m benchmarks.imports [--quick]

Each import in a fresh process, in turns; CPU time, which other processes do not lengthen. What every DAG file
imports anyway is imported before the clock starts.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from benchmarks.report import machine, publish
from demo.processes import environment

SECTION = "imports"
# ``import airflow.sdk`` alone loads next to nothing: what is used is loaded when it is named.
BEFORE = "import airflow.sdk; from airflow.sdk import DAG, BaseOperator, BaseSensorOperator, task"
IMPORTS = {
    "ours": (
        "import airflow_provider_bkitsm.operators.ticket, airflow_provider_bkitsm.operators.collector,"
        " airflow_provider_bkitsm.sensors.ticket"
    ),
    "Jira provider": (
        "import airflow.providers.atlassian.jira.operators.jira, airflow.providers.atlassian.jira.sensors.jira"
    ),
}
_TIMED = """
import sys, time
{before}
known, began = len(sys.modules), time.process_time()
{imports}
print(time.process_time() - began, len(sys.modules) - known)
"""


def measure(runs: int) -> dict[str, list[tuple[float, int]]]:
    """Return seconds and number of modules of each import."""
    found: dict[str, list[tuple[float, int]]] = {name: [] for name in IMPORTS}
    with tempfile.TemporaryDirectory(prefix="bkitsm-") as home:
        env = {**environment(Path(home)), "AIRFLOW_HOME": home}
        for _ in range(runs + 1):
            for name, imports in IMPORTS.items():
                found[name].append(_timed(imports, env))
    # The first round compiles what the later ones find compiled.
    return {name: times[1:] for name, times in found.items()}


def report(measured: Mapping[str, Sequence[tuple[float, int]]]) -> str:
    """Return the section of the page."""
    lines = [
        f"{machine('apache-airflow-task-sdk', 'apache-airflow-providers-atlassian-jira')}. Median (smallest to"
        f" largest) of {len(measured['ours'])} fresh processes, CPU time, beyond what every DAG file imports.",
        "",
        "| operators and sensors | CPU | modules |",
        "| --- | ---: | ---: |",
    ]
    middle = {name: median(seconds for seconds, _ in times) for name, times in measured.items()}
    for name, times in measured.items():
        ordered = sorted(seconds * 1000 for seconds, _ in times)
        spread = f"{middle[name] * 1000:.1f} ms ({ordered[0]:.1f} to {ordered[-1]:.1f})"
        lines.append(f"| {name} | {spread} | {times[0][1]} |")
    ratio = middle["Jira provider"] / middle["ours"]
    return "\n".join([*lines, "", f"Ours against the Jira provider's: 1/{ratio:.1f} (target: at most 1/5)."])


def _timed(imports: str, env: Mapping[str, str]) -> tuple[float, int]:
    code = _TIMED.format(before=BEFORE, imports=imports)
    done = subprocess.run([sys.executable, "-c", code], env=dict(env), capture_output=True, text=True, check=True)
    seconds, modules = done.stdout.split()[-2:]
    return float(seconds), int(modules)


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description="What importing the operators costs.")
    parser.add_argument("--quick", action="store_true", help="a few runs, nothing is written")
    quick = parser.parse_args().quick
    publish(SECTION, report(measure(2 if quick else 15)), only_print=quick)


if __name__ == "__main__":
    main()
