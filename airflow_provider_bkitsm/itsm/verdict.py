# SPDX-License-Identifier: Apache-2.0
"""Reading one ticket's verdict: the authoritative state, its verdict source, and the evidence behind it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, Literal

from airflow_provider_bkitsm.itsm import calls
from airflow_provider_bkitsm.itsm.errors import ItsmAmbiguousError, ItsmTicketNotFoundError
from airflow_provider_bkitsm.itsm.models import ApprovalResult, FormField, LogEntry
from airflow_provider_bkitsm.itsm.outcome import (
    Answer,
    Judgement,
    Outcome,
    Reason,
    approve_result_answer,
    field_answer,
    judge,
)
from airflow_provider_bkitsm.itsm.protocol import Flow

_APPROVAL = "APPROVAL"

SeenBy = Literal["callback", "poll"]


@dataclass(frozen=True, kw_only=True)
class VerdictPolicy:
    """Where a finished ticket's verdict is read, and whether a visible approval step must stand behind it.

    :param verdict_field: key of the form field that holds the verdict; None reads ITSM's ``approve_result``.
        Needed for flows whose decision is taken on an ordinary step, such as the log platform's built-in one.
    :param verdict_value: what that field holds when approved.
    :param require_evidence: False only for a service that is known to decide without an approval step.
    """

    verdict_field: str | None = None
    verdict_value: str = "true"
    require_evidence: bool = True


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What one approver answered: ``approved`` is None where the step shows no answer."""

    operator: str
    approved: bool | None
    remark: str
    decided_at: str | None


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """How a ticket stands. ``as_dict`` is JSON, for XComs and trigger events.

    ``approvers`` are the answers given so far, oldest first; ``decided_at`` is the last one's time (ISO 8601,
    UTC). ``seen_by`` is how the decision reached Airflow, ``seen_at`` when (ISO 8601, UTC), where that was noted.
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

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self) | {
            "outcome": str(self.outcome),
            "approvers": [asdict(one) for one in self.approvers],
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Verdict:
        """Build from what ``as_dict`` returned, of this version or another one."""
        values = {name: values[name] for name in cls.__dataclass_fields__ if name in values}
        approvers = tuple(Decision(**one) for one in values["approvers"])
        return cls(**values | {"outcome": Outcome(values["outcome"]), "approvers": approvers})

    def seen(self, by: SeenBy, at: datetime) -> Verdict:
        """Return the same verdict with how, and when (aware), Airflow learnt of it."""
        return replace(self, seen_by=by, seen_at=_iso(at))

    def timed_out(self) -> Verdict:
        """Return the same ticket, still open when the deadline passed."""
        return replace(self, outcome=Outcome.TIMED_OUT, reason=str(Reason.DEADLINE))

    def describe(self) -> str:
        """Say in one sentence how the ticket stands, and who answered what."""
        said = "; ".join(_spoken(one) for one in self.approvers)
        why = "" if self.outcome is Outcome.APPROVED else f": {self.reason}"
        return f"ITSM ticket {self.sn} is {self.outcome}{why}" + (f" ({said})" if said else "")


def read_verdict(sn: str, policy: VerdictPolicy) -> Flow[Verdict]:
    """Ask ITSM how a ticket stands (one call while it is open, two or three once it has ended).

    :raises ItsmTicketNotFoundError: ITSM knows no such ticket.
    :raises ItsmAmbiguousError: two tickets carry this number; neither is believed.
    """
    row = only_row(sn, (yield calls.ticket_approval_result([sn])))
    return (yield from verdict_of(row, policy))


def verdict_of(row: ApprovalResult, policy: VerdictPolicy) -> Flow[Verdict]:
    """Judge a ticket whose state was just read (no call while it is open, one or two once it has ended)."""
    sn = row.sn
    open_or_refused = judge(row.current_status, answer=Answer.NO, evidence=False)
    if open_or_refused.outcome is Outcome.WAITING:
        return _verdict(row, open_or_refused, (), policy)
    logs: Sequence[LogEntry] = (yield calls.get_ticket_logs(sn)).logs
    decisions = tuple(_decision(entry, policy) for entry in logs if _is_processed(entry, policy))
    answer = approve_result_answer(row.approve_result)
    if policy.verdict_field is not None:
        info = yield calls.get_ticket_info(sn)
        answer = field_answer(value_of(info.fields, policy.verdict_field), wanted=policy.verdict_value)
    evidence = not policy.require_evidence or any(one.approved is not False for one in decisions)
    return _verdict(row, judge(row.current_status, answer=answer, evidence=evidence), decisions, policy)


def only_row(sn: str, rows: Iterable[ApprovalResult]) -> ApprovalResult:
    """Return the one row of a ticket; ITSM leaves unknown sns out and may hold a sn twice."""
    found = [row for row in rows if row.sn == sn]
    if not found:
        raise ItsmTicketNotFoundError(f"ITSM knows no ticket {sn}; nothing was approved")
    if len(found) > 1:
        raise ItsmAmbiguousError(f"ITSM holds {len(found)} tickets numbered {sn}; none of them is believed")
    return found[0]


def value_of(fields: Iterable[FormField], key: str) -> Any:
    """Return the value of a form field, or None."""
    return next((field.value for field in fields if field.key == key), None)


def _is_processed(entry: LogEntry, policy: VerdictPolicy) -> bool:
    if policy.verdict_field is None:
        return entry.from_state_type == _APPROVAL
    return any(field.key == policy.verdict_field for field in entry.form_data)


def _decision(entry: LogEntry, policy: VerdictPolicy) -> Decision:
    if policy.verdict_field is None:
        said, yes = _first(entry.form_data, "RADIO"), "true"
    else:
        said, yes = value_of(entry.form_data, policy.verdict_field), policy.verdict_value
    return Decision(
        operator=entry.operator,
        approved=None if said is None else said == yes,
        remark=str(_first(entry.form_data, "TEXT") or ""),
        decided_at=_iso(entry.operate_at),
    )


def _first(fields: Iterable[FormField], kind: str) -> Any:
    return next((field.value for field in fields if field.type == kind and field.value not in (None, "")), None)


def _verdict(
    row: ApprovalResult, judgement: Judgement, decisions: tuple[Decision, ...], policy: VerdictPolicy
) -> Verdict:
    ended = judgement.outcome is not Outcome.WAITING
    last = decisions[-1].decided_at if decisions else _iso(row.update_at)
    return Verdict(
        sn=row.sn,
        outcome=judgement.outcome,
        reason=str(judgement.reason),
        current_status=row.current_status,
        title=row.title,
        ticket_url=row.ticket_url,
        decided_at=last if ended else None,
        approvers=decisions,
        evidence_required=policy.require_evidence,
    )


def _spoken(decision: Decision) -> str:
    answer = {True: "approved", False: "refused", None: "answered"}[decision.approved]
    remark = f": {decision.remark}" if decision.remark else ""
    return f"{decision.operator or 'the system'} {answer}{remark}"


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
