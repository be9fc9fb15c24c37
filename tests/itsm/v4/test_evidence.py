# SPDX-License-Identifier: Apache-2.0
"""Logs and tasks that are not what ITSM v4's public clients have seen: what is not known is no approval (P3)."""

from __future__ import annotations

import pytest

from airflow_provider_bkitsm.itsm.errors import ItsmUnexpectedAnswerError
from airflow_provider_bkitsm.itsm.verdict import VerdictPolicy
from airflow_provider_bkitsm.itsm.verdict_reading import read_verdict
from tests.itsm.v4.answers import ID, OTHER, ended, line, task

APPROVED = (line("submit"), line("approve"))
OF_CAROL = {"activity_key": "step_2", "operator": "carol"}


def reason(policy=VerdictPolicy(), **given) -> str:  # noqa: B008
    return str(ended(**given).drive(read_verdict(ID, policy)).reason_code)


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


LATER, EARLIER = "2026-11-29T08:20:09+08:00", "2026-11-29T08:19:00+08:00"


@pytest.mark.parametrize(
    ("refused_at", "approved_at"),
    [(LATER, None), (None, LATER), (None, None), (LATER, LATER), (LATER, EARLIER), ("soon", LATER)],
)
def test_p3_an_approval_outweighs_a_refusal_only_where_it_is_known_to_be_later(refused_at, approved_at):
    """One is in the log, the other in the tasks: nothing but their times tells the order."""
    submitted = line("submit", operate_at=EARLIER)
    in_log = (submitted, line("refuse", operate_at=refused_at))
    assert reason(logs=in_log, tasks=(task(operator_at=approved_at),)) == "refusal_stands"
    in_tasks = (task("refuse", operator_at=refused_at),)
    assert reason(logs=(submitted, line("approve", operate_at=approved_at)), tasks=in_tasks) == "refusal_stands"


def test_an_approval_that_is_known_to_be_later_outweighs_a_refusal():
    logs = (line("submit"), line("refuse", operate_at=EARLIER))
    assert reason(logs=logs, tasks=(task(operator_at=LATER),)) == "approved"


@pytest.mark.parametrize("undated", [{}, {"operate_at": None}])
def test_p3_a_log_that_begins_with_its_end_is_read_from_its_beginning(undated):
    latest_first = (line("refuse", operate_at=LATER), line("approve"), line("submit", operate_at=EARLIER))
    assert reason(logs=(line("end", operate_at=LATER) | undated, *latest_first)) == "refusal_stands"


@pytest.mark.parametrize("where", [{"ticket_id": OTHER}, {"current_processors": [{"ticket_id": OTHER}]}])
def test_p6_the_tasks_of_another_ticket_prove_nothing(where):
    with pytest.raises(ItsmUnexpectedAnswerError, match="another's"):
        reason(logs=(line("submit"),), tasks=(task(**where),))


@pytest.mark.parametrize(
    "approved",
    [
        {"operator": "alice(Alice)"},
        {"operator": "ALICE"},
        {"operator": "alice（爱丽丝）"},
        {"agent": "alice"},
        {"operator": "system"},
    ],
)
def test_p3_whoever_asks_approves_nothing_in_whatever_spelling_or_place(approved):
    assert reason(logs=(line("submit"), line("approve", **approved))) == "automatic_only"


@pytest.mark.parametrize(("agent", "why"), [("Dave", "automatic_only"), ("erin", "approved"), ("", "approved")])
def test_p3_who_asked_in_airflow_approves_nothing_in_an_approvers_place(agent, why):
    policy = VerdictPolicy(forbid_self_approval=True, requester="dave")
    logs = (line("submit"), line("approve", agent=agent))
    assert reason(policy, logs=logs, tasks=(task(),)) == why
    assert reason(logs=logs, tasks=(task(),)) == "approved"


@pytest.mark.parametrize(
    ("first", "second", "why"),
    [
        ({}, {"operator": "carol"}, "approved"),
        ({}, {"operator": "carol", "agent": "bob"}, "too_few_approvers"),
        ({"agent": "erin"}, {"operator": "carol", "agent": "Erin(E)"}, "too_few_approvers"),
        ({"agent": "carol"}, {"operator": "carol"}, "too_few_approvers"),
        ({}, {"agent": "carol"}, "too_few_approvers"),
        ({"agent": "bob"}, {"operator": "carol", "agent": "carol"}, "approved"),
        ({}, {"operator": "carol", "agent": "erin"}, "approved"),
        ({}, {"operator": "carol", "agent": "system"}, "too_few_approvers"),
    ],
)
def test_p3_who_answers_in_others_places_is_one_person(first, second, why):
    logs = (line("submit"), line("approve", **first), line("approve", activity_key="step_2", **second))
    assert reason(VerdictPolicy(min_approvers=2), logs=logs) == why


def test_p3_an_answer_in_the_place_of_who_asked_is_that_of_who_asked():
    policy = VerdictPolicy(forbid_self_approval=True, requester="dave")
    logs = (line("submit"), line("approve", operator="dave", agent="erin"))
    assert reason(policy, logs=logs) == "self_approved"


@pytest.mark.parametrize("text", ["系统自动流转", "无处理人, 自动完成", "Approved automatically"])
def test_p3_what_itsm_writes_beside_an_answer_may_say_that_it_is_automatic(text):
    assert reason(logs=(line("submit"), line("approve", action_display=text))) == "automatic_only"
    assert reason(logs=(line("submit"),), tasks=(task(status_display=text),)) == "automatic_only"


def test_a_persons_remark_about_something_automatic_is_a_persons():
    text = "fine, the pods scale automatically"
    assert reason(logs=(line("submit"), line("approve")), tasks=(task(desc=text),)) == "approved"
