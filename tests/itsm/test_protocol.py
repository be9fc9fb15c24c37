# SPDX-License-Identifier: Apache-2.0
"""Decoding what ITSM, its gateway and the ESB answer."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_bkitsm.itsm import errors, protocol
from airflow_provider_bkitsm.itsm.protocol import Front
from airflow_provider_bkitsm.itsm.v2 import calls
from tests.itsm.flows import decode, drive

HTML = "text/html; charset=utf-8"
JSON = "application/json"


def body(**keys: object) -> bytes:
    return json.dumps(keys).encode()


def refused(status: int, content: bytes, content_type: str | None = JSON, **headers) -> errors.ItsmError:
    with pytest.raises(errors.ItsmError) as caught:
        decode(status, content_type, content, **headers)
    return caught.value


@pytest.mark.parametrize("data", [{"sn": "REQ1"}, [], None, "text"])
def test_success_returns_the_data(data):
    for code in (0, "0"):
        assert decode(200, JSON, body(result=True, code=code, message="success", data=data)) == data


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (200, 3900003, errors.ItsmInvalidRequestError),
        (200, 3900004, errors.ItsmRefusedError),
        (200, 3900005, errors.ItsmInvalidRequestError),
        (200, 3900022, errors.ItsmTicketNotFoundError),
        (200, "3900022", errors.ItsmTicketNotFoundError),
        (200, 3900042, errors.CollectItsmNotExists),
        (200, 3900404, errors.ItsmNotFoundError),
        (200, 3900012, errors.ItsmInvalidRequestError),
        (200, "SERVER_500_ERROR", errors.ItsmCrashError),
        (200, 3900500, errors.ItsmCrashError),
        (200, "METHOD_NOT_ALLOWED", errors.ItsmEndpointNotFoundError),
        (200, "OBJECT_NOT_EXIST", errors.ItsmEndpointNotFoundError),
        (400, 1640001, errors.ItsmAuthenticationError),
        (403, 1640301, errors.ItsmPermissionError),
        (404, 1640401, errors.ItsmEndpointNotFoundError),
        (429, 1642902, errors.ItsmRateLimitedError),
        (502, 1650200, errors.ItsmUnavailableError),
        (504, 1650401, errors.ItsmUnavailableError),
        (200, 1306000, errors.ItsmAuthenticationError),
        (200, 1306429, errors.ItsmRateLimitedError),
        (200, 1306201, errors.ItsmUnavailableError),
        (200, "PARAM_ERROR", errors.ItsmInvalidRequestError),
        # Its own code shows that ITSM has taken the path, whatever it does not find there.
        (404, 3900022, errors.ItsmTicketNotFoundError),
        (404, 3900012, errors.ItsmInvalidRequestError),
        (405, 3900012, errors.ItsmInvalidRequestError),
        # Codes of what stands in front of ITSM, whichever they are: not about these tickets.
        (499, 1649901, errors.ItsmUnavailableError),
        (413, 1641301, errors.ItsmInvalidRequestError),
        (200, 1650200, errors.ItsmUnavailableError),
        (200, 1650401, errors.ItsmUnavailableError),
        (200, 1642999, errors.ItsmRateLimitedError),
        (200, 1640399, errors.ItsmPermissionError),
        (508, 1650801, errors.ItsmUnavailableError),
        (200, 1306202, errors.ItsmUnavailableError),
        (200, 1306500, errors.ItsmUnavailableError),
        (200, 1308201, errors.ItsmUnavailableError),
        (200, 1, errors.ItsmUnavailableError),
        (200, "500", errors.ItsmUnavailableError),
        (200, "-1", errors.ItsmUnavailableError),
        # With a server's error as status, no code is believed.
        (502, 1308201, errors.ItsmUnavailableError),
        (504, 1306201, errors.ItsmUnavailableError),
        (500, 3900004, errors.ItsmUnavailableError),
        (502, 3900022, errors.ItsmUnavailableError),
        (502, 1306000, errors.ItsmUnavailableError),
        (504, 1640401, errors.ItsmUnavailableError),
        (503, 1642902, errors.ItsmUnavailableError),
    ],
)
def test_a_code_decides_the_error(status, code, kind):
    error = refused(status, body(result=False, code=code, message="接口异常", data=None, request_id="r1"))
    assert type(error) is kind
    assert (error.code, error.request_id) == (code, "r1")
    assert "接口异常" in str(error)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (200, errors.ItsmUnavailableError),
        (201, errors.ItsmUnavailableError),
        (204, errors.ItsmUnavailableError),
        (299, errors.ItsmUnavailableError),
        (300, errors.ItsmEndpointNotFoundError),
        (301, errors.ItsmEndpointNotFoundError),
        (399, errors.ItsmEndpointNotFoundError),
        (400, errors.ItsmInvalidRequestError),
        (401, errors.ItsmAuthenticationError),
        (403, errors.ItsmPermissionError),
        (404, errors.ItsmEndpointNotFoundError),
        (405, errors.ItsmEndpointNotFoundError),
        (408, errors.ItsmUnavailableError),
        (413, errors.ItsmInvalidRequestError),
        (429, errors.ItsmRateLimitedError),
        (498, errors.ItsmInvalidRequestError),
        (499, errors.ItsmUnavailableError),
        (500, errors.ItsmUnavailableError),
        (502, errors.ItsmUnavailableError),
    ],
)
def test_a_page_instead_of_an_envelope_is_judged_by_its_status_and_never_shown(status, kind):
    error = refused(status, b"<html>secret page</html>", HTML, request_id="r1", retry_after=7.0)
    assert type(error) is kind
    assert f"got HTTP {status} with text/html" in str(error)
    assert ("redirects" in str(error)) == (status in range(300, 400))
    assert "secret page" not in str(error)
    assert error.request_id == "r1"
    assert getattr(error, "retry_after", 7.0) == 7.0


@pytest.mark.parametrize(
    ("given", "shown"), [(HTML, "text/html"), (None, "no content type"), ("x" * 200, "x" * 80), ("a b", "a b")]
)
def test_what_came_instead_is_named_in_at_most_80_characters(given, shown):
    assert refused(502, b"", given).message == f"expected ITSM's JSON envelope, got HTTP 502 with {shown}"


def test_a_refusal_is_shown_in_at_most_500_characters():
    assert refused(200, body(result=False, code=1, message="m" * 900)).message == "ITSM answered: " + "m" * 500
    assert refused(200, body(result=False, code=1)).message == "ITSM answered: no message"


@pytest.mark.parametrize(("own", "header", "kept"), [("r1", "r2", "r1"), (None, "r2", "r2"), (5, None, "5")])
def test_the_envelopes_own_request_id_wins(own, header, kept):
    assert refused(200, body(result=False, code=1, request_id=own), request_id=header).request_id == kept


def test_halves_of_characters_do_not_leave_the_parser():
    content = b'{"result": true, "code": 0, "data": {"title": "a\\uD83D", "sn": "\\u8bf7\\ud83d\\ude00"}}'
    assert decode(200, JSON, content) == {"title": "a?", "sn": "\u8bf7\U0001f600"}


def test_nor_do_halves_that_are_not_spelled():
    assert decode(200, JSON, b'{"result": true, "code": 0, "data": ["a\xed\xa0\x80", "\xed\x9f\xbf"]}') == [
        "a?",
        "\ud7ff",
    ]


def test_p1_nul_which_no_xcom_holds_does_not_leave_the_parser():
    content = rb'{"result": true, "code": 0, "data": [{"re\u0000mark": "yes\u0000", "as text": "\\u0000"}, null]}'
    assert decode(200, JSON, content) == [{"re?mark": "yes?", "as text": "\\u0000"}, None]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'"ok"',
        b"\xff\xfe",
        body(result=True, code=0, data={"title": "a\0"}).decode().encode("utf-16"),
        b"{" * 100_000,
        body(code=0, data=1),
        body(status="ok"),
    ],
)
def test_p3_anything_that_is_not_an_envelope_is_an_outage_not_an_answer(content):
    assert refused(200, content).retry_safe


@pytest.mark.parametrize(
    "envelope",
    [
        {"result": True, "code": 1},
        {"result": True},
        {"result": True, "code": None},
        {"result": True, "code": False},
        {"result": "true", "code": 0},
        {"result": 1, "code": 0},
        {"result": False, "code": 0},
    ],
)
def test_p3_success_needs_result_true_and_code_zero(envelope):
    refused(200, body(**envelope, data={"sn": "REQ1"}))


@pytest.mark.parametrize("code", [None, False, True, [1], {}, 1.5])
def test_what_is_no_code_is_not_shown_as_one(code):
    assert refused(200, body(result=False, code=code, message="m")).code is None


def test_a_call_the_esb_does_not_offer_is_named():
    call = calls.get_approver("REQ1", 15)
    assert call.path_at(Front.GATEWAY) == "get_approver/"
    with pytest.raises(errors.ItsmConfigurationError, match=r"^the ESB does not offer get_approver; "):
        call.path_at(Front.ESB)


def test_success_under_an_error_status_is_not_believed():
    assert isinstance(refused(500, body(result=True, code=0, data={})), errors.ItsmUnavailableError)


def test_a_rate_limit_says_how_long_to_pause():
    error = refused(429, body(result=False, code=1642901, message=""), retry_after=7.0, request_id="r2")
    assert isinstance(error, errors.ItsmRateLimitedError)
    assert (error.retry_after, error.request_id) == (7.0, "r2")


@given(st.integers(100, 599), st.none() | st.text(max_size=40), st.binary(max_size=300))
def test_any_bytes_end_in_data_or_an_itsm_error(status, content_type, content):
    with contextlib.suppress(errors.ItsmError):
        decode(status, content_type, content)


@given(
    st.integers(100, 599),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["result", "code", "message", "data", "request_id"]), inner, max_size=5
            )
        ),
        max_leaves=10,
    ),
)
def test_any_json_ends_in_data_or_an_itsm_error(status, answer):
    with contextlib.suppress(errors.ItsmError):
        decode(status, JSON, json.dumps(answer).encode())


AMBIGUOUS = [
    b'{"result": true, "code": 0, "data": [{"approve_result": false, "approve_result": true}]}',
    b'{"result": false, "result": true, "code": 0, "data": []}',
    b'{"result": true, "code": 0, "data": {"a": [{"b": {"c": 1, "c": 1}}]}}',
    b'{"result": true, "code": 0, "data": {"sn": 1, "\\u0073n": 2}}',
    b'{"result": true, "code": 0, "data": {"\\ud800": 1, "\\ud801": 2}}',
    b'{"result": true, "code": 0, "data": {"a\\u0000": 1, "a?": 2}}',
    b'{"result": true, "code": 0, "data": {"a": NaN}}',
    b'{"result": true, "code": 0, "data": {"a": -Infinity}}',
    b'{"result": true, "code": 0, "data": {"a": 1e999}}',
]


@pytest.mark.parametrize("content", AMBIGUOUS)
def test_p3_an_answer_that_can_be_read_in_two_ways_is_an_outage(content):
    assert refused(200, content).retry_safe


def test_numbers_are_read_as_they_are():
    assert decode(200, JSON, b'{"result": true, "code": 0, "data": [1, 1.5, -2e3]}') == [1, 1.5, -2000.0]


# Asking for more tickets than one call may.


SNS = [f"REQ{number}" for number in range(5)]


def row(sn: str, **more):
    return {"sn": sn, "current_status": "RUNNING", "approve_result": False} | more


def test_a_call_is_split_only_when_it_is_too_large():
    call = calls.ticket_approval_result(SNS)
    assert [protocol.is_too_large(call, size) for size in (4, 5)] == [True, False]
    assert not protocol.is_too_large(calls.get_tickets(sns=SNS), 1)


def test_the_rows_of_all_pieces_are_joined():
    asked = []

    def answer(call):
        asked.append(call.body["sn"])
        return [row(sn) for sn in reversed(call.body["sn"])]

    rows = drive(protocol.in_batches(calls.ticket_approval_result([*SNS, *SNS]), 2), answer)
    assert asked == [SNS[:2], SNS[2:4], SNS[4:]]
    assert {one.sn for one in rows} == set(SNS)
    assert len(rows) == len(SNS)


def test_one_ticket_asked_for_in_two_spellings_is_one_row():
    call = calls.ticket_approval_result(["REQ1", "req1"])
    assert len(drive(protocol.in_batches(call, 1), lambda _call: [row("REQ1")])) == 1


def test_p3_a_number_that_itsm_holds_twice_stays_twice():
    call = calls.ticket_approval_result(["REQ1", "REQ2"])
    rows = drive(protocol.in_batches(call, 1), lambda one: [row(one.body["sn"][0])] * 2)
    assert [one.sn for one in rows] == ["REQ1", "REQ1", "REQ2", "REQ2"]


def test_p3_a_piece_that_fails_fails_the_whole():
    down = errors.ItsmUnavailableError("down")
    answers = iter([[row("REQ0")], down])
    with pytest.raises(errors.ItsmUnavailableError, match="down"):
        drive(protocol.in_batches(calls.ticket_approval_result(SNS), 1), lambda _call: next(answers))


@pytest.mark.parametrize("message", ["", None, "bad request", "nobody is called dave"])
def test_an_error_says_what_its_data_says(message):
    shown = str(
        refused(400, body(result=False, code=1, message=message, data={"detail": "nobody is called dave"}))
    )
    assert shown.count("nobody is called dave") == 1
    assert (message or "") in shown


@pytest.mark.parametrize("data", [None, [], "x", {"detail": None}])
def test_an_error_that_says_nothing_is_named(data):
    assert "no message" in str(refused(400, body(result=False, code=1, message="", data=data)))
