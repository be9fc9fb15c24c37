# SPDX-License-Identifier: Apache-2.0
"""What a ticket's state means for the DAG that waits for it: the outcomes, and their reasons.

Which outcome a ticket has, :mod:`airflow_provider_bkitsm.itsm.approval_rule` decides.
"""

from __future__ import annotations

from enum import StrEnum

from airflow_provider_bkitsm.itsm.models import Progress


class Outcome(StrEnum):
    """How a wait stands. Everything but ``waiting`` is final; only ``approved`` lets a DAG continue.

    What the rest of the package asks of an outcome are its traits, so that a new outcome is added here alone.
    """

    WAITING = "waiting"
    APPROVED = "approved"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"
    TERMINATED = "terminated"
    TIMED_OUT = "timed_out"

    @property
    def is_final(self) -> bool:
        """Whether the wait is over."""
        return self is not Outcome.WAITING

    @property
    def is_decision(self) -> bool:
        """Whether an approver, or ITSM in an approver's place, answered."""
        return self in _DECISIONS

    @property
    def frees_collector(self) -> bool:
        """Whether the application for a collector is over with it, so that somebody may apply again."""
        return self.is_final and self is not Outcome.APPROVED

    @property
    def progress(self) -> Progress | None:
        """How far ITSM has a ticket that ended so; None where ITSM has no such end: only Airflow says it."""
        return _PROGRESS.get(self)


_DECISIONS = frozenset({Outcome.APPROVED, Outcome.REJECTED})
_PROGRESS = {
    Outcome.APPROVED: Progress.FINISHED,
    Outcome.REJECTED: Progress.FINISHED,
    Outcome.WITHDRAWN: Progress.WITHDRAWN,
    Outcome.TERMINATED: Progress.TERMINATED,
}


class Reason(StrEnum):
    """Why an outcome was chosen: a stable code, which is stored. Its ``text`` is for people."""

    OPEN = "open"
    APPROVED = "approved"
    APPROVED_AUTOMATICALLY = "approved_automatically"
    REFUSED = "refused"
    VERDICT_MISSING = "verdict_missing"
    NO_EVIDENCE = "no_evidence"
    AUTOMATIC_ONLY = "automatic_only"
    REFUSAL_STANDS = "refusal_stands"
    VERDICT_UNCLEAR = "verdict_unclear"
    SELF_APPROVED = "self_approved"
    TOO_FEW_APPROVERS = "too_few_approvers"
    REQUESTER_UNKNOWN = "requester_unknown"
    FORM_CHANGED = "form_changed"
    ANOTHER_DIALECT = "another_dialect"
    WITHDRAWN = "withdrawn"
    TERMINATED = "terminated"
    DEADLINE = "deadline"
    NOT_ITS_TICKET = "not_its_ticket"
    NOT_RECORDED = "not_recorded"
    UNREADABLE = "unreadable"

    @property
    def text(self) -> str:
        """What the code means, without what was seen of one ticket."""
        return _TEXTS[self]


# The first version stored these texts and no code: a text that it stored keeps its words.
_TEXTS = {
    Reason.OPEN: "the ticket is still open",
    Reason.APPROVED: "approved",
    Reason.APPROVED_AUTOMATICALLY: "ITSM approved it by itself, which this task accepts",
    Reason.REFUSED: "refused by an approver",
    Reason.VERDICT_MISSING: "the ticket finished, but its verdict is missing or unreadable",
    Reason.NO_EVIDENCE: "the ticket finished without any visible approval step that says yes",
    Reason.AUTOMATIC_ONLY: "ITSM approved the ticket by itself, and no person did",
    Reason.REFUSAL_STANDS: "ITSM calls the ticket approved, but its log shows a refusal that still stands",
    Reason.VERDICT_UNCLEAR: "the ticket's log does not tell which answer of an approval step is the verdict",
    Reason.SELF_APPROVED: "nobody but who asked has said yes, and that is no approval here",
    Reason.TOO_FEW_APPROVERS: "ITSM calls the ticket approved, but too few people have said yes",
    Reason.REQUESTER_UNKNOWN: "who asked is not known, so nobody can tell whether another person has said yes",
    Reason.FORM_CHANGED: "ITSM shows the ticket approved, but the ticket is not what was sent",
    Reason.ANOTHER_DIALECT: "the ticket was opened in another version of ITSM than the one that answers now",
    Reason.WITHDRAWN: "the ticket was withdrawn",
    Reason.TERMINATED: "the ticket was terminated",
    Reason.DEADLINE: "nobody decided while the DAG waited",
    Reason.NOT_ITS_TICKET: "the ticket is approved, but it is not the one that was opened for this task",
    Reason.NOT_RECORDED: "the ticket is approved, but nothing shows that it was opened for this task",
    Reason.UNREADABLE: "the stored verdict is not one this version of the provider can read",
}
_BY_TEXT = {reason.text: reason for reason in Reason} | {str(reason): reason for reason in Reason}
_OF_OUTCOME = {
    Outcome.WAITING: Reason.OPEN,
    Outcome.APPROVED: Reason.APPROVED,
    Outcome.WITHDRAWN: Reason.WITHDRAWN,
    Outcome.TERMINATED: Reason.TERMINATED,
    Outcome.TIMED_OUT: Reason.DEADLINE,
}

APPROVING = frozenset({Reason.APPROVED, Reason.APPROVED_AUTOMATICALLY})
"""The reasons an approval can have."""

DUTIES = frozenset({Reason.SELF_APPROVED, Reason.TOO_FEW_APPROVERS, Reason.REQUESTER_UNKNOWN})
"""The reasons of an approval that ITSM takes for one, and the separation of duties does not."""

# Ends that no approver decided, or of which a person has to say what was decided. A wrong verdict policy can cause
# them. They let nothing continue, and they do not stand: the collector is kept.
NOBODYS_ANSWER = frozenset(
    {
        Reason.NO_EVIDENCE,
        Reason.VERDICT_MISSING,
        Reason.AUTOMATIC_ONLY,
        Reason.REFUSAL_STANDS,
        Reason.VERDICT_UNCLEAR,
        *DUTIES,
        Reason.ANOTHER_DIALECT,
        Reason.NOT_ITS_TICKET,
        Reason.NOT_RECORDED,
        Reason.UNREADABLE,
    }
)


def reason_code(text: str, outcome: Outcome) -> Reason:
    """Return the code of a reason that was stored as a text alone, as the first version did."""
    return _BY_TEXT.get(text) or _OF_OUTCOME.get(outcome, Reason.UNREADABLE)
