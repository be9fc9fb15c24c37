# SPDX-License-Identifier: Apache-2.0
"""A comment is a rating: once, and only of a finished ticket."""

from __future__ import annotations

import pytest

from airflow_provider_bkitsm.hooks.itsm import ItsmHook
from airflow_provider_bkitsm.itsm import errors
from airflow_provider_bkitsm.itsm.actions import comment
from airflow_provider_bkitsm.tickets.withdrawal import withdraw

FORM = {"title": "t", "APPROVER": "alice", "APPROVAL_CONTENT": "c"}
RATING = {"stars": 2, "operator": "robot", "comments": "failed afterwards"}


@pytest.fixture
def sn(connections) -> str:
    return ItsmHook().create_ticket(creator="robot", fields=FORM, fast_approval=True).sn


def said(sn: str, **more) -> bool:
    return ItsmHook().run(comment(sn=sn, **RATING | more))


def sent(sandbox) -> list[dict]:
    return [one["body"] for one in sandbox.requests("comment")]


def test_a_finished_ticket_is_commented_on_once(sn, sandbox):
    sandbox.approve(sn)
    assert said(sn)
    assert not said(sn)
    assert sent(sandbox) == [{"sn": sn, **RATING}]


def test_an_open_ticket_is_told_plainly(sn, sandbox):
    with pytest.raises(errors.ItsmConflictError, match=r"still open \(RUNNING\); ITSM lets nobody comment on it"):
        said(sn)
    assert not sent(sandbox)


def test_so_is_one_that_was_withdrawn(sn, sandbox):
    withdraw(ItsmHook(), sn=sn, why="m")
    with pytest.raises(errors.ItsmConflictError, match="was not finished but is REVOKED"):
        said(sn)


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ({"stars": 0}, "1 to 6"),
        ({"stars": 7}, "1 to 6"),
        ({"operator": "a" * 17}, "at most 16"),
        ({"sn": ""}, "sn"),
    ],
)
def test_what_itsm_would_refuse_is_not_sent(sandbox, connections, more, problem):
    with pytest.raises(errors.ItsmInvalidRequestError, match=problem):
        said(**{"sn": "REQ1"} | more)
    assert not sandbox.requests("get_ticket_info")


def test_a_lost_answer_whose_work_was_done_is_done(sn, sandbox):
    sandbox.approve(sn)
    sandbox.fault("comment", "drop_answer")
    assert said(sn)


def test_a_lost_answer_whose_work_was_not_done_says_so(sn, sandbox):
    sandbox.approve(sn)
    sandbox.fault("comment", "html")
    with pytest.raises(errors.ItsmOutcomeUnknownError, match=f"ticket {sn} shows no comment"):
        said(sn)


def test_a_refusal_names_who_was_refused_where_and_by_what_code(sn, sandbox):
    sandbox.approve(sn)
    sandbox.fault("comment", "refuse", code=3900005)
    with pytest.raises(errors.ItsmConflictError, match=f"refused the comment of robot on ticket {sn}") as caught:
        said(sn)
    assert caught.value.code == 3900005
