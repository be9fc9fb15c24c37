# SPDX-License-Identifier: Apache-2.0
"""Thousands of callbacks that are almost right: whether any changes anything, or breaks the endpoint.

    python -m benchmarks.callback_mutations [--count 10000] [--seed 1] [--dialect v4]

The endpoint in this process with Airflow's database on PostgreSQL; ITSM is a sandbox.
"""

from __future__ import annotations

import argparse
import logging
import os
import tempfile
from contextlib import ExitStack
from pathlib import Path
from random import Random
from typing import Literal
from unittest.mock import patch

from airflow_provider_bkitsm.sandbox.server import SandboxServer
from benchmarks.report import machine, publish
from tests.collectors.servers import postgres
from tests.plugins.database import airflow_database
from tests.plugins.mutations import Forger, Played, connections, play
from tests.plugins.rows import insert_dag

Dialect = Literal["v2", "v4"]
SECTIONS: dict[Dialect, str] = {"v2": "callback_mutations", "v4": "callback_mutations_v4"}


def measure(count: int, seed: int, dialect: Dialect) -> Played:
    """Play."""
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bkitsm-")))
        sandbox = stack.enter_context(SandboxServer(dialect=dialect))
        stack.enter_context(airflow_database(home, stack.enter_context(postgres())))
        known = {f"AIRFLOW_CONN_{name.upper()}": text for name, text in connections(sandbox).items()}
        stack.enter_context(patch.dict(os.environ, known))
        return play(count, forger=Forger(sandbox=sandbox, random=Random(seed)), dag_version=insert_dag())


def report(played: Played, seed: int) -> str:
    """Return the section of the page."""
    posted = sum(played.posted.values())
    kinds = ", ".join(f"{kind} ({number:,})" for kind, number in played.posted.items())
    lines = [
        f"{machine()}; PostgreSQL; seed {seed}.",
        "",
        f"{posted:,} mutated callbacks: {played.changes} rows changed, {played.errors} unhandled errors (target: 0"
        " and 0). The unmutated callback, posted last, resumed its task.",
        "",
        f"Kinds: {kinds}.",
        "",
        "| what became of them | callbacks |",
        "| --- | ---: |",
    ]
    lines += [f"| `{result}` | {number:,} |" for result, number in played.results.most_common()]
    note = "`resumed` are the two good callbacks; those `answered_first` are counted again once ITSM was asked."
    return "\n".join([*lines, "", note])


def main() -> None:
    """Play and write."""
    parser = argparse.ArgumentParser(description="Callbacks that are almost right.")
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--dialect", choices=[*SECTIONS], default="v2", help="the version of ITSM (%(default)s)")
    given = parser.parse_args()
    logging.disable(logging.WARNING)  # a line for each callback
    publish(SECTIONS[given.dialect], report(measure(given.count, given.seed, given.dialect), given.seed))


if __name__ == "__main__":
    main()
