# SPDX-License-Identifier: Apache-2.0
"""Every answer recorded from a real BK-ITSM v2 server is understood (message texts left out: never matched)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_bkitsm.itsm import calls, errors, service_calls
from airflow_provider_bkitsm.itsm.protocol import decode
from tests.record import ANSWERS

# One request was never answered.
RECORDED = {name: one for name, one in ANSWERS.items() if "status" in one}
CALLS = (
    calls.create_ticket(creator="a", fields={"title": "t"}, service_id=1),
    calls.get_ticket_status("REQ1"),
    calls.get_ticket_info("REQ1"),
    calls.get_ticket_logs("REQ1"),
    calls.get_tickets(tag="t"),
    calls.ticket_approval_result(["REQ1"]),
    calls.token_verify("t"),
    calls.get_approver("REQ1", 15),
    calls.get_approve_node_result("REQ1", 15),
    calls.callback_failed_ticket(),
    calls.operate_node(sn="REQ1", state_id=15, operator="a", fields={}),
    calls.approve(sn="REQ1", state_id=15, approver="a", approved=True),
    service_calls.get_service_detail(1),
    service_calls.get_service_catalogs(),
    service_calls.get_service_roles(1),
    service_calls.import_service({"key": "request", "name": "n", "catalog_id": 1, "workflow": {}}),
    calls.operate_ticket(sn="REQ1", action_type="WITHDRAW", operator="a", action_message="m"),
)
PARSERS = {call.path: call.parse for call in CALLS}
ERRORS: dict[int | str | None, type[errors.ItsmError]] = {
    3900003: errors.ItsmInvalidRequestError,
    3900004: errors.ItsmRefusedError,
    3900005: errors.ItsmInvalidRequestError,
    3900022: errors.ItsmTicketNotFoundError,
    3900035: errors.ItsmInvalidRequestError,
    3900404: errors.ItsmNotFoundError,
    "SERVER_500_ERROR": errors.ItsmUnavailableError,
    "METHOD_NOT_ALLOWED": errors.ItsmEndpointNotFoundError,
    "OBJECT_NOT_EXIST": errors.ItsmEndpointNotFoundError,
}


def bytes_of(recorded: dict[str, Any]) -> bytes:
    body = recorded["body"]
    return body.encode() if isinstance(body, str) else json.dumps(body).encode()


def is_envelope(recorded: dict[str, Any]) -> bool:
    return isinstance(recorded["body"], dict) and "result" in recorded["body"]


GOOD = [name for name, one in RECORDED.items() if is_envelope(one) and one["body"]["result"] is True]
BAD = [name for name, one in RECORDED.items() if is_envelope(one) and one["body"]["result"] is not True]
PAGES = [name for name, one in RECORDED.items() if not is_envelope(one)]


def test_the_record_is_whole():
    assert (len(GOOD), len(BAD), len(PAGES)) == (79, 75, 5)


@pytest.mark.parametrize("name", GOOD)
def test_a_recorded_success_is_parsed(name):
    recorded = RECORDED[name]
    data = decode(recorded["status"], recorded["content_type"], bytes_of(recorded))
    path = recorded["path"].rsplit("}/", 1)[-1]
    if path in PARSERS:
        PARSERS[path](data)


@pytest.mark.parametrize("name", BAD)
def test_a_recorded_refusal_is_the_error_of_its_code(name):
    recorded = RECORDED[name]
    with pytest.raises(errors.ItsmError) as caught:
        decode(recorded["status"], recorded["content_type"], bytes_of(recorded))
    code = recorded["body"]["code"]
    assert type(caught.value) is ERRORS[code]
    assert (caught.value.code, type(caught.value.code)) == (code, type(code))


@pytest.mark.parametrize("name", PAGES)
def test_p3_a_recorded_page_is_never_an_answer(name):
    recorded = RECORDED[name]
    with pytest.raises(errors.ItsmError) as caught:
        decode(recorded["status"], recorded["content_type"], bytes_of(recorded))
    assert caught.value.retry_safe == (recorded["status"] == 200)
