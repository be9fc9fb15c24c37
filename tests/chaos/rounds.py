# SPDX-License-Identifier: Apache-2.0
"""A round: runs are brought to their points, something is killed and started again, every run has to end well."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import psutil

from demo.processes import MARK
from tests.chaos.cases import Case
from tests.chaos.points import DECIDED_BEFORE, NO_TICKET_YET, WAITS, WITH_A_WORKER, Point
from tests.chaos.stage import ORPHANS, SANDBOX, TRIGGERER, TRIGGERERS, WORKER, Stage
from tests.e2e.gates import at_once

# The kill has to be heard of, and the next try has to come, before a late ticket appears.
_LATE_SECONDS = 15
_DECISION_SECONDS = 60
# Until the next scheduler has noticed, and started tasks once more.
_AGAIN_SECONDS = 60


@dataclass(frozen=True, kw_only=True)
class Result:
    """What became of one run whose surroundings were killed.

    :param cut: Airflow has lost rows of it, and cannot end it.
    """

    executor: str
    component: str
    point: Point
    approve: bool
    problems: tuple[str, ...]
    cut: bool = False


class Round:
    """One kill.

    :param component: what is killed; ``triggerer`` is the one of the two that has more waits.
    :param wanted: the points of its runs, and whether each is approved.
    """

    def __init__(self, stage: Stage, component: str, wanted: Iterable[tuple[Point, bool]]) -> None:
        self.stage = stage
        self.component = component
        self.cases = [Case(stage=stage, point=point, approve=approve) for point, approve in wanted]

    def play(self) -> list[Result]:
        """Play it and say what became of every run."""
        self.bring_to_their_points()
        self.strike()
        self.decide(self.cases)
        return [self.result(case, case.problems) for case in self.cases]

    def _at(self, *points: Point) -> list[Case]:
        return [case for case in self.cases if case.point in points]

    def bring_to_their_points(self) -> None:
        """Those that may stand still for long come first; a ticket that is being opened may not."""
        waiting, decided = self._at(*WAITS), self._at(*DECIDED_BEFORE)
        for case in waiting + decided:
            case.open()
        for case in waiting + decided:
            case.stands_still() if case.point is Point.LOOKING else case.waits()
        for case in decided:
            case.decide()
        for case in decided:
            case.stands_still()
        for case in self._at(*NO_TICKET_YET):
            case.open()
        for case in self._at(*NO_TICKET_YET):
            case.stands_still()

    def strike(self) -> None:
        deciding = [case.decide for case in self._at(Point.DECIDING)]
        if self.component == WORKER:
            self._kill_workers()
        elif self.component == SANDBOX:
            at_once(*deciding, lambda: None)
            self.stage.kill(SANDBOX)
            self.stage.turnstile.release(cut=True)
            self.stage.restart(SANDBOX)
        else:
            self._kill(self._target(), deciding)

    def _kill(self, name: str, deciding: Sequence[Callable[[], None]]) -> None:
        tasks = [(case, case.running_task()["task_id"]) for case in self._at(*WITH_A_WORKER)]
        at_once(lambda: self.stage.kill(name), *deciding)
        for case in self._at(Point.DECIDED):
            case.decide()
        if name != ORPHANS:
            self.stage.turnstile.release()
        self.stage.restart(name)
        if name == ORPHANS:
            self._until(lambda: all(case.tries(task) > 1 for case, task in tasks), _AGAIN_SECONDS)
            self.stage.turnstile.release()

    def _target(self) -> str:
        if self.component != TRIGGERER:
            return self.component
        held = [case.triggerer() for case in self._at(*WAITS)]
        return max(TRIGGERERS, key=held.count)

    def _kill_workers(self) -> None:
        """Kill the tasks' own processes; a ticket that was asked for appears only after the next try looks."""
        for case in self.cases:
            pid = case.running_task()["pid"]
            assert psutil.Process(pid).environ()[MARK] == str(self.stage.airflow.home)
            os.kill(pid, signal.SIGKILL)
        looked = self._looks()
        # Where no try looks, there will be two tickets, and that is what is to be told.
        self._until(lambda: self._looks() > looked or not self._at(Point.ASKING), _LATE_SECONDS)
        self.stage.turnstile.release()

    def _looks(self) -> int:
        return self.stage.turnstile.count(lambda seen: seen.by_worker and "get_tickets/" in seen.path)

    def decide(self, cases: Collection[Case]) -> None:
        """Who never comes to wait, or cannot be decided on, does not end either: that is told then."""
        for case in cases:
            if case.point in NO_TICKET_YET:
                with suppress(TimeoutError):
                    case.waits()
        for case in cases:
            self._until(case.is_decided, _DECISION_SECONDS)

    def _until(self, look: Callable[[], bool], seconds: float) -> None:
        """Wait for so long; what never comes shows in the end."""
        with suppress(TimeoutError):
            self.stage.until(look, seconds, str)

    def result(self, case: Case, look: Callable[[], list[str]], *, cut: bool = False) -> Result:
        """Say what became of a run, by what a look at its end says is wrong."""
        try:
            problems = look()
        except TimeoutError as error:
            problems = [str(error)]
        return Result(
            executor=self.stage.executor,
            component=self.component,
            point=case.point,
            approve=case.approve,
            problems=tuple(problems),
            cut=cut,
        )
