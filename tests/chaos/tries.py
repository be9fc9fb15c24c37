# SPDX-License-Identifier: Apache-2.0
"""Tries of tasks that stop at every seam until they are told to go on, all in one thread.

A try is a greenlet: whoever drives it decides at each stop whether it goes on, is killed there, or waits while
another one goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import TaskDeferred
from greenlet import getcurrent, greenlet

from tests.chaos.seams import Crash, Order, Point

if TYPE_CHECKING:
    from tests.chaos.runs import Asked, Run


class Try(greenlet):
    """One try of a task.

    :param work: the task's ``execute``, with everything it needs.
    :param before_going_on: told where the try goes on from, each time.
    :param settle: for how many seconds a ticket of its may take to appear.
    """

    def __init__(
        self, work: Callable[[], Any], *, before_going_on: Callable[[Try], None], run: Run, settle: float
    ) -> None:
        super().__init__()
        self.run_of, self.settle = run, settle
        self.asked: Asked = run.asked()
        self._work = work
        self._before_going_on = before_going_on
        self.at: Point | None = None
        self.result: Any = None
        self.error: BaseException | None = None
        # Since when it means to send a create_ticket that it has not sent yet.
        self.means_since: datetime | None = None
        self.sends_since: datetime | None = None
        self.dies_at_commit = False

    def run(self, _order: Order | None = None) -> None:
        """Do the work; how it ended is kept."""
        try:
            self.result = self._work()
        except (Exception, Crash, TaskDeferred) as error:
            self.error = error

    @property
    def crashed(self) -> bool:
        """Whether it was killed."""
        return isinstance(self.error, Crash)

    def go(self, order: Order | None = None) -> None:
        """Go on to the next stop; the request at hand is sent as ``order`` says."""
        self._before_going_on(self)
        self.at = self.switch(order)

    def crash(self) -> None:
        """Kill it where it stands."""
        if not self.dead and self:
            self.throw(Crash())
        elif not self.dead:
            self.error = Crash()

    @property
    def over(self) -> bool:
        """Whether it has ended, one way or another."""
        return self.dead or self.error is not None


def stop(point: Point) -> Order | None:
    """Stop the try that runs, if one does; what is done outside of tries never stops."""
    one = getcurrent()
    if not isinstance(one, Try):
        return None
    if point.kind == "committing":
        if one.dies_at_commit:
            raise Crash
        return None
    order: Order | None = one.parent.switch(point)
    return order
