# SPDX-License-Identifier: Apache-2.0
"""Runs of DAGs, the store, the sandbox and the clock of one example; and what must always be true of them.

Airflow's part is played here: tries, retries, clears, and the order of a run's tasks.
"""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from airflow.providers.common.compat.sdk import AirflowFailException
from sqlalchemy import event

from airflow_provider_bkitsm.collectors.clean_config import digest
from airflow_provider_bkitsm.collectors.engine import sqlite_engine
from airflow_provider_bkitsm.collectors.row import CollectorRow
from airflow_provider_bkitsm.collectors.store import CollectorStore
from airflow_provider_bkitsm.hooks import exchange
from airflow_provider_bkitsm.hooks.exchange import Reply, Request
from airflow_provider_bkitsm.hooks.opening import SETTLE_SECONDS
from airflow_provider_bkitsm.itsm.errors import ItsmError
from airflow_provider_bkitsm.itsm.opening import creation_tag, marked_title
from airflow_provider_bkitsm.itsm.outcome import Outcome
from airflow_provider_bkitsm.itsm.protocol import Call
from airflow_provider_bkitsm.itsm.verdict import VerdictPolicy, read_verdict
from airflow_provider_bkitsm.operators.collector import (
    CollectorApplyOperator,
    CollectorCompleteOperator,
    CollectorProvisionEtlOperator,
)
from airflow_provider_bkitsm.operators.ticket import ItsmCreateTicketOperator
from airflow_provider_bkitsm.sandbox.tickets import Ticket
from airflow_provider_bkitsm.tickets.approval_store import ApprovalStore
from tests.chaos.clock import Clock, virtual_time
from tests.chaos.inprocess import InProcessSandbox, gateway
from tests.chaos.seams import Crash, Point, SeamedApprovals, SeamedStore, SeamedTransport, call_of, wired
from tests.chaos.tries import Try, stop
from tests.conftest import FakeTask

CONN = "bklog_default"
CLEAN = {
    "table_id": "app_runtime",
    "etl_config": "bk_log_text",
    "storage_cluster_id": 3,
    "allocation_min_days": 0,
}
NEXT = {"apply": "wait", "open": "wait", "provision": "complete", "complete": "done"}
EVE = "eve"
# What is still on its way arrives, or is given up, before the package stops to look for it.
_WITHIN = SETTLE_SECONDS * 0.99


@dataclass(eq=False, kw_only=True)
class Run:
    """A run of a DAG: ``collector`` for the collector's whole way, else one that opens a ticket of its own.

    :param shares: the run's ticket is shared by ``approval_key``.
    """

    name: str
    began: datetime
    collector: int | None = None
    shares: bool = False
    phase: str = ""
    clears: int = 0
    made: Counter[str] = field(default_factory=Counter)
    sn: str | None = None
    latest: Try | None = None
    tries: list[Try] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Go to the first task."""
        self.phase = "open" if self.collector is None else "apply"

    @property
    def done(self) -> bool:
        """Whether nothing is left to do."""
        return self.phase == "done"


@dataclass(frozen=True, kw_only=True)
class Held:
    """A ``create_ticket`` that is still on its way, until ``by`` at the latest."""

    request: Request
    by: datetime


class Transport(SeamedTransport):
    """Calls the sandbox directly."""

    def __init__(self, kind: str, scene: Scene, run: Run | None = None) -> None:
        super().__init__(gateway(kind), stop)
        self.scene, self.run = scene, run

    def carry(self, request: Request) -> Reply:
        self.scene.check_request(request, self.run)
        return self.scene.sandbox.send(request)


class Scene:
    """Everything of one example."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.sandbox = InProcessSandbox(self.clock.timestamp)
        self.runs: list[Run] = []
        self.held: list[Held] = []
        self.decided: dict[str, Outcome] = {}
        self.written: list[tuple[int, str]] = []
        self.counts: Counter[str] = Counter()
        self.where: Counter[str] = Counter()
        self.broken = False
        self._open = ExitStack()
        folder = self._open.enter_context(tempfile.TemporaryDirectory())
        self.engine = sqlite_engine(Path(folder) / "bkitsm.db")
        event.listen(self.engine, "commit", lambda _connection: stop(Point(kind="committing", name="store")))
        self._open.enter_context(virtual_time(self.clock, self._sleep))
        self._open.callback(self.sandbox.close)
        self.store = CollectorStore(self.engine, now=self.clock.now)
        self.approvals = ApprovalStore(self.engine, now=self.clock.now)
        self.foreign = [self._foreign(**one) for one in self._strangers()]
        self._foreign_before = self._seen_of_foreign()

    def close(self) -> None:
        """Kill what still runs and forget everything."""
        for run in self.runs:
            for one in run.tries:
                one.crash()
        self._open.close()

    # -- Airflow ---------------------------------------------------------------------------------------------

    def start_run(self, *, collector: int | None = None, shares: bool = False) -> Run:
        """Begin another run."""
        self.clock.advance(2)
        run = Run(
            name=f"run_{len(self.runs)}",
            began=self.clock.now(),
            collector=collector,
            shares=shares,
        )
        self.runs.append(run)
        return run

    def try_of(self, run: Run, *, another: bool = False) -> Try:
        """Return the try of a run's task that counts; start one if there is none, or if it seems to be lost."""
        if run.latest is None or another:
            task = run.phase
            run.made[task] += 1
            work = self._work(run, task)
            run.latest = Try(work, before_going_on=self._before_going_on)
            run.tries.append(run.latest)
            self.counts["tries"] += 1
        return run.latest

    def go(self, run: Run, one: Try, stops: int = 1, order: Any = None) -> None:
        """Let a try go on, and let Airflow draw its conclusion if it ends."""
        for _ in range(stops):
            if not one.over:
                one.go(order)
                self._note_intent(one)
                self.counts["stops"] += 1
            order = None
        self._note_end(run, one)

    def crash(self, run: Run, one: Try, *, in_flight: bool = False) -> None:
        """Kill a try where it stands; what it was about to send may be on its way."""
        if in_flight and one.at is not None and one.at.before_create and one.at.request is not None:
            self.hold(one, one.at.request)
        one.crash()
        self._note_end(run, one)

    def clear(self, run: Run, phase: str | None = None) -> None:
        """A person clears a run from a task on: what runs is killed, and the run goes on from there."""
        for one in list(run.tries):
            self.crash(run, one)
        run.clears += 1
        if phase is None:
            run.begin()
            run.sn = None
        else:
            run.phase = phase
        self.counts["clears"] += 1

    def give_up(self, run: Run) -> None:
        """The task at hand fails for good: what its last try does is killed, and the run goes on to its end."""
        for one in list(run.tries):
            self.crash(run, one)
        run.phase = "complete"

    def see(self, run: Run) -> None:
        """The wait looks at its ticket."""
        verdict = self.verdict(str(run.sn))
        if verdict.outcome is Outcome.WAITING:
            return
        if run.collector is None:
            run.phase = "done"
        else:
            run.phase = "provision" if verdict.outcome is Outcome.APPROVED else "complete"

    def verdict(self, sn: str) -> Any:
        """Read how a ticket stands."""
        hook = wired(ItsmCreateTicketOperator(task_id="wait", title="t"), lambda kind: Transport(kind, self)).hook
        return hook.run(read_verdict(sn, VerdictPolicy()))

    def _note_intent(self, one: Try) -> None:
        point = one.at
        if point is None or point.kind == "sleeping":
            one.means_since = None
        elif (point.kind, point.name) == ("recording", "asking") or (
            point.kind == "changing" and point.name in ("apply", "recreate")
        ):
            one.means_since = one.means_since or self.clock.now()

    def _note_end(self, run: Run, one: Try) -> None:
        if not one.over:
            return
        if one in run.tries:
            run.tries.remove(one)
        if one.crashed:
            self.counts["crashes"] += 1
            self.where[str(one.at or "at the start")] += 1
        if one.error is not None and not isinstance(one.error, Crash | ItsmError | AirflowFailException):
            self.broken = True
            raise one.error
        if one is not run.latest:
            return
        run.latest = None
        if one.error is None:
            run.sn = one.result if run.phase in ("apply", "open") else run.sn
            run.phase = NEXT[run.phase]
        elif isinstance(one.error, AirflowFailException):
            run.phase = "done" if run.phase in ("complete", "open") else "complete"

    def _work(self, run: Run, task: str) -> Callable[[], Any]:
        actor = f"{run.name}.{task}.{run.made[task]}"
        store = SeamedStore(self.engine, now=self._now_of_store, actor=actor, seam=stop)
        approvals = SeamedApprovals(self.engine, now=self._now_of_store, seam=stop)
        operator = wired(self._operator(run, task), lambda kind: Transport(kind, self, run), store, approvals)
        context = FakeTask(
            task,
            run_id=run.name,
            clear_number=run.clears,
            try_number=run.made[task],
            began=run.began,
        ).context
        return lambda: operator.execute(context)

    def _operator(self, run: Run, task: str) -> Any:
        if run.collector is None:
            return ItsmCreateTicketOperator(
                task_id=task,
                title="Restart" if run.shares else run.name,
                fast_approval=True,
                fields={"APPROVER": "alice", "APPROVAL_CONTENT": "restart"},
                approval_key="the key" if run.shares else None,
            )
        known = {"task_id": task, "collector_config_id": run.collector, "bk_biz_id": 2}
        if task == "apply":
            # Every application asks for something else, so that a digest names it.
            retention = 1 + self.runs.index(run) + 10 * run.clears
            clean = {**CLEAN, "retention": retention}
            return CollectorApplyOperator(clean_config=clean, approvers="alice", service_id=11, **known)
        kind = CollectorProvisionEtlOperator if task == "provision" else CollectorCompleteOperator
        return kind(**known)

    # -- time ------------------------------------------------------------------------------------------------

    def advance(self, seconds: float, *, sleeper: Try | None = None) -> None:
        """Let time pass: what is on its way arrives in time, and who has stalled for too long is killed."""
        later = self.clock.now() + timedelta(seconds=seconds)
        for held in [one for one in self.held if one.by <= later]:
            self.arrive(held)
        for run, one in self.live():
            since = one.means_since
            if one is not sleeper and since is not None and since + timedelta(seconds=_WITHIN) <= later:
                self.counts["stalled"] += 1
                self.crash(run, one)
        self.clock.advance(seconds)

    def live(self) -> list[tuple[Run, Try]]:
        """Return all tries under way."""
        return [(run, one) for run in self.runs for one in run.tries]

    def hold(self, one: Try, request: Request) -> None:
        """Keep a request on its way."""
        since = one.sends_since or one.means_since or self.clock.now()
        self.held.append(Held(request=request, by=since + timedelta(seconds=_WITHIN)))
        self.counts["late rows"] += 1

    def arrive(self, held: Held) -> None:
        """Let a request arrive that nobody waits for any more."""
        self.held.remove(held)
        self.sandbox.send(held.request)

    def _sleep(self, seconds: float) -> None:
        stop(Point(kind="sleeping", name="", seconds=seconds))

    def _before_going_on(self, one: Try) -> None:
        if one.at is not None and one.at.kind == "sleeping":
            self.advance(one.at.seconds, sleeper=one)
        if one.at is not None and one.at.before_create:
            one.sends_since, one.means_since = one.means_since, None

    def _now_of_store(self) -> datetime:
        return self.clock.now()

    # -- people ----------------------------------------------------------------------------------------------

    def open_tickets(self) -> list[Ticket]:
        """Return our tickets that are open."""
        return [one for one in self.sandbox.tickets if not one.over and one not in self.foreign]

    def decide(self, ticket: Ticket, outcome: Outcome) -> None:
        """A person decides, or takes the ticket back."""
        call = {"sn": ticket.sn, "operator": ticket.creator, "action_type": "WITHDRAW", "action_message": "m"}
        if outcome in (Outcome.APPROVED, Outcome.REJECTED):
            said = "true" if outcome is Outcome.APPROVED else "false"
            node = ticket.current_node
            assert node is not None, ticket
            call = {"sn": ticket.sn, "state_id": node.state_id, "approver": "alice", "action": said, "remark": "r"}
        self.ask("operate_ticket" if outcome is Outcome.WITHDRAWN else "approve", call)
        self.decided[ticket.sn] = outcome
        assert ticket.over, ticket

    def ask(self, name: str, body: dict[str, Any]) -> Any:
        """Make one of ITSM's calls as another client would."""
        call: Call[Any] = Call(method="POST", path=f"{name}/", body=body, parse=dict)
        request = exchange.write(gateway("bkitsm"), call)
        answer = json.loads(self.sandbox.send(request).body)
        assert answer["result"] is True, answer
        return answer["data"]

    def _strangers(self) -> list[dict[str, Any]]:
        """Tickets of others that look like ours in one way or another."""
        own = creation_tag("bkitsm_default", "dag", "run_1", "open", -1, 0)
        shared = creation_tag("bkitsm_default", "dag", "approval_key", "the key")
        return [
            {"creator": EVE, "tag": own, "title": marked_title("run_1", own)},
            {"creator": "admin", "tag": own, "title": "run_1"},
            {"creator": EVE, "tag": shared, "title": marked_title("x", shared)},
            {"creator": "admin", "tag": None, "title": "x"},
        ]

    def _foreign(self, *, creator: str, tag: str | None, title: str) -> Ticket:
        fields = {"title": title, "APPROVER": "alice", "APPROVAL_CONTENT": "c"}
        body: dict[str, Any] = {
            "creator": creator,
            "fast_approval": True,
            "fields": [{"key": key, "value": value} for key, value in fields.items()],
        }
        sn = self.ask("create_ticket", body | ({"tag": tag} if tag else {}))["sn"]
        return self.sandbox.world.one(sn)

    # -- what must be true -----------------------------------------------------------------------------------

    def check_request(self, request: Request, run: Run | None) -> None:
        """Check what a task is about to do (P3, P6, P7)."""
        said = f"{request.url} {request.params} {(request.body or b'').decode()}"
        for one in self.foreign:
            assert one.sn not in said, f"P6: {said}"
        body = json.loads(request.body) if request.body else {}
        if call_of(request) == "create_ticket" and run is not None:
            self._check_intent(run, body["tag"])
        if call_of(request) == "update_or_create_clean_config":
            self._check_write(request, body)

    def check(self) -> None:
        """Check what must be true at any time."""
        self.broken, broken = True, self.broken
        assert self._seen_of_foreign() == self._foreign_before, "P6: another's ticket was touched"
        tags = Counter(one.tag for one in self.open_tickets())
        assert not [tag for tag, many in tags.items() if many > 1], f"P2: two open tickets: {tags}"
        for row in self.rows():
            self._check_row(row)
        self.broken = broken

    def check_end(self) -> None:
        """Check what must be true when all runs have ended (P1, P2, P5)."""
        self.check()
        waiting = [(one.sn, one.title) for one in self.open_tickets()]
        assert not waiting, f"P5: open tickets that nobody waits for: {waiting}"
        for row in self.rows():
            history = self.store.history(CONN, row.collector_config_id)
            assert [one.version for one in history] == list(range(1, row.version + 1))
            verdicts = {one.ticket_sn: one.detail["outcome"] for one in history if one.event == "decided"}
            for sn in {one.ticket_sn for one in history if one.ticket_sn} & set(self.decided):
                said = {self.decided[sn]}
                if Outcome.WITHDRAWN in said:
                    # Nobody's decision: a task that withdraws in the same moment says that its time was up.
                    said.add(Outcome.TIMED_OUT)
                assert verdicts.get(sn) in said, f"P1: {sn} was {self.decided[sn]}: {verdicts}"

    def rows(self) -> list[CollectorRow]:
        """Return the rows of all collectors that runs are about."""
        return [self.store.get(CONN, one) for one in sorted({run.collector for run in self.runs if run.collector})]

    def _check_row(self, row: CollectorRow) -> None:
        if row.provisioned_at is None and not row.has_success:
            return
        ticket = self.sandbox.world.one(row.ticket_sn)
        assert row.outcome is Outcome.APPROVED, f"P3: {row}"
        assert ticket.approve_result is True, f"P3: {row}"
        assert ticket.tag == row.tag, f"P3: {row}"
        assert row.provisioned_at is not None, f"P7: complete before its ETL: {row}"
        assert (row.collector_config_id, row.etl_digest) in self.written, f"P7: its ETL was never written: {row}"

    def _check_write(self, request: Request, body: dict[str, Any]) -> None:
        collector, shown = int(request.url.rstrip("/").split("/")[-2]), digest(body)
        approved = [one for one in self.sandbox.tickets if one.approve_result and shown in json.dumps(one.fields)]
        assert approved, f"P3: an ETL that nobody approved: {body}"
        self.written.append((collector, shown))

    def _check_intent(self, run: Run, tag: str) -> None:
        if run.collector is not None:
            history = self.store.history(CONN, run.collector)
            assert tag in [one.detail.get("tag") for one in history if one.event == "apply"], "P7: no intent"
        else:
            asking = [one for name in (run.name, "") for one in self.approvals.of_run("dag", name)]
            assert tag in [one.tag for one in asking if one.create_started_at], "P7: no intent"

    def _seen_of_foreign(self) -> list[Any]:
        return [json.dumps(one.document(), default=str) for one in self.foreign]
