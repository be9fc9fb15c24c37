# SPDX-License-Identifier: Apache-2.0
"""Conformance cases about addresses, gateways and credentials."""

from __future__ import annotations

import requests

from airflow_provider_bkitsm.hooks.itsm import ItsmHook
from airflow_provider_bkitsm.itsm import errors
from tests.conformance.conftest import plain, refusal

APP = {"login": "sandbox", "password": "sandbox-secret", "extra": {"read_retries": 0}}


def direct(stage, method, path, **more):
    more = {"headers": {"X-Bkapi-JWT": stage.server.jwt()}, "allow_redirects": False, "timeout": 10} | more
    return requests.request(method, f"{stage.server.saas_url}/{path}", **more)


def hook_at(connections, root, **more):
    connections("other", conn_type="bkitsm", host=root, **APP | more)
    return ItsmHook("other")


def test_case_01_without_a_gateway(stage, connections):
    answer = direct(stage, "POST", "ticket/create_ticket/", headers={}, json={})
    assert (answer.status_code, answer.headers["content-type"]) == (403, "text/html; charset=utf-8")
    past = hook_at(connections, f"{stage.server.saas_url}/ticket")
    assert refusal(lambda: past.get_ticket_status("REQ1")) is errors.ItsmPermissionError


def test_case_02_crash_pages_have_http_200(stage, hook):
    for token in ("gar.ba.ge", stage.server.jwt(seconds=-60)):
        answer = direct(stage, "POST", "ticket/create_ticket/", headers={"X-Bkapi-JWT": token}, json={})
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    stage.server.fault("ticket_approval_result", "html")
    assert refusal(lambda: hook.ticket_approval_result(["REQ1"])) is errors.ItsmUnavailableError


def test_case_03_wrong_secret_at_the_gateway(stage, connections):
    headers = stage.server.headers(bk_app_secret="wrong")
    answer = stage.client.raw("GET", f"{stage.server.itsm_url}/get_services/", headers=headers)
    assert (answer.status_code, answer.json()["code"], answer.json()["result"]) == (400, 1640001, False)
    wrong = hook_at(connections, stage.server.itsm_url, password="wrong")
    assert refusal(wrong.get_services) is errors.ItsmAuthenticationError


def test_case_04_wrong_method_at_the_gateway(stage, hook):
    answer = stage.client.raw("GET", f"{stage.server.itsm_url}/create_ticket/")
    assert (answer.status_code, answer.json()["code"]) == (404, 1640401)
    assert refusal(lambda: hook.send(plain("create_ticket/"))) is errors.ItsmEndpointNotFoundError


def test_case_05_wrong_secret_at_the_esb(stage, connections):
    headers = stage.server.headers(bk_app_secret="wrong")
    answer = stage.client.raw("GET", f"{stage.server.esb_url}/get_services/", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (200, 1306000)
    assert answer.json()["request_id"]
    wrong = hook_at(connections, stage.server.esb_url, password="wrong")
    assert refusal(wrong.get_services) is errors.ItsmAuthenticationError


def test_case_06_the_esb_takes_either_method(stage, connections):
    sn = stage.opened()
    answer = stage.client.raw("POST", f"{stage.server.esb_url}/get_ticket_status", json={"sn": sn}).json()
    assert answer["data"]["current_status"] == "RUNNING"
    assert hook_at(connections, stage.server.esb_url).get_ticket_status(sn).current_status == "RUNNING"


def test_case_07_wrong_method_at_itsm_itself(stage, connections):
    answer = direct(stage, "GET", "ticket/create_ticket/")
    assert answer.status_code == 200
    assert (answer.json()["code"], answer.json()["data"]) == ("METHOD_NOT_ALLOWED", None)
    past = hook_at(connections, f"{stage.server.saas_url}/ticket")
    assert refusal(lambda: past.send(plain("create_ticket/"))) is errors.ItsmEndpointNotFoundError


def test_case_61_a_missing_slash_redirects_even_a_post(stage, connections):
    answer = direct(stage, "POST", "ticket/create_ticket", json={})
    assert (answer.status_code, answer.headers["location"]) == (301, "/openapi/ticket/create_ticket/")
    past = hook_at(connections, f"{stage.server.saas_url}/ticket")
    assert refusal(lambda: past.send(plain("create_ticket", {}))) is errors.ItsmEndpointNotFoundError
    assert stage.server.tickets() == []
