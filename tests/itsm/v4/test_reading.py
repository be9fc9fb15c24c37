# SPDX-License-Identifier: Apache-2.0
"""Whatever a server sends is a model or an error of ours, and never an approval (P3)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_bkitsm.itsm import errors
from airflow_provider_bkitsm.itsm.v4 import reading
from airflow_provider_bkitsm.itsm.v4.status import read_callback
from airflow_provider_bkitsm.itsm.verdict import VerdictPolicy
from airflow_provider_bkitsm.itsm.verdict_reading import read_verdict
from tests.itsm.v4.answers import ID, Itsm, ended, items, line, page, task, ticket, workflow

SHANGHAI = ZoneInfo("Asia/Shanghai")
READERS = (
    reading.read_ticket,
    reading.read_detail,
    reading.read_page,
    reading.read_tasks,
    reading.read_logs,
    reading.read_workflows,
    reading.read_workflow_names,
    reading.read_result,
)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8)
ANYTHING = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
)
GOOD = (ticket(), task(), line("approve"), workflow(), items(task()), items(line("submit")), page(ticket()))


def spoilt(good: Any, wrong: Any, place: int) -> Any:
    """Return a good answer with one value in it replaced."""
    spots: list[tuple[Any, Any]] = []

    def walk(node: Any) -> Any:
        if isinstance(node, dict):
            copy = {key: walk(value) for key, value in node.items()}
            spots.extend((copy, key) for key in copy)
            return copy
        if isinstance(node, list):
            rows = [walk(value) for value in node]
            spots.extend((rows, index) for index in range(len(rows)))
            return rows
        return node

    copied = walk(good)
    where, key = spots[place % len(spots)]
    where[key] = wrong
    return copied


@given(ANYTHING)
@pytest.mark.parametrize("read", READERS, ids=lambda one: one.__name__)
def test_anything_is_read_or_refused(read, data):
    try:
        read(data)
    except (errors.ItsmUnexpectedAnswerError, errors.ItsmTicketNotFoundError):
        return


@given(st.sampled_from(GOOD), ANYTHING, st.integers(0, 200))
@pytest.mark.parametrize("read", READERS, ids=lambda one: one.__name__)
def test_a_good_answer_with_one_wrong_value_is_read_or_refused(read, good, wrong, place):
    test_anything_is_read_or_refused.hypothesis.inner_test(read, spoilt(good, wrong, place))


REFUSED = {"logs": (line("submit"), line("refuse"), line("end")), "tasks": (task("refuse"),)}


@given(ANYTHING, st.integers(0, 200), st.sampled_from(["system_ticket/list", "ticket/detail"]))
def test_p3_no_wrong_value_makes_an_approval_of_a_refusal(wrong, place, where):
    itsm = ended(approve_result=False, **REFUSED)
    itsm.answers[where] = spoilt(itsm.answers[where], wrong, place)
    try:
        verdict = itsm.drive(read_verdict(ID, VerdictPolicy()))
    except errors.ItsmError:
        return
    assert verdict.outcome != "approved"


@given(ANYTHING, st.integers(0, 200), st.sampled_from(["ticket/logs", "approval_tasks"]))
def test_p3_a_spoilt_log_makes_no_approval_of_an_open_ticket(wrong, place, where):
    itsm = ended(logs=(line("approve"),), tasks=(task(),), status="running", end_at=None)
    itsm.answers[where] = spoilt(itsm.answers[where], wrong, place)
    assert itsm.drive(read_verdict(ID, VerdictPolicy())).outcome == "waiting"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-29 08:15:30", datetime(2026, 11, 29, 0, 15, 30, tzinfo=UTC)),
        ("2026-11-29T08:15:30+08:00", datetime(2026, 11, 29, 0, 15, 30, tzinfo=UTC)),
        ("2026-11-29t00:15:30z", datetime(2026, 11, 29, 0, 15, 30, tzinfo=UTC)),
        ("2026-11-29T00:15:30Z", datetime(2026, 11, 29, 0, 15, 30, tzinfo=UTC)),
        ("2026-11-29T00:15:30.123456Z", datetime(2026, 11, 29, 0, 15, 30, 123456, tzinfo=UTC)),
        ("0000-00-00 00:00:00", None),
        ("", None),
        ("yesterday", None),
        ("0001-01-01 00:00:00", None),
    ],
)
def test_times_are_read_with_and_without_an_offset(text, expected):
    assert reading.moment(text, SHANGHAI) == expected


@pytest.mark.parametrize("wrong", [{"status": None}, {"status": 5}, {"title": [], "end_at": {}}])
def test_p2_the_id_of_a_new_ticket_is_taken_whatever_else_its_answer_lacks(wrong):
    assert reading.read_created({"id": ID} | wrong).id == ID
    for data in ({}, {"id": ""}, {"id": None}, [], None):
        with pytest.raises(errors.ItsmUnexpectedAnswerError):
            reading.read_created(data)


def test_a_row_that_cannot_be_read_hides_no_other():
    read = reading.read_page(page(ticket(), {"id": "broken"}, "x"))
    assert ([row.id for row in read.rows], read.unreadable) == ([ID], frozenset({"broken"}))


def test_a_log_of_another_ticket_is_an_error():
    itsm = Itsm(
        answers={
            "ticket/detail": ticket(),
            "ticket/logs": items(line("approve", ticket_id="another")),
            "approval_tasks": items(),
        }
    )
    with pytest.raises(errors.ItsmUnexpectedAnswerError, match="another's"):
        itsm.drive(itsm.dialect.log(ID))


def test_an_unreadable_row_is_an_error_of_its_own_ticket():
    other = "102026112908153000004299"
    itsm = Itsm(answers={"system_ticket/list": page(ticket(), ticket(id=other, status=None))})
    with pytest.raises(errors.ItsmUnexpectedAnswerError) as raised:
        itsm.drive(itsm.dialect.states([ID, other]))
    assert ([one.sn for one in raised.value.rows], raised.value.unreadable) == ([ID], frozenset({other}))


@pytest.mark.parametrize("order", [1, -1])
def test_p3_two_rows_of_one_ticket_that_differ_are_not_believed(order):
    rows = (ticket(status="running", end_at=None, approve_result=False), ticket())[::order]
    itsm = ended(logs=(line("submit"), line("approve")), tasks=(task(),))
    itsm.answers["system_ticket/list"] = page(*rows)
    with pytest.raises(errors.ItsmAmbiguousError):
        itsm.drive(read_verdict(ID, VerdictPolicy()))


def test_an_id_that_is_a_number_is_a_name_all_the_same():
    """All its digits count: no float holds 24 of them."""
    itsm = ended(id=int(ID), logs=(line("submit"), line("approve")), tasks=(task(),))
    assert itsm.drive(read_verdict(ID, VerdictPolicy())).outcome == "approved"
    assert reading.read_created({"id": int(ID)}).id == ID
    assert read_callback({"callback_token": "ours", "ticket": {"id": int(ID)}}).sn == ID


@pytest.mark.parametrize("wrong", [None, "", " ", 0, True, float(ID), [ID], {"id": ID}])
def test_p3_what_is_no_id_is_none(wrong):
    assert read_callback({"callback_token": "ours", "ticket": {"id": wrong}}) is None
    with pytest.raises(errors.ItsmUnexpectedAnswerError):
        reading.read_created({"id": wrong})


def unknown(call):
    raise errors.ItsmInvalidRequestError("there is no such ticket", code="40400")


def forbidden(call):
    raise errors.ItsmPermissionError("not for this tenant", code="40300")


def rows_read(itsm: Itsm, sns: list[str]) -> Any:
    try:
        return itsm.drive(itsm.dialect.states(sns))
    except errors.ItsmUnexpectedAnswerError as error:
        return error.rows


@pytest.mark.parametrize("answer", [unknown, forbidden])
def test_p1_a_ticket_that_itsm_does_not_show_hides_no_other(answer):
    other = "102026112908153000004299"
    itsm = Itsm(answers={"system_ticket/list": page(ticket()), "ticket/detail": answer})
    assert [one.sn for one in rows_read(itsm, [ID, other])] == [ID]


@pytest.mark.parametrize(("code", "sns"), [("40300", [ID]), ("1640301", [ID, "1" * 24]), (None, [ID, "1" * 24])])
def test_a_right_that_the_application_lacks_is_named(code, sns):
    """The gateway's refusal is of the call, whichever ticket it names."""

    def refuse(call):
        raise errors.ItsmPermissionError("not for you", code=code)

    itsm = Itsm(answers={"system_ticket/list": page(), "ticket/detail": refuse})
    with pytest.raises(errors.ItsmPermissionError):
        itsm.drive(itsm.dialect.states(sns))
