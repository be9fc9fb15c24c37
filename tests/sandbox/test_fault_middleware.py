# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
import requests

CALL = "get_services"


@pytest.fixture(autouse=True)
def _behave_again(server):
    yield
    server.clear_faults()


def answer(client):
    return client.raw("GET", f"{client.server.itsm_url}/{CALL}/")


def test_a_crash_page_has_http_200(client, server):
    server.fault(CALL, "html")
    got = answer(client)
    assert (got.status_code, got.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert answer(client).json()["result"] is True


@pytest.mark.parametrize(("status", "code"), [(502, 1650200), (504, 1650401), (403, 1640301), (500, 500000)])
def test_a_status_is_the_gateways(client, server, status, code):
    server.fault(CALL, "status", status=status)
    got = answer(client)
    assert (got.status_code, got.json()["code"], got.json()["result"]) == (status, code, False)


@pytest.mark.parametrize("status", [200, 502, 503, 504])
def test_a_proxys_page_has_the_status_it_was_given(client, server, status):
    server.fault(CALL, "page", status=status)
    got = answer(client)
    assert (got.status_code, got.headers["content-type"]) == (status, "text/html; charset=utf-8")


def test_the_gateway_has_more_codes_than_one_for_a_status(client, server):
    server.fault(CALL, "status", status=502, code=1650201)
    got = answer(client)
    assert (got.status_code, got.json()["code"]) == (502, 1650201)


@pytest.mark.parametrize(
    ("given", "status", "code"),
    [({}, 200, 1306201), ({"code": 1308201, "status": 502}, 502, 1308201), ({"status": 504}, 504, 1306201)],
)
def test_the_esb_reports_an_outage_with_a_code_and_whichever_status(client, server, given, status, code):
    server.fault(CALL, "esb", **given)
    got = answer(client)
    assert (got.status_code, got.json()["code"], got.json()["result"]) == (status, code, False)
    assert got.json()["request_id"]


def test_a_platforms_envelope_may_have_a_servers_error_as_status(client, server):
    server.fault(CALL, "refuse", code="3600500", status=500)
    got = answer(client)
    assert (got.status_code, got.json()["code"]) == (500, "3600500")


def test_a_rate_limit_can_name_its_pause(client, server):
    server.fault(CALL, "status", status=429, retry_after=7)
    got = answer(client)
    assert (got.status_code, got.headers["retry-after"]) == (429, "7")


def test_a_dropped_answer_comes_after_the_work(client, server):
    before = len(server.tickets())
    server.fault("create_ticket", "drop_answer")
    with pytest.raises(requests.ConnectionError):
        client.create()
    assert len(server.tickets()) == before + 1
    assert client.create()["result"] is True


def test_a_delay_comes_before_the_work(client, server):
    server.fault(CALL, "delay", seconds=0.2)
    got = answer(client)
    assert got.json()["result"] is True
    assert got.elapsed.total_seconds() >= 0.2


@pytest.mark.parametrize("code", [3900004, "SERVER_500_ERROR"])
def test_a_refusal_has_the_code_it_was_given(client, server, code):
    server.fault(CALL, "refuse", code=code)
    assert (answer(client).status_code, answer(client).json()["result"]) == (200, True)
    server.fault(CALL, "refuse", code=code)
    assert (answer(client).json()["code"]) == code


def test_an_etl_refusal_strikes_clean_configurations_only(client, server):
    server.fault("", "etl_refuse", code="3600015")
    assert client.bklog("GET", "1001/")["result"] is True
    assert client.bklog("POST", "1001/update_or_create_clean_config/", {})["code"] == "3600015"
    assert server.collector(1001)["etl_writes"] == 0


def test_faults_are_used_up_and_others_pass(client, server):
    server.fault(CALL, "status", times=2)
    assert client.get("get_service_catalogs")["result"] is True
    assert [answer(client).status_code for _ in range(3)] == [502, 502, 200]


def test_faults_strike_in_the_order_they_were_asked_for(client, server):
    server.fault(CALL, "status", status=504)
    server.fault(CALL, "html")
    assert [answer(client).status_code for _ in range(3)] == [504, 200, 200]


def test_faults_can_be_called_off(client, server):
    server.fault(CALL, "status", times=9)
    server.clear_faults()
    assert answer(client).status_code == 200


def test_the_control_api_and_the_page_have_no_faults(client, server):
    server.fault("", "status", times=9)
    assert client.raw("GET", f"{server.url}/").status_code == 200
    assert server.tickets() is not None


def test_the_application_may_be_turned_away_at_either_door(client, server):
    server.fault("get_services", "app_refused", times=2)
    at_gateway = answer(client)
    assert (at_gateway.status_code, at_gateway.json()["code"]) == (403, 1640301)
    at_esb = client.raw("GET", f"{server.esb_url}/{CALL}/")
    assert (at_esb.status_code, at_esb.json()["code"]) == (200, 1306403)
    assert answer(client).json()["result"] is True
