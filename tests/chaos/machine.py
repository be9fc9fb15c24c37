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

from airflow_provider_bkitsm.hooks.transport import Reply, Request
from airflow_provider_bkitsm.itsm.outcome import Outcome
from tests.chaos.adversary import EVE, Adversary
from tests.chaos.others import PICK, OthersRules, one_of
from tests.chaos.runs import FIRST_TASK, Run
from tests.chaos.scene import Scene
from tests.chaos.seams import Order, SeamedTransport
from tests.chaos.tries import Try
from tests.chaos.troubles import TROUBLES

DECISIONS = st.sampled_from([Outcome.APPROVED, Outcome.APPROVED, Outcome.REJECTED, Outcome.WITHDRAWN])
COLLECTORS = (1001, 1002)
KINDS = ("opens", "opens", "asks", "asks", "tells")
_MOST_RUNS = 6
_TO_THE_END = 500
_ROUNDS_TO_THE_END = 40


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


class ChaosMachine(OthersRules, RuleBasedStateMachine):
    """Runs that apply for two collectors, and runs that open tickets of their own, alone or shared."""

    def __init__(self) -> None:
        super().__init__()
        self.scene = Scene()
        self.adversary = Adversary(self.scene)
        self.sites = [0]

    def counted(self, step: str) -> None:
        """Count a step."""
        TOTALS.rules[step] += 1

    def teardown(self) -> None:
        try:
            if self.scene.broken:
                return
            drive_to_the_end(self.scene)
            self.scene.promises.check_end()
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

    @initialize(
        installations=st.sampled_from([[0], [0, 1], [0, 2]]),
        itsm_ahead=st.sampled_from([0, 0, -900, -600, 599, 900]),
        kind=st.sampled_from(KINDS),
        shares=st.booleans(),
    )
    def a_day_begins(self, installations: list[int], itsm_ahead: int, kind: Any, shares: bool) -> None:
        self.sites, self.scene.itsm_ahead = installations, itsm_ahead
        self.scene.start_run("applies", collector=COLLECTORS[0])
        self._start(kind, shares=shares)
        for creator, tagged in (("admin", True), (EVE, True), ("admin", False)):
            self.adversary.prepare(self.runs[1], creator=creator, tagged=tagged)

    def _start(self, kind: Any, *, shares: bool, site: int = 0, **more: Any) -> Run:
        key = "the key" if shares and kind != "tells" else None
        return self.scene.start_run(kind, site=self.sites[site % len(self.sites)], key=key, **more)

    @precondition(lambda self: len(self.runs) < _MOST_RUNS)
    @rule(collector=st.sampled_from(COLLECTORS))
    def a_run_applies(self, collector: int) -> None:
        self.counted("a run applies for a collector")
        self.scene.start_run("applies", collector=collector)

    @precondition(lambda self: len(self.runs) < _MOST_RUNS)
    @rule(
        kind=st.sampled_from(KINDS),
        shares=st.sampled_from([True, True, False]),
        site=st.integers(0, 1),
        item=st.sampled_from(["restart", "restart", "drop everything"]),
        two_steps=st.sampled_from([False, False, True]),
        retries=st.integers(0, 2),
        timeout=st.sampled_from([None, None, 3600.0]),
    )
    def a_run_opens(
        self, kind: Any, shares: bool, site: int, item: str, two_steps: bool, retries: int, timeout: float | None
    ) -> None:
        self.counted("a run opens a ticket")
        more = {"two_steps": two_steps and kind != "tells", "item": item, "retries": retries, "timeout": timeout}
        self._start(kind, shares=shares, site=site, **more)

    @property
    def nameable(self) -> list[Run]:
        """Runs of one installation that another one may have as well."""
        taken = {(one.name, one.site) for one in self.runs}
        return [
            one for one in self.runs if one.collector is None and (one.name, self._other_site(one)) not in taken
        ]

    def _other_site(self, run: Run) -> Any:
        index = next(one for one in self.sites if self.scene.sites[one] is not run.site)
        return self.scene.sites[index]

    @precondition(lambda self: len(self.sites) > 1 and len(self.runs) < _MOST_RUNS and self.nameable)
    @rule(pick=PICK)
    def another_installation_has_the_same_run(self, pick: int) -> None:
        self.counted("another installation begins the same run")
        run = one_of(self.nameable, pick)
        site = self.scene.sites.index(self._other_site(run))
        more = {"item": run.item, "key": run.key, "two_steps": run.two_steps, "retries": run.retries}
        self.scene.start_run(run.kind, site=site, name=run.name, **more)

    @precondition(lambda self: self.busy)
    @rule(pick=PICK, stops=st.sampled_from([1, 2, 3, 4, 5, 6, 8, 10, 13, 60]))
    def a_task_goes_on(self, pick: int, stops: int) -> None:
        self.counted("a task goes on for a while")
        run = one_of(self.busy, pick)
        self.scene.go(run, self.scene.try_of(run), stops)

    @precondition(lambda self: self.opening)
    @rule(pick=PICK)
    def a_task_goes_on_until_it_sends_a_create(self, pick: int) -> None:
        self.counted("a task goes on until it opens its ticket")
        self.until_it_sends_a_create(one_of(self.opening, pick))

    def until_it_sends_a_create(self, run: Run) -> Try:
        one = self.scene.try_of(run)
        while not one.over and not (one.at and one.at.before_create):
            self.scene.go(run, one)
        return one

    @precondition(lambda self: self.live)
    @rule(pick=PICK, stops=st.integers(1, 10))
    def any_try_goes_on(self, pick: int, stops: int) -> None:
        self.counted("a try, perhaps one believed dead, goes on")
        run, one = one_of(self.live, pick)
        self.scene.go(run, one, stops)

    @precondition(lambda self: self.live)
    @rule(pick=PICK, in_flight=st.booleans())
    def a_try_crashes(self, pick: int, in_flight: bool) -> None:
        self.counted("a try is killed")
        run, one = one_of(self.live, pick)
        self.scene.crash(run, one, in_flight=in_flight)

    @property
    def opening(self) -> list[Run]:
        return [run for run in self.busy if run.phase in FIRST_TASK.values()]

    @precondition(lambda self: self.opening)
    @rule(pick=PICK)
    def a_task_is_killed_while_its_create_is_on_its_way(self, pick: int) -> None:
        self.counted("a task is killed, the ticket appears later")
        run = one_of(self.opening, pick)
        one = self.until_it_sends_a_create(run)
        if not one.over:
            self.scene.crash(run, one, in_flight=True)

    @precondition(lambda self: self.live)
    @rule(pick=PICK)
    def a_try_crashes_in_its_next_commit(self, pick: int) -> None:
        self.counted("a try is killed between write and commit")
        run, one = one_of(self.live, pick)
        one.dies_at_commit = True
        self.scene.go(run, one, 8)
        one.dies_at_commit = False

    @precondition(lambda self: any(run.latest for run in self.busy))
    @rule(pick=PICK)
    def a_second_try_at_once(self, pick: int) -> None:
        self.counted("a second try begins beside the first")
        run = one_of([run for run in self.busy if run.latest], pick)
        self.scene.go(run, self.scene.try_of(run, another=True))

    @precondition(lambda self: self.busy)
    @rule(pick=PICK, stops=st.integers(1, 40))
    def two_tries_side_by_side(self, pick: int, stops: int) -> None:
        self.counted("two tries of a task go on side by side")
        run = one_of(self.busy, pick)
        both = self.scene.try_of(run), self.scene.try_of(run, another=True)
        for _ in range(stops):
            for one in both:
                self.scene.go(run, one)

    @precondition(lambda self: self.sending)
    @rule(pick=PICK, trouble=st.sampled_from(TROUBLES))
    def a_request_meets_trouble(self, pick: int, trouble: Order) -> None:
        self.counted("a request or its answer is lost")
        run, one = one_of(self.sending, pick)
        self.scene.go(run, one, order=trouble)

    @precondition(lambda self: any(one.at.before_create for _, one in self.sending))
    @rule(pick=PICK)
    def a_create_is_late(self, pick: int) -> None:
        self.counted("the answer is lost, the ticket appears later")
        run, one = one_of([both for both in self.sending if both[1].at.before_create], pick)

        def late(transport: SeamedTransport, request: Request) -> Reply:
            self.scene.hold(one, request)
            raise transport.lost(sent=True)

        self.scene.go(run, one, order=late)

    @precondition(lambda self: self.scene.held)
    @rule(pick=PICK)
    def a_late_create_arrives(self, pick: int) -> None:
        self.counted("a late ticket appears")
        self.scene.arrive(one_of(self.scene.held, pick))

    @precondition(lambda self: self.scene.open_tickets())
    @rule(
        pick=PICK,
        outcome=DECISIONS,
    )
    def somebody_decides(self, pick: int, outcome: Outcome) -> None:
        self.counted("a person approves, rejects or withdraws")
        self.scene.decide(one_of(self.scene.open_tickets(), pick), outcome)

    @precondition(lambda self: self.waiting)
    @rule(pick=PICK)
    def a_wait_looks(self, pick: int) -> None:
        self.counted("a wait looks at its ticket")
        self.scene.see(one_of(self.waiting, pick))

    @property
    def undecided(self) -> list[Run]:
        return [run for run in self.waiting if not self.scene.sandbox.world.one(run.sn).over]

    @precondition(lambda self: self.undecided)
    @rule(pick=PICK, outcome=DECISIONS)
    def somebody_decides_and_the_wait_is_told(self, pick: int, outcome: Outcome) -> None:
        self.counted("a person decides, the wait hears of it at once")
        run = one_of(self.undecided, pick)
        self.scene.decide(self.scene.sandbox.world.one(run.sn), outcome)
        self.scene.see(run)

    @property
    def asking(self) -> list[Run]:
        return [run for run in self.runs if run.kind != "tells" and run.phase in ("apply", "open", "ask", "wait")]

    @precondition(lambda self: self.asking)
    @rule(pick=PICK)
    def a_run_comes_as_far_as_its_approval(self, pick: int) -> None:
        self.counted("a run comes as far as its approval")
        run = one_of(self.asking, pick)
        if run.phase in FIRST_TASK.values():
            self.scene.go(run, self.scene.try_of(run), _TO_THE_END)
        if run.phase == "wait":
            ticket = self.scene.sandbox.world.one(run.sn)
            while not ticket.over:
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
        self.counted("a wait times out, a task has no retries left")
        self.scene.give_up(one_of(self.fallible, pick))

    @property
    def begun(self) -> list[Run]:
        """Runs that something has happened to since they were cleared."""
        return [run for run in self.runs if run.numbers and (run.phase not in FIRST_TASK.values() or run.tries)]

    @precondition(lambda self: self.begun)
    @rule(pick=PICK, leaves_run=st.booleans())
    def somebody_clears_a_run(self, pick: int, leaves_run: bool) -> None:
        self.counted("a person clears a run")
        run = one_of(self.begun, pick)
        self.scene.clear(run, leaves_run=leaves_run and run.collector is None)

    @property
    def tired(self) -> list[Run]:
        """Collectors' runs whose last tasks a person may start again, or too early."""
        return [run for run in self.runs if run.collector and run.sn and run.phase in ("wait", "done")]

    @precondition(lambda self: self.tired)
    @rule(pick=PICK, phase=st.sampled_from(["provision", "complete"]))
    def somebody_starts_a_later_task(self, pick: int, phase: str) -> None:
        self.counted("a person clears a later task, or marks the wait as successful")
        self.scene.clear(one_of(self.tired, pick), phase)

    @precondition(lambda self: self.live or self.scene.held)
    @rule(seconds=st.sampled_from([1, 20, 119, 3600]))
    def time_passes(self, seconds: int) -> None:
        self.counted("time passes")
        self.scene.advance(seconds)

    @invariant()
    def the_promises_hold(self) -> None:
        self.scene.promises.check()


def drive_to_the_end(scene: Scene) -> None:
    """Let nothing go wrong any more, and let people decide, until every run has ended."""
    for held in list(scene.held):
        scene.arrive(held)
    for run, one in scene.live():
        if one is not run.latest:
            scene.go(run, one, _TO_THE_END)
    for number in range(_ROUNDS_TO_THE_END):
        for run in scene.runs:
            if number > _ROUNDS_TO_THE_END // 2 and run.phase == "apply":
                # Its ticket was edited while its answer was lost: a person has to look at it.
                scene.give_up(run)
            _drive(scene, run)
    left = [(one.name, one.phase, one.trouble) for one in scene.runs if not one.done]
    assert not left, f"P1: {left}"


def _drive(scene: Scene, run: Run) -> None:
    if run.phase == "wait":
        for ticket in map(scene.sandbox.world.one, (run.sn, run.awaited)):
            while not ticket.over:
                scene.decide(ticket, Outcome.APPROVED if ticket.id % 2 else Outcome.REJECTED)
        scene.see(run)
    elif not run.done:
        scene.go(run, scene.try_of(run), _TO_THE_END)


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
