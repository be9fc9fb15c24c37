# SPDX-License-Identifier: Apache-2.0
"""The log of a wait: who is asked, at which step, until when, and where; and what has ended the wait."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_bkitsm.itsm.errors import printable
from airflow_provider_bkitsm.itsm.models import Progress
from airflow_provider_bkitsm.itsm.stall import describe as describe_stall

if TYPE_CHECKING:
    from airflow_provider_bkitsm.itsm.models import Step, TicketStatus
    from airflow_provider_bkitsm.itsm.wait import Wait

# A step may ask a whole department.
_MOST_NAMES = 20


class WaitLog:
    """Writes the log of one wait. A line is written once, and again only when it would say something else.

    :param log: the trigger's own logger, whose lines are on the page of the task.
    :param wait: knows the deadline, as far as it is known by then.
    """

    __slots__ = ("_log", "_sn", "_steps", "_url", "_wait")

    def __init__(self, log: Any, *, sn: str, wait: Wait) -> None:
        self._log = log
        self._sn = sn
        self._wait = wait
        self._url = ""
        self._steps: str | None = None

    def begun(self, ticket_url: str, *, called_back: bool) -> None:
        """Log that the wait has begun, after the first answer of ITSM.

        :param called_back: whether a callback of ITSM finds this wait.
        """
        if self._steps is not None:
            return
        self._steps, self._url = "", ticket_url
        poll = f"the poll, every {self._wait.interval:g} s"
        news = f"a callback of ITSM, else {poll}" if called_back else poll
        self._write(logging.INFO, f"Waiting for ITSM ticket {self._sn}{self._end()}. The decision comes by {news}")

    def steps(self, status: TicketStatus, stalled: bool) -> None:
        """Log whom a ticket asks; of a stalled ticket, that it asks nobody."""
        if stalled:
            self._write(logging.WARNING, describe_stall(self._sn, status.current_steps))
            return
        self._url = self._url or status.ticket_url
        steps = describe_steps(status.current_steps)
        if status.progress is not Progress.RUNNING:
            steps = f"{status.current_status}, {steps}" if steps else status.current_status
        if steps and steps != self._steps:
            self._steps = steps
            self._write(logging.INFO, f"ITSM ticket {self._sn}: {steps}{self._end()}")

    def ended_by_callback(self, how: str) -> None:
        """Log that a callback has ended the wait: Airflow's own line about it names a person.

        :param how: how the ticket stood.
        """
        airflows = "Trigger cancelled by user action"
        self._write(
            logging.INFO, f"Ended by callback: {how}. Airflow logs this end as {airflows!r}; no user did it"
        )

    def _end(self) -> str:
        """Return until when the wait lasts, and where people decide."""
        deadline = self._wait.deadline
        until = f", until {deadline:%Y-%m-%d %H:%M:%S %Z}" if deadline else ", without a deadline"
        return until + (f", {self._url}" if self._url else "")

    def _write(self, level: int, message: str) -> None:
        self._log.log(level, "%s", printable(message))


def describe_steps(steps: Sequence[Step]) -> str:
    """Return whom steps ask; an empty text where no step waits."""
    return "; ".join(f"waits for {_people(step)} at step {step.name or step.key}" for step in steps)


def _people(step: Step) -> str:
    names, more = step.processors[:_MOST_NAMES], len(step.processors) - _MOST_NAMES
    if not names:
        return "anybody" if step.is_open_to_all else "nobody by name"
    return ", ".join(names) + (f" and {more} more" if more > 0 else "")
