# SPDX-License-Identifier: Apache-2.0
"""Many runs at once that apply for the same few collectors, some of them crashing on the way."""

from __future__ import annotations

import contextlib
import random
import tempfile
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_bkitsm.collectors.database import sqlite_engine
from airflow_provider_bkitsm.collectors.errors import CollectItsmHasApply
from airflow_provider_bkitsm.collectors.store import CollectorStore
from airflow_provider_bkitsm.itsm.errors import ItsmError
from airflow_provider_bkitsm.operators.collector import CollectorApplyOperator, CollectorCompleteOperator
from airflow_provider_bkitsm.sandbox.control import SandboxControl
from airflow_provider_bkitsm.sandbox.itsm.service_catalog import LOG_COLLECTOR
from tests.chaos.crashes import CLEAN, Transport
from tests.chaos.seams import Crash, Order, Point, SeamedStore, wired
from tests.conftest import FakeTask

CONN = "bklog_default"
FIRST_COLLECTOR = 40_000
_TRIES = 20


@dataclass(kw_only=True)
class Result:
    """What became of all applications.

    :param at_once: for each collector, the most tickets that were open at the same time.
    :param holders: for each collector, the runs that hold a ticket at the end.
    :param wrong: what is not as it should be, in words.
    """

    runs: int
    collectors: int
    applications: int = 0
    refused: int = 0
    crashes: int = 0
    tickets: int = 0
    at_once: dict[int, int] = field(default_factory=dict)
    holders: dict[int, list[str]] = field(default_factory=lambda: defaultdict(list))
    wrong: list[str] = field(default_factory=list)


class Contest:
    """All runs of one contest.

    :param folder: for the store, one SQLite file that all share.
    """

    def __init__(self, sandbox: SandboxControl, folder: Path, *, runs: int, collectors: int, seed: int) -> None:
        self.sandbox, self.seed = sandbox, seed
        self.numbers = [FIRST_COLLECTOR + one for one in range(collectors)]
        self.store = folder / "bkitsm.db"
        self.result = Result(runs=runs, collectors=collectors)
        for one in self.numbers:
            sandbox.put_collector(one, collector_config_name=f"contested-{one}")

    def run(self) -> Result:
        """Let all runs loose and judge."""
        with ThreadPoolExecutor(self.result.runs) as pool:
            told = list(pool.map(self._one_run, range(self.result.runs)))
        for name, (sns, refused, crashes) in enumerate(told):
            self.result.applications += len(self.numbers)
            self.result.refused += refused
            self.result.crashes += crashes
            for number in sns:
                self.result.holders[number].append(f"run_{name}")
        self._judge()
        return self.result

    def _one_run(self, number: int) -> tuple[list[int], int, int]:
        """Apply for every collector; return those that are held at the end, and what was met."""
        drawn, held, refused = random.Random(self.seed * 1000 + number), [], 0
        seam = _Crashes(drawn)
        for collector in drawn.sample(self.numbers, len(self.numbers)):
            try:
                sn = self._until_it_ends(CollectorApplyOperator, collector, number, seam)
            except CollectItsmHasApply:
                refused += 1
                continue
            if drawn.random() < 0.5:
                held.append(collector)
                continue
            self.sandbox.reject(sn)
            with contextlib.suppress(AirflowFailException):
                self._until_it_ends(CollectorCompleteOperator, collector, number, seam)
        return held, refused, seam.crashes

    def _until_it_ends(self, kind: type, collector: int, run: int, seam: _Crashes) -> Any:
        for made in range(1, _TRIES + 1):
            more: dict[str, Any] = {}
            if kind is CollectorApplyOperator:
                more = {"clean_config": CLEAN, "approvers": "alice", "service_id": LOG_COLLECTOR}
            store = SeamedStore(sqlite_engine(self.store), seam=seam)
            task = kind(task_id=kind.__name__, collector_config_id=collector, bk_biz_id=2, **more)
            operator = wired(task, lambda name: Transport(name, self.sandbox, seam), store)
            try:
                return operator.execute(FakeTask("task", run_id=f"run_{run}", try_number=made).context)
            except CollectItsmHasApply:
                raise
            except (Crash, ItsmError):
                continue
            finally:
                operator.hook.close()
                operator.bklog.close()
        raise AssertionError(f"{kind.__name__} of run {run} for {collector} did not end in {_TRIES} tries")

    def _judge(self) -> None:
        found = self.sandbox.tickets()
        self.result.tickets = len(found)
        store = CollectorStore(sqlite_engine(self.store))
        for number in self.numbers:
            ours = [one for one in found if f"contested-{number}" in one["title"]]
            self.result.at_once[number] = most_at_once(ours)
            self._compare(store, number, [one["sn"] for one in ours if one["status"] == "RUNNING"], len(ours))

    def _compare(self, store: CollectorStore, number: int, open_now: list[str], tickets: int) -> None:
        row, holders = store.get(CONN, number), self.result.holders[number]
        owner = row.owner.run_id if row.owner and row.is_applying else None
        if ([owner] if owner else []) != holders or open_now != ([row.ticket_sn] if owner else []):
            self.result.wrong.append(
                f"{number}: held by {holders}, stored {owner} {row.ticket_sn}, open {open_now}"
            )
        if row.application != tickets:
            self.result.wrong.append(f"{number}: {row.application} applications, {tickets} tickets")


class _Crashes:
    """Crashes now and then, wherever a task stands."""

    def __init__(self, drawn: random.Random, *, often: float = 0.01) -> None:
        self._drawn, self._often = drawn, often
        self.crashes = 0

    def __call__(self, _point: Point) -> Order | None:
        if self._drawn.random() < self._often:
            self.crashes += 1
            raise Crash
        return None


def most_at_once(tickets: list[dict[str, Any]]) -> int:
    """Return how many tickets were open at the same time, by the sandbox's own times."""
    moments = [(one["create_at"], 1) for one in tickets]
    moments += [(one["end_at"], -1) for one in tickets if one["end_at"] is not None]
    open_now = most = 0
    for _, change in sorted(moments):
        open_now += change
        most = max(most, open_now)
    return most


def contest(sandbox: SandboxControl, *, runs: int, collectors: int, seed: int = 1) -> Result:
    """Let so many runs apply for so many collectors at once."""
    with tempfile.TemporaryDirectory() as folder:
        return Contest(sandbox, Path(folder), runs=runs, collectors=collectors, seed=seed).run()
