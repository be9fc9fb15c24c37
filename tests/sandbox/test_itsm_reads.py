# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import re

import pytest

from airflow_provider_bkitsm.sandbox import shipped
from airflow_provider_bkitsm.sandbox.server import SandboxServer
from airflow_provider_bkitsm.sandbox.settings import Settings
from tests.sandbox.client import OPINION, Client

NAIVE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")


@pytest.mark.parametrize("call", ["get_ticket_status", "get_ticket_info", "get_ticket_logs"])
@pytest.mark.parametrize("params", [{}, {"sn": ""}, {"sn": "NOPE"}])
def test_an_unknown_ticket_is_an_int_on_every_call(client, call, params):
    answer = client.get(call, **params)
    assert (answer["result"], answer["code"], answer["data"]) == (False, 3900022, None)


def test_numbers_are_compared_without_case_and_trailing_blanks(client):
    sn = client.opened()
    assert client.status(sn.lower() + "  ") == client.status(sn)


def test_a_running_ticket_tells_neither_title_nor_number(client):
    shown = client.status(client.opened())
    assert set(shown) == {
        *("ticket_url", "iframe_ticket_url", "operations", "current_status", "current_steps", "is_commented"),
    }
    (step,) = shown["current_steps"]
    assert (step["state_id"], step["processors_type"], step["processors"]) == (15, "PERSON", "alice,bob")
    kinds = [(one["type"], one["validate_type"], one["meta"]) for one in step["fields"]]
    assert kinds == [
        ("RADIO", "REQUIRE", {"code": "APPROVE_RESULT"}),
        ("TEXT", "OPTION", {}),
        ("TEXT", "REQUIRE", {}),
    ]


def test_the_info_shows_a_yes_before_anybody_decided(client):
    info = client.get("get_ticket_info", sn=client.opened())["data"]
    values = [(one["key"], one["value"]) for one in info["fields"]]
    assert (OPINION, "true") in values
    assert [key for key, _ in values].count("title") == 2
    assert (info["end_at"], info["comment_id"], info["creator"], info["bk_biz_id"]) == (None, "", "carol", -1)
    assert NAIVE.fullmatch(info["create_at"])
    assert {"meta", "tag", "service_type"} & set(info) == set()
    assert "fields" not in info["current_steps"][0]


def test_a_finished_info_has_an_end_and_the_people(client, server):
    sn = client.opened()
    server.reject(sn, operator="bob", remark="too big")
    info = client.get("get_ticket_info", sn=sn)["data"]
    assert NAIVE.fullmatch(info["end_at"])
    assert set(info["updated_by"].split(",")) == {"carol", "bob"}
    assert (OPINION, "false", "拒绝") in [
        (one["key"], one["value"], one["display_value"]) for one in info["fields"]
    ]


def test_an_unstarted_info_has_no_fields(unstarted):
    assert unstarted.get("get_ticket_info", sn=unstarted.create()["data"]["sn"])["data"]["fields"] == []


def test_the_complex_log_is_the_evidence_of_a_decision(client, server):
    sn = client.opened()
    server.approve(sn, operator="bob", remark="fine")
    simple, full = (client.get("get_ticket_logs", sn=sn, show_type=kind)["data"] for kind in ("simple", "complex"))
    assert [set(one) for one in simple["logs"]] == [{"operator", "operate_at", "message", "source"}] * 4
    assert [one["from_state_type"] for one in full["logs"]] == ["", "NORMAL", "APPROVAL", ""]
    (decision,) = (one for one in full["logs"] if one["from_state_type"] == "APPROVAL")
    assert decision["operator"] == "bob"
    assert decision["form_data"][0]["value"] == "true"


def test_verdicts_come_newest_first_once_and_without_the_unknown(client):
    old, new = client.opened(), client.opened()
    rows = client.post("ticket_approval_result", {"sn": [old, "NOPE", new, old, new]})["data"]
    assert [one["sn"] for one in rows] == [new, old]
    assert set(rows[0]) == {
        *("sn", "title", "ticket_url", "current_status", "updated_by", "update_at", "approve_result"),
    }


@pytest.mark.parametrize(
    ("body", "code"),
    [({"sn": "REQ1"}, 0), ({"sn": ["NOPE"]}, 0), *(({"sn": one}, "SERVER_500_ERROR") for one in ([], None, 7))],
)
def test_odd_numbers_of_a_verdict_request(client, body, code):
    answer = client.post("ticket_approval_result", body)
    assert (answer["code"], answer["data"]) == (code, [] if code == 0 else None)


@pytest.mark.parametrize("call", ["ticket_approval_result", "get_tickets"])
def test_a_broken_body_is_a_text_code_on_unwrapped_calls(client, server, call):
    headers = server.headers() | {"Content-Type": "application/json"}
    answer = client.raw("POST", f"{server.itsm_url}/{call}/", data='{"sn": [', headers=headers).json()
    assert list(answer) == ["result", "data", "code", "message"]
    assert answer["code"] == "SERVER_500_ERROR"


def test_a_nodes_result_and_its_approvers(client, server):
    sn = client.opened()
    assert client.get("get_approver", sn=sn, state_id=15)["data"] == {"approver": "alice,bob"}
    assert client.get("get_approve_node_result", sn=sn, state_id=15)["code"] == 3900005
    server.approve(sn, operator="bob", remark="fine")
    result = client.get("get_approve_node_result", sn=sn, state_id=15)["data"]
    assert (result["processed_user"], result["approve_result"], result["approve_remark"]) == ("bob", True, "fine")


@pytest.mark.parametrize(
    ("installed", "numbers"),
    [
        ("approval", [shipped.LOG_COLLECTOR]),
        ("built-in", [shipped.LOG_BUILT_IN]),
        ("both", [shipped.LOG_COLLECTOR, shipped.LOG_BUILT_IN]),
    ],
)
def test_the_log_platforms_display_role_finds_the_services_installed_for_it(installed, numbers):
    with SandboxServer(Settings(log_services=installed)) as server:
        rows = Client(server).get("get_services", display_role="LOG_SEARCH", display_type="API")["data"]
    assert [one["id"] for one in rows] == numbers
    assert all(set(one) == {"id", "name", "service_type", "desc"} for one in rows)


@pytest.mark.parametrize("params", [{"service_type": "change"}, {"display_role": "X"}, {"catalog_id": 999}])
def test_filters_that_find_no_service(client, params):
    assert client.get("get_services", **params)["data"] == []


def test_the_hidden_services_are_not_listed(client):
    ids = {one["id"] for one in client.get("get_services")["data"]}
    assert {shipped.ONE_APPROVAL, shipped.LOG_COLLECTOR} <= ids
    assert not ids & {shipped.FAST_APPROVAL, shipped.NO_CATALOG}


def test_a_service_describes_its_form(client):
    detail = client.get("get_service_detail", service_id=shipped.LOG_COLLECTOR)["data"]
    assert [(one["key"], one["type"], one["validate_type"]) for one in detail["fields"]] == [
        ("title", "STRING", "REQUIRE"),
        ("bk_biz_id", "STRING", "REQUIRE"),
        ("approvals", "MEMBERS", "REQUIRE"),
        ("collector_detail", "CUSTOM-FORM", "REQUIRE"),
        ("apply_reason", "TEXT", "OPTION"),
    ]


@pytest.mark.parametrize(
    ("service", "roles"),
    [
        (shipped.FAST_APPROVAL, [("", "OPEN", "or"), ("APPROVER", "VARIABLE", "or")]),
        (shipped.COUNTERSIGN, [("", "OPEN", "or"), ("approver", "VARIABLE", "and")]),
        (shipped.LOG_BUILT_IN, [("", "OPEN", "or"), ("admin", "PERSON", "or")]),
    ],
)
def test_a_service_names_who_acts(client, service, roles):
    rows = client.get("get_service_roles", service_id=service, all=1)["data"]
    assert [(one["processors"], one["processors_type"], one["sign_type"]) for one in rows] == roles


@pytest.mark.parametrize(("call", "code"), [("get_service_detail", 3900404), ("get_service_roles", 3900042)])
@pytest.mark.parametrize("service", ["99999", "abc", ""])
def test_unknown_services(client, call, code, service):
    assert client.get(call, service_id=service)["code"] == code


def test_the_catalogue_is_a_tree(client):
    (root,) = client.get("get_service_catalogs", has_service="true")["data"]
    assert [one["id"] for one in root["children"]] == [shipped.COMMON_CATALOG, shipped.APPROVE_CATALOG]
