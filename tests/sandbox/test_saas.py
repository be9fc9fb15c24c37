# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
import requests

FORM = [{"key": key, "value": "v"} for key in ("title", "APPROVER", "APPROVAL_CONTENT")]


def ask(server, method, path, **more):
    more = {"headers": {"X-Bkapi-JWT": server.jwt()}, "allow_redirects": False} | more
    return requests.request(method, f"{server.saas_url}/{path}", timeout=10, **more)


def test_a_verified_user_is_the_creator_of_a_ticket_without_one(server):
    body = {"fast_approval": True, "fields": FORM}
    made = ask(server, "POST", "ticket/create_ticket/", json=body, headers={"X-Bkapi-JWT": server.jwt(user="zoe")})
    assert server.ticket(made.json()["data"]["sn"])["creator"] == "zoe"
    unproven = {"X-Bkapi-JWT": server.jwt(user="zoe", verified=False)}
    refused = ask(server, "POST", "ticket/create_ticket/", json=body, headers=unproven)
    assert refused.json()["code"] == 3900004


@pytest.mark.parametrize("path", ["ticket/get_tickets", "service/get_services", "ticket/1"])
def test_a_missing_slash_is_a_redirect(server, path):
    found = ask(server, "POST", path, params={"a": "1"})
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
    found = ask(server, method, path)
    assert (found.status_code, found.json()["code"], found.json()["data"]) == (200, code, None)


@pytest.mark.parametrize("path", ["elsewhere/", "ticket/1/more/", "v3/"])
def test_a_path_nobody_knows_is_a_page_with_http_200(server, path):
    found = ask(server, "GET", path)
    assert (found.status_code, found.headers["content-type"]) == (200, "text/html; charset=utf-8")


def test_services_are_asked_for_by_their_family(server):
    assert ask(server, "GET", "service/get_services/").json()["result"]
    flow = ask(server, "GET", "workflow/get_workflow_detail/", params={"workflow_id": "13"}).json()["data"]
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
        ask(server, "GET", "workflow/get_workflow_detail/", params={"workflow_id": "9"}).json()["code"] == 3900404
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
    assert ask(server, "POST", "ticket/proceed_approval/", json=said, headers={}).json()["data"] == []
    assert server.wait_for_status(sn, "FINISHED")["approve_result"] is True
