# SPDX-License-Identifier: Apache-2.0
"""A ticket's verdict: how it ended, who decided, by which policy; and how it is stored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal, TypeVar, get_args

from airflow_provider_bkitsm.itsm.errors import printable
from airflow_provider_bkitsm.itsm.models import Progress, web_address
from airflow_provider_bkitsm.itsm.outcome import (
    APPROVING,
    NOBODYS_ANSWER,
    Outcome,
    Reason,
    reason_code,
)
from airflow_provider_bkitsm.itsm.people import joined_names

SeenBy = Literal["callback", "poll"]
E = TypeVar("E", bound=StrEnum)


_POLICY: Mapping[str, Any] = {
    "verdict_field": str | None,
    "verdict_value": str,
    "require_evidence": bool,
    "accept_automatic": bool,
    "forbid_self_approval": bool,
    "min_approvers": int,
    "requester": str | None,
}


# What of a verdict is not stored.
_JUST_READ = frozenset({"policy", "progress"})


@dataclass(frozen=True, kw_only=True)
class VerdictPolicy:
    """Where a finished ticket's verdict is read, and what has to stand behind a yes.

    :param verdict_field: key of the form field that holds the verdict; None reads ITSM's ``approve_result``.
        Needed for flows whose decision is taken on an ordinary step, such as the log platform's built-in one.
    :param verdict_value: what that field holds when approved.
    :param require_evidence: False only for a service that is known to decide without an approval step: then the
        log is not looked at, and a refusal in it stops nothing.
    :param accept_automatic: True takes an approval that ITSM gave by itself, to a step without an approver or
        whose approver asked, as good as a person's.
    :param forbid_self_approval: True takes a yes for none where nobody but who asked has said it.
    :param min_approvers: so many different people have to have said yes; 0: whatever ITSM takes for an approval.
    :param requester: who asked, names in ITSM with commas between them; None where nobody has said.
    """

    verdict_field: str | None = None
    verdict_value: str = "true"
    require_evidence: bool = True
    accept_automatic: bool = False
    forbid_self_approval: bool = False
    min_approvers: int = 0
    requester: str | None = None

    def __post_init__(self) -> None:
        """Read who asked in any spelling of several people: a name that is nobody's would forbid nothing."""
        object.__setattr__(self, "requester", joined_names(self.requester))

    @property
    def needs_people(self) -> bool:
        """Whether it counts who has said yes. What ITSM answers by itself is then no approval."""
        return self.forbid_self_approval or self.min_approvers > 0

    @property
    def needs_evidence(self) -> bool:
        """Whether the log has to show who has said yes."""
        return self.require_evidence or self.needs_people

    @classmethod
    def from_dict(cls, values: object) -> VerdictPolicy | None:
        """Build from what ``asdict`` returned, of this version or another one; None where that cannot be read.

        A setting that the other version did not have is the default's here. Settings unknown here are left out.
        """
        if not isinstance(values, Mapping):
            return None
        known = {name: values[name] for name in _POLICY if name in values}
        is_readable = all(isinstance(value, _POLICY[name]) for name, value in known.items())
        return cls(**known) if is_readable else None


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What one approver answered: ``approved`` is None where the step's answer cannot be told.

    ``automatic`` says that ITSM answered by itself, in the operator's name.
    """

    operator: str
    approved: bool | None
    remark: str
    decided_at: str | None
    automatic: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values; ``automatic`` only where it is true, which an older version cannot read."""
        values = vars(self)
        return {name: values[name] for name in values if self.automatic or name != "automatic"}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Decision:
        """Build from what ``as_dict`` returned, of this version or another one."""
        approved = values.get("approved")
        return cls(
            operator=_text(values.get("operator")),
            approved=approved if isinstance(approved, bool) else None,
            remark=_text(values.get("remark")),
            decided_at=_text(values.get("decided_at")) or None,
            automatic=values.get("automatic") is True,
        )


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """A line of the ticket's log that the outcome rests on.

    :param step: the step's name, as far as the log shows it; ``at`` is the line's time (ISO 8601, UTC).
    :param approved: what was answered; None where that cannot be told.
    :param automatic: ITSM answered by itself, in the operator's name.
    """

    step: str
    operator: str
    approved: bool | None
    at: str | None
    automatic: bool = False

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Evidence:
        """Build from what ``asdict`` returned, of this version or another one."""
        approved = values.get("approved")
        return cls(
            step=_text(values.get("step")),
            operator=_text(values.get("operator")),
            approved=approved if isinstance(approved, bool) else None,
            at=_text(values.get("at")) or None,
            automatic=values.get("automatic") is True,
        )


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """How a ticket stands. ``as_dict`` is JSON for XComs, ``as_event`` for the events of triggers.

    ``reason_code`` is the :class:`~airflow_provider_bkitsm.itsm.outcome.Reason`, ``reason`` its text and what
    was seen. ``approvers`` are the answers given so far, oldest first; ``decided_at`` is the last one's time (ISO
    8601, UTC). ``seen_by`` is how the decision reached Airflow, ``seen_at`` when (ISO 8601, UTC), where that was
    noted. ``evidence`` are the lines of the log that the outcome rests on, ``airflow_url`` is the Ticket tab in
    Airflow of the task that asked. ``current_status`` is ITSM's own word, ``progress`` what it means. ``policy``
    is the verdict policy by which the verdict was read; it is None where an earlier version of the provider read
    the verdict.
    ``progress`` and ``policy`` are not stored with a verdict. The events of triggers hold the ``policy``.
    """

    sn: str
    outcome: Outcome
    reason: str
    current_status: str
    title: str = ""
    ticket_url: str = ""
    decided_at: str | None = None
    approvers: tuple[Decision, ...] = ()
    evidence_required: bool = True
    seen_by: SeenBy | None = None
    seen_at: str | None = None
    reason_code: Reason | None = None
    evidence: tuple[Evidence, ...] = ()
    airflow_url: str = ""
    progress: Progress = field(default=Progress.OPEN, compare=False, repr=False)
    policy: VerdictPolicy | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        """Fill in the code of a reason that is given as text alone, and the text of one that is given as code.

        An address that is not http(s) is dropped.
        """
        if self.reason_code is None:
            object.__setattr__(self, "reason_code", reason_code(self.reason, self.outcome))
        if self.reason_code is not None and self.reason in ("", self.reason_code):
            object.__setattr__(self, "reason", self.reason_code.text)
        for name in ("ticket_url", "airflow_url"):
            object.__setattr__(self, name, web_address(getattr(self, name)))

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values, without what only a verdict that was just read has."""
        values = vars(self) | {
            "outcome": str(self.outcome),
            "reason_code": str(self.reason_code),
            "approvers": [one.as_dict() for one in self.approvers],
            "evidence": [dict(vars(one)) for one in self.evidence],
        }
        return {name: value for name, value in values.items() if name not in _JUST_READ}

    def as_event(self) -> dict[str, Any]:
        """Return plain JSON values for a worker: by which policy the verdict was read is among them."""
        return self.as_dict() | {"policy": None if self.policy is None else asdict(self.policy)}

    @classmethod
    def from_dict(cls, values: object) -> Verdict:
        """Build from what ``as_event`` returned, of this version or another one; raises nothing.

        What cannot be read is not approved: an unknown outcome, an approval for an unknown reason or of no ticket.
        """
        stored: Mapping[Any, Any] = values if isinstance(values, Mapping) else {}
        outcome, code, reason = _stored_outcome(stored)
        seen_by, listed, rests_on = (stored.get(name) for name in ("seen_by", "approvers", "evidence"))
        return cls(
            sn=_text(stored.get("sn")),
            outcome=outcome,
            reason=reason,
            reason_code=code,
            current_status=_text(stored.get("current_status")),
            title=_text(stored.get("title")),
            ticket_url=_text(stored.get("ticket_url")),
            decided_at=_text(stored.get("decided_at")) or None,
            approvers=tuple(Decision.from_dict(one) for one in _list(listed) if isinstance(one, Mapping)),
            evidence_required=stored.get("evidence_required") is not False,
            seen_by=seen_by if seen_by in get_args(SeenBy) else None,
            seen_at=_text(stored.get("seen_at")) or None,
            evidence=tuple(Evidence.from_dict(one) for one in _list(rests_on) if isinstance(one, Mapping)),
            airflow_url=_text(stored.get("airflow_url")),
            policy=VerdictPolicy.from_dict(stored.get("policy")),
        )

    @property
    def stands(self) -> bool:
        """Whether the verdict is stored as the ticket's: it is final, and an approver's or its creator's.

        What no approver decided does not stand: the verdict policy may be wrong, or a person has to look.
        """
        return self.outcome.is_final and self.reason_code not in NOBODYS_ANSWER

    def seen(self, by: SeenBy, at: datetime) -> Verdict:
        """Return the same verdict with how, and when (aware), Airflow learnt of it."""
        return replace(self, seen_by=by, seen_at=at.isoformat())

    def timed_out(self) -> Verdict:
        """Return the same ticket, still open when the deadline passed."""
        reason = Reason.DEADLINE
        return replace(self, outcome=Outcome.TIMED_OUT, reason=reason.text, reason_code=reason)

    def describe(self) -> str:
        """Say in one sentence how the ticket stands, and who answered what."""
        said = "; ".join(_spoken(one) for one in self.approvers)
        approved = self.outcome is Outcome.APPROVED
        why = "" if self.reason_code is Reason.APPROVED else f": {self.reason}"
        waived = ", without looking for an approval step" if approved and not self.evidence_required else ""
        return printable(f"ITSM ticket {self.sn} is {self.outcome}{waived}{why}" + (f" ({said})" if said else ""))


def _stored_outcome(stored: Mapping[Any, Any]) -> tuple[Outcome, Reason, str]:
    """Return a stored verdict's outcome and reason; what is approved has a known reason and a ticket."""
    outcome, reason = _known(Outcome, stored.get("outcome")), _text(stored.get("reason"))
    code = _known(Reason, stored.get("reason_code")) or Reason.UNREADABLE
    if outcome is not None and stored.get("reason_code") is None:
        code = reason_code(reason, outcome)
    approved = outcome is Outcome.APPROVED
    if outcome is None or (approved and not (code in APPROVING and _text(stored.get("sn")))):
        shown = ", ".join(f"{name} {stored.get(name)!r}"[:80] for name in ("sn", "outcome", "reason_code"))
        reason = f"{Reason.UNREADABLE.text} ({shown}). Clear the task to read the ticket again"
        return Outcome.REJECTED, Reason.UNREADABLE, reason
    return outcome, code, reason


_ANSWER_WORDS = {True: "approved", False: "refused", None: "answered"}


def answer_text(operator: str, approved: bool | None) -> str:
    """Say who answered what."""
    return f"{operator or 'the system'} {_ANSWER_WORDS[approved]}"


def _spoken(decision: Decision) -> str:
    automatic = " automatically" if decision.automatic else ""
    remark = f": {decision.remark}" if decision.remark else ""
    return f"{answer_text(decision.operator, decision.approved)}{automatic}{remark}"


def _known(kind: type[E], value: object) -> E | None:
    try:
        return kind(_text(value))
    except ValueError:
        return None


def moment(value: object) -> datetime | None:
    """Read a time as verdicts and notes store it, in ISO 8601 with its offset; None for anything else."""
    try:
        read = datetime.fromisoformat(_text(value))
    except ValueError:
        return None
    return read if read.tzinfo else None


def iso(at: datetime | None) -> str | None:
    """Return a time as ``moment`` reads it."""
    return at.isoformat() if at else None


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _list(value: object) -> Iterable[Any]:
    return value if isinstance(value, list | tuple) else ()
