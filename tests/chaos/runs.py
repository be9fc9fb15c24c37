# SPDX-License-Identifier: Apache-2.0
"""Runs of DAGs as the chaos machine plays them, with the numbers that Airflow gives their tries."""

from __future__ import annotations

import uuid
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from types import SimpleNamespace
from typing import Any, Literal

from sqlalchemy import Engine

from tests.chaos.tries import Try

DAG_ID = "dag"
_tries = count()
Kind = Literal["applies", "opens", "asks", "tells"]
FIRST_TASK = {"applies": "apply", "opens": "open", "asks": "ask", "tells": "tell"}
NEXT = {
    "apply": "wait",
    "open": "wait",
    "ask": "wait",
    "tell": "done",
    "provision": "complete",
    "complete": "done",
}


@dataclass(frozen=True, eq=False, kw_only=True)
class Site:
    """An installation of Airflow.

    :param address: its ``[api] base_url``.
    :param engine: of its store, which it may share with another one.
    """

    address: str
    engine: Engine


@dataclass(eq=False, kw_only=True)
class Numbers:
    """What Airflow numbers of a task's tries.

    :param retries: as the DAG says now.
    """

    retries: int
    max_tries: int = 0
    try_number: int = 0
    ti_id: str = ""

    def __post_init__(self) -> None:
        self.max_tries = self.retries

    def begin_try(self, now: datetime) -> None:
        """Count the next try, and give it an id that rises with time."""
        self.try_number += 1
        self.ti_id = uuid7(now, next(_tries))

    def clear(self) -> None:
        """Do as Airflow does with a task that does not run."""
        self.max_tries = self.try_number + self.retries


@dataclass(eq=False, kw_only=True)
class Run:
    """A run of a DAG.

    :param kind: ``applies`` for a collector, ``opens`` a ticket and waits for it in a second task, ``asks`` for an
        approval in one task, or ``tells`` people of a failure.
    :param began: its ``start_date``.
    :param item: what it would do.
    :param key: ``approval_key`` of a shared approval.
    :param two_steps: its service has a second approver.
    :param timeout: how many seconds its people have.
    :param life: rises when the run is deleted and made again under its id.
    :param round_began: since when a decision counts for it.
    :param trouble: why its last try did not get through.
    :param number_of_others: the number that its wait was given by somebody else.
    """

    name: str
    site: Site
    kind: Kind
    began: datetime
    collector: int | None = None
    item: str = "restart"
    key: str | None = None
    two_steps: bool = False
    timeout: float | None = None
    retries: int = 0
    life: int = 0
    clears: int = 0
    phase: str = ""
    sn: str | None = None
    number_of_others: str | None = None
    sabotaged: bool = False
    retries_changed: bool = False
    trouble: str = ""
    remembered: dict[str, Any] = field(default_factory=dict)
    numbers: dict[str, Numbers] = field(default_factory=dict)
    latest: Try | None = None
    tries: list[Try] = field(default_factory=list)
    round_began: datetime = field(init=False)

    def __post_init__(self) -> None:
        self.round_began = self.began
        self.begin()

    def begin(self) -> None:
        """Go to the first task."""
        self.phase = FIRST_TASK[self.kind]
        self.sn = self.number_of_others = None

    @property
    def done(self) -> bool:
        """Whether nothing is left to do."""
        return self.phase == "done"

    @property
    def awaited(self) -> str:
        """The number that the wait was given."""
        return str(self.number_of_others or self.sn)

    @property
    def made(self) -> Counter[str]:
        """How often each task was tried."""
        return Counter({task: one.try_number for task, one in self.numbers.items()})

    def of_task(self, task: str) -> Numbers:
        """Return the numbers of a task's tries."""
        return self.numbers.setdefault(task, Numbers(retries=self.retries))

    def change_retries(self, retries: int) -> None:
        """The DAG's author changes ``retries``."""
        self.retries_changed = True
        self.retries = retries
        for one in self.numbers.values():
            one.retries = retries

    def is_seen_cleared(self) -> bool:
        """Whether Airflow would show a clear that leaves the run's state alone (docs/reliability.md)."""
        return not self.tries and not self.retries_changed

    def clear(self, now: datetime, *, leaves_run: bool) -> None:
        """Count a clear of all tasks; those that run are killed by the caller first."""
        running = bool(self.tries)
        if not running:
            for one in self.numbers.values():
                one.clear()
        self.clears += not leaves_run
        if self.done and not leaves_run:
            self.began = now
        self.round_began = now

    def delete_and_make_again(self, now: datetime) -> None:
        """The run is deleted, and comes back under its id."""
        self.life += 1
        self.clears, self.began, self.round_began = 0, now, now
        self.numbers, self.remembered = {}, {}
        self.begin()

    def context(self, task: str) -> Any:
        """Return what a try of a task is given."""
        numbers = self.of_task(task)
        ti = SimpleNamespace(
            id=numbers.ti_id,
            dag_id=DAG_ID,
            run_id=self.name,
            task_id=task,
            map_index=-1,
            try_number=numbers.try_number,
            max_tries=numbers.max_tries,
            start_date=self.began,
            xcom_push=_forget,
        )
        run = SimpleNamespace(
            dag_id=DAG_ID,
            run_id=self.name,
            run_after=self.began,
            start_date=self.began,
            clear_number=self.clears,
        )
        return {"ti": ti, "dag_run": run, "task_state_store": None}

    def asked(self) -> Asked:
        """Return what its first task asks for now."""
        return Asked(run=self, life=self.life, item=self.item, key=self.key)


@dataclass(frozen=True, eq=False, kw_only=True)
class Asked:
    """What a ticket of ours was opened for.

    :param form: title and form as ITSM stored them; what its approver is to read.
    :param at: when it was opened, by Airflow's clock.
    """

    run: Run
    life: int
    item: str
    key: str | None
    form: str = ""
    at: datetime | None = None

    @property
    def sharers(self) -> tuple[Any, ...]:
        """Whose decision it may be: a run that was made again may keep the open ticket of the one before."""
        site, kind = id(self.run.site), self.run.kind
        if self.run.collector is not None:
            return site, self.run.collector
        return (site, "key", self.key) if self.key is not None else (site, kind, self.run.name)

    @property
    def place(self) -> tuple[Any, ...]:
        """What has at most one open ticket."""
        is_own = self.run.collector is None and self.key is None and self.run.kind != "tells"
        return (*self.sharers, self.life) if is_own else self.sharers


def uuid7(now: datetime, number: int) -> str:
    """Return the id that Airflow gives a try: its first bits are the time, in milliseconds."""
    milliseconds = int(now.timestamp() * 1000)
    return str(uuid.UUID(int=milliseconds << 80 | 7 << 76 | 0b10 << 62 | number))


def _forget(**_pushed: Any) -> None:
    """Push an XCom that nobody reads."""
