# SPDX-License-Identifier: Apache-2.0
"""What the page says about killed processes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmarks.report import machine
from tests.chaos.points import SAYS, Point
from tests.chaos.rounds import Result
from tests.chaos.settings import CELERY, LOCAL
from tests.chaos.stage import CLEANS, OTHER_TABLES

COMMAND = "python -m tests.chaos.processes"
_HOW = """\
Real processes: API server, scheduler, DAG processor and two triggerers, a PostgreSQL that keeps Airflow's state
and the collectors', and the sandbox with its state in a file. Runs of the main job are brought to their points:
a gateway in front of the sandbox holds the request each point is known by. Then a component gets `kill -9`,
with every process it started, and is started again on what it left behind; others that end because of it are
too, as a service manager does. A cluster policy lets tasks be tried again after two seconds, and Airflow is set
to notice in seconds what is dead. A clean-up deletes as if all rows were old by now (of `dag` and `job`, whose
rows the living keep fresh, those that are a minute old), and then both triggerers are killed and started again.
"""
_KILLED = {
    (LOCAL, "worker"): "worker: the tasks' own processes",
    (LOCAL, "scheduler"): "scheduler, with its executor and the tasks",
    (LOCAL, "orphans"): "scheduler's own process; its tasks live on, and are started once more",
    (CELERY, "scheduler"): "scheduler; the tasks go on",
    (CELERY, "celery-worker"): "Celery worker, with the tasks",
    (CELERY, "redis"): "Redis, the queue, which forgets everything",
}
_KILLED_ANYWHERE = {
    "triggerer": "triggerer, one of two",
    "api-server": "API server",
    "sandbox": "the sandbox: ITSM and log platform",
    "postgresql": "PostgreSQL",
    "no-triggerer": "both triggerers, for five minutes",
    "dag-file": "the DAG's file: deleted, and back after 40 s",
    **{name: f"`airflow db clean --tables {table}`" for name, table in CLEANS.items()},
    OTHER_TABLES: "`airflow db clean` of every other table",
}


def section(results: Sequence[Result]) -> str:
    """Return the section's text: how, on what, where, and what became of every run."""
    packages = ["apache-airflow-providers-celery"] if any(one.executor == CELERY for one in results) else []
    parts = [f"`{COMMAND}`"], [_HOW], _points(), [f"{machine(*packages)}."], _table(results), _sums(results)
    return "\n\n".join("\n".join(part).strip() for part in parts)


def _points() -> Iterator[str]:
    yield "| point of the flow | where the run is when something is killed |"
    yield "| --- | --- |"
    for point, said in SAYS.items():
        yield f"| {point} | {said} |"


def _table(results: Sequence[Result]) -> Iterator[str]:
    yield f"| executor | killed | {' | '.join(Point)} | runs | ended as decided | named |"
    yield f"| --- | --- {'| :---: ' * len(Point)}| ---: | ---: | ---: |"
    for executor, component in dict.fromkeys((one.executor, one.component) for one in results):
        row = [one for one in results if (one.executor, one.component) == (executor, component)]
        cells = [_cell([one for one in row if one.point == point]) for point in Point]
        good = sum(not one.problems and not one.cut for one in row)
        named = sum(not one.problems and one.cut for one in row)
        name = _KILLED.get((executor, component)) or _KILLED_ANYWHERE[component]
        yield f"| {executor} | {name} | {' | '.join(cells)} | {len(row)} | {good} | {named} |"


def _cell(runs: Sequence[Result]) -> str:
    """Return a letter for each run: approved or rejected, or that it did not end so."""
    return " ".join(map(_letter, runs)) or "-"


def _letter(run: Result) -> str:
    if run.problems:
        return "!"
    letter = "A" if run.approve else "R"
    return letter.lower() if run.cut else letter


def _sums(results: Sequence[Result]) -> Iterator[str]:
    cut = [one for one in results if one.cut]
    ended = [one for one in results if not one.cut]
    approved, wrong, unnamed = (
        sum(one.approve for one in ended),
        *(sum(bool(one.problems) for one in part) for part in (ended, cut)),
    )
    yield (
        "A: approved; the run succeeded, its ETL is written, its collector is `success_apply`."
        " R: rejected; the run failed, nothing is written, its collector is `fail_apply`."
        " a, r: Airflow has no row any more of the run, or of tasks that had begun, so that it cannot end;"
        " two looks of `CollectorReconcileOperator` (with a `grace` of 0) named its ticket while it was open, no"
        " ETL was written without approval, and after the decision its collector can be applied for again, or is"
        " named."
        " -: there is nothing to kill, or nobody who can decide, at that point."
    )
    yield ""
    said = f"{len(ended)} runs, {approved} approved and {len(ended) - approved} rejected"
    yield f"{said}: **{wrong} not as decided** (target: 0)."
    if not wrong:
        yield (
            "By the sandbox's own record each of them had exactly one ticket, and that one ended by its decision:"
            " none was opened twice, none withdrawn, none left open."
        )
    if cut:
        yield (
            f"{len(cut)} runs more were cut off by a clean-up: **{unnamed} with a ticket that was opened twice,"
            " withdrawn, or open and not named** (target: 0)."
        )
