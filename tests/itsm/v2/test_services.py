# SPDX-License-Identifier: Apache-2.0
"""Services are found and forms checked before any ticket exists."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_bkitsm.itsm import errors
from airflow_provider_bkitsm.itsm.v2.models import ServiceField
from airflow_provider_bkitsm.itsm.v2.services import (
    FAST_APPROVAL_FIELDS,
    check_form,
    find_log_services,
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
    """Run a flow that asks for lists of services, or for the form of one."""
    said = iter(answers)

    def answer(call):
        assert call.path in ("get_services/", "get_service_detail/")
        return next(said)

    return flows.drive(flow, answer)


@pytest.mark.parametrize("named", [7, "7", " 7 "])
def test_digits_are_a_services_number(named):
    assert drive(find_service(named), DETAIL).name == "onboarding"


def test_an_unknown_service_is_its_own_error():
    with pytest.raises(errors.CollectItsmNotExists, match="no service 7; no ticket was opened") as caught:
        drive(find_service(7), errors.ItsmNotFoundError("x", code=3900404))
    assert caught.value.code == 3900404


SERVICES = [{"id": 7, "name": "日志采集接入"}, {"id": 8, "name": "日志采集接入(旧)"}, {"id": 9, "name": "change"}]


def test_a_service_is_found_by_its_name():
    assert drive(find_service("日志采集接入"), SERVICES, DETAIL).service_id == 7


def test_a_name_nobody_has_is_told_with_those_that_are_near():
    with pytest.raises(errors.CollectItsmNotExists) as caught:
        drive(find_service("日志接入"), SERVICES)
    assert "日志采集接入 (7)" in str(caught.value)
    assert "change" not in str(caught.value)
    with pytest.raises(errors.CollectItsmNotExists, match="3 services are visible"):
        drive(find_service("xyz"), SERVICES)


def test_a_name_that_several_have_is_not_guessed_at():
    with pytest.raises(errors.ItsmInvalidRequestError, match="named 'change': 9, 12; give the number"):
        drive(find_service("change"), [*SERVICES, {"id": 12, "name": "change"}])


def test_services_for_collectors_are_those_of_the_log_platforms_role():
    asked = []

    def answer(call):
        asked.append((call.path, dict(call.params)))
        return [{"id": 7}, {"id": 8}] if call.path == "get_services/" else DETAIL

    assert len(flows.drive(find_log_services(), answer)) == 2
    assert asked[0] == ("get_services/", {"display_role": "LOG_SEARCH", "display_type": "API"})
    assert [params for _path, params in asked[1:]] == [{"service_id": "7"}, {"service_id": "8"}]


def test_without_a_log_service_the_error_says_so():
    with pytest.raises(errors.CollectItsmNotExists, match="no ticket was opened"):
        drive(find_log_services(), [])


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


def test_a_ticket_is_opened_by_number_also_where_the_service_was_named():
    ticket = service_for({"title": "t"}, service_id="change", fast_approval=False)
    assert drive(ticket, [{"id": 7, "name": "change"}], DETAIL) == (7, {"title": "t"})


def test_without_a_service_nothing_is_asked():
    with pytest.raises(errors.ItsmInvalidRequestError, match=r"no service_id was given.*no ticket was opened"):
        drive(service_for(APPROVAL, service_id=None, fast_approval=False))
