# SPDX-License-Identifier: Apache-2.0
"""``python -m tests.chaos.processes``: kill every component while runs stand at ten points of their flow."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.report import publish
from demo.processes import ends_orderly
from tests.chaos.clean_ups import CleanUp
from tests.chaos.points import plan
from tests.chaos.process_report import section
from tests.chaos.rounds import Result, Round
from tests.chaos.settings import CELERY, LOCAL
from tests.chaos.stage import CLEANS, DAGS_GONE, NO_TRIGGERER, Stage, missing, stage

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reliability.md"
_EVERYWHERE = ("scheduler", "triggerer", "api-server", "postgresql")
ROUNDS = {
    # No executor makes a difference to the sandbox, to triggerers that are down, or to the file of a DAG,
    # or to a clean-up.
    LOCAL: ("worker", "orphans", "sandbox", *_EVERYWHERE, NO_TRIGGERER, DAGS_GONE, *CLEANS),
    CELERY: ("celery-worker", "redis", *_EVERYWHERE),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Play all rounds; write the page if every run ended as decided."""
    given = _options(arguments)
    for executor in ROUNDS if given.executor is None else [given.executor]:
        if lack := missing(executor):
            raise SystemExit(f"{lack}; --executor LocalExecutor leaves out what needs Redis")
    with ends_orderly(), tempfile.TemporaryDirectory(prefix="bkitsm-chaos-") as home:
        results = list(_play(Path(given.home or home), given.executor, given.only))
    problems = [problem for one in results for problem in one.problems]
    if given.only or given.executor or problems:
        print(section(results))
    else:
        publish("processes", section(results), page=PAGE)
    return 1 if problems else 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.processes", description=__doc__)
    known = sorted({name for names in ROUNDS.values() for name in names})
    parser.add_argument("--only", nargs="+", choices=known, help="kill only these; the page is left as it is")
    parser.add_argument("--executor", choices=ROUNDS, help="with this one only; likewise")
    parser.add_argument("--home", type=Path, help="an empty directory to keep databases and logs in")
    return parser.parse_args(arguments)


def one_round(running: Stage, component: str) -> list[Result]:
    """Play a component's round: with the CeleryExecutor each point once, which decision in turn."""
    turn = ROUNDS[running.executor].index(component)
    kind = CleanUp if component in CLEANS else Round
    return kind(running, component, plan(component, turn, both=running.executor == LOCAL)).play()


def _play(home: Path, with_one: str | None, only: Sequence[str] | None) -> Iterator[Result]:
    for executor, components in ROUNDS.items():
        chosen = [one for one in components if only is None or one in only]
        if not chosen or executor != (with_one or executor):
            continue
        with stage(home / executor, executor=executor) as running:
            for component in chosen:
                began = time.monotonic()
                results = one_round(running, component)
                seconds = time.monotonic() - began
                wrong = sum(bool(one.problems) for one in results)
                print(f"{executor}, {component}: {len(results)} runs, {wrong} wrong, {seconds:.0f} s", flush=True)
                print("\n".join(said for one in results for said in one.problems), file=sys.stderr, flush=True)
                yield from results
            if running.heard() == 0:
                raise SystemExit("no callback resumed anything: the API server's plugin does not work")


if __name__ == "__main__":
    sys.exit(main())
