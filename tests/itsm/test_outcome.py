# SPDX-License-Identifier: Apache-2.0
"""The outcome table of the design, exhaustively (promise P3: fail closed)."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_bkitsm.itsm.outcome import (
    APPROVING,
    CALLED_OFF,
    ENDED,
    NOBODYS_ANSWER,
    Answer,
    Outcome,
    Reason,
    approve_result_answer,
    field_answer,
    judge,
)

OPEN_STATUSES = [
    "RUNNING",
    "SUSPENDED",
    "NEW",
    "RESOLVED",
    "CONFIRMED",
    "",
    "finished",
    "FINISHED ",
    "FAILED",
]


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
    judgement = judge("FINISHED", answer=answer, evidence=evidence)
    assert (judgement.outcome, judgement.reason) == (outcome, reason)


@pytest.mark.parametrize(("answer", "evidence"), list(product(Answer, Reason)))
def test_p3_withdrawn_and_terminated_never_approve_whatever_the_verdict_says(answer, evidence):
    assert judge("REVOKED", answer=answer, evidence=evidence).outcome is Outcome.WITHDRAWN
    assert judge("TERMINATED", answer=answer, evidence=evidence).outcome is Outcome.TERMINATED


@pytest.mark.parametrize(("status", "answer", "evidence"), list(product(OPEN_STATUSES, Answer, Reason)))
def test_p3_every_other_status_waits(status, answer, evidence):
    assert judge(status, answer=answer, evidence=evidence).outcome is Outcome.WAITING


@given(st.text(), st.sampled_from(Answer), st.sampled_from(Reason))
def test_p3_only_one_combination_of_all_approves(status, answer, evidence):
    approved = judge(status, answer=answer, evidence=evidence).outcome is Outcome.APPROVED
    assert approved == (status == "FINISHED" and answer is Answer.YES and evidence in APPROVING)
    assert (judge(status, answer=answer, evidence=evidence).outcome is Outcome.WAITING) == (status not in ENDED)


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


@pytest.mark.parametrize(
    ("outcome", "is_final", "is_decision", "frees_collector", "itsm_status"),
    [
        (Outcome.WAITING, False, False, False, None),
        (Outcome.APPROVED, True, True, False, "FINISHED"),
        (Outcome.REJECTED, True, True, True, "FINISHED"),
        (Outcome.WITHDRAWN, True, False, True, "REVOKED"),
        (Outcome.TERMINATED, True, False, True, "TERMINATED"),
        (Outcome.TIMED_OUT, True, False, True, None),
    ],
)
def test_the_traits_of_each_outcome(outcome, is_final, is_decision, frees_collector, itsm_status):
    traits = (outcome.is_final, outcome.is_decision, outcome.frees_collector, outcome.itsm_status)
    assert traits == (is_final, is_decision, frees_collector, itsm_status)


@pytest.mark.parametrize("outcome", Outcome)
def test_p3_an_outcome_of_itsm_is_read_from_its_own_status(outcome):
    """Also one that is added later."""
    status = outcome.itsm_status
    if status is None:
        return
    answer = Answer.YES if outcome is Outcome.APPROVED else Answer.NO
    assert judge(status, answer=answer, evidence=Reason.APPROVED).outcome is outcome
    assert (status in ENDED, status in CALLED_OFF) == (True, not outcome.is_decision)


def test_every_reason_has_a_text_of_its_own():
    assert len({one.text for one in Reason}) == len(Reason)


def test_a_reason_that_nobody_decided_approves_nothing():
    assert not NOBODYS_ANSWER & APPROVING
    assert {Reason.REFUSED, Reason.WITHDRAWN, Reason.TERMINATED, Reason.DEADLINE} & NOBODYS_ANSWER == set()
