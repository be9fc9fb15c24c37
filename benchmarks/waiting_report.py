# SPDX-License-Identifier: Apache-2.0
"""What is measured about waiting, and the section of the page that shows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from benchmarks.report import machine

IDLE, PLAIN, HTTP, OURS, OURS_100 = "idle", "plain", "http", "ours", "ours_100"
NAMES = {
    PLAIN: "one request per ticket",
    HTTP: "HttpSensor, deferrable",
    OURS: "ours, batches of 50 (default)",
    OURS_100: "ours, batches of 100",
    IDLE: "triggers that do nothing",
}
MANY = {IDLE: NAMES[IDLE], OURS: NAMES[OURS]}


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How much is measured, in rounds of so many seconds.

    :param interval: seconds between two looks at a ticket.
    """

    interval: float
    waiting: int
    many: int
    rounds: int
    seconds: float
    many_rounds: int
    many_seconds: float


@dataclass(kw_only=True)
class Cost:
    """What waiting cost in one round: per minute, percent of a core, bytes per trigger, seconds."""

    requests: float
    cpu: float
    memory: float
    stalls: Mapping[str, list[float]] = field(default_factory=dict)


# By kind of wait, a cost for each round.
Costs = Mapping[str, list[Cost]]


@dataclass(kw_only=True)
class Decisions:
    """Many decisions at once, nobody called back: seconds until the last was made, and until each was seen."""

    decided: float
    seen: list[float]
    lost: int
    twice: int


def report(scale: Scale, few: Costs, many: Costs, all_at_once: Decisions, *, plot: str) -> str:
    """Return the section of the page."""
    return "\n".join(
        [
            f"{machine('apache-airflow-providers-http', 'httpx', 'aiohttp')}. One sandbox process; Airflow's own"
            f" trigger runner in a process of its own; median (smallest to largest) of {scale.rounds} rounds of"
            f" {scale.seconds:.0f} s, taken in turns.",
            "",
            f"### {scale.waiting:,} waiting, {scale.interval:.0f} s interval",
            "",
            *_table_of_few(few),
            "",
            f"![Requests per minute and CPU, {scale.waiting:,} waiting]({plot})",
            "",
            f"### {scale.many:,} waiting on one triggerer",
            "",
            f"Capacity raised; measured once all have started, {scale.many_rounds} rounds of"
            f" {scale.many_seconds:.0f} s.",
            "",
            *_table_of_many(many),
            "",
            f"### {len(all_at_once.seen):,} decisions at once, callbacks blocked",
            "",
            f"All decided in {all_at_once.decided:.2f} s; seen after {median(all_at_once.seen):.1f} s (median),"
            f" the last after {max(all_at_once.seen):.1f} s (target: two intervals, {2 * scale.interval:.0f} s);"
            f" {all_at_once.lost} lost, {all_at_once.twice} told twice (target: none).",
        ]
    )


def _table_of_few(few: Costs) -> list[str]:
    lines = [
        "| how | requests to ITSM per minute | CPU of the triggerer | memory per waiting ticket |",
        "| --- | ---: | ---: | ---: |",
    ]
    for kind, name in NAMES.items():
        asked = spread([one.requests for one in few[kind]])
        cpu = spread([one.cpu for one in few[kind]], "%")
        memory = spread([one.memory / 1024 for one in few[kind]], "KB")
        lines.append(f"| {name} | {asked} | {cpu} | {memory} |")
    ratios = [
        f"{NAMES[kind]}: requests 1/{_times_less(few, kind, 'requests'):.0f},"
        f" CPU 1/{_times_less(few, kind, 'cpu'):.1f}"
        for kind in (OURS_100, OURS)
    ]
    targets = "targets: requests at most 1/90 with batches of 100, CPU at most 1/5"
    return [*lines, "", f"Against one request per ticket: {'; '.join(ratios)} ({targets})."]


def _times_less(few: Costs, kind: str, what: str) -> float:
    return middle(few, PLAIN, what) / middle(few, kind, what)


def _table_of_many(many: Costs) -> list[str]:
    lines = [
        "| how | longest stall between full collections (CPU) | full collection (CPU) | longest stall (wall)"
        " | CPU | memory per trigger |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for kind, name in MANY.items():
        stalls = [
            spread([one.stalls[which][0] * 1000 for one in many[kind]], "ms")
            for which in ("between", "full", "wall")
        ]
        cpu = spread([one.cpu for one in many[kind]], "%")
        memory = spread([one.memory / 1024 for one in many[kind]], "KB")
        lines.append(f"| {name} | {' | '.join(stalls)} | {cpu} | {memory} |")
    between, full = (_stall(many, OURS, which) - _stall(many, IDLE, which) for which in ("between", "full"))
    idle_full = _stall(many, IDLE, "full")
    times = _stall(many, OURS, "full") / idle_full if idle_full else 1.0
    memory_more = (middle(many, OURS, "memory") - middle(many, IDLE, "memory")) / 1024
    return [
        *lines,
        "",
        f"Beyond triggers that do nothing: stall {between:.1f} ms (target: less than 20 ms), memory"
        f" {memory_more:.1f} KB per ticket (target: at most 16 KB). Python's full collections of garbage, which"
        f" the runner brings about by itself, take {full:.0f} ms longer: {times:.2f} times as long (target: at"
        " most 1.2).",
    ]


def _stall(many: Costs, kind: str, which: str) -> float:
    return median(one.stalls[which][0] for one in many[kind]) * 1000


def middle(costs: Costs, kind: str, what: str) -> float:
    """Return the median of something measured."""
    return float(median(getattr(one, what) for one in costs[kind]))


def spread(values: Sequence[float], unit: str = "") -> str:
    """Return a median with the smallest and the largest value."""
    ordered = sorted(values)
    form = "{:,.0f}" if median(ordered) >= 100 else "{:,.1f}"  # noqa: PLR2004 - no digits nobody needs
    ends = "" if len(ordered) == 1 else f" ({form} to {form})".format(ordered[0], ordered[-1])
    return f"{form.format(median(ordered))}{f' {unit}' if unit else ''}{ends}"
