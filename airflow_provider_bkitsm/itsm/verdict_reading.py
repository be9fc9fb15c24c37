# SPDX-License-Identifier: Apache-2.0
"""Reading one ticket's verdict: the authoritative state, its verdict source, and the evidence behind it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from airflow_provider_bkitsm.itsm.approval_rule import (
    Answer,
    Judgement,
    approve_result_answer,
    field_answer,
    judge,
)
from airflow_provider_bkitsm.itsm.dialect import DialectFlow, ask
from airflow_provider_bkitsm.itsm.duties import may_not_approve, unmet_duty
from airflow_provider_bkitsm.itsm.errors import (
    ItsmAmbiguousError,
    ItsmError,
    ItsmTicketNotFoundError,
    ItsmUnexpectedAnswerError,
)
from airflow_provider_bkitsm.itsm.evidence import Finding, Proof, prove, prove_field
from airflow_provider_bkitsm.itsm.idempotency import shows_marker
from airflow_provider_bkitsm.itsm.models import FormField, LogEntry, Progress, StepAnswer, TicketState
from airflow_provider_bkitsm.itsm.outcome import Outcome, Reason
from airflow_provider_bkitsm.itsm.verdict import Decision, Evidence, Verdict, VerdictPolicy, answer_text, iso

VERDICT_FIELD = "approval_result"
"""Key of the form field in which the log platform's services keep their verdict."""


def read_verdict(sn: str, policy: VerdictPolicy) -> DialectFlow[Verdict]:
    """Ask ITSM how a ticket stands (one call while it is open, two or three once it has ended).

    :raises ItsmTicketNotFoundError: ITSM knows no such ticket.
    :raises ItsmAmbiguousError: two tickets carry this number; neither is believed.
    """
    row = only_row(sn, (yield from ask(lambda itsm: itsm.states([sn]))))
    return (yield from verdict_of(row, policy))


def verdict_of(row: TicketState, policy: VerdictPolicy) -> DialectFlow[Verdict]:
    """Judge a ticket whose state was just read (no call while it is open, one or two once it has ended).

    A person's answer in the form field ``approval_result`` counts under three conditions: the policy names no
    field and asks for evidence, ITSM's verdict is yes, and no approval step has an answer. What the requester
    wrote into the submit form is no answer (P3).

    :raises ItsmUnexpectedAnswerError: ITSM answered about another ticket.
    """
    by_status = judge(row.progress, answer=Answer.NO, evidence=Reason.NO_EVIDENCE)
    if not by_status.outcome.is_final:
        return _verdict(row, by_status, Proof(finding=Finding.NOTHING), policy)
    entries = yield from read_log(row.sn)
    verdict = yield from judge_by_log(row, entries, policy)
    if not (_may_be_in_a_field(row, verdict, policy) and _is_answered_in_field(entries)):
        return verdict
    return (yield from judge_by_log(row, entries, replace(policy, verdict_field=VERDICT_FIELD)))


def read_log(sn: str) -> DialectFlow[tuple[LogEntry, ...]]:
    """Read a ticket's log.

    :raises ItsmUnexpectedAnswerError: ITSM answered about another ticket.
    """
    entries: tuple[LogEntry, ...] = about_ticket(sn, (yield from ask(lambda itsm: itsm.log(sn)))).entries
    return entries


def judge_by_log(row: TicketState, entries: tuple[LogEntry, ...], policy: VerdictPolicy) -> DialectFlow[Verdict]:
    """Judge a ticket that has ended, whose log was just read (one call where a form field holds the verdict).

    Where nobody has said who asked, and that counts, it is the ticket's creator (one call). Of a ticket with our
    mark the record says it, by which every approval is confirmed: see ``confirmation.as_asked``.

    :raises ItsmUnexpectedAnswerError: ITSM answered about another ticket.
    """
    answer = approve_result_answer(row.approve_result)
    is_recorded = shows_marker(row.title)
    asks_who = _is_anybodys(policy) and row.progress is Progress.FINISHED and not is_recorded
    if policy.verdict_field is not None or asks_who:
        info = about_ticket(row.sn, (yield from ask(lambda itsm: itsm.info(row.sn))))
        if policy.verdict_field is not None:
            answer = field_answer(_value_of(info.fields, policy.verdict_field), wanted=policy.verdict_value)
        if asks_who:
            policy = replace(policy, requester=info.creator or None)
    proof = _proof(entries, policy)
    counting = _without_requester(policy) if is_recorded and _is_anybodys(policy) else policy
    judgement = judge(row.progress, answer=answer, evidence=_evidence(proof, counting))
    return _verdict(row, judgement, proof, policy)


def only_row(sn: str, rows: Iterable[TicketState]) -> TicketState:
    """Return the one row of a ticket; ITSM leaves unknown sns out and may hold a sn twice.

    See docs/itsm-behaviour.md#ticket_approval_result.
    """
    found = [row for row in rows if row.sn == sn]
    if not found:
        raise ItsmTicketNotFoundError(f"ITSM knows no ticket {sn}; nothing was approved")
    if len(found) > 1:
        raise ItsmAmbiguousError(f"ITSM holds {len(found)} tickets numbered {sn}; none of them is believed")
    return found[0]


def rows_by_ticket(
    sns: Iterable[str], rows: Iterable[TicketState], unread: ItsmUnexpectedAnswerError | None = None
) -> dict[str, TicketState | ItsmError]:
    """Return each ticket's one row, or the error that it has instead.

    :param unread: other rows of the same answer could not be read. One of them may be the second row of a ticket,
        or the row of a ticket that has none.
    """
    found: dict[str, list[TicketState]] = {}
    for row in rows:
        found.setdefault(row.sn, []).append(row)
    seen: dict[str, TicketState | ItsmError] = {}
    for sn in sns:
        try:
            if unread is not None and (sn in unread.unreadable or sn not in found):
                raise unread
            seen[sn] = only_row(sn, found.get(sn, ()))
        except ItsmError as error:
            seen[sn] = error
    return seen


def _value_of(fields: Iterable[FormField], key: str) -> Any:
    """Return the value of a form field; None if there is none, or two that differ."""
    values = [field.value for field in fields if field.key == key]
    return values[0] if values and all(value == values[0] for value in values) else None


def about_ticket(sn: str, answer: Any) -> Any:
    """Return an answer that is about the ticket that was asked for.

    :raises ItsmUnexpectedAnswerError: it is about another one.
    """
    if answer.sn != sn:
        raise ItsmUnexpectedAnswerError(f"ITSM was asked about ticket {sn} and answered about another one")
    return answer


def _is_anybodys(policy: VerdictPolicy) -> bool:
    """Whether it counts who asked, and nobody has said who that was."""
    return policy.forbid_self_approval and not policy.requester


def _without_requester(policy: VerdictPolicy) -> VerdictPolicy:
    """Return what can be judged of a policy before it is known who asked: a person has to have said yes."""
    return replace(policy, forbid_self_approval=False, min_approvers=max(1, policy.min_approvers))


def _may_be_in_a_field(row: TicketState, verdict: Verdict, policy: VerdictPolicy) -> bool:
    unset = policy.verdict_field is None and policy.needs_evidence
    finished = row.progress is Progress.FINISHED and row.approve_result is True
    return unset and finished and verdict.outcome is Outcome.REJECTED and not verdict.approvers


def _is_answered_in_field(entries: Iterable[LogEntry]) -> bool:
    """Whether a person has filled in the verdict field on an ordinary step that is not the submit step."""
    held = [entry for entry in entries if _holds_verdict(entry)]
    return any(entry.is_of_person for entry in held) and not any(map(_is_submission, held))


def _holds_verdict(entry: LogEntry) -> bool:
    return any(one.key == VERDICT_FIELD and one.type == "RADIO" for one in entry.fields)


def _is_submission(entry: LogEntry) -> bool:
    """Whether an entry is the submit step's, which alone has the title."""
    return any(one.key == "title" for one in entry.fields)


def _proof(entries: tuple[LogEntry, ...], policy: VerdictPolicy) -> Proof:
    if policy.verdict_field is None:
        counted = [_without_agents(entry, policy) for entry in entries]
        return prove(counted, accept_automatic=policy.accept_automatic)
    return prove_field(entries, key=policy.verdict_field, yes=policy.verdict_value)


def _without_agents(entry: LogEntry, policy: VerdictPolicy) -> LogEntry:
    """Return an entry in which an answer by who asked, in an approver's place, is no person's.

    An answer that another has given in the place of who asked is the one of who asked.
    """
    answer = entry.answer
    if answer is None or not answer.agent:
        return entry
    if may_not_approve(policy, answer.agent):
        return replace(entry, answer=replace(answer, automatic=True))
    if may_not_approve(policy, answer.operator):
        return replace(entry, answer=replace(answer, agent=""))
    return entry


def _evidence(proof: Proof, policy: VerdictPolicy) -> Reason:
    """Return what stands behind a yes of the verdict source, or why nothing does."""
    if not policy.needs_evidence:
        return Reason.APPROVED
    if proof.finding is Finding.PROVED:
        return unmet_duty(policy, proof.agreed) or Reason.APPROVED
    if proof.finding is Finding.AUTOMATIC and policy.accept_automatic and not policy.needs_people:
        return Reason.APPROVED_AUTOMATICALLY
    return _REASONS[proof.finding]


_REASONS = {
    Finding.AUTOMATIC: Reason.AUTOMATIC_ONLY,
    Finding.REFUSAL_STANDS: Reason.REFUSAL_STANDS,
    Finding.UNCLEAR: Reason.VERDICT_UNCLEAR,
    Finding.NOTHING: Reason.NO_EVIDENCE,
}
# What a person is to do about an end that nothing can be concluded from.
_ADVICE = {
    Reason.NO_EVIDENCE: "A flow that decides in a form field needs verdict_field; one that is meant to decide"
    " without people needs require_evidence=False",
    Reason.VERDICT_MISSING: "Compare verdict_field with the keys of the ticket's form",
    Reason.AUTOMATIC_ONLY: "Give the step an approver who did not open the ticket, or set accept_automatic=True",
    Reason.REFUSAL_STANDS: "Its step was deleted from the flow, or others were asked in its place. Let a person"
    " look at the ticket, then ask anew",
    Reason.VERDICT_UNCLEAR: "Let a person look at the ticket; a flow that decides in a form field needs"
    " verdict_field",
    Reason.SELF_APPROVED: "Ask anew, with another approver, or have another person ask",
    Reason.TOO_FEW_APPROVERS: "Ask anew in a flow that asks so many, such as a countersign",
    Reason.REQUESTER_UNKNOWN: "Give the task a requester",
}


def _reason(judgement: Judgement, proof: Proof, policy: VerdictPolicy) -> str:
    """Say why, what was seen at which step, and what to do."""
    reason = judgement.reason
    if reason not in _ADVICE:
        return reason.text
    seen = "; ".join(_at_step(one) for one in proof.because_of)
    if reason in (Reason.SELF_APPROVED, Reason.TOO_FEW_APPROVERS):
        seen = _who_agreed(proof, policy)
    if reason is Reason.VERDICT_MISSING:
        seen = f"form field {policy.verdict_field}"
    advice = _ADVICE[reason]
    if reason is Reason.AUTOMATIC_ONLY and policy.needs_people:
        advice = "Give the step an approver who did not open the ticket: a person's yes is wanted here"
    return f"{reason.text}{f': {seen}' if seen else ''}. {advice}"


def _who_agreed(proof: Proof, policy: VerdictPolicy) -> str:
    asked = f"{policy.requester} asked; " if policy.forbid_self_approval else ""
    wanted = f"; {policy.min_approvers} people are needed" if policy.min_approvers else ""
    return f"{asked}{', '.join(proof.agreed) or 'nobody'} said yes{wanted}"


def _verdict(row: TicketState, judgement: Judgement, proof: Proof, policy: VerdictPolicy) -> Verdict:
    decisions = tuple(_decision(one) for one in proof.answers)
    answered = decisions and judgement.outcome.is_decision
    last = decisions[-1].decided_at if answered else iso(row.updated_at)
    return Verdict(
        sn=row.sn,
        outcome=judgement.outcome,
        reason=_reason(judgement, proof, policy),
        reason_code=judgement.reason,
        current_status=row.current_status,
        title=row.title,
        ticket_url=row.ticket_url,
        decided_at=last if judgement.outcome.is_final else None,
        approvers=decisions,
        evidence_required=policy.needs_evidence,
        evidence=tuple(map(_line, proof.because_of)) if judgement.outcome.is_final else (),
        progress=row.progress,
        policy=policy,
    )


def _decision(answer: StepAnswer) -> Decision:
    return Decision(
        operator=answer.operator,
        approved=answer.approved,
        remark=answer.remark,
        decided_at=iso(answer.answered_at),
        automatic=answer.automatic,
    )


def _line(answer: StepAnswer) -> Evidence:
    return Evidence(
        step=answer.step,
        operator=answer.operator,
        approved=answer.approved,
        at=iso(answer.answered_at),
        automatic=answer.automatic,
    )


def _at_step(answer: StepAnswer) -> str:
    step = f" at {answer.step}" if answer.step else ""
    return f"{answer_text(answer.operator, answer.approved)}{step}"
