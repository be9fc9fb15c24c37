# SPDX-License-Identifier: Apache-2.0
"""The outcome table of the design, exhaustively (promise P3: fail closed)."""

from __future__ import annotations

from itertools import product

import pytest

from airflow_provider_bkitsm.itsm.approval_rule import Answer, approve_result_answer, field_answer, judge
from airflow_provider_bkitsm.itsm.models import Progress
from airflow_provider_bkitsm.itsm.outcome import APPROVING, Outcome, Reason
from tests.tables import table


@pytest.mark.parametrize(
    ("answer", "evidence", "outcome", "reason"),
    [
        *((Answer.YES, one, Outcome.APPROVED, one) for one in Reason if one in APPROVING),
        *((Answer.YES, one, Outcome.REJECTED, one) for one in Reason if one not in APPROVING),
        *((Answer.NO, one, Outcome.REJECTED, Reason.REFUSED) for one in Reason),
        *((Answer.MISSING, one, Outcome.REJECTED, Reason.VERDICT_MISSING) for one in Reason),
    ],
)
def test_p3_a_finished_ticket_is_approved_only_by_a_yes_with_evidence(answer, evidence, outcome, reason):
    judgement = judge(Progress.FINISHED, answer=answer, evidence=evidence)
    assert (judgement.outcome, judgement.reason) == (outcome, reason)


@table(("answer", "evidence"), product(Answer, Reason))
def test_p3_withdrawn_and_terminated_never_approve_whatever_the_verdict_says(answer, evidence):
    assert judge(Progress.WITHDRAWN, answer=answer, evidence=evidence).outcome is Outcome.WITHDRAWN
    assert judge(Progress.TERMINATED, answer=answer, evidence=evidence).outcome is Outcome.TERMINATED


@table(("progress", "answer", "evidence"), product(Progress, Answer, Reason))
def test_p3_only_one_combination_of_all_approves(progress, answer, evidence):
    outcome = judge(progress, answer=answer, evidence=evidence).outcome
    yes = progress is Progress.FINISHED and answer is Answer.YES and evidence in APPROVING
    assert (outcome is Outcome.APPROVED) == yes
    assert (outcome is Outcome.WAITING) == (not progress.has_ended)


@pytest.mark.parametrize(
    ("value", "answer"),
    [
        (True, Answer.YES),
        (False, Answer.NO),
        ("true", Answer.MISSING),
        (1, Answer.MISSING),
        (None, Answer.MISSING),
        ({}, Answer.MISSING),
    ],
)
def test_p3_only_the_json_literals_are_a_verdict(value, answer):
    assert approve_result_answer(value) is answer


@pytest.mark.parametrize(
    ("value", "answer"),
    [
        ("true", Answer.YES),
        ("false", Answer.NO),
        ("True", Answer.NO),
        ("", Answer.MISSING),
        (None, Answer.MISSING),
        (True, Answer.MISSING),
        (["true"], Answer.MISSING),
    ],
)
def test_p3_a_form_field_is_a_yes_only_as_the_exact_text(value, answer):
    assert field_answer(value, wanted="true") is answer


@pytest.mark.parametrize("outcome", Outcome)
def test_p3_an_outcome_of_itsm_is_read_from_its_own_end(outcome):
    """Also one that is added later."""
    progress = outcome.progress
    if progress is None:
        return
    answer = Answer.YES if outcome is Outcome.APPROVED else Answer.NO
    assert judge(progress, answer=answer, evidence=Reason.APPROVED).outcome is outcome
    assert (progress.has_ended, progress.is_called_off) == (True, not outcome.is_decision)
