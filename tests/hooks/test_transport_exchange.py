# SPDX-License-Identifier: Apache-2.0
"""What is sent and what is read, whatever the transport."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from airflow.sdk import Connection
from hypothesis import given
from hypothesis import strategies as st
from requests.structures import CaseInsensitiveDict

from airflow_provider_bkitsm.hooks.connection import Gateway, read_gateway
from airflow_provider_bkitsm.hooks.transport import (
    LONGEST_PAUSE,
    NoAnswerError,
    Reply,
    build_reply,
    build_request,
    requested_pause,
)
from airflow_provider_bkitsm.itsm import errors
from airflow_provider_bkitsm.itsm.v2 import calls

NOW = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)


@pytest.fixture
def gateway() -> Gateway:
    fields = {"host": "https://x", "login": "a", "password": "b"}
    return read_gateway(Connection(conn_id="itsm", conn_type="bkitsm", **fields))


@pytest.mark.parametrize(
    ("headers", "pause"),
    [
        ({}, None),
        ({"Retry-After": ""}, None),
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "0.5"}, 0.5),
        ({"Retry-After": "0"}, 0.0),
        ({"Retry-After": "Tue, 24 Nov 2026 08:01:30 GMT"}, 90.0),
        ({"Retry-After": "Tue, 24 Nov 2026 09:01:30 +0100"}, 90.0),
        ({"Retry-After": "Tue, 24 Nov 2026 08:01:30 -0000"}, 90.0),
        ({"Retry-After": "Tue, 24 Nov 2026 07:00:00 GMT"}, 0.0),
        ({"Retry-After": "Thu, 24 Nov 2050 08:00:00 GMT"}, LONGEST_PAUSE),
        ({"Retry-After": "1795507200"}, LONGEST_PAUSE),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "-5"}, None),
        ({"Retry-After": "nan"}, None),
        ({"Retry-After": "inf"}, None),
        ({"X-Bkapi-RateLimit-Reset": "3"}, 3.0),
        ({"Retry-After": "soon", "X-Bkapi-RateLimit-Reset": "3"}, 3.0),
        ({"Retry-After": "7", "X-Bkapi-RateLimit-Reset": "3"}, 7.0),
    ],
)
def test_the_pause_an_answer_asks_for(headers, pause):
    assert requested_pause(headers, NOW) == pause


@given(
    st.text()
    | st.builds("Tue, {} Nov {} {}:00:00 {}".format, st.integers(), st.integers(), st.integers(), st.integers())
)
def test_no_header_breaks_an_answer(text):
    pause = requested_pause({"Retry-After": text}, NOW)
    assert pause is None or 0 <= pause <= LONGEST_PAUSE


def test_a_body_is_json_and_a_read_has_none(gateway):
    request = build_request(gateway, calls.ticket_approval_result(["REQ1"]))
    assert (request.method, request.body) == ("POST", b'{"sn": ["REQ1"]}')
    assert request.headers["Content-Type"] == "application/json"
    assert request.url == "https://x/ticket_approval_result/"
    read_only = build_request(gateway, calls.get_ticket_status("REQ1"))
    assert (read_only.method, read_only.params, read_only.body) == ("GET", {"sn": "REQ1"}, None)
    assert "Content-Type" not in read_only.headers


def test_an_answer_is_read_whatever_the_case_of_its_headers():
    headers = CaseInsensitiveDict({"content-type": "text/html", "X-BKAPI-REQUEST-ID": "r1"})
    assert build_reply(502, headers, b"<html>") == Reply(
        status_code=502, content_type="text/html", body=b"<html>", request_id="r1", retry_after=None
    )


@pytest.mark.parametrize(("asked", "pause"), [("7", 7.0), ("Thu, 24 Nov 2050 08:00:00 GMT", LONGEST_PAUSE)])
def test_an_answer_tells_the_pause_it_asks_for(asked, pause):
    assert build_reply(429, {"Retry-After": asked}, b"").retry_after == pause


def test_no_answer_tells_whom_was_asked_and_not_what_the_network_said(gateway):
    error = NoAnswerError(gateway, OSError("s3cret"), sent=False, dropped=True, late=True)
    assert str(error) == f"connection {gateway.conn_id!r}: no answer from https://x (OSError)"
    assert (error.sent, error.dropped, error.late) == (False, True, True)


READ = calls.get_ticket_status("REQ1")
WRITE = calls.operate_ticket(sn="REQ1", action_type="WITHDRAW", operator="a", action_message="m")


@pytest.mark.parametrize(
    ("dropped", "call", "again"), [(True, READ, True), (False, READ, False), (True, WRITE, False)]
)
def test_p2_only_a_read_on_a_connection_that_was_cut_is_sent_again(gateway, dropped, call, again):
    error = NoAnswerError(gateway, OSError(), sent=True, dropped=dropped, late=False)
    assert error.may_be_resent(call) is again


@pytest.mark.parametrize("value", [object(), float("nan"), float("inf"), {1, 2}, datetime.now(UTC)])
def test_what_is_not_json_is_refused_before_anything_is_sent(gateway, value):
    call = calls.create_ticket(creator="a", fields={"title": "t", "x": value}, service_id=1)
    with pytest.raises(errors.ItsmInvalidRequestError, match=r"^create_ticket: .* \((Type|Value)Error\); nothing"):
        build_request(gateway, call)
