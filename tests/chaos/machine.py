# SPDX-License-Identifier: Apache-2.0
"""A stateful test: whatever Airflow, ITSM, people and crashes do in whatever order, the promises hold.

Every rule is one step; after each the invariants are checked, and at the end every run is driven to its end and
they are checked once more.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from airflow_provider_bkitsm.hooks.exchange import Reply, Request
from airflow_provider_bkitsm.itsm.outcome import Outcome
from tests.chaos.scene import Run, Scene
from tests.chaos.seams import Order, SeamedTransport
from tests.chaos.tries import Try

PICK = st.integers(0, 30)
DECISIONS = st.sampled_from([Outcome.APPROVED, Outcome.APPROVED, Outcome.REJECTED, Outcome.WITHDRAWN])
COLLECTORS = (1001, 1002)
_MOST_RUNS = 6
_TO_THE_END = 500
_ROUNDS_TO_THE_END = 60


def answer_dropped(transport: SeamedTransport, request: Request) -> Reply:
    """The work is done, the answer is lost."""
    transport.carry(request)
    raise transport.lost(sent=True)


def never_arrived(transport: SeamedTransport, _request: Request) -> Reply:
    """The request is lost on its way."""
    raise transport.lost(sent=True)


def not_sent(transport: SeamedTransport, _request: Request) -> Reply:
    """Nobody listens."""
    raise transport.lost(sent=False)


def crash_page(_transport: SeamedTransport, _request: Request) -> Reply:
    """HTML, with HTTP 200."""
    return Reply(status_code=200, content_type="text/html", body=b"<html>502</html>")


def gateway_down(_transport: SeamedTransport, _request: Request) -> Reply:
    """The gateway answers for ITSM."""
    return Reply(status_code=502, content_type="text/html", body=b"")


TROUBLES: tuple[Order, ...] = (answer_dropped, never_arrived, not_sent, crash_page, gateway_down)


class Totals:
    """What all examples together did."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.rules: Counter[str] = Counter()
        self.where: Counter[str] = Counter()
        self.examples = 0

    @property
    def steps(self) -> int:
        """How many rules were carried out."""
        return self.rules.total()


TOTALS = Totals()


class ChaosMachine(RuleBasedStateMachine):
    """Runs that apply for two collectors, and runs that open tickets of their own, alone or shared."""

    def __init__(self) -> None:
        super().__init__()
        self.scene = Scene()

    def teardown(self) -> None:
        try:
            if self.scene.broken:
                return
            drive_to_the_end(self.scene)
            self.scene.check_end()
            TOTALS.examples += 1
            TOTALS.counts += self.scene.counts
            TOTALS.where += self.scene.where
        finally:
            self.scene.close()

    @property
    def runs(self) -> list[Run]:
        return self.scene.runs

    @property
    def busy(self) -> list[Run]:
        """Runs with a task to run."""
        return [run for run in self.runs if run.phase not in ("wait", "done")]

    @property
    def waiting(self) -> list[Run]:
        return [run for run in self.runs if run.phase == "wait"]

    @property
    def live(self) -> list[tuple[Run, Try]]:
        return self.scene.live()

    @property
    def sending(self) -> list[tuple[Run, Try]]:
        """Tries that are about to send a request."""
        return [(run, one) for run, one in self.live if one.at is not None and one.at.kind == "before"]

    @initialize(shares=st.booleans())
    def a_day_begins(self, shares: bool) -> None:
        self.scene.start_run(collector=COLLECTORS[0])
        self.scene.start_run(shares=shares)

    @precondition(lambda self: len(self.runs) < _MOST_RUNS)
    @rule(collector=st.sampled_from(COLLECTORS))
    def a_run_applies(self, collector: int) -> None:
        TOTALS.rules["a run applies for a collector"] += 1
        self.scene.start_run(collector=collector)

    @precondition(lambda self: len(self.runs) < _MOST_RUNS)
    @rule(shares=st.sampled_from([True, True, False]))
    def a_run_opens(self, shares: bool) -> None:
        TOTALS.rules["a run opens a ticket"] += 1
        self.scene.start_run(shares=shares)

    @precondition(lambda self: self.busy)
    @rule(pick=PICK, stops=st.sampled_from([1, 2, 3, 4, 5, 6, 8, 10, 13, 60]))
    def a_task_goes_on(self, pick: int, stops: int) -> None:
        TOTALS.rules["a task goes on for a while"] += 1
        run = _one_of(self.busy, pick)
        self.scene.go(run, self.scene.try_of(run), stops)

    @precondition(lambda self: self.opening)
    @rule(pick=PICK)
    def a_task_goes_on_until_it_sends_a_create(self, pick: int) -> None:
        TOTALS.rules["a task goes on until it opens its ticket"] += 1
        self._until_it_sends_a_create(_one_of(self.opening, pick))

    def _until_it_sends_a_create(self, run: Run) -> Try:
        one = self.scene.try_of(run)
        while not one.over and not (one.at and one.at.before_create):
            self.scene.go(run, one)
        return one

    @precondition(lambda self: self.live)
    @rule(pick=PICK, stops=st.integers(1, 10))
    def any_try_goes_on(self, pick: int, stops: int) -> None:
        TOTALS.rules["a try, perhaps one believed dead, goes on"] += 1
        run, one = _one_of(self.live, pick)
        self.scene.go(run, one, stops)

    @precondition(lambda self: self.live)
    @rule(pick=PICK, in_flight=st.booleans())
    def a_try_crashes(self, pick: int, in_flight: bool) -> None:
        TOTALS.rules["a try is killed"] += 1
        run, one = _one_of(self.live, pick)
        self.scene.crash(run, one, in_flight=in_flight)

    @property
    def opening(self) -> list[Run]:
        return [run for run in self.busy if run.phase in ("open", "apply")]

    @precondition(lambda self: self.opening)
    @rule(pick=PICK)
    def a_task_is_killed_while_its_create_is_on_its_way(self, pick: int) -> None:
        TOTALS.rules["a task is killed, the ticket appears later"] += 1
        run = _one_of(self.opening, pick)
        one = self._until_it_sends_a_create(run)
        if not one.over:
            self.scene.crash(run, one, in_flight=True)

    @precondition(lambda self: self.live)
    @rule(pick=PICK)
    def a_try_crashes_in_its_next_commit(self, pick: int) -> None:
        TOTALS.rules["a try is killed between write and commit"] += 1
        run, one = _one_of(self.live, pick)
        one.dies_at_commit = True
        self.scene.go(run, one, 8)
        one.dies_at_commit = False

    @precondition(lambda self: any(run.collector and run.latest for run in self.busy))
    @rule(pick=PICK)
    def a_second_try_at_once(self, pick: int) -> None:
        TOTALS.rules["a second try begins beside the first"] += 1
        run = _one_of([run for run in self.busy if run.collector and run.latest], pick)
        self.scene.go(run, self.scene.try_of(run, another=True))

    @precondition(lambda self: any(run.collector for run in self.busy))
    @rule(pick=PICK, stops=st.integers(1, 40))
    def two_tries_side_by_side(self, pick: int, stops: int) -> None:
        TOTALS.rules["two tries of a task go on side by side"] += 1
        run = _one_of([run for run in self.busy if run.collector], pick)
        both = self.scene.try_of(run), self.scene.try_of(run, another=True)
        for _ in range(stops):
            for one in both:
                self.scene.go(run, one)

    @precondition(lambda self: self.sending)
    @rule(pick=PICK, trouble=st.sampled_from(TROUBLES))
    def a_request_meets_trouble(self, pick: int, trouble: Order) -> None:
        TOTALS.rules["a request or its answer is lost"] += 1
        run, one = _one_of(self.sending, pick)
        self.scene.go(run, one, order=trouble)

    @precondition(lambda self: any(one.at.before_create for _, one in self.sending))
    @rule(pick=PICK)
    def a_create_is_late(self, pick: int) -> None:
        TOTALS.rules["the answer is lost, the ticket appears later"] += 1
        run, one = _one_of([both for both in self.sending if both[1].at.before_create], pick)

        def late(transport: SeamedTransport, request: Request) -> Reply:
            self.scene.hold(one, request)
            raise transport.lost(sent=True)

        self.scene.go(run, one, order=late)

    @precondition(lambda self: self.scene.held)
    @rule(pick=PICK)
    def a_late_create_arrives(self, pick: int) -> None:
        TOTALS.rules["a late ticket appears"] += 1
        self.scene.arrive(_one_of(self.scene.held, pick))

    @precondition(lambda self: self.scene.open_tickets())
    @rule(
        pick=PICK,
        outcome=DECISIONS,
    )
    def somebody_decides(self, pick: int, outcome: Outcome) -> None:
        TOTALS.rules["a person approves, rejects or withdraws"] += 1
        self.scene.decide(_one_of(self.scene.open_tickets(), pick), outcome)

    @precondition(lambda self: self.waiting)
    @rule(pick=PICK)
    def a_wait_looks(self, pick: int) -> None:
        TOTALS.rules["a wait looks at its ticket"] += 1
        self.scene.see(_one_of(self.waiting, pick))

    @property
    def undecided(self) -> list[Run]:
        return [run for run in self.waiting if not self.scene.sandbox.world.one(run.sn).over]

    @precondition(lambda self: self.undecided)
    @rule(pick=PICK, outcome=DECISIONS)
    def somebody_decides_and_the_wait_is_told(self, pick: int, outcome: Outcome) -> None:
        TOTALS.rules["a person decides, the wait hears of it at once"] += 1
        run = _one_of(self.undecided, pick)
        self.scene.decide(self.scene.sandbox.world.one(run.sn), outcome)
        self.scene.see(run)

    @property
    def applying(self) -> list[Run]:
        return [run for run in self.runs if run.collector and run.phase in ("apply", "wait")]

    @precondition(lambda self: self.applying)
    @rule(pick=PICK)
    def a_run_comes_as_far_as_its_approval(self, pick: int) -> None:
        TOTALS.rules["a run comes as far as its approval"] += 1
        run = _one_of(self.applying, pick)
        if run.phase == "apply":
            self.scene.go(run, self.scene.try_of(run), _TO_THE_END)
        if run.phase == "wait":
            ticket = self.scene.sandbox.world.one(run.sn)
            if not ticket.over:
                self.scene.decide(ticket, Outcome.APPROVED)
            self.scene.see(run)

    @property
    def fallible(self) -> list[Run]:
        """Runs whose task at hand may fail for good; a collector's last task is retried until it ends."""
        tried = [run for run in self.busy if run.made[run.phase] > 1]
        return [run for run in tried + self.waiting if run.collector and run.phase != "complete"]

    @precondition(lambda self: self.fallible)
    @rule(pick=PICK)
    def a_task_fails_for_good(self, pick: int) -> None:
        TOTALS.rules["a wait times out, a task has no retries left"] += 1
        self.scene.give_up(_one_of(self.fallible, pick))

    @property
    def begun(self) -> list[Run]:
        """Runs that something has happened to since they were cleared."""
        return [run for run in self.runs if run.made and (run.phase not in ("open", "apply") or run.tries)]

    @precondition(lambda self: self.begun)
    @rule(pick=PICK)
    def somebody_clears_a_run(self, pick: int) -> None:
        TOTALS.rules["a person clears a run"] += 1
        self.scene.clear(_one_of(self.begun, pick))

    @property
    def tired(self) -> list[Run]:
        """Collectors' runs whose last tasks a person may start again, or too early."""
        return [run for run in self.runs if run.collector and run.sn and run.phase in ("wait", "done")]

    @precondition(lambda self: self.tired)
    @rule(pick=PICK, phase=st.sampled_from(["provision", "complete"]))
    def somebody_starts_a_later_task(self, pick: int, phase: str) -> None:
        TOTALS.rules["a person clears a later task, or marks the wait as successful"] += 1
        self.scene.clear(_one_of(self.tired, pick), phase)

    @precondition(lambda self: self.live or self.scene.held)
    @rule(seconds=st.sampled_from([1, 20, 119, 3600]))
    def time_passes(self, seconds: int) -> None:
        TOTALS.rules["time passes"] += 1
        self.scene.advance(seconds)

    @invariant()
    def the_promises_hold(self) -> None:
        self.scene.check()


def drive_to_the_end(scene: Scene) -> None:
    """Let nothing go wrong any more, and let people decide, until every run has ended."""
    for held in list(scene.held):
        scene.arrive(held)
    for run, one in scene.live():
        if one is not run.latest:
            scene.go(run, one, _TO_THE_END)
    for _ in range(_ROUNDS_TO_THE_END):
        for run in scene.runs:
            _drive(scene, run)
    assert all(run.done for run in scene.runs), [(run.name, run.phase) for run in scene.runs]


def _drive(scene: Scene, run: Run) -> None:
    if run.phase == "wait":
        ticket = scene.sandbox.world.one(run.sn)
        if not ticket.over:
            scene.decide(ticket, Outcome.APPROVED if ticket.id % 2 else Outcome.REJECTED)
        scene.see(run)
    elif not run.done:
        scene.go(run, scene.try_of(run), _TO_THE_END)


def _one_of(things: Any, pick: int) -> Any:
    return things[pick % len(things)]


def explore(*, examples: int, steps: int, shrinks: bool = True) -> Totals:
    """Run so many examples of up to so many steps, the same ones each time; return what they did.

    :param shrinks: whether an example that breaks a promise is made as short as it can be.
    """
    global TOTALS  # noqa: PLW0603 - hypothesis makes the machines
    TOTALS = Totals()
    run_state_machine_as_test(
        ChaosMachine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            derandomize=True,
            database=None,
            deadline=None,
            phases=(Phase.generate, Phase.shrink) if shrinks else (Phase.generate,),
            suppress_health_check=list(HealthCheck),
        ),
    )
    return TOTALS
