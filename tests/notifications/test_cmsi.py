# SPDX-License-Identifier: Apache-2.0
"""Messages through BlueKing's message centre, with the sandbox's as the other side."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_bkitsm.hooks.cmsi import CmsiHook
from airflow_provider_bkitsm.itsm.errors import (
    ItsmConfigurationError,
    ItsmError,
    ItsmInvalidRequestError,
    ItsmOutcomeUnknownError,
    ItsmRefusedError,
    ItsmUnavailableError,
)
from airflow_provider_bkitsm.notifications.cmsi import BkCmsiNotifier
from airflow_provider_bkitsm.tickets.reminder import Reminder
from airflow_provider_bkitsm.tickets.senders import load_sender, sender_specs

LOGIN = {"login": "sandbox", "password": "sandbox-secret"}
EVIL = "<script>alert(1)</script> {{ 7 * 7 }} & 'x'"
REMINDER = Reminder(
    sn="REQ1",
    title=EVIL,
    step="审批",
    recipients=("alice", "bob"),
    approvers=("alice", "bob"),
    waiting_since=datetime(2026, 11, 29, 12, 0, tzinfo=UTC),
    ticket_url="https://itsm.example.com/#/ticket?a=1&b=2",
)


def remind(notifier: BkCmsiNotifier) -> None:
    """Send as a triggerer does: by what travels with the wait."""
    (spec,) = sender_specs(notifier)
    load_sender(spec)(REMINDER)


def sent(sandbox: Any) -> tuple[str, dict[str, Any]]:
    (request,) = sandbox.requests("cmsi")
    return request["path"], request["body"]


@pytest.fixture
def at_esb(connections, sandbox) -> None:
    connections("bkitsm_default", conn_type="bkitsm", host=sandbox.esb_url, extra={"bk_token": "t"}, **LOGIN)


def test_a_mail_at_the_gateway_goes_to_whom_the_ticket_asks_and_shows_text_as_text(connections, sandbox):
    remind(BkCmsiNotifier(language="en"))
    path, body = sent(sandbox)
    assert path == "/api/bk-cmsi/prod/v1/send_mail/"
    assert body["receiver__username"] == ["alice", "bob"]
    assert body["title"] == f"Please decide: {EVIL} (REQ1)"
    assert "<script>" not in body["content"]
    assert "&lt;script&gt;alert(1)&lt;/script&gt; {{ 7 * 7 }} &amp; &#x27;x&#x27;" in body["content"]
    assert '<a href="https://itsm.example.com/#/ticket?a=1&amp;b=2">' in body["content"]
    assert body["body_format"] == "Html"


def test_wecom_gets_plain_text_in_chinese(connections, sandbox):
    remind(BkCmsiNotifier(channel="weixin"))
    path, body = sent(sandbox)
    assert path == "/api/bk-cmsi/prod/v1/send_weixin/"
    assert body["message_data"]["heading"].startswith("请审批：")
    assert "节点：审批" in body["message_data"]["message"]
    assert EVIL in body["message_data"]["message"]


@pytest.mark.parametrize(
    ("channel", "action", "where"),
    [("mail", "send_mail", "content"), ("weixin", "send_weixin", "data"), ("sms", "send_msg", "content")],
)
def test_at_the_esb_people_are_one_text(at_esb, sandbox, channel, action, where):
    remind(BkCmsiNotifier(channel=channel, sender="Airflow"))
    path, body = sent(sandbox)
    assert path == f"/api/c/compapi/v2/cmsi/{action}/"
    assert body["receiver__username"] == "alice,bob"
    assert body["sender"] == "Airflow"
    assert body[where]


def test_style_and_address_can_be_named(connections, sandbox):
    remind(BkCmsiNotifier(style="esb"))
    assert sent(sandbox)[0].startswith("/api/c/compapi/v2/cmsi/")
    connections("elsewhere", conn_type="bkitsm", host=f"{sandbox.url}/bk-itsm/prod", **LOGIN)
    with pytest.raises(ItsmConfigurationError, match="cmsi_url"):
        CmsiHook("elsewhere").send("mail", people=["alice"], title="t", content="c")
    named = f"{sandbox.url}/api/bk-cmsi/prod"
    CmsiHook("elsewhere", cmsi_url=named).send("mail", people=["alice"], title="t", content="c")
    assert len(sandbox.requests("bk-cmsi")) == 1


def test_as_a_callback_it_sends_its_own_words(connections, sandbox):
    one = BkCmsiNotifier(receivers="carol, dave", title="Run {{ run_id }} failed", text="<b>& so on\nmore")
    one({"run_id": "r1"})  # type: ignore[arg-type]
    _, body = sent(sandbox)
    assert (body["receiver__username"], body["title"]) == (["carol", "dave"], "Run r1 failed")
    assert body["content"] == "&lt;b&gt;&amp; so on<br>\nmore"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({}, ItsmConfigurationError),
        ({"receivers": "alice", "title": "t"}, ItsmConfigurationError),
        ({"receivers": "the boss", "title": "t", "text": "x"}, ItsmInvalidRequestError),
        ({"channel": "sms", "receivers": "alice", "title": "t", "text": "x"}, ItsmConfigurationError),
    ],
    ids=str,
)
def test_what_lacks_something_is_not_sent(connections, sandbox, arguments, error):
    with pytest.raises(error, match="nothing was sent"):
        BkCmsiNotifier(**arguments)({})  # type: ignore[arg-type]
    assert sandbox.requests("cmsi") == []


@pytest.mark.parametrize("wrong", [{"language": "fr"}, {"style": "smoke"}], ids=str)
def test_what_it_does_not_know_is_refused_while_the_dag_is_parsed(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        BkCmsiNotifier(**wrong)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"kind": "status", "status": 502}, ItsmUnavailableError),
        ({"kind": "status", "status": 403}, ItsmRefusedError),
        ({"kind": "html"}, ItsmRefusedError),
        ({"kind": "drop_answer"}, ItsmOutcomeUnknownError),
    ],
    ids=str,
)
def test_p8_a_failure_is_an_error_without_a_secret(connections, sandbox, fault, error):
    kind = fault.pop("kind")
    sandbox.fault("send_mail", kind, **fault)
    with pytest.raises(error) as raised:
        remind(BkCmsiNotifier())
    assert "sandbox-secret" not in str(raised.value)


def test_the_esbs_refusal_is_one_though_it_comes_with_http_200(at_esb, sandbox):
    with pytest.raises(ItsmRefusedError, match="no valid receiver"):
        CmsiHook().send("mail", people=["nobody"], title="t", content="c")


def test_whom_it_has_no_address_of_is_named_in_the_log(connections, sandbox, caplog):
    CmsiHook().send("mail", people=["alice", "nobody"], title="t", content="c")
    assert "could not write to nobody" in caplog.text


def test_a_wrong_secret_is_refused(connections, sandbox, connect):
    connect("wrong", conn_type="bkitsm", host=sandbox.itsm_url, login="sandbox", password="other-secret-9")
    with pytest.raises(ItsmError) as raised:
        CmsiHook("wrong").send("mail", people=["alice"], title="t", content="c")
    assert "other-secret-9" not in str(raised.value)


def test_p8_what_only_itsm_v4_is_to_know_is_not_told_to_the_message_centre(connections, sandbox):
    extra = {"dialect": "v4", "workflow_key": "w", "system_id": "s", "system_token": "token-of-itsm-4"}
    connections("v4", conn_type="bkitsm", host=sandbox.itsm_v4_url, extra=extra, **LOGIN)
    hook = CmsiHook("v4")
    hook.send("mail", people=["alice"], title="t", content="c")
    assert sent(sandbox)[0] == "/api/bk-cmsi/prod/v1/send_mail/"
    assert hook.test_connection() == (True, f"messages go to {sandbox.url}/api/bk-cmsi/prod")
