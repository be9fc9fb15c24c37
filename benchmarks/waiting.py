"""What waiting for tickets costs ITSM and the triggerer: ours, and what else could be done.

    python -m benchmarks.waiting [--quick]

All of them in one run and in turns, in Airflow's own trigger runner (see ``benchmarks.triggerer``), against
one and the same sandbox process. ``--quick`` only shows that all of it works and writes nothing.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Any

import requests

from airflow_provider_bkitsm.sandbox.control import SandboxControl
from benchmarks.peers import IdleTrigger, PlainTicketTrigger, http_sensor_trigger
from benchmarks.plot import bars
from benchmarks.report import PAGE, machine, publish
from benchmarks.sandbox_throughput import opened, started
from benchmarks.triggerer import Triggerer
from demo.processes import ends_orderly

if TYPE_CHECKING:
    from airflow.triggers.base import BaseTrigger

SECTION, PLOT = "waiting", PAGE.parent / "benchmarks-waiting.svg"
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


FULL = Scale(interval=5, waiting=1_000, many=10_000, rounds=3, seconds=20, many_rounds=2, many_seconds=60)
QUICK = Scale(interval=1, waiting=100, many=500, rounds=1, seconds=3, many_rounds=1, many_seconds=3)


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


class Bench:
    """One sandbox, and triggerers that wait for its tickets.

    :param interval: seconds between two looks at a ticket.
    """

    def __init__(self, sandbox: SandboxControl, *, interval: float) -> None:
        self.sandbox = sandbox
        self.interval = interval
        self.sns: list[str] = []

    def open(self, count: int) -> None:
        """Have at least so many open tickets."""
        self.sns += [opened(self.sandbox) for _ in range(count - len(self.sns))]

    @contextmanager
    def triggerer(self, kind: str) -> Iterator[Triggerer]:
        """Run a triggerer with the connections of a kind of wait."""
        env = {
            "AIRFLOW_CONN_BKITSM_DEFAULT": self._connection(
                "bkitsm", {"batch_size": 100} if kind == OURS_100 else {}
            ),
            "AIRFLOW_CONN_ITSM_HTTP": self._connection("http", self.sandbox.headers()),
        }
        with Triggerer(env=env) as triggerer:
            triggerer.wait_ready()
            yield triggerer

    def start(self, triggerer: Triggerer, kind: str, sns: Sequence[str]) -> None:
        """Wait for tickets, and return when every trigger has come to its first pause."""
        triggerer.add(map(self._maker(kind), sns))
        triggerer.wait_created()
        if kind in (OURS, OURS_100):
            # Its registration and the address of its ticket.
            triggerer.wait_for(lambda: triggerer.xcoms >= 2 * len(sns))
        time.sleep(2 * self.interval)

    def cost(self, kind: str, count: int, seconds: float, *, stalls: bool = False) -> Cost:
        """Measure one kind of wait for a while."""
        with self.triggerer(kind) as triggerer:
            before = triggerer.memory
            self.start(triggerer, kind, self.sns[:count])
            if stalls:
                triggerer.forget_stalls()
            cpu, asked, began = triggerer.cpu, self._asked(), time.monotonic()
            time.sleep(seconds)
            taken = time.monotonic() - began
            found = Cost(
                requests=(self._asked() - asked) / taken * 60,
                cpu=(triggerer.cpu - cpu) / taken * 100,
                memory=(triggerer.memory - before) / count,
                stalls=triggerer.stalls() if stalls else {},
            )
            assert not triggerer.failures
            assert not triggerer.events
            return found

    def decide(self, count: int) -> Decisions:
        """Decide tickets all at once; they were opened without a callback."""
        sns, self.sns = self.sns[:count], self.sns[count:]
        with self.triggerer(OURS) as triggerer:
            self.start(triggerer, OURS, sns)
            self.sandbox.stop_worker()  # answers are taken, and have their effect when it goes on
            with ThreadPoolExecutor(4) as pool:
                list(pool.map(self._approve, sns))
            assert not triggerer.events
            began = time.monotonic()
            self.sandbox.start_worker()
            while not self._finished().issuperset(sns):
                time.sleep(0.05)
            decided = time.monotonic() - began
            time.sleep(4 * self.interval)
            fired = Counter(number for _, number, _ in triggerer.events)
            return Decisions(
                decided=decided,
                seen=[when - began for when, _, _ in triggerer.events],
                lost=count - len(fired),
                twice=sum(times > 1 for times in fired.values()),
            )

    def _finished(self) -> set[str]:
        return {one["sn"] for one in self.sandbox.tickets() if one["status"] == "FINISHED"}

    def _approve(self, sn: str) -> None:
        (step,) = self.sandbox.call("GET", "get_ticket_status", params={"sn": sn})["current_steps"]
        body = {"sn": sn, "state_id": step["state_id"], "approver": "alice", "action": "true", "remark": ""}
        self.sandbox.call("POST", "approve", json=body)

    def _maker(self, kind: str) -> Callable[[str], BaseTrigger]:
        from airflow_provider_bkitsm.triggers.ticket import ItsmTicketTrigger

        if kind == IDLE:
            return lambda _sn: IdleTrigger()  # type: ignore[no-untyped-call]
        if kind == HTTP:
            return lambda sn: http_sensor_trigger(sn=sn, interval=self.interval)
        if kind == PLAIN:
            url, headers = self.sandbox.itsm_url, self.sandbox.headers()
            return lambda sn: PlainTicketTrigger(sn=sn, url=url, headers=headers, interval=self.interval)
        return lambda sn: ItsmTicketTrigger(
            ticket_sn=sn,
            bkitsm_conn_id="bkitsm_default",
            poll_interval=self.interval,
            approval_timeout=7 * 86_400,
            ends_task=True,
        )

    def _connection(self, kind: str, extra: Mapping[str, Any]) -> str:
        caller = {"login": self.sandbox.app_code, "password": self.sandbox.app_secret} if kind == "bkitsm" else {}
        return json.dumps({"conn_type": kind, "host": self.sandbox.itsm_url, "extra": extra, **caller})

    def _asked(self) -> int:
        """Return how many requests ITSM has had."""
        counts: dict[str, int] = requests.get(f"{self.sandbox.url}/sandbox/requests/counts", timeout=30).json()
        return sum(counts.values())


@contextmanager
def sandbox_process() -> Iterator[SandboxControl]:
    """Run a sandbox in which tickets start at once."""
    server, url = started("--start-delay", "0")
    try:
        yield SandboxControl(url)
    finally:
        server.terminate()
        server.wait()


def in_turns(kinds: Sequence[str], rounds: int, measure: Callable[[str], Cost]) -> dict[str, list[Cost]]:
    """Measure each kind so often, one after the other."""
    found: dict[str, list[Cost]] = {kind: [] for kind in kinds}
    for _ in range(rounds):
        for kind, costs in found.items():
            costs.append(measure(kind))
            print(f"{kind}: {costs[-1].requests:,.0f} a minute, {costs[-1].cpu:.1f} % CPU", flush=True)
    return found


def report(scale: Scale, few: Costs, many: Costs, all_at_once: Decisions) -> str:
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
            f"![Requests per minute and CPU, {scale.waiting:,} waiting]({PLOT.name})",
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
            f"All decided within {all_at_once.decided:.2f} s; seen after {median(all_at_once.seen):.1f} s"
            f" (median), the last after {max(all_at_once.seen):.1f} s"
            f" (target: two intervals, {2 * scale.interval:.0f} s);"
            f" {all_at_once.lost} lost, {all_at_once.twice} told twice (target: none).",
        ]
    )


def _table_of_few(few: Costs) -> list[str]:
    lines = [
        "| how | requests to ITSM per minute | CPU of the triggerer | memory per waiting ticket |",
        "| --- | ---: | ---: | ---: |",
    ]
    for kind, name in NAMES.items():
        asked = _spread([one.requests for one in few[kind]])
        cpu = _spread([one.cpu for one in few[kind]], "%")
        memory = _spread([one.memory / 1024 for one in few[kind]], "KB")
        lines.append(f"| {name} | {asked} | {cpu} | {memory} |")
    ratios = [
        f"{NAMES[kind]}: requests 1/{_times_less(few, kind, 'requests'):.0f},"
        f" CPU 1/{_times_less(few, kind, 'cpu'):.1f}"
        for kind in (OURS_100, OURS)
    ]
    targets = "targets: requests at most 1/90 with batches of 100, CPU at most 1/5"
    return [*lines, "", f"Against one request per ticket: {'; '.join(ratios)} ({targets})."]


def _times_less(few: Costs, kind: str, what: str) -> float:
    return _middle(few, PLAIN, what) / _middle(few, kind, what)


def _table_of_many(many: Costs) -> list[str]:
    lines = [
        "| how | longest stall between full collections (CPU) | full collection (CPU) | longest stall (wall)"
        " | CPU | memory per trigger |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for kind, name in MANY.items():
        stalls = [
            _spread([one.stalls[which][0] * 1000 for one in many[kind]], "ms")
            for which in ("between", "full", "wall")
        ]
        cpu = _spread([one.cpu for one in many[kind]], "%")
        memory = _spread([one.memory / 1024 for one in many[kind]], "KB")
        lines.append(f"| {name} | {' | '.join(stalls)} | {cpu} | {memory} |")
    between, full = (_stall(many, OURS, which) - _stall(many, IDLE, which) for which in ("between", "full"))
    memory_more = (_middle(many, OURS, "memory") - _middle(many, IDLE, "memory")) / 1024
    return [
        *lines,
        "",
        f"Beyond triggers that do nothing: stall {between:.1f} ms (target: less than 20 ms), memory"
        f" {memory_more:.1f} KB per ticket (target: at most 16 KB). Python's full collections of garbage, which"
        f" the runner brings about by itself, take {full:.0f} ms longer.",
    ]


def _stall(many: Costs, kind: str, which: str) -> float:
    return median(one.stalls[which][0] for one in many[kind]) * 1000


def _middle(costs: Costs, kind: str, what: str) -> float:
    return float(median(getattr(one, what) for one in costs[kind]))


def _spread(values: Sequence[float], unit: str = "") -> str:
    ordered = sorted(values)
    form = "{:,.0f}" if median(ordered) >= 100 else "{:,.1f}"  # noqa: PLR2004 - no digits nobody needs
    ends = "" if len(ordered) == 1 else f" ({form} to {form})".format(ordered[0], ordered[-1])
    return f"{form.format(median(ordered))}{f' {unit}' if unit else ''}{ends}"


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description="What waiting for tickets costs.")
    parser.add_argument("--quick", action="store_true", help="small numbers, nothing is written")
    quick = parser.parse_args().quick
    scale = QUICK if quick else FULL
    with ends_orderly(), sandbox_process() as sandbox:
        bench = Bench(sandbox, interval=scale.interval)
        bench.open(scale.waiting)
        few = in_turns(list(NAMES), scale.rounds, lambda kind: bench.cost(kind, scale.waiting, scale.seconds))
        decisions = bench.decide(scale.waiting)
        bench.open(scale.many)
        many = in_turns(
            list(MANY),
            scale.many_rounds,
            lambda kind: bench.cost(kind, scale.many, scale.many_seconds, stalls=True),
        )
    text = report(scale, few, many, decisions)
    if quick:
        print(text)
        return
    publish(SECTION, text)
    panels = {"Requests to ITSM per minute": "requests", "CPU of the triggerer, % of a core": "cpu"}
    shown = {
        title: {name: _middle(few, kind, what) for kind, name in NAMES.items() if kind != IDLE}
        for title, what in panels.items()
    }
    PLOT.write_text(bars(shown))


if __name__ == "__main__":
    main()
