# SPDX-License-Identifier: Apache-2.0
"""The ticket of a lost answer is found in every list that shows it, or no second one is opened (P2)."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from airflow_provider_bkitsm.itsm import errors
from airflow_provider_bkitsm.itsm.idempotency import find_opened, marked_title
from airflow_provider_bkitsm.itsm.v4.search import detail_or_none
from tests.itsm.v4.answers import ID, TAG, Itsm, page, ticket

ASKED_AT = datetime(2026, 11, 29, tzinfo=UTC)
OTHERS = [ticket(id=f"2{number:023d}", title=f"other {number}") for number in range(79)]


def found(answer) -> list[str]:
    itsm = Itsm(answers={"ticket/list": answer, "system_ticket/list": answer, "ticket/detail": ticket()})
    return [one.sn for one in itsm.drive(find_opened(TAG, creator="alice", since=ASKED_AT))]


def honouring(row):
    """Return a list that goes by its filters."""
    return lambda call: (
        page(row) if "#" in call.params["title__contains"] and call.params["page"] == "1" else page()
    )


@pytest.mark.parametrize("title", [marked_title("Drop?", TAG), f"Drop? #{TAG[:8]}", f"Drop? #{TAG[:8]}-0a1b2c3d"])
def test_p2_a_list_finds_the_marks_of_this_version_and_of_those_before(title):
    def listed(call):
        return page(ticket(title=title)) if call.params["title__contains"] in title else page()

    assert found(listed) == [ID]


@pytest.mark.parametrize("size", [20, 50])
@pytest.mark.parametrize("count", [80, None, "80", True, 50, 0])
def test_p2_whatever_a_list_counts_all_its_pages_are_read(count, size):
    rows = [*OTHERS, ticket()]

    def ignoring(call):
        if "title__contains" in call.params:
            return page(rows[0], count=count)
        start = (int(call.params["page"]) - 1) * size
        return page(*rows[start : start + size], count=count)

    assert found(ignoring) == [ID]


@pytest.mark.parametrize("wrong", [{"status": None}, {"id": 1.02e23}])
def test_p2_a_row_that_cannot_be_read_may_be_the_one(wrong):
    with pytest.raises(errors.ItsmUnexpectedAnswerError) as raised:
        found(honouring(ticket(**wrong)))
    assert raised.value.retry_safe


@pytest.mark.parametrize(
    "left_out", [{"creator": ""}, {"title": "", "form_data": {}}, {"creator": "alice(alice)"}]
)
def test_p2_what_a_list_leaves_out_the_ticket_itself_shows(left_out):
    assert found(honouring(ticket(**left_out))) == [ID]


@pytest.mark.parametrize("probe", [page(), page(ticket(id=OTHERS[0]["id"], title="other"))])
def test_p2_from_pages_without_an_end_nothing_is_concluded(probe):
    def endless(call):
        if "#" not in call.params.get("title__contains", "#"):
            return probe
        number = int(call.params["page"])
        return page(*[ticket(id=f"3{number:03}{place:020}", title="other") for place in range(50)])

    with pytest.raises(errors.ItsmConflictError, match="No second one was opened"):
        found(endless)


def refused(call):
    raise errors.ItsmPermissionError("not for applications", code="40300")


@pytest.mark.parametrize("closed", ["ticket/list", "system_ticket/list"])
def test_p2_a_list_that_is_closed_hides_no_ticket_that_another_shows(closed):
    def drive(row) -> list[str]:
        answers = dict.fromkeys(("ticket/list", "system_ticket/list"), honouring(row)) | {closed: refused}
        itsm = Itsm(answers={**answers, "ticket/detail": ticket()})
        return [one.sn for one in itsm.drive(find_opened(TAG, creator="alice", since=ASKED_AT))]

    assert drive(ticket()) == [ID]
    with pytest.raises(errors.ItsmPermissionError):
        drive(ticket(title="other"))


def test_p6_many_tickets_are_read_from_the_systems_own_list_first():
    ids = [f"2{number:023d}" for number in range(120)]

    def listed(call):
        return page(*[ticket(id=one) for one in call.params["id__in"].split(",")])

    itsm = Itsm(answers={"system_ticket/list": listed, "ticket/list": page()})
    assert [one.sn for one in itsm.drive(itsm.dialect.summaries(ids))] == ids
    assert itsm.paths == ["system_ticket/list"] * 3


def test_p2_a_ticket_of_somebody_else_is_not_taken():
    assert found(honouring(ticket(creator="alicea"))) == []


@pytest.mark.parametrize(("code", "is_known"), [("40000", False), (None, None)])
def test_p1_only_itsm_itself_can_say_that_there_is_no_such_ticket(code, is_known):
    refusal = errors.ItsmInvalidRequestError("HTTP 400", code=code)

    def refuse(call):
        raise refusal

    itsm = Itsm(answers={"ticket/detail": refuse})
    if is_known is None:
        with pytest.raises(errors.ItsmInvalidRequestError):
            itsm.drive(detail_or_none(ID))
    else:
        assert itsm.drive(detail_or_none(ID)) is None
