# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from dataclasses import replace

import pytest

from airflow_provider_bkitsm.sandbox.itsm.dispatch import AT_GATEWAY
from airflow_provider_bkitsm.sandbox.server import SandboxServer
from airflow_provider_bkitsm.sandbox.settings import Settings
from tests.sandbox.client import Client

GOOD = {"bk_app_code": "sandbox", "bk_app_secret": "sandbox-secret", "bk_username": "admin"}


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "not json",
        "[]",
        json.dumps({}),
        json.dumps(GOOD | {"bk_app_secret": "wrong"}),
        json.dumps(GOOD | {"bk_app_code": "other"}),
        json.dumps({"bk_username": "admin"}),
    ],
)
@pytest.mark.parametrize("root", ["itsm_url", "bklog_url"])
def test_a_caller_without_the_right_application_is_turned_away(client, server, header, root):
    path = "/get_ticket_status/" if root == "itsm_url" else "/databus_collectors/"
    headers = {} if header is None else {"X-Bkapi-Authorization": header}
    answer = client.raw("GET", getattr(server, root) + path, headers=headers)
    assert (answer.status_code, answer.json()["code"], answer.json()["result"]) == (400, 1640001, False)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/create_ticket/"),
        ("POST", "/get_ticket_status/"),
        ("GET", "/ticket_approval_result/"),
        ("POST", "/callback_failed_ticket/"),
        ("PUT", "/create_ticket/"),
        ("GET", "/no_such_call/"),
        ("GET", "/"),
    ],
)
def test_the_gateway_knows_only_exact_methods_and_paths(client, server, method, path):
    answer = client.raw(method, server.itsm_url + path, json={} if method != "GET" else None)
    assert (answer.status_code, answer.json()["code"]) == (404, 1640401)


@pytest.mark.parametrize(("method", "call"), [("GET", "get_ticket_status"), ("POST", "create_ticket")])
def test_a_path_without_its_slash_is_moved(client, server, method, call):
    answer = client.raw(method, f"{server.itsm_url}/{call}", params={"sn": "x"})
    assert answer.status_code == 301
    assert answer.headers["location"].endswith(f"/{call}/?sn=x")


VERIFIED = sorted(name for name, one in AT_GATEWAY.items() if one.verified and not one.broken)


def test_these_calls_demand_a_verified_user_at_a_gateway():
    assert VERIFIED == [
        "add_follower",
        "approve",
        "callback_failed_ticket",
        "comment",
        "edit_field",
        "get_service_roles",
        "ticket_approval_result",
    ]


@pytest.mark.parametrize("call", VERIFIED)
@pytest.mark.parametrize(("proof", "status"), [({}, 400), ({"access_token": "t"}, 200)])
def test_a_deployment_without_white_list_demands_proof(strict, call, proof, status):
    endpoint = AT_GATEWAY[call]
    answer = strict.raw(
        endpoint.method,
        f"{strict.server.itsm_url}/{call}/",
        headers=strict.server.headers(**proof),
        json={"sn": ["x"]} if endpoint.method == "POST" else None,
    )
    assert answer.status_code == status


def test_other_calls_take_a_user_that_is_only_named(strict):
    assert strict.get("get_services")["result"] is True


@pytest.fixture(scope="module")
def strict():
    with SandboxServer(replace(Settings(), demand_verified_user=True)) as server:
        yield Client(server)
