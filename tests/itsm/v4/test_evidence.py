# SPDX-License-Identifier: Apache-2.0
"""Logs and tasks that are not what ITSM v4's public clients have seen: what is not known is no approval (P3)."""

from __future__ import annotations

import pytest

from airflow_provider_bkitsm.itsm.verdict import VerdictPolicy
from airflow_provider_bkitsm.itsm.verdict_reading import read_verdict
from tests.itsm.v4.answers import ID, ended, line, task

APPROVED = (line("submit"), line("approve"))
OF_CAROL = {"activity_key": "step_2", "operator": "carol"}


def reason(**given) -> str:
    return str(ended(**given).drive(read_verdict(ID, VerdictPolicy())).reason_code)


@pytest.mark.parametrize("kind", ["APPROVE_TASK", "SIGN_TASK", "NORMAL", None])
@pytest.mark.parametrize("word", ["refuse", "reject", "Refused", "rejected", "disagree", "deny", "denied"])
def test_p3_a_refusal_stands_at_whatever_step_and_in_whatever_form_of_the_word(word, kind):
    refused = line(word, activity_type=kind, **OF_CAROL)
    assert reason(logs=(*APPROVED, refused), tasks=(task(),)) == "refusal_stands"


@pytest.mark.parametrize("missing", [{}, {"operator_at": None}, {"operator": ""}])
@pytest.mark.parametrize(("word", "why"), [("refused", "refusal_stands"), ("sent_back", "verdict_unclear")])
def test_p3_a_task_that_somebody_answered_in_an_unknown_word_is_no_approval(word, why, missing):
    assert reason(logs=APPROVED, tasks=(task(), task(word, **OF_CAROL | missing))) == why


def test_a_step_that_was_closed_for_others_stops_nothing():
    closed = task("closed", activity_key="step_1", operator="", operator_at=None)
    assert reason(logs=APPROVED, tasks=(task(), closed)) == "approved"


def test_a_hand_over_is_no_answer():
    assert (
        reason(logs=(line("submit"), line("deliver", **OF_CAROL), line("approve")), tasks=(task(),)) == "approved"
    )


@pytest.mark.parametrize("creator", ["", "alice(Alice)", "ALICE"])
def test_p3_an_approval_by_whoever_handed_the_ticket_in_may_be_itsms_own(creator):
    logs = (line("submit", operator="alice"), line("approve", operator="alice"))
    assert reason(creator=creator, logs=logs, tasks=(task(operator="alice"),)) == "automatic_only"


def test_p3_where_nobody_is_shown_to_have_asked_an_approval_may_be_anybodys():
    assert reason(creator="", logs=(line("approve"),), tasks=(task(),)) == "automatic_only"


@pytest.mark.parametrize(
    "text", ["提单人自动审批同意", "系统自动处理", "历史已审批, 自动跳过", "Automatically agreed"]
)
def test_p3_an_approval_that_says_to_be_automatic_is(text):
    assert reason(logs=(line("submit"), line("approve", extra=[])), tasks=(task(desc=text),)) == "automatic_only"


NO_TIMES = [
    None,
    0,
    False,
    "",
    "0",
    "null",
    "None",
    "-",
    "0001-01-01T00:00:00Z",
    "1970-01-01 00:00:00",
    "0000-00-00",
]


@pytest.mark.parametrize("status", ["finished", "approving"])
@pytest.mark.parametrize("end_at", NO_TIMES)
def test_p1_a_ticket_whose_end_is_no_time_is_waited_for(status, end_at):
    assert reason(status=status, end_at=end_at, logs=APPROVED, tasks=(task(),)) == "open"
