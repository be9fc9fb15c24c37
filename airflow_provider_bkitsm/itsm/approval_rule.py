# SPDX-License-Identifier: Apache-2.0
"""The rule that decides "approved" (promise P3): a finished ticket, a yes of the verdict source, and evidence.

What the rule is given is read from ITSM by :mod:`airflow_provider_bkitsm.itsm.verdict_reading`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from airflow_provider_bkitsm.itsm.models import Progress
from airflow_provider_bkitsm.itsm.outcome import APPROVING, Outcome, Reason, reason_code


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
    progress: Judgement(outcome=outcome, reason=reason_code("", outcome))
    for outcome in Outcome
    if (progress := outcome.progress) is not None and progress.is_called_off
}
_NOT_YES = {
    Answer.NO: Judgement(outcome=Outcome.REJECTED, reason=Reason.REFUSED),
    Answer.MISSING: Judgement(outcome=Outcome.REJECTED, reason=Reason.VERDICT_MISSING),
}


def judge(progress: Progress, *, answer: Answer, evidence: Reason) -> Judgement:
    """Decide a wait (promise P3, fail closed).

    What is not known to be an end is a wait, never a yes. A rejected ticket is finished too, only the verdict
    source tells (docs/itsm-behaviour.md#status-of-a-ticket).

    :param evidence: what stands behind a yes of the verdict source: one of ``APPROVING``, or why nothing does.
    """
    if progress is not Progress.FINISHED:
        return _ENDED.get(progress, _WAITING)
    if answer is not Answer.YES:
        return _NOT_YES[answer]
    outcome = Outcome.APPROVED if evidence in APPROVING else Outcome.REJECTED
    return Judgement(outcome=outcome, reason=evidence)


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
