# SPDX-License-Identifier: Apache-2.0
"""What a ticket's state means for the DAG that waits for it: one enum, one pure function."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """How a wait stands. Everything but ``waiting`` is final; only ``approved`` lets a DAG continue."""

    WAITING = "waiting"
    APPROVED = "approved"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"
    TERMINATED = "terminated"
    TIMED_OUT = "timed_out"


class Reason(StrEnum):
    """Why an outcome was chosen, for logs and reports."""

    OPEN = "the ticket is still open"
    APPROVED = "approved"
    REFUSED = "refused by an approver"
    VERDICT_MISSING = "the ticket finished, but its verdict is missing or unreadable"
    NO_EVIDENCE = "the ticket finished without any visible approval step that says yes"
    WITHDRAWN = "the ticket was withdrawn"
    TERMINATED = "the ticket was terminated"
    DEADLINE = "nobody decided while the DAG waited"


# Ends that are no person's answer: it may be the reader who looks for it in the wrong place. They let nothing
# continue, and they do not stand.
NOBODYS_ANSWER = frozenset({Reason.NO_EVIDENCE, Reason.VERDICT_MISSING})


class Answer(StrEnum):
    """What the verdict source of a finished ticket says."""

    YES = "yes"
    NO = "no"
    MISSING = "missing"


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """An outcome and its reason."""

    outcome: Outcome
    reason: Reason


_WAITING = Judgement(outcome=Outcome.WAITING, reason=Reason.OPEN)
_ENDED = {
    "REVOKED": Judgement(outcome=Outcome.WITHDRAWN, reason=Reason.WITHDRAWN),
    "TERMINATED": Judgement(outcome=Outcome.TERMINATED, reason=Reason.TERMINATED),
}
_FINISHED = {
    (Answer.YES, True): Judgement(outcome=Outcome.APPROVED, reason=Reason.APPROVED),
    (Answer.YES, False): Judgement(outcome=Outcome.REJECTED, reason=Reason.NO_EVIDENCE),
    (Answer.NO, True): Judgement(outcome=Outcome.REJECTED, reason=Reason.REFUSED),
    (Answer.NO, False): Judgement(outcome=Outcome.REJECTED, reason=Reason.REFUSED),
}
_MISSING = Judgement(outcome=Outcome.REJECTED, reason=Reason.VERDICT_MISSING)

# A ticket in one of these states never changes again (reference 5.1).
ENDED = frozenset({"FINISHED", *_ENDED})


def judge(current_status: str, *, answer: Answer, evidence: bool) -> Judgement:
    """Decide a wait (promise P3, fail closed).

    A status that is not known to be an end is a wait, never a yes: administrators may add running statuses
    (reference 5.1). A rejected ticket is ``FINISHED`` too, only the verdict source tells. ``evidence`` is
    whether a processed approval step stands behind a yes, because ITSM's own ``approve_result`` is true for a
    flow without any approval node (reference 5.3).
    """
    if current_status == "FINISHED":
        return _FINISHED.get((answer, evidence), _MISSING)
    return _ENDED.get(current_status, _WAITING)


def approve_result_answer(approve_result: object) -> Answer:
    """Read ITSM's own verdict; only the JSON literals count."""
    if approve_result is True:
        return Answer.YES
    return Answer.NO if approve_result is False else Answer.MISSING


def field_answer(value: object, *, wanted: str) -> Answer:
    """Read the verdict from a form field such as the log platform's ``approval_result``."""
    if not isinstance(value, str) or not value:
        return Answer.MISSING
    return Answer.YES if value == wanted else Answer.NO
