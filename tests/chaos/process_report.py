"""What the page says about killed processes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmarks.report import machine
from tests.chaos.points import SAYS, Point
from tests.chaos.rounds import Result
from tests.chaos.stage import CELERY, LOCAL

COMMAND = "python -m tests.chaos.processes"
_KILLED = {
    "worker": "worker: the tasks' own processes",
    "triggerer": "triggerer, one of two",
    "scheduler": "scheduler, with its executor and tasks",
    "api-server": "API server",
    "sandbox": "the sandbox: ITSM and log platform",
    "postgresql": "PostgreSQL: Airflow's and the collectors' database",
    "redis": "Redis, the queue, which forgets everything",
    "celery-worker": "Celery worker, with its tasks",
}


def section(results: Sequence[Result]) -> str:
    """Return the section's text: on what, where, and what became of every run."""
    packages = ["apache-airflow-providers-celery"] if any(one.executor == CELERY for one in results) else []
    return "\n".join(
        [f"{machine(*packages)}; PostgreSQL.", "", *_points(), "", *_table(results), "", *_sums(results)]
    )


def _points() -> Iterator[str]:
    yield "| point of the flow | where the run is when something is killed |"
    yield "| --- | --- |"
    for point, said in SAYS.items():
        yield f"| {point} | {said} |"


def _table(results: Sequence[Result]) -> Iterator[str]:
    yield f"| killed (`kill -9`, all its processes) | {' | '.join(Point)} | runs | ended as decided |"
    yield f"| --- {'| :---: ' * len(Point)}| ---: | ---: |"
    for executor, component in dict.fromkeys((one.executor, one.component) for one in results):
        row = [one for one in results if (one.executor, one.component) == (executor, component)]
        cells = [_cell([one for one in row if one.point == point]) for point in Point]
        good = sum(not one.problems for one in row)
        name = _KILLED[component] + ("" if executor == LOCAL else f" ({executor})")
        yield f"| {name} | {' | '.join(cells)} | {len(row)} | {good} |"


def _cell(runs: Sequence[Result]) -> str:
    """Return a letter for each run: approved or rejected, or that it did not end so."""
    return " ".join("!" if one.problems else "A" if one.approve else "R" for one in runs) or "-"


def _sums(results: Sequence[Result]) -> Iterator[str]:
    approved = sum(one.approve for one in results)
    wrong = sum(bool(one.problems) for one in results)
    yield (
        "A: approved; the run succeeded, its ETL is written, its collector is `success_apply`."
        " R: rejected; the run failed, nothing is written, its collector is `fail_apply`."
        " -: there is nothing to kill, or nobody who can decide, at that point."
    )
    yield ""
    yield (
        f"{len(results)} runs, {approved} approved and {len(results) - approved} rejected, {wrong} not as decided"
        " (target: 0). By the sandbox's own record each of them had exactly one ticket, and that one ended by its"
        " decision: none opened twice, none withdrawn, none left open."
    )
