# SPDX-License-Identifier: Apache-2.0
"""When to look at a ticket again, and when to stop: the pure half of every wait.

State and clock in, decision out; sensor and trigger only carry it out.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from airflow_provider_bkitsm.itsm.backpressure import backoff
from airflow_provider_bkitsm.itsm.errors import (
    ItsmAmbiguousError,
    ItsmConfigurationError,
    ItsmError,
    ItsmRateLimitedError,
    ItsmTicketNotFoundError,
)
from airflow_provider_bkitsm.itsm.verdict import Verdict

MISSING_LOOKS = 3
"""After so many looks a number that ITSM does not know is an error, not a wait; a replica may lag before."""
# A rotated secret or a gateway that is being published anew refuses for minutes; a wait of days outlives that.
_REFUSED_LOOKS = 6
# Only a read tells whether a decision came before the deadline: while ITSM is down, ask this much longer.
_GRACE = timedelta(hours=1)
_LONGEST = timedelta(days=36_525)


def ticket_number(given: object) -> str:
    """Return a ticket's number as a wait takes it.

    :raises ItsmConfigurationError: it is empty: an empty number is an error, never a wait.
    """
    sn = str(given or "").strip()
    if not sn or sn == "None":
        raise ItsmConfigurationError(
            "ticket_sn is empty: the task that opens the ticket has not returned its number. Nothing was"
            " done; a retry reads the number again"
        )
    return sn


def approval_time(given: timedelta | float | str | None) -> timedelta | None:
    """Return how long people may take; None is for ever, and 0 is no time at all.

    :raises ItsmConfigurationError: it is no time, a negative one, or one that ends in no calendar's year.
    """
    if given is None:
        return None
    try:
        time = given if isinstance(given, timedelta) else timedelta(seconds=float(given))
    except (ValueError, OverflowError, TypeError):
        time = timedelta(-1)
    if isinstance(given, bool) or not timedelta(0) <= time <= _LONGEST:
        raise ItsmConfigurationError(
            f"approval_timeout must be seconds or a timedelta, at most 100 years, not {given!r}. None waits for"
            " ever. The ticket is as it was"
        )
    return time


@dataclass(frozen=True, kw_only=True)
class Pause:
    """Look again after so many seconds."""

    seconds: float


@dataclass(frozen=True, kw_only=True)
class Done:
    """The wait is over with this verdict."""

    verdict: Verdict


@dataclass(frozen=True, kw_only=True)
class Failed:
    """The wait cannot go on; the ticket is as it was."""

    error: ItsmError


Step = Pause | Done | Failed


class Wait:
    """One wait for one ticket.

    :param interval: seconds between two looks.
    :param deadline: when to give up (aware); set it as soon as it is known.
    """

    __slots__ = ("_failures", "_missing", "_refused", "_was_answered", "deadline", "interval")

    def __init__(self, *, interval: float, deadline: datetime | None = None) -> None:
        self.interval = interval
        self.deadline = deadline
        self._failures = 0
        self._missing = 0
        self._refused = 0
        self._was_answered = False

    def saw(self, verdict: Verdict, now: datetime) -> Step:
        """Take in an answer. A decision always wins over the deadline."""
        self._failures = self._missing = self._refused = 0
        self._was_answered = True
        if verdict.outcome.is_final:
            return Done(verdict=verdict)
        if self.deadline is None:
            return Pause(seconds=self.interval)
        left = (self.deadline - now).total_seconds()
        return Pause(seconds=min(self.interval, left)) if left > 0 else Done(verdict=verdict.timed_out())

    def missed(self, error: ItsmError, now: datetime, *, polled: bool = False) -> Step:
        """Take in an error: back off where trying again may help, else stop.

        :param polled: the poll for all has failed, which paces itself. Its outage lengthens no pause of this
            wait after it.
        """
        if isinstance(error, ItsmTicketNotFoundError):
            self._missing += 1
            return Failed(error=error) if self._missing >= MISSING_LOOKS else self._pause(error, polled=polled)
        over = self.deadline is not None and now > self.deadline + _GRACE
        self._refused = 0 if error.retry_safe else self._refused + 1
        if over or self._is_hopeless(error) or self._refused >= _REFUSED_LOOKS:
            return Failed(error=error)
        return self._pause(error, polled=polled)

    def _is_hopeless(self, error: ItsmError) -> bool:
        """Whether no further look helps. A connection that has served this wait is edited, or a file renewed."""
        is_wrong = isinstance(error, ItsmConfigurationError) and not self._was_answered
        return is_wrong or isinstance(error, ItsmAmbiguousError)

    def _pause(self, error: ItsmError, *, polled: bool) -> Pause:
        if polled:
            self._failures = 0
            return Pause(seconds=self.interval)
        self._failures += 1
        asked = error.retry_after if isinstance(error, ItsmRateLimitedError) else None
        return Pause(seconds=max(backoff(self.interval, self._failures), asked or 0.0))
