# SPDX-License-Identifier: Apache-2.0
"""A stalled ticket: it runs and asks nobody. What is said of it, and when tickets are checked for it.

ITSM starts a ticket's flow a second or two after it has opened the ticket, or never: it stores some forms that
its worker then fails on, and the worker may be down. The ticket is RUNNING all the same, and lists no step, or the
step of its submission, which names nobody. A ticket whose automatic step has failed, or that was sent back, looks
the same: nothing here says more than what ITSM lists. State and clock in, checks and sentences out.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from heapq import heappop, heappush
from itertools import count

from airflow_provider_bkitsm.itsm.errors import printable
from airflow_provider_bkitsm.itsm.models import Progress, Step, TicketInfo

START_SECONDS = 60.0
"""A flow that has not started by then is worth telling of."""

_TITLE = "title"
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


class StallChecks:
    """When to check which ticket: a minute after its wait began, and rarely from then on.

    Times are seconds of one clock that only goes forward.
    """

    def __init__(self) -> None:
        self._due: list[tuple[float, int, str]] = []
        self._numbers = count()
        # Of each ticket, its entry among those that are due; other entries are left over.
        self._entry: dict[str, int] = {}
        self._stalls: dict[str, int] = {}

    def add(self, sn: str, now: float) -> None:
        """Check a ticket, unless it is checked already."""
        if sn not in self._entry:
            self._check_at(sn, now + START_SECONDS)

    def discard(self, sn: str) -> None:
        """Check a ticket no longer."""
        self._entry.pop(sn, None)
        self._stalls.pop(sn, None)

    def next(self, now: float) -> str | None:
        """Return a ticket that is due, which is then not due until ``checked`` says so."""
        while self._due and self._due[0][0] <= now:
            _, number, sn = heappop(self._due)
            if self._entry.get(sn) == number:
                return sn
        return None

    def checked(self, sn: str, now: float, *, stalled: bool) -> None:
        """Take in what a check showed."""
        if sn not in self._entry:
            return
        self._stalls[sn] = self._stalls.get(sn, 0) + 1 if stalled else 0
        again = min(_STALLED_SECONDS * 2 ** (self._stalls[sn] - 1), _LONGEST_STALLED_SECONDS)
        self._check_at(sn, now + (again if stalled else _FINE_SECONDS))

    def failed(self, sn: str, now: float) -> None:
        """Take in that a ticket could not be checked."""
        if sn in self._entry:
            self._check_at(sn, now + _STALLED_SECONDS)

    def seconds_to_next(self, now: float) -> float:
        """Return how long nothing is due, whoever is added meanwhile."""
        first = self._due[0][0] - now if self._due else START_SECONDS
        return min(max(first, 0.0), START_SECONDS)

    def _check_at(self, sn: str, at: float) -> None:
        self._entry[sn] = next(self._numbers)
        heappush(self._due, (at, self._entry[sn], sn))
