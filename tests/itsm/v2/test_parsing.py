# SPDX-License-Identifier: Apache-2.0
"""ITSM's odd types, and parsers that end in a model or an error that shows nothing."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from airflow_provider_bkitsm.itsm import errors
from airflow_provider_bkitsm.itsm.v2 import models, parsing

STATUS = {"current_status": "RUNNING", "current_steps": [{"state_id": 15, "processors": "admin,admin2"}]}


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-24 08:48:44", datetime(2026, 11, 24, 0, 48, 44, tzinfo=UTC)),
        ("2026-11-24 08:48:44.013543", datetime(2026, 11, 24, 0, 48, 44, 13543, tzinfo=UTC)),
        ("2026-11-24T08:48:44+00:00", datetime(2026, 11, 24, 8, 48, 44, tzinfo=UTC)),
        ("", None),
        (None, None),
    ],
)
def test_times_are_shanghai_and_become_aware_utc(text, moment):
    assert parsing.from_shanghai(text) == moment


@pytest.mark.usefixtures("in_shanghai")
def test_times_are_utc_wherever_the_machine_is():
    moment = parsing.from_shanghai("2026-11-24 08:48:44")
    assert isinstance(moment, datetime)
    assert moment.isoformat() == "2026-11-24T00:48:44+00:00"


def test_a_time_goes_there_and_back():
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert parsing.from_shanghai(parsing.to_shanghai(moment)) == moment


def test_a_null_counts_as_absent_where_a_key_may_be_absent():
    status = parsing.one(models.TicketStatus)(STATUS | {"ticket_url": None, "own": None})
    assert (status.ticket_url, status.own) == ("", None)  # type: ignore[attr-defined]
    with pytest.raises(errors.ItsmUnexpectedAnswerError):
        parsing.one(models.TicketStatus)({"current_status": None})


def test_p8_what_was_wrong_is_named_but_not_shown():
    with pytest.raises(errors.ItsmUnexpectedAnswerError) as caught:
        parsing.one(models.TokenVerification)({"is_passed": "secret-token"})
    assert "is_passed" in str(caught.value)
    assert "secret-token" not in str(caught.value)


def test_a_long_list_of_what_is_wrong_is_cut():
    row = {"sn": "REQ1", "logs": [5] * 50}
    with pytest.raises(errors.ItsmUnexpectedAnswerError, match="and 40 more"):
        parsing.one(models.TicketLogs)(row)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (None, "the whole answer"),
        ({}, "sn"),
        ({"sn": "REQ1", "logs": [{"operator": 7}]}, "logs.0.operator"),
        ({"logs": [5] * 9}, "logs.0, logs.1, logs.2, logs.3, logs.4, logs.5, logs.6, logs.7, logs.8, sn"),
        (
            {"logs": [5] * 10},
            "logs.0, logs.1, logs.2, logs.3, logs.4, logs.5, logs.6, logs.7, logs.8, logs.9 and 1 more",
        ),
    ],
)
def test_the_places_that_are_wrong_are_told(answer, told):
    with pytest.raises(errors.ItsmUnexpectedAnswerError) as caught:
        parsing.one(models.TicketLogs)(answer)
    assert str(caught.value) == f"ITSM's TicketLogs is not as known, see: {told}"


def nested(depth):
    catalog = {"id": "no number"}
    for _ in range(depth):
        catalog = {"id": 1, "children": [catalog]}
    return catalog


def test_a_place_deep_inside_is_cut_and_one_too_deep_is_not_looked_for():
    with pytest.raises(errors.ItsmUnexpectedAnswerError) as caught:
        parsing.one(models.ServiceCatalog)(nested(60))
    place = str(caught.value).removeprefix("ITSM's ServiceCatalog is not as known, see: ")
    assert (len(place), place[:22]) == (500, "children.0.children.0.")
    with pytest.raises(errors.ItsmUnexpectedAnswerError, match=r"^ITSM's ServiceCatalog is n"):
        parsing.one(models.ServiceCatalog)(nested(300))


@pytest.mark.parametrize("answer", [None, {}, "text"])
def test_a_list_is_nothing_else(answer):
    with pytest.raises(errors.ItsmUnexpectedAnswerError, match="a list of Service from"):
        parsing.many(models.Service)(answer)


@pytest.mark.parametrize("answer", [None, {}, "REQ1", [1], ["REQ1", None]])
def test_a_list_of_texts_is_nothing_else(answer):
    with pytest.raises(errors.ItsmUnexpectedAnswerError, match="list of texts"):
        parsing.texts(answer)


@pytest.mark.parametrize(("value", "text"), [(3, "3"), (0, "0"), (-1, "-1"), ("V3", "V3"), ("", "")])
def test_a_number_may_stand_for_a_text(value, text):
    assert parsing.one(models.Workflow)({"version_number": value}).version_number == text


@pytest.mark.parametrize(
    ("value", "names"), [("a,b", ("a", "b")), (",a,", ("a",)), ("", ()), (["a", "b"], ("a", "b")), ([], ())]
)
def test_people_are_listed_or_joined_by_commas(value, names):
    assert parsing.one(models.Approver)({"approver": value}).approver == names


@pytest.mark.parametrize("value", [5, True, {"a": 1}, [5]])
def test_nothing_else_names_people(value):
    with pytest.raises(errors.ItsmUnexpectedAnswerError, match="approver"):
        parsing.one(models.Approver)({"approver": value})


@pytest.mark.parametrize("value", [True, 1.5, ["V3"], {"V3": 1}])
def test_nothing_else_stands_for_a_text(value):
    with pytest.raises(errors.ItsmUnexpectedAnswerError, match="version_number"):
        parsing.one(models.Workflow)({"version_number": value})


def test_the_error_of_a_list_has_the_rows_that_can_be_read():
    row = {"current_status": "RUNNING", "approve_result": False}
    answer = [{"sn": "A"} | row, {"sn": "B"} | row | {"approve_result": "x"}, {"sn": 7}, 5, {"sn": "C"} | row]
    with pytest.raises(errors.ItsmUnexpectedAnswerError, match="approve_result") as caught:
        parsing.many(models.ApprovalResult)(answer)
    assert [one.sn for one in caught.value.rows] == ["A", "C"]
    assert caught.value.unreadable == {"B"}


def test_what_is_no_list_has_no_rows():
    with pytest.raises(errors.ItsmUnexpectedAnswerError) as caught:
        parsing.many(models.ApprovalResult)({})
    assert caught.value.rows is None


def test_a_list_of_thousands_of_rows_that_cannot_be_read_is_no_list():
    """Nothing is said of single rows then: those that were not looked at would be missing ones."""
    with pytest.raises(errors.ItsmUnexpectedAnswerError) as caught:
        parsing.many(models.ApprovalResult)([{"sn": "REQ1"}] * 5_000)
    assert caught.value.rows is None
