# SPDX-License-Identifier: Apache-2.0
"""What waiting for tickets costs ITSM and the triggerer: ours, and what else could be done.

    python -m benchmarks.waiting [--quick] [--dialect v4]

All of them in one run and in turns, in Airflow's own trigger runner (see ``benchmarks.triggerer``), against
one and the same sandbox process. ``--quick`` only shows that all of it works and writes nothing. With ITSM v4 only
ours is measured, in batches.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

import requests

from airflow_provider_bkitsm.sandbox.control import SandboxControl
from benchmarks.peers import IdleTrigger, PlainTicketTrigger, http_sensor_trigger
from benchmarks.plot import bars
from benchmarks.report import PAGE, machine, publish
from benchmarks.sandbox_throughput import opened, quick_sandbox
from benchmarks.triggerer import Triggerer
from benchmarks.waiting_report import (
    HTTP,
    IDLE,
    MANY,
    NAMES,
    OURS,
    OURS_100,
    PLAIN,
    Cost,
    Decisions,
    Scale,
    middle,
    report,
)
from demo.processes import ends_orderly

if TYPE_CHECKING:
    from airflow.triggers.base import BaseTrigger

SECTION, SECTION_V4, PLOT = "waiting", "waiting_v4", PAGE.parent / "benchmarks-waiting.svg"
FULL = Scale(interval=5, waiting=1_000, many=10_000, rounds=3, seconds=20, many_rounds=2, many_seconds=60)
QUICK = Scale(interval=1, waiting=100, many=500, rounds=1, seconds=3, many_rounds=1, many_seconds=3)


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
        extra = {"batch_size": 100} if kind == OURS_100 else {}
        plain = {"conn_type": "http", "host": self.sandbox.itsm_url, "extra": self.sandbox.headers()}
        env = self.sandbox.connections(**extra) | {"AIRFLOW_CONN_ITSM_HTTP": json.dumps(plain)}
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

    def _asked(self) -> int:
        """Return how many requests ITSM has had."""
        counts: dict[str, int] = requests.get(f"{self.sandbox.url}/sandbox/requests/counts", timeout=30).json()
        return sum(counts.values())


def in_turns(kinds: Sequence[str], rounds: int, measure: Callable[[str], Cost]) -> dict[str, list[Cost]]:
    """Measure each kind so often, one after the other."""
    found: dict[str, list[Cost]] = {kind: [] for kind in kinds}
    for _ in range(rounds):
        for kind, costs in found.items():
            costs.append(measure(kind))
            print(f"{kind}: {costs[-1].requests:,.0f} a minute, {costs[-1].cpu:.1f} % CPU", flush=True)
    return found


def of_v4(scale: Scale) -> str:
    """Measure what our waits cost an ITSM v4, whose list answers 50 tickets at once; return the section.

    A minute at a time: a shorter one holds a round of the poll more or less.
    """
    rounds, seconds = scale.many_rounds, scale.many_seconds
    with ends_orderly(), quick_sandbox("v4") as sandbox:
        bench = Bench(sandbox, interval=scale.interval)
        bench.open(scale.waiting)
        costs = in_turns([OURS], rounds, lambda kind: bench.cost(kind, scale.waiting, seconds))[OURS]
    requests_, cpu = ([getattr(one, what) for one in costs] for what in ("requests", "cpu"))
    most = round(scale.waiting / 50 * 60 / scale.interval)
    return (
        f"{machine('httpx')}. {scale.waiting:,} waiting, {scale.interval} s interval, {rounds} rounds of"
        f" {seconds} s: {min(requests_):,.0f} to {max(requests_):,.0f} requests a minute (target: at most"
        f" {most:,}), {min(cpu):.1f} to {max(cpu):.1f} % CPU of the triggerer."
    )


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description="What waiting for tickets costs.")
    parser.add_argument("--quick", action="store_true", help="small numbers, nothing is written")
    parser.add_argument("--dialect", choices=["v2", "v4"], default="v2", help="the version of ITSM (%(default)s)")
    given = parser.parse_args()
    quick = given.quick
    scale = QUICK if quick else FULL
    if given.dialect == "v4":
        publish(SECTION_V4, of_v4(scale), only_print=quick)
        return
    with ends_orderly(), quick_sandbox() as sandbox:
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
    text = report(scale, few, many, decisions, plot=PLOT.name)
    publish(SECTION, text, only_print=quick)
    if quick:
        return
    panels = {"Requests to ITSM per minute": "requests", "CPU of the triggerer, % of a core": "cpu"}
    shown = {
        title: {name: middle(few, kind, what) for kind, name in NAMES.items() if kind != IDLE}
        for title, what in panels.items()
    }
    PLOT.write_text(bars(shown))


if __name__ == "__main__":
    main()
