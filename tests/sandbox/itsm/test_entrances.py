# SPDX-License-Identifier: Apache-2.0
"""ITSM at the ESB, and reached past every gateway."""

from __future__ import annotations

import pytest
import requests

from airflow_provider_bkitsm.sandbox.itsm.dispatch import AT_ESB
from airflow_provider_bkitsm.sandbox.server import SandboxServer
from airflow_provider_bkitsm.sandbox.settings import Settings

GOOD = {"bk_app_code": "sandbox", "bk_app_secret": "sandbox-secret", "bk_username": "admin"}


def ask_esb(server, method, name, **more):
    return requests.request(method, f"{server.esb_url}/{name}", timeout=10, **more)


def test_credentials_may_be_in_the_header_the_query_or_the_body(server, client):
    sn = client.opened()
    for found in (
        ask_esb(server, "GET", "get_ticket_status/", params={"sn": sn}, headers=server.headers()),
        ask_esb(server, "GET", "get_ticket_status", params={"sn": sn} | GOOD),
        ask_esb(server, "POST", "get_ticket_status/", json={"sn": sn} | GOOD),
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
    found = ask_esb(server, "POST", name, json=given)
    assert (found.status_code, found.json()["code"], found.json()["result"]) == (200, code, False)
    assert found.json()["request_id"]


def test_a_body_that_is_no_object_is_refused(server):
    for body in (b"[", b"[]"):
        assert (
            ask_esb(server, "POST", "get_services", data=body, headers=server.headers()).json()["code"] == 1306406
        )


def test_a_bare_name_will_not_do_where_the_app_is_on_no_list():
    with SandboxServer(Settings(demand_verified_user=True)) as strict:
        assert ask_esb(strict, "POST", "get_services", json=GOOD).json()["code"] == 1306000
        proven = GOOD | {"bk_token": "t"}
        assert ask_esb(strict, "POST", "get_services", json=proven).json()["code"] == 0


def test_the_key_username_never_arrives(server, client):
    sn = client.opened()
    body = {"sn": sn, "operator": "eve", "username": "carol", "action_type": "WITHDRAW", "action_message": "m"}
    assert (
        ask_esb(server, "POST", "operate_ticket/", json=body, headers=server.headers()).json()["code"] == 3900004
    )
    assert client.post("operate_ticket", body)["result"], "at the gateway it does"


def test_a_comment_has_another_name(server, client):
    sn = client.opened()
    server.approve(sn)
    body = {"sn": sn, "stars": 5, "operator": "carol", "comments": "fine"}
    assert ask_esb(server, "POST", "comment_ticket/", json=body, headers=server.headers()).json()["data"] == []
    assert client.status(sn)["is_commented"] is True


def test_what_it_offers():
    assert len(AT_ESB) == 19


FORM = [{"key": key, "value": "v"} for key in ("title", "APPROVER", "APPROVAL_CONTENT")]


def ask_saas(server, method, path, **more):
    more = {"headers": {"X-Bkapi-JWT": server.jwt()}, "allow_redirects": False} | more
    return requests.request(method, f"{server.saas_url}/{path}", timeout=10, **more)


def test_a_verified_user_is_the_creator_of_a_ticket_without_one(server):
    body = {"fast_approval": True, "fields": FORM}
    made = ask_saas(
        server, "POST", "ticket/create_ticket/", json=body, headers={"X-Bkapi-JWT": server.jwt(user="zoe")}
    )
    assert server.ticket(made.json()["data"]["sn"])["creator"] == "zoe"
    unproven = {"X-Bkapi-JWT": server.jwt(user="zoe", verified=False)}
    refused = ask_saas(server, "POST", "ticket/create_ticket/", json=body, headers=unproven)
    assert refused.json()["code"] == 3900004


@pytest.mark.parametrize("path", ["ticket/get_tickets", "service/get_services", "ticket/1"])
def test_a_missing_slash_is_a_redirect(server, path):
    found = ask_saas(server, "POST", path, params={"a": "1"})
    assert (found.status_code, found.headers["location"]) == (301, f"/openapi/{path}/?a=1")


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "ticket/create_ticket/", "METHOD_NOT_ALLOWED"),
        ("POST", "ticket/get_ticket_status/", "METHOD_NOT_ALLOWED"),
        ("GET", "ticket/no_such_api/", "OBJECT_NOT_EXIST"),
        ("GET", "ticket/99999/", "OBJECT_NOT_EXIST"),
    ],
)
def test_codes_are_texts(server, method, path, code):
    found = ask_saas(server, method, path)
    assert (found.status_code, found.json()["code"], found.json()["data"]) == (200, code, None)


@pytest.mark.parametrize("path", ["elsewhere/", "ticket/1/more/", "v3/"])
def test_a_path_nobody_knows_is_a_page_with_http_200(server, path):
    found = ask_saas(server, "GET", path)
    assert (found.status_code, found.headers["content-type"]) == (200, "text/html; charset=utf-8")


def test_services_are_asked_for_by_their_family(server):
    assert ask_saas(server, "GET", "service/get_services/").json()["result"]
    flow = ask_saas(server, "GET", "workflow/get_workflow_detail/", params={"workflow_id": "13"}).json()["data"]
    assert [(one["id"], one["type"]) for one in flow["states"]] == [
        (1303, "START"),
        (1300, "NORMAL"),
        (1301, "APPROVAL"),
        (1302, "APPROVAL"),
        (1304, "END"),
    ]
    assert [(one["from_state"], one["to_state"]) for one in flow["transitions"]] == [
        (1303, 1300),
        (1300, 1301),
        (1301, 1302),
        (1302, 1304),
    ]
    assert (
        ask_saas(server, "GET", "workflow/get_workflow_detail/", params={"workflow_id": "9"}).json()["code"]
        == 3900404
    )


def test_that_call_is_broken_at_the_gateway(server, client):
    found = client.raw("GET", f"{server.itsm_url}/get_workflow_detail", params={"workflow_id": "13"})
    assert (found.status_code, found.headers["content-type"]) == (200, "text/html; charset=utf-8")


def test_proceeding_needs_no_gateway_at_all(server, client):
    sn = client.opened()
    said = {
        "process_inst_id": sn,
        "activity": 15,
        "submit_action": "true",
        "submit_opinion": "o",
        "handler": "bob",
    }
    assert ask_saas(server, "POST", "ticket/proceed_approval/", json=said, headers={}).json()["data"] == []
    assert server.wait_for_status(sn, "FINISHED")["approve_result"] is True
