# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import re

import pytest

from airflow_provider_bkitsm.sandbox.itsm import service_catalog
from tests.sandbox.receiver import OK

NINE = {
    *("title", "current_status", "sn", "ticket_url", "update_at", "updated_by", "approve_result", "token"),
    "last_approver",
}


@pytest.mark.parametrize(
    ("how", "status", "verdict", "approver"),
    [
        ("approve", "FINISHED", True, "alice"),
        ("reject", "FINISHED", False, "alice"),
        ("withdraw", "REVOKED", False, ""),
    ],
)
def test_the_end_is_told_once_with_nine_keys(client, server, receiver, how, status, verdict, approver):
    sn = client.opened(meta={"callback_url": receiver.url})
    getattr(server, how)(sn)
    got = receiver.wait()
    assert set(got.body) == NINE
    assert (got.body["sn"], got.body["current_status"], got.body["approve_result"]) == (sn, status, verdict)
    assert (got.body["title"], got.body["last_approver"]) == ("t", approver)
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{6})?", got.body["update_at"])
    assert re.fullmatch(r",carol,(\w+,)?", got.body["updated_by"])
    assert got.body["ticket_url"] == f"{server.url}/weixin/#/ticket/{server.ticket(sn)['id']}/"
    assert got.headers["User-Agent"] == "python-requests/2.27.1"
    assert got.headers["Content-Type"] == "application/json"
    assert len(receiver.received) == 1


def test_termination_is_told_and_suspension_is_not(client, receiver):
    sn = client.opened(meta={"callback_url": receiver.url})
    client.operate(sn, "SUSPEND", "alice")
    client.operate(sn, "UNSUSPEND", "alice")
    client.operate(sn, "TERMINATE", "alice")
    assert [one.body["current_status"] for one in receiver.received] == ["TERMINATED"]


def test_a_withdrawal_is_told_before_it_is_answered_and_already_visible(client, receiver):
    seen = []
    receiver.meanwhile = lambda got: seen.append(client.status(got.body["sn"])["current_status"])
    sn = client.opened(meta={"callback_url": receiver.url})
    assert client.operate(sn, "WITHDRAW")["result"]
    assert seen == ["REVOKED"]


def test_own_headers_are_added_and_win(client, server, receiver):
    headers = {"X-Custom": "abc", "content-type": "text/weird"}
    server.approve(client.opened(meta={"callback_url": receiver.url, "headers": headers}))
    got = {key.lower(): value for key, value in receiver.wait().headers.items()}
    assert (got["x-custom"], got["content-type"]) == ("abc", "text/weird")


def test_the_address_keeps_its_query_and_its_user_becomes_basic_auth(client, server, receiver):
    url = f"http://robot:pass@{receiver.netloc}/cb?key=1#part"
    server.approve(client.opened(meta={"callback_url": url}))
    got = receiver.wait()
    assert got.path == "/cb?key=1"
    assert got.headers["Authorization"].startswith("Basic ")


@pytest.mark.parametrize(
    ("status", "text", "accepted"),
    [
        (200, OK, True),
        (201, OK, True),
        (200, '{"code": 0}', True),
        (200, '{"result": true}', False),
        (200, '{"code": "0"}', False),
        (200, '{"code": 1}', False),
        (200, "ok", False),
        (200, "[]", False),
        (204, "", False),
        (500, OK, False),
    ],
)
def test_what_counts_as_delivered(client, receiver, status, text, accepted):
    receiver.status, receiver.text = status, text
    sn = client.opened(meta={"callback_url": receiver.url})
    client.operate(sn, "WITHDRAW")
    assert (sn in client.get("callback_failed_ticket")["data"]) is not accepted
    assert len(receiver.received) == 1


def test_a_redirect_is_followed_as_a_get(client, receiver):
    receiver.location = "/elsewhere"
    sn = client.opened(meta={"callback_url": receiver.url})
    client.operate(sn, "WITHDRAW")
    assert [(one.method, one.path) for one in receiver.received] == [("POST", "/callback"), ("GET", "/elsewhere")]
    assert sn not in client.get("callback_failed_ticket")["data"]


@pytest.mark.parametrize("headers", [["X-A"], {"X-A": 1}, {"X-A": "中"}, {"X-A": None}])
def test_headers_that_are_not_latin_text_mean_no_callback(client, receiver, headers):
    sn = client.opened(meta={"callback_url": receiver.url, "headers": headers})
    client.operate(sn, "WITHDRAW")
    assert receiver.received == []


@pytest.mark.parametrize("url", ["not a url", "http://127.0.0.1:9/", "ftp://x/"])
def test_an_address_that_does_not_answer_is_a_lost_callback(client, url):
    sn = client.opened(meta={"callback_url": url})
    assert client.operate(sn, "WITHDRAW")["result"]
    assert sn in client.get("callback_failed_ticket")["data"]


def test_asking_for_a_verdict_clears_the_lost_callback_and_no_others(client):
    lost, kept = (client.opened(meta={"callback_url": "http://127.0.0.1:9/"}) for _ in range(2))
    for sn in (lost, kept):
        client.operate(sn, "WITHDRAW")
    client.post("ticket_approval_result", {"sn": [lost]})
    listed = client.get("callback_failed_ticket")["data"]
    assert (lost in listed, kept in listed) == (False, True)


def test_a_flow_that_finishes_by_itself_calls_back_too(client, receiver):
    client.create(service=service_catalog.NO_APPROVAL, meta={"callback_url": receiver.url})
    assert receiver.wait().body["approve_result"] is True
