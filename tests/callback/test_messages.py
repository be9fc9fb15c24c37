# SPDX-License-Identifier: Apache-2.0
"""Reading a callback's body."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_bkitsm.callback.messages import SIZE_LIMIT, CallbackBody, Result, answer, read_notice
from tests.record import CALLBACKS, EVIDENCE

GOOD = {"sn": "REQ20261124000003", "token": "t" * 88, "current_status": "FINISHED", "approve_result": True}


def raw(**changes: object) -> bytes:
    return json.dumps({key: value for key, value in (GOOD | changes).items() if value is not ...}).encode()


def test_only_the_number_and_the_token_are_read():
    assert read_notice(raw()) == CallbackBody(sn="REQ20261124000003", token="t" * 88, dialect="v2")


RECORDED = CALLBACKS | {name: one for name, one in EVIDENCE.items() if one["kind"] == "callback"}


@pytest.mark.parametrize("name", RECORDED)
def test_a_recorded_callback_is_read(name):
    body = RECORDED[name]["body"] | {"token": GOOD["token"]}
    notice = read_notice(json.dumps(body).encode())
    inside = body["current_status"] in ("REVOKED", "TERMINATED")
    assert notice == CallbackBody(sn=body["sn"], token=GOOD["token"], inside_a_call=inside, dialect="v2")


def test_every_recorded_callback_is_covered():
    assert len(RECORDED) == 20


def test_a_body_may_be_as_large_as_the_limit():
    assert read_notice(raw().ljust(SIZE_LIMIT)) is not None


@pytest.mark.parametrize("optional", ["current_status", "approve_result", "title"])
def test_nothing_that_is_not_used_is_demanded(optional):
    assert read_notice(raw(**{optional: ...})) is not None


@pytest.mark.parametrize(
    ("status", "inside"),
    [
        ("REVOKED", True),
        ("TERMINATED", True),
        ("FINISHED", False),
        (None, False),
        (["REVOKED"], False),
        ({}, False),
    ],
)
def test_a_callback_posted_inside_a_call_is_known_by_its_status(status, inside):
    assert read_notice(raw(current_status=status)).inside_a_call is inside


@pytest.mark.parametrize(
    "wrong",
    [
        b"",
        b"[]",
        b"null",
        b"sn",
        b"\xff\xfe",
        b"[" * 50_000,
        b'{"sn": ' + b"9" * 5_000 + b"}",
        raw() + b" " * SIZE_LIMIT,
        raw(sn=...),
        raw(sn=""),
        raw(sn=7),
        raw(sn=["REQ1"]),
        raw(sn="R" * 65),
        raw(sn="REQ1\n"),
        raw(sn="REQ 1"),
        raw(sn="REQ\uff11"),
        raw(sn="%"),
        raw(token=...),
        raw(token=""),
        raw(token=None),
        raw(token="t" * 257),
        raw(token="t\n"),
        raw(token="é"),
    ],
)
def test_p4_a_body_of_a_wrong_shape_is_refused(wrong):
    assert read_notice(wrong) is None


@settings(deadline=None)
@given(st.binary(max_size=2_000))
def test_p4_any_bytes_end_in_an_answer(anything):
    assert read_notice(anything) is None or b"sn" in anything


@settings(deadline=None)
@given(
    st.dictionaries(
        st.sampled_from([*GOOD, "x"]),
        st.recursive(st.none() | st.text() | st.integers(), st.lists),
    )
)
def test_p4_any_object_ends_in_an_answer(anything):
    read = read_notice(json.dumps(anything).encode())
    assert read is None or (read.sn == anything["sn"] and read.token == anything["token"])


def test_p8_the_token_does_not_show():
    assert "ttt" not in repr(read_notice(raw()))


@pytest.mark.parametrize(
    "body",
    [
        b'{"sn": "REQ1", "sn": "REQ2", "token": "t"}',
        b'{"sn": "REQ1", "token": "t", "more": {"a": 1, "a": 1}}',
        b'{"sn": "REQ1", "token": "t", "more": NaN}',
    ],
)
def test_p4_a_body_that_can_be_read_in_two_ways_is_none(body):
    assert read_notice(body) is None


# What a callback is answered (docs/itsm-behaviour.md#accepted-callback), and how little an outsider learns.


REFUSED = [one for one in Result if one.startswith("refused")]
LATER = [Result.UNAVAILABLE, Result.FAILED]


@pytest.mark.parametrize("result", [one for one in Result if one not in REFUSED + LATER])
def test_what_was_taken_is_delivered_in_itsms_eyes(result):
    assert answer(result) == (200, {"result": True, "code": 0, "message": "success", "data": None})


def test_p4_all_refusals_look_alike():
    assert len(REFUSED) == 5
    assert len({str(answer(one)) for one in REFUSED}) == 1


@pytest.mark.parametrize("result", REFUSED + LATER)
def test_p1_what_was_not_taken_is_listed_as_failed(result):
    status, body = answer(result)
    assert status == (403 if result in REFUSED else 503)
    assert isinstance(body["code"], int)
    assert body["code"] != 0
