# SPDX-License-Identifier: Apache-2.0
"""Conformance cases about callbacks and their tokens."""

from __future__ import annotations

import json
import re
from datetime import datetime

import pytest

from airflow_provider_bkitsm.itsm import errors
from tests.conformance.conftest import plain, refusal
from tests.sandbox.receiver import OK

NINE = {"title": str, "current_status": str, "sn": str, "ticket_url": str, "update_at": str, "updated_by": str} | {
    "approve_result": bool,
    "token": str,
    "last_approver": str,
}


def ended(stage, **receiver):
    """Let a ticket end whose callback is answered so; return its number, once that has happened."""
    for name, value in receiver.items():
        setattr(stage.receiver, name, value)
    sn = stage.approved(meta={"callback_url": stage.receiver.url})
    stage.receiver.wait()
    return sn


def listed(stage, hook, sn):
    """Wait for a number on the lost-callback list."""
    while sn not in stage.client.get("callback_failed_ticket")["data"]:
        pass
    return sn in hook.callback_failed_ticket()


def test_case_48_one_post_with_nine_keys(stage):
    sn = ended(stage)
    (got,) = stage.receiver.received
    assert {key: type(value) for key, value in got.body.items()} == NINE
    assert got.body["sn"] == sn
    assert re.fullmatch(r",\w+(,\w+)*,", got.body["updated_by"])
    assert datetime.fromisoformat(got.body["update_at"]).tzinfo is None
    assert "/weixin/#/ticket/" in got.body["ticket_url"]


def test_case_49_own_headers_win(stage):
    meta = {"callback_url": stage.receiver.url, "headers": {"X-Signature": "s", "Content-Type": "text/weird"}}
    stage.approved(meta=meta)
    headers = stage.receiver.wait().headers
    assert (headers["X-Signature"], headers["Content-Type"]) == ("s", "text/weird")


@pytest.mark.parametrize(
    "answer",
    [
        {"text": json.dumps({"result": True})},
        {"text": json.dumps({"result": True, "code": "0"})},
        {"text": json.dumps({"result": False, "code": 1})},
        {"text": "ok"},
        {"status": 500},
        {"status": 202},
    ],
)
def test_case_50_an_answer_that_does_not_count_is_listed_and_never_repeated(stage, hook, answer):
    assert listed(stage, hook, ended(stage, **answer))
    assert len(stage.receiver.received) == 1


@pytest.mark.parametrize("status", [200, 201])
def test_case_51_an_answer_that_counts_is_not_listed(stage, hook, status):
    lost = ended(stage, status=500)
    assert listed(stage, hook, lost)
    stage.receiver.arrived.clear()
    sn = ended(stage, status=status, text=OK)
    assert hook.callback_failed_ticket() == (lost,)
    assert sn != lost


def test_case_52_asking_for_the_verdict_takes_it_off_the_list(stage, hook):
    sn = stage.lost()
    hook.ticket_approval_result([sn])
    assert hook.callback_failed_ticket() == ()


def test_case_53_the_list_is_plain_and_everybodys(stage, hook):
    stage.server.fault("nothing", "html")
    assert stage.client.get("callback_failed_ticket")["data"] == []
    sn = stage.lost()
    assert stage.client.get("callback_failed_ticket")["data"] == [sn]
    assert hook.callback_failed_ticket() == (sn,)


def test_case_54_p4_a_token_passes_again_and_for_any_ticket(stage, hook):
    for token in (stage.token(), stage.token()):
        assert [hook.token_verify(token).is_passed for _ in range(2)] == [True, True]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda _token: "",
        lambda _token: "!!!! not base64",
        lambda token: token[:40],
        lambda token: token.replace("+", "-").replace("/", "_"),
        lambda token: token.replace("+", " "),
    ],
)
def test_case_55_p4_a_spoilt_token_does_not_pass(stage, hook, spoil):
    token = spoil(stage.token())
    assert stage.client.post("token/verify", {"token": token}) | {"message": ""} == {
        "result": True,
        "code": 0,
        "message": "",
        "data": {"is_passed": False},
    }
    assert hook.token_verify(token).is_passed is False


@pytest.mark.parametrize("token", [123, None])
def test_case_56_a_token_that_is_no_text(stage, hook, token):
    assert stage.client.post("token/verify", {"token": token})["code"] == 3900004
    assert refusal(lambda: hook.send(plain("token/verify/", {"token": token}))) is errors.ItsmRefusedError
