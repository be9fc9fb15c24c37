# SPDX-License-Identifier: Apache-2.0
"""The steps of an open ticket: when they are read, and a stalled ticket, which runs and asks nobody.

ITSM starts a ticket's flow a second or two after it has opened the ticket, or never: it stores some forms that
its worker then fails on, and the worker may be down. The ticket is RUNNING all the same, and lists no step, or the
step of its submission, which names nobody. A ticket whose automatic step has failed, or that was sent back, looks
the same: nothing here says more than what ITSM lists. State and clock in, checks and messages out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from heapq import heappop, heappush

from airflow_provider_bkitsm.itsm.errors import printable
from airflow_provider_bkitsm.itsm.models import Progress, Step, TicketInfo, TicketStatus

START_SECONDS = 60.0
"""A ticket that has asked nobody for so long is stalled."""

FIRST_SECONDS = 5.0
"""After so long ITSM has, as a rule, started a new ticket's flow, or gone on to the next step."""

_TITLE = "title"
# Later than any other time: a ticket that is being checked may be due again.
_UNDER_WAY = math.inf
# A check is one request for one ticket: rare, where thousands wait.
_STALLED_SECONDS, _LONGEST_STALLED_SECONDS = 600.0, 3600.0
_FINE_SECONDS = 6 * 3600.0
# How much later than its interval a look may come, as a share of it and in seconds.
_LATE = 1.2, 5.0

_NO_STEP = (
    "ITSM ticket {sn} is RUNNING and lists no step: it asks nobody. Its flow has not started, or an automatic step"
    " of it has failed. Look for four-byte characters (emoji, rare Han) in its form, a word or nothing in an INT"
    " field, a title longer than 128 characters once ITSM has escaped it, and ITSM's celery worker. ITSM neither"
    " withdraws nor ends a ticket that has not started: if it does not go on, have ITSM's administrator delete it,"
    " then clear this task"
)
_NOBODY = (
    "ITSM ticket {sn} is RUNNING and its step {steps} names nobody. Unless that step is open to everybody, the"
    " ticket asks nobody: its form was not taken in (look for a word or nothing in an INT field), or it was sent"
    " back and waits until somebody hands it in again in ITSM. If it cannot go on, have ITSM's administrator"
    " delete it, then clear this task"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class StepsRead:
    """The status of a ticket, whose steps were read, and whether it is stalled."""

    status: TicketStatus
    stalled: bool


def is_stalled(progress: Progress, steps: Sequence[Step]) -> bool:
    """Whether a ticket runs and asks nobody by name; right after its opening every ticket does."""
    return progress is Progress.RUNNING and all(step.is_open_to_all and not step.processors for step in steps)


def has_started(info: TicketInfo) -> bool:
    """Whether a ticket's flow has started, however it stands now.

    A flow takes the form in when it starts. Before that a ticket's form is empty, or lists its fields without a
    value, the title among them (recorded); every service has a title.
    """
    takes_form = any(field.key == _TITLE and field.value for field in info.fields)
    return info.progress is not Progress.RUNNING or bool(info.current_steps) or takes_form


def describe(sn: str, steps: Sequence[Step]) -> str:
    """Say what is known of a stalled ticket, and what to do."""
    if not steps:
        return _NO_STEP.format(sn=sn)
    return printable(_NOBODY.format(sn=sn, steps=", ".join(step.name or step.key for step in steps)))


def is_told_now(*, opened: datetime, now: datetime, interval: float) -> bool:
    """Whether a look that remembers nothing tells of a stalled ticket: a minute after its opening, then every ten.

    :param interval: seconds from one look to the next.
    """
    age, share = (now - opened).total_seconds() - START_SECONDS, interval * _LATE[0] + _LATE[1]
    return age >= 0 and age % _STALLED_SECONDS < share


class StepChecks:
    """When to read the steps of which ticket: soon after its wait began, after a change, and rarely else.

    A ticket is stalled once it has asked nobody for ``START_SECONDS``. Times are seconds of one clock that only
    goes forward.
    """

    def __init__(self) -> None:
        self._due: list[tuple[float, str]] = []
        # When each ticket is due; entries of ``_due`` with another time are left over.
        self._due_at: dict[str, float] = {}
        self._asks_nobody_since: dict[str, float] = {}
        self._stalls: dict[str, int] = {}

    def add(self, sn: str, now: float) -> None:
        """Check a ticket soon for somebody who begins to wait for it."""
        self._asks_nobody_since.setdefault(sn, now)
        self._check_by(sn, now + FIRST_SECONDS)

    def discard(self, sn: str) -> None:
        """Check a ticket no longer."""
        for tickets in (self._due_at, self._asks_nobody_since, self._stalls):
            tickets.pop(sn, None)

    def changed(self, sn: str, now: float) -> None:
        """Check a ticket soon: the poll has seen a change. A step that has just begun may name nobody yet."""
        if sn in self._due_at:
            self._asks_nobody_since[sn] = now
            self._check_by(sn, now + FIRST_SECONDS)

    def next(self, now: float) -> str | None:
        """Return a ticket that is due, which is then not due until ``checked`` or ``failed``."""
        while self._due and self._due[0][0] <= now:
            at, sn = heappop(self._due)
            if self._due_at.get(sn) == at:
                self._due_at[sn] = _UNDER_WAY
                return sn
        return None

    def checked(self, sn: str, now: float, *, asks_nobody: bool) -> bool:
        """Take in the steps that a check showed; return whether the ticket is stalled."""
        if sn not in self._due_at:
            return False
        if not asks_nobody:
            self._asks_nobody_since.pop(sn, None)
            self._stalls[sn] = 0
            self._check_again(sn, now + _FINE_SECONDS)
            return False
        since = self._asks_nobody_since.setdefault(sn, now)
        if now - since < START_SECONDS:
            self._check_again(sn, since + START_SECONDS)
            return False
        self._stalls[sn] = self._stalls.get(sn, 0) + 1
        self._check_again(sn, now + min(_STALLED_SECONDS * 2 ** (self._stalls[sn] - 1), _LONGEST_STALLED_SECONDS))
        return True

    def failed(self, sn: str, now: float) -> None:
        """Take in that a ticket could not be checked."""
        self._check_again(sn, now + _STALLED_SECONDS)

    def seconds_to_next(self, now: float) -> float:
        """Return how long nothing is due, whichever ticket is added or changes meanwhile."""
        first = self._due[0][0] - now if self._due else FIRST_SECONDS
        return min(max(first, 0.0), FIRST_SECONDS)

    def _check_again(self, sn: str, at: float) -> None:
        """Check a ticket at a time, unless a change during the check has made an earlier appointment."""
        if self._due_at.get(sn) == _UNDER_WAY:
            self._check_by(sn, at)

    def _check_by(self, sn: str, at: float) -> None:
        """Check a ticket at a time, unless it is due earlier."""
        if at < self._due_at.get(sn, _UNDER_WAY):
            self._due_at[sn] = at
            heappush(self._due, (at, sn))
