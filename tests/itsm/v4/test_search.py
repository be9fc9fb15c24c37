# SPDX-License-Identifier: Apache-2.0
"""The ticket of a lost answer is found in every list that shows it, or no second one is opened (P2)."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from airflow_provider_bkitsm.itsm import errors
from airflow_provider_bkitsm.itsm.idempotency import find_opened
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
        page(row) if call.params["title__contains"].startswith("#") and call.params["page"] == "1" else page()
    )


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


@pytest.mark.parametrize("wrong", [{"status": None}, {"id": int(ID)}])
def test_p2_a_row_that_cannot_be_read_may_be_the_one(wrong):
    with pytest.raises(errors.ItsmUnexpectedAnswerError) as raised:
        found(honouring(ticket(**wrong)))
    assert raised.value.retry_safe


@pytest.mark.parametrize(
    "left_out", [{"creator": ""}, {"title": "", "form_data": {}}, {"creator": "alice(alice)"}]
)
def test_p2_what_a_list_leaves_out_the_ticket_itself_shows(left_out):
    assert found(honouring(ticket(**left_out))) == [ID]


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
