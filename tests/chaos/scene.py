# SPDX-License-Identifier: Apache-2.0
"""Runs of DAGs, the stores, the sandbox and the clocks of one example.

Airflow's part is played here: tries, retries, clears, and the order of a run's tasks. So is the people's who are
asked. What others do is in ``adversary``, what must always be true in ``promises``.
"""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred
from greenlet import getcurrent
from sqlalchemy import event

from airflow_provider_bkitsm.collectors.database import sqlite_engine
from airflow_provider_bkitsm.collectors.migrations import migrate
from airflow_provider_bkitsm.collectors.store import CollectorStore
from airflow_provider_bkitsm.hooks import store as stores
from airflow_provider_bkitsm.hooks import transport
from airflow_provider_bkitsm.hooks.transport import Reply, Request
from airflow_provider_bkitsm.itsm.errors import ItsmError
from airflow_provider_bkitsm.itsm.outcome import Outcome
from airflow_provider_bkitsm.itsm.protocol import Call
from airflow_provider_bkitsm.itsm.verdict import VerdictPolicy
from airflow_provider_bkitsm.itsm.verdict_reading import read_verdict
from airflow_provider_bkitsm.sandbox.itsm.tickets import Ticket
from airflow_provider_bkitsm.tickets import approval_store, ownership_records
from airflow_provider_bkitsm.tickets.opener import SETTLE_SECONDS
from tests.chaos.clock import Clock, virtual_time
from tests.chaos.inprocess import InProcessSandbox, gateway
from tests.chaos.promises import Decision, Promises, form_of
from tests.chaos.runs import NEXT, Asked, Kind, Run, Site
from tests.chaos.seams import Crash, Point, SeamedApprovals, SeamedStore, SeamedTransport, call_of, wired
from tests.chaos.tasks import first_task, later_task, sensor
from tests.chaos.tries import Try, stop

# What is still on its way arrives, or is given up, before the package stops to look for it.
_WITHIN = 0.99
_DAY = 86_400
_NOTIFIER_SETTLE_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class Held:
    """A ``create_ticket`` that is still on its way, until ``by`` at the latest."""

    request: Request
    by: datetime
    asked: Asked


class Transport(SeamedTransport):
    """Calls the sandbox directly."""

    def __init__(self, kind: str, scene: Scene, run: Run, asked: Asked | None = None) -> None:
        super().__init__(gateway(kind), stop)
        self.scene, self.run, self.asked = scene, run, asked

    def carry(self, request: Request) -> Reply:
        self.scene.promises.check_request(request, self.run)
        return self.scene.send(request, self.asked)


class Scene:
    """Everything of one example.

    ``sites`` are an Airflow, one that shares its store, and one that shares no more than ITSM and all names.
    """

    def __init__(self) -> None:
        self.clock = Clock()
        self.itsm_ahead = 0.0
        self.sandbox = InProcessSandbox(lambda: self.clock.timestamp() + self.itsm_ahead)
        self.runs: list[Run] = []
        self.held: list[Held] = []
        self.asked: dict[int, Asked] = {}
        self.decided: dict[str, Decision] = {}
        self.edited: set[int] = set()
        self.counts: Counter[str] = Counter()
        self.where: Counter[str] = Counter()
        self.broken = False
        self._open = ExitStack()
        folder = Path(self._open.enter_context(tempfile.TemporaryDirectory()))
        engines = [sqlite_engine(folder / f"bkitsm{one}.db") for one in range(2)]
        for one in engines:
            event.listen(one, "commit", lambda _connection: stop(Point(kind="committing", name="store")))
        self.sites = [
            Site(address="https://airflow", engine=engines[0]),
            Site(address="https://staging", engine=engines[0]),
            Site(address="https://airflow", engine=engines[1]),
        ]
        self._looking = self.sites[0]
        self._open.enter_context(virtual_time(self.clock, self._sleep))
        for engine in engines:
            migrate(engine)
        # The stores are not of today: whatever is opened now has a record.
        self.clock.advance(_DAY)
        for module, name, value in (
            (stores, "store_engine", lambda *_: self._site.engine),
            *((one, "installation", lambda: self._site.address) for one in (approval_store, ownership_records)),
            (approval_store, "open_approval_store", lambda *_: self._approvals(self._site)),
        ):
            self._open.enter_context(patch.object(module, name, value))
        self._open.callback(self.sandbox.close)
        self.store = CollectorStore(self.sites[0].engine, now=self.clock.now)
        self.promises = Promises(self)

    def close(self) -> None:
        """Kill what still runs and forget everything."""
        for run in self.runs:
            for one in run.tries:
                one.crash()
        self._open.close()

    # -- Airflow ---------------------------------------------------------------------------------------------

    def start_run(self, kind: Kind = "opens", *, site: int = 0, name: str | None = None, **more: Any) -> Run:
        """Begin another run."""
        self.clock.advance(2)
        name = name or f"run_{len(self.runs)}"
        run = Run(name=name, kind=kind, site=self.sites[site], began=self.clock.now(), **more)
        self.runs.append(run)
        return run

    def try_of(self, run: Run, *, another: bool = False) -> Try:
        """Return the try of a run's task that counts; start one if there is none, or if it seems to be lost."""
        if run.latest is None or another:
            self.clock.advance(0.01)
            run.of_task(run.phase).begin_try(self.clock.now())
            settle = _NOTIFIER_SETTLE_SECONDS if run.kind == "tells" else SETTLE_SECONDS
            run.latest = Try(self._work(run), before_going_on=self._before_going_on, run=run, settle=settle)
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

    def clear(self, run: Run, phase: str | None = None, *, leaves_run: bool = False) -> None:
        """A person clears a run from a task on: what runs is killed, and the run goes on from there."""
        run.clear(self.clock.now(), leaves_run=leaves_run and run.is_seen_cleared())
        self._kill(run)
        if phase is None:
            run.begin()
        else:
            run.phase = phase
        self.clock.advance(1)
        self.counts["clears"] += 1

    def delete_and_make_again(self, run: Run) -> None:
        """A run is deleted, and made again under its id."""
        self._kill(run)
        self.clock.advance(1)
        run.delete_and_make_again(self.clock.now())
        self.clock.advance(1)
        self.counts["runs made again"] += 1

    def give_up(self, run: Run) -> None:
        """The task at hand fails for good: what its last try does is killed, and the run goes on to its end."""
        self._kill(run)
        run.phase = "complete"

    def see(self, run: Run, event: Any = None) -> None:
        """The wait looks at its ticket, or hears of one.

        :param event: what an approval in one task is resumed with, if not with what its trigger has read.
        """
        self._looking = run.site
        asked = run.asked() if run.kind == "asks" else None
        operator = self._wired(self._waiting(run), run, asked)
        context = run.context("ask" if run.kind == "asks" else "wait")
        try:
            if run.kind == "asks":
                verdict = operator.hook.run(read_verdict(str(run.sn), VerdictPolicy()))
                if event is None and verdict.outcome is Outcome.WAITING:
                    return
                operator.execute_complete(context, event or {"verdict": verdict.as_dict()}, **run.remembered)
            elif not operator.poke(context):
                return
        except TaskDeferred:
            return
        except ItsmError as error:
            # As any sensor's try that fails, it is tried again.
            run.trouble = str(error)
            self.counts["looks in vain"] += 1
            return
        except AirflowFailException:
            self.promises.check_refused(run)
            self.counts["refused"] += 1
            run.phase = "complete" if run.kind == "applies" else "done"
            return
        self.promises.check_believed(run)
        self.counts["believed"] += 1
        run.phase = "provision" if run.kind == "applies" else "done"

    def hook_of(self, run: Run) -> Any:
        """Return what asks ITSM in a run's name."""
        return self._wired(self._waiting(run), run, None).hook

    def _waiting(self, run: Run) -> Any:
        if run.kind == "asks":
            return first_task(run, "ask")
        return sensor(run, opened_by="apply" if run.kind == "applies" else "open")

    def _kill(self, run: Run) -> None:
        for one in list(run.tries):
            self.crash(run, one)

    def _note_intent(self, one: Try) -> None:
        point = one.at
        if point is None or point.kind == "sleeping":
            one.means_since = None
        elif (point.kind, point.name) in (
            ("recording", "asking"),
            ("changing", "apply"),
            ("changing", "recreate"),
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
        expected = Crash, ItsmError, AirflowFailException, TaskDeferred
        if one.error is not None and not isinstance(one.error, expected):
            self.broken = True
            raise one.error
        if one is run.latest:
            run.latest, run.trouble = None, repr(one.error)
            self._conclude(run, one)

    def _conclude(self, run: Run, one: Try) -> None:
        """Go on as Airflow does after a task's end."""
        if isinstance(one.error, AirflowFailException):
            run.phase = "complete" if run.kind == "applies" and run.phase != "complete" else "done"
            self.counts["failed for good"] += 1
        elif isinstance(one.error, TaskDeferred):
            self._awaits(run, one.error.trigger.ticket_sn, **(one.error.kwargs or {}))
        elif one.error is None and run.phase in ("apply", "open"):
            self._awaits(run, one.result)
        elif one.error is None:
            run.phase = NEXT[run.phase]

    def _awaits(self, run: Run, sn: str, /, **remembered: Any) -> None:
        run.sn, run.remembered, run.phase = sn, remembered, "wait"
        self.promises.check_awaited(run)

    def _work(self, run: Run) -> Callable[[], Any]:
        task = run.phase
        is_first = task not in ("provision", "complete")
        asked = run.asked() if is_first else None
        operator = first_task(run, task) if is_first else later_task(run, task)
        operator = self._wired(operator, run, asked)
        context = run.context(task)
        if run.kind == "tells":
            return lambda: operator.notify(context)
        return lambda: operator.execute(context)

    def _wired(self, task: Any, run: Run, asked: Asked | None) -> Any:
        actor = f"{run.name}.{run.phase}.{run.made[run.phase]}"
        store = SeamedStore(run.site.engine, now=self.clock.now, actor=actor, seam=stop)
        return wired(task, lambda kind: Transport(kind, self, run, asked), store, self._approvals(run.site))

    def _approvals(self, site: Site) -> SeamedApprovals:
        return SeamedApprovals(site.engine, now=self.clock.now, seam=stop)

    @property
    def _site(self) -> Site:
        """The installation of whoever asks."""
        one = getcurrent()
        return one.run_of.site if isinstance(one, Try) else self._looking

    # -- time ------------------------------------------------------------------------------------------------

    def advance(self, seconds: float, *, sleeper: Try | None = None) -> None:
        """Let time pass: what is on its way arrives in time, and who has stalled for too long is killed."""
        later = self.clock.now() + timedelta(seconds=seconds)
        for held in [one for one in self.held if one.by <= later]:
            self.arrive(held)
        for run, one in self.live():
            since = one.means_since
            if one is not sleeper and since is not None and self._limit(one, since) <= later:
                self.counts["stalled"] += 1
                self.crash(run, one)
        self.clock.advance(seconds)

    def live(self) -> list[tuple[Run, Try]]:
        """Return all tries under way."""
        return [(run, one) for run in self.runs for one in run.tries]

    def hold(self, one: Try, request: Request) -> None:
        """Keep a request on its way."""
        since = one.sends_since or one.means_since or self.clock.now()
        self.held.append(Held(request=request, by=self._limit(one, since), asked=one.asked))
        self.counts["late rows"] += 1

    def arrive(self, held: Held) -> None:
        """Let a request arrive that nobody waits for any more."""
        self.held.remove(held)
        self.send(held.request, held.asked)

    def _limit(self, one: Try, since: datetime) -> datetime:
        return since + timedelta(seconds=one.settle * _WITHIN)

    def _sleep(self, seconds: float) -> None:
        stop(Point(kind="sleeping", name="", seconds=seconds))

    def _before_going_on(self, one: Try) -> None:
        if one.at is not None and one.at.kind == "sleeping":
            self.advance(one.at.seconds, sleeper=one)
        if one.at is not None and one.at.before_create:
            one.sends_since, one.means_since = one.means_since, None

    # -- ITSM and its people ---------------------------------------------------------------------------------

    def send(self, request: Request, asked: Asked | None) -> Reply:
        """Send to the sandbox; note which tickets came of it, and what they ask."""
        before = set(self.sandbox.world.tickets)
        reply = self.sandbox.send(request)
        if asked is not None and call_of(request) == "create_ticket":
            for number in set(self.sandbox.world.tickets) - before:
                form = form_of(self.sandbox.world.tickets[number])
                self.asked[number] = replace(asked, form=form, at=self.clock.now())
        return reply

    def ours(self) -> list[Ticket]:
        """Return the tickets that our tasks have opened."""
        return [one for one in self.sandbox.tickets if one.id in self.asked]

    def open_tickets(self) -> list[Ticket]:
        """Return our tickets that are open."""
        return [one for one in self.ours() if not one.over]

    def decide(self, ticket: Ticket, outcome: Outcome) -> None:
        """Whoever is asked decides, or the ticket is taken back."""
        if outcome is Outcome.WITHDRAWN and ticket.withdrawable:
            self.operate(ticket)
            return
        person = ticket.waits_for[0]
        self.answer(ticket, person, yes=outcome is Outcome.APPROVED)

    def answer(self, ticket: Ticket, person: str, *, yes: bool) -> None:
        """A person answers at the step that asks them."""
        node = ticket.node_of(person)
        assert node is not None, ticket
        body = {"sn": ticket.sn, "state_id": node.state_id, "approver": person, "remark": "r"}
        self.ask("approve", body | {"action": "true" if yes else "false"})
        so_far = self.decided.get(ticket.sn) or Decision()
        self.decided[ticket.sn] = so_far.with_answer(person, yes, at=self.clock.now(), form=form_of(ticket))
        if ticket.id in self.promises.foreign:
            self.promises.note_foreign(ticket)

    def operate(self, ticket: Ticket) -> None:
        """The ticket is withdrawn."""
        body = {"sn": ticket.sn, "operator": ticket.creator, "action_type": "WITHDRAW", "action_message": "m"}
        self.ask("operate_ticket", body)
        self.decided[ticket.sn] = Decision(withdrawn=True, at=self.clock.now())

    def ask(self, name: str, body: dict[str, Any]) -> Any:
        """Make one of ITSM's calls as another client would."""
        call: Call[Any] = Call(method="POST", path=f"{name}/", body=body, parse=dict)
        request = transport.build_request(gateway("bkitsm"), call)
        answer = json.loads(self.sandbox.send(request).body)
        assert answer["result"] is True, answer
        return answer["data"]
