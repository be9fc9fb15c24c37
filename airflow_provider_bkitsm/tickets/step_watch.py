# SPDX-License-Identifier: Apache-2.0
"""Reading the steps of waiting tickets one by one: whom each asks, and whether it asks anybody.

Where the poll's answer shows the people that a ticket asks, as that of ITSM v4 does, nothing more is read. The
answers of ITSM v2 show no steps. They show who has acted on a ticket, and a new name is a change
(docs/itsm-behaviour.md#who-has-acted). So a ticket costs one request when its wait begins, one for each change,
and one each six hours, for a change that nobody new has made.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from airflow_provider_bkitsm.itsm.actions import read_status
from airflow_provider_bkitsm.itsm.models import TicketStatus
from airflow_provider_bkitsm.itsm.stall import StepChecks, is_stalled

if TYPE_CHECKING:
    from airflow_provider_bkitsm.hooks.itsm import ItsmAsyncHook
    from airflow_provider_bkitsm.itsm.models import TicketState

log = logging.getLogger(__name__)

OnSteps = Callable[[str, TicketStatus, bool], None]
"""Called with a ticket's number, its status, and whether it is stalled."""


class StepWatch:
    """Reads the steps of one connection's tickets, whatever the poll does, and no faster than one in a while.

    :param hook: asks ITSM; its errors are not repeated.
    :cvar between_checks: seconds between two requests: a triggerer may begin with thousands of waits.
    """

    between_checks: float = 0.2

    def __init__(self, hook: ItsmAsyncHook, *, on_steps: OnSteps) -> None:
        self._hook = hook
        self._on_steps = on_steps
        self._checks = StepChecks()
        # A text for each ticket: garbage collections look at no text, and there may be thousands.
        self._marks: dict[str, str] = {}
        # Of each ticket whose people the poll shows, what it showed last.
        self._polled: dict[str, TicketState] = {}
        self._itsm_answers = asyncio.Event()

    def add(self, sn: str) -> None:
        """Watch a ticket."""
        self._marks.setdefault(sn, "")
        self._checks.add(sn, loop_time())

    def changed(self, sn: str) -> None:
        """Read a watched ticket's steps soon: they are others now."""
        self._checks.changed(sn, loop_time())

    def discard(self, sn: str) -> None:
        """Watch a ticket no longer."""
        self._checks.discard(sn)
        self._marks.pop(sn, None)
        self._polled.pop(sn, None)

    def take(self, state: TicketState) -> None:
        """Take in a ticket's state from the poll."""
        before = self._marks.get(state.sn)
        if before is None:
            return
        people = [name for step in state.current_steps for name in (step.key, *step.processors)]
        mark = ",".join((state.current_status, *sorted(state.updated_by), *people))
        # A ticket that asks nobody is read all the same: a list may leave its steps out.
        if any(step.processors for step in state.current_steps):
            self._polled[state.sn] = state
        else:
            self._polled.pop(state.sn, None)
        if mark == before:
            return
        self._marks[state.sn] = mark
        if before and not state.progress.has_ended:
            self._checks.changed(state.sn, loop_time())

    def pause(self) -> None:
        """Ask nothing until ``go_on``: in an outage the poll asks for all."""
        self._itsm_answers.clear()

    def go_on(self) -> None:
        """ITSM answers the poll."""
        self._itsm_answers.set()

    async def run(self) -> None:
        """Read steps for ever. A failure is of no account to the waits."""
        while True:
            sn = self._checks.next(loop_time())
            if sn is None:
                await asyncio.sleep(self._checks.seconds_to_next(loop_time()))
                continue
            if polled := self._polled.get(sn):
                self._take_in(sn, _status_of(polled))
                await asyncio.sleep(0)
                continue
            await self._read(sn)
            await asyncio.sleep(self.between_checks)
            await self._itsm_answers.wait()

    async def _read(self, sn: str) -> None:
        try:
            status = await self._hook.run(read_status(sn))
        except Exception as error:
            log.info("the steps of ITSM ticket %s could not be read: %s", sn, error)
            self._checks.failed(sn, loop_time())
            self.pause()
            return
        self._take_in(sn, status)

    def _take_in(self, sn: str, status: TicketStatus) -> None:
        asks_nobody = is_stalled(status.progress, status.current_steps)
        self._on_steps(sn, status, self._checks.checked(sn, loop_time(), asks_nobody=asks_nobody))


def _status_of(state: TicketState) -> TicketStatus:
    return TicketStatus(
        current_status=state.current_status,
        progress=state.progress,
        current_steps=state.current_steps,
        ticket_url=state.ticket_url,
    )


def loop_time() -> float:
    """Return the running event loop's time in seconds, which is no time of day."""
    return asyncio.get_running_loop().time()
