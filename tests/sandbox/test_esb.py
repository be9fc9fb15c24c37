# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
import requests

from airflow_provider_bkitsm.sandbox.endpoints import AT_ESB
from airflow_provider_bkitsm.sandbox.server import SandboxServer
from airflow_provider_bkitsm.sandbox.settings import Settings

GOOD = {"bk_app_code": "sandbox", "bk_app_secret": "sandbox-secret", "bk_username": "admin"}


def ask(server, method, name, **more):
    return requests.request(method, f"{server.esb_url}/{name}", timeout=10, **more)


def test_credentials_may_be_in_the_header_the_query_or_the_body(server, client):
    sn = client.opened()
    for found in (
        ask(server, "GET", "get_ticket_status/", params={"sn": sn}, headers=server.headers()),
        ask(server, "GET", "get_ticket_status", params={"sn": sn} | GOOD),
        ask(server, "POST", "get_ticket_status/", json={"sn": sn} | GOOD),
    ):
        assert found.json()["data"]["current_status"] == "RUNNING"
        assert found.headers["X-Bkapi-Request-Id"] == found.json()["request_id"]


@pytest.mark.parametrize(
    ("name", "given", "code"),
    [
        ("get_services", GOOD | {"bk_app_secret": "no"}, 1306000),
        ("get_services", GOOD | {"bk_app_code": "no"}, 1306000),
        ("get_services", GOOD | {"bk_username": ""}, 1306000),
        ("nothing", GOOD, 1306404),
        ("get_tickets_by_user", GOOD, 1306404),
        ("comment", GOOD, 1306404),
        ("approve", GOOD, 1306404),
    ],
)
def test_it_answers_for_itself_with_http_200(server, name, given, code):
    found = ask(server, "POST", name, json=given)
    assert (found.status_code, found.json()["code"], found.json()["result"]) == (200, code, False)
    assert found.json()["request_id"]


def test_a_body_that_is_no_object_is_refused(server):
    for body in (b"[", b"[]"):
        assert ask(server, "POST", "get_services", data=body, headers=server.headers()).json()["code"] == 1306406


def test_a_bare_name_will_not_do_where_the_app_is_on_no_list():
    with SandboxServer(Settings(demand_verified_user=True)) as strict:
        assert ask(strict, "POST", "get_services", json=GOOD).json()["code"] == 1306000
        proven = GOOD | {"bk_token": "t"}
        assert ask(strict, "POST", "get_services", json=proven).json()["code"] == 0


def test_the_key_username_never_arrives(server, client):
    sn = client.opened()
    body = {"sn": sn, "operator": "eve", "username": "carol", "action_type": "WITHDRAW", "action_message": "m"}
    assert ask(server, "POST", "operate_ticket/", json=body, headers=server.headers()).json()["code"] == 3900004
    assert client.post("operate_ticket", body)["result"], "at the gateway it does"


def test_a_comment_has_another_name(server, client):
    sn = client.opened()
    server.approve(sn)
    body = {"sn": sn, "stars": 5, "operator": "carol", "comments": "fine"}
    assert ask(server, "POST", "comment_ticket/", json=body, headers=server.headers()).json()["data"] == []
    assert client.status(sn)["is_commented"] is True


def test_what_it_offers():
    assert len(AT_ESB) == 19
