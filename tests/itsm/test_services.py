# SPDX-License-Identifier: Apache-2.0
"""Services are found and forms checked before any ticket exists."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_bkitsm.itsm import errors
from airflow_provider_bkitsm.itsm.models import ServiceField
from airflow_provider_bkitsm.itsm.services import (
    FAST_APPROVAL_FIELDS,
    check_form,
    find_log_service,
    find_service,
    service_for,
)
from tests.itsm import flows

DETAIL = {"service_id": 7, "name": "onboarding", "fields": [{"key": "title"}]}
KNOWN = [
    ServiceField(key="title"),
    ServiceField(key="approvals"),
    ServiceField(key="note", validate_type="OPTION"),
]


def drive(flow: Any, *answers: Any) -> Any:
    """Run a flow that asks for a list of log services, or for service 7."""
    said = iter(answers)

    def answer(call):
        if call.path == "get_services/":
            assert call.params == {"display_role": "LOG_SEARCH", "display_type": "API"}
        else:
            assert (call.path, call.params) == ("get_service_detail/", {"service_id": "7"})
        return next(said)

    return flows.drive(flow, answer)


def test_a_named_service_is_read():
    assert drive(find_service(7), DETAIL).name == "onboarding"


def test_an_unknown_service_is_its_own_error():
    with pytest.raises(errors.CollectItsmNotExists, match="no service 7; no ticket was opened") as caught:
        drive(find_service(7), errors.ItsmNotFoundError("x", code=3900404))
    assert caught.value.code == 3900404


def test_the_log_platforms_service_is_found_when_there_is_exactly_one():
    assert drive(find_log_service(), [{"id": 7}], DETAIL).service_id == 7


def test_without_a_log_service_the_error_says_so():
    with pytest.raises(errors.CollectItsmNotExists, match="no ticket was opened"):
        drive(find_log_service(), [])


def test_several_log_services_are_not_guessed_among():
    with pytest.raises(errors.ItsmInvalidRequestError, match=r"7 \(a\), 8 \(b\)"):
        drive(find_log_service(), [{"id": 7, "name": "a"}, {"id": 8, "name": "b"}])


@pytest.mark.parametrize("form", [{"title": "t", "approvals": "a"}, {"title": "t", "approvals": "a", "note": ""}])
def test_a_good_form_passes(form):
    check_form(KNOWN, form)


def test_every_problem_of_a_form_is_named_at_once():
    with pytest.raises(errors.ItsmInvalidRequestError) as caught:
        check_form(KNOWN, {"title": " ", "colour": "red", "size": 1})
    problems = str(caught.value).splitlines()[1:5]
    assert problems == [
        "- colour: unknown to this service",
        "- size: unknown to this service",
        "- title: required, but empty",
        "- approvals: required, but missing",
    ]


@pytest.mark.parametrize("empty", [None, "", " ", [], {}])
def test_what_is_required_must_not_be_empty(empty):
    with pytest.raises(errors.ItsmInvalidRequestError, match="approvals"):
        check_form(KNOWN, {"title": "t", "approvals": empty})


@pytest.mark.parametrize("given", [0, False, "0", ["a"]])
def test_nothing_and_no_are_answers_too(given):
    check_form(KNOWN, {"title": "t", "approvals": given})


def test_the_built_in_approval_needs_its_three_fields():
    check_form(FAST_APPROVAL_FIELDS, {"title": "t", "APPROVER": "a", "APPROVAL_CONTENT": "c"})
    with pytest.raises(errors.ItsmInvalidRequestError, match="APPROVAL_CONTENT"):
        check_form(FAST_APPROVAL_FIELDS, {"title": "t", "APPROVER": "a"})


APPROVAL = {"title": "t", "APPROVER": "a", "APPROVAL_CONTENT": "c"}


def test_the_built_in_approval_is_no_service_and_is_not_asked_for():
    assert drive(service_for(APPROVAL, service_id=7, fast_approval=True)) == (None, APPROVAL)
    with pytest.raises(errors.ItsmInvalidRequestError, match="APPROVER: required, but empty"):
        drive(service_for(APPROVAL | {"APPROVER": ""}, service_id=None, fast_approval=True))


@pytest.mark.parametrize("service_id", [7, "7"])
def test_a_form_is_checked_against_the_service_it_is_for(service_id):
    form = {"title": "t"}
    checked = drive(service_for(form, service_id=service_id, fast_approval=False), DETAIL)
    assert checked == (service_id, form)
    with pytest.raises(errors.ItsmInvalidRequestError, match="APPROVAL_CONTENT: unknown to this service"):
        drive(service_for(APPROVAL, service_id=service_id, fast_approval=False), DETAIL)


def test_without_a_service_nothing_is_asked():
    with pytest.raises(errors.ItsmInvalidRequestError, match=r"no service_id was given.*no ticket was opened"):
        drive(service_for(APPROVAL, service_id=None, fast_approval=False))
