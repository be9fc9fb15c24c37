# SPDX-License-Identifier: Apache-2.0
"""How much a connection bears: size and number of batches, and when it is down. Pure: state and clock in.

A real server needed 1.3 to 1.7 s for 50 tickets, 6 ms of processor time for each, and 3.4 to 11 s when four such
batches came at once. So two batches at a time are the beginning; quick answers make them more, slow ones fewer.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from airflow_provider_bkitsm.itsm.errors import (
    ItsmCrashError,
    ItsmError,
    ItsmInvalidRequestError,
    ItsmRateLimitedError,
    ItsmTicketNotFoundError,
    ItsmUnexpectedAnswerError,
)

# So many good answers in a row, and a batch may be an eighth of the limit larger again, or one more is sent.
_GOOD_ANSWERS = 8
_BATCHES, _MOST_BATCHES = 2, 4
_QUICK_SECONDS, _SLOW_SECONDS = 1.0, 5.0
# After so long without a question one batch goes ahead of the others: in an outage it is the only one.
_IDLE_SECONDS = 5.0
_LONGEST_PAUSE = 300.0
# An interval that is shorter doubles up to so many seconds while the connection is down.
_SHORT_PROBE = 4.0
# A new wait does not wait for the next probe; those that come within so many seconds share one.
_NEW_PROBE = 1.0
# One of several servers may be down, or one ticket be the cause: after an outage of so few failures, others are
# expected for so long, and longer while they go on. They pause nobody but the tickets that failed.
_HICCUP, _SHAKY_SECONDS = 2, 300.0
# So many expected failures in a row are an outage all the same.
_FAILURES_IN_A_ROW = 5
# So many probes of different tickets have to fail until no ticket is suspected any more.
_PROBES = 6
# A crash is about the question, as one ticket of a batch may be its cause. Any other code of an outage is of
# something in front of ITSM.
_ABOUT_THE_QUESTION = (
    ItsmCrashError,
    ItsmInvalidRequestError,
    ItsmTicketNotFoundError,
    ItsmUnexpectedAnswerError,
)


class Cause(Enum):
    """What an error says: that this question cannot be answered, that none can, or neither for sure."""

    QUESTION = "question"
    EITHER = "either"
    OUTAGE = "outage"
    REFUSAL = "refusal"


def cause_of(error: ItsmError, *, timed_out: bool = False) -> Cause:
    """Return what failed, so far as an error tells.

    A refused connection and a page of HTML have no code: the one is an outage, the other may be a crash over one
    ticket.
    """
    if timed_out or isinstance(error, _ABOUT_THE_QUESTION):
        return Cause.QUESTION
    if isinstance(error, ItsmRateLimitedError) or (not error.retry_safe and type(error) is not ItsmError):
        return Cause.REFUSAL
    return Cause.EITHER if error.code is None else Cause.OUTAGE


@dataclass(kw_only=True, slots=True)
class _Outage:
    """Nobody is answered.

    :param gap: seconds between two probes.
    :param refused: whether the connection is at fault, and not ITSM.
    :param in_turn: whether the last probe came when one was due; a new wait's comes before.
    """

    probed_at: float
    gap: float
    refused: bool
    in_turn: bool


class Backpressure:
    """Times are seconds of one clock that only goes forward.

    :param limit: most tickets in one batch.
    """

    def __init__(self, *, limit: int) -> None:
        self.limit = self.chunk = limit
        self._batches = _BATCHES
        self._is_proved = False
        self._good = self._in_a_row = 0
        self._sent_at = self._failed_at = self._shaky_until = self._quiet_until = float("-inf")
        self._outage: _Outage | None = None

    def limit_to(self, limit: int) -> None:
        """Change how many tickets a batch holds at most."""
        self.limit = self.chunk = limit

    @property
    def is_down(self) -> bool:
        """Whether nobody is answered, and one probe an interval is all that is sent."""
        return self._outage is not None

    @property
    def at_a_time(self) -> int:
        """How many batches may be asked at the same time."""
        return _MOST_BATCHES if self.is_down else self._batches if self._is_proved else 1

    @property
    def suspects_tickets(self) -> bool:
        """Whether a ticket may be all that is wrong; not when so many probes about others have failed as well."""
        return self._in_a_row <= _PROBES

    @property
    def probe_size(self) -> int:
        """Most tickets in a probe: in the end one, should there be many that cannot be asked about."""
        return max(1, self.chunk >> min(max(0, self._in_a_row - _PROBES), 16))

    def may_ask_at(self, now: float, *, new: bool) -> float:
        """Return from when on a batch may be asked, ``now`` or later.

        :param new: one with new waits in it, which do not wait for the next probe.
        """
        probe_at = now
        if self._outage is not None:
            probe_at = self._outage.probed_at + (min(_NEW_PROBE, self._outage.gap) if new else self._outage.gap)
        return max(now, probe_at, self._quiet_until)

    def sent(self, now: float, *, alone: bool) -> None:
        """Take in that a batch is sent.

        :param alone: none is being asked beside it.
        """
        if alone and now - self._sent_at > _IDLE_SECONDS:
            self._is_proved = False
        self._sent_at = now
        if self._outage is not None:
            self._outage.in_turn = now >= self._outage.probed_at + self._outage.gap
            self._outage.probed_at = now

    def answered(self, seconds: float | None, *, again: bool = False) -> None:
        """Take in an answer, and how long it took, where that was measured.

        :param again: the batch was asked when the last failure was not there yet. ITSM may have gone since.
        """
        if self._outage is not None and again:
            return
        is_hiccup = self._outage is not None and self._in_a_row <= _HICCUP
        if is_hiccup or (self._in_a_row and self.is_shaky(self._failed_at)):
            self._shaky_until = self._sent_at + _SHAKY_SECONDS
        self._outage = None
        self._is_proved, self._in_a_row = True, 0
        self._good += 1
        if seconds is not None and seconds > _SLOW_SECONDS:
            self._batches, self._good = 1, 0
        if self._good < _GOOD_ANSWERS:
            return
        if self.chunk < self.limit:
            self._good, self.chunk = 0, min(self.limit, self.chunk + max(1, self.limit // 8))
        elif seconds is not None and self._batches < (_MOST_BATCHES if seconds < _QUICK_SECONDS else _BATCHES):
            self._good, self._batches = 0, self._batches + 1

    def timed_out(self) -> None:
        """Take in that ITSM took too long for a batch: smaller ones may do."""
        self.chunk, self._batches = max(1, self.chunk // 2), 1

    def failed(
        self, error: ItsmError, cause: Cause, now: float, *, shortest: float, again: bool, part: bool
    ) -> None:
        """Take in a failure; ``is_down`` says what comes of it.

        :param shortest: the shortest interval that is waited with.
        :param again: the batch was asked when an earlier failure was not there yet, and counts as one with it.
        :param part: the batch is part of one that failed.
        """
        if not self._in_a_row:
            self._failed_at = now
        self._good, self._in_a_row = 0, self._in_a_row + (not again)
        if not self.is_down and self._in_a_row < _FAILURES_IN_A_ROW and self._expects(cause, now, part=part):
            return
        self._is_proved = False
        sent_at = self._sent_at if self._sent_at > float("-inf") else now
        in_turn = self._outage is None or self._outage.in_turn
        refused = cause is not Cause.QUESTION and not error.retry_safe
        gap = backoff(shortest, self._in_a_row) if refused else self._gap(shortest, now)
        self._outage = _Outage(probed_at=sent_at, gap=gap, refused=refused, in_turn=in_turn)
        pause = error.retry_after if isinstance(error, ItsmRateLimitedError) else None
        self._quiet_until = max(self._quiet_until, now + (pause or 0.0))

    @property
    def refuses_all(self) -> bool:
        """Whether everybody would have been refused as the last probe was, if that came in its turn."""
        return self._outage is not None and self._outage.in_turn and self._outage.refused

    def is_shaky(self, now: float) -> bool:
        """Whether single failures are expected, each of which says nothing of the next question."""
        return now < self._shaky_until

    def _expects(self, cause: Cause, now: float, *, part: bool) -> bool:
        """Whether a failure is no surprise, and so no outage."""
        is_shaky = self.is_shaky(now)
        return (
            cause is Cause.QUESTION
            or (cause is Cause.EITHER and part)
            or (cause is not Cause.REFUSAL and is_shaky)
        )

    def _gap(self, shortest: float, now: float) -> float:
        """Return the seconds between two probes of an outage: an interval, but for those that are very short.

        Where single failures are expected, several in a row may be no outage: the first probes come soon.
        """
        doubled = shortest * 2.0 ** min(max(self._in_a_row - 1, 0), 10)
        gap = min(doubled, max(shortest, _SHORT_PROBE), _LONGEST_PAUSE)
        return min(gap, 2.0 ** min(self._in_a_row - _FAILURES_IN_A_ROW, 10)) if self.is_shaky(now) else gap


def backoff(interval: float, failures: int) -> float:
    """Return the pause after so many failures in a row, in seconds: five minutes, or an interval, at most."""
    return float(min(interval * 2 ** min(failures, 10), max(_LONGEST_PAUSE, interval)))
