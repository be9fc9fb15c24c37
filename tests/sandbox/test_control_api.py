# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
import requests

from airflow_provider_bkitsm.sandbox.control_api import only_from_here
from airflow_provider_bkitsm.sandbox.itsm import service_catalog
from airflow_provider_bkitsm.sandbox.settings import CONTROL_ROOT


def control(server, method, path, **more):
    return requests.request(method, f"{server.url}{CONTROL_ROOT}/{path}", timeout=20, **more)


def test_a_ticket_shows_what_no_platform_call_does(client, server):
    sn = client.opened(tag="run", meta={"callback_url": "", "own": 1})
    shown = server.ticket(sn)
    assert (shown["tag"], shown["meta"]["own"], shown["waits_for"]) == ("run", 1, ["alice", "bob"])
    assert shown["fields"]["APPROVAL_CONTENT"] == "c"


@pytest.mark.parametrize(("method", "path"), [("GET", "tickets/NOPE"), ("GET", "collectors/7")])
def test_what_is_not_there(server, method, path):
    assert control(server, method, path).status_code == 404


@pytest.mark.parametrize(("operator", "status"), [("eve", 409), ("bob", 200), (None, 409)])
def test_decisions_are_those_of_the_people_asked(client, server, operator, status):
    sn = client.opened()
    if operator is None:
        server.approve(sn)
    answer = control(server, "POST", f"tickets/{sn}/decide", json={"approve": True, "operator": operator})
    assert answer.status_code == status


def test_a_ticket_can_finish_without_evidence(client, server, receiver):
    sn = client.opened(service=service_catalog.ONE_APPROVAL, meta={"callback_url": receiver.url})
    assert server.finish_without_evidence(sn)["status"] == "FINISHED"
    assert client.verdict(sn) == ("FINISHED", True)
    logs = client.get("get_ticket_logs", sn=sn, show_type="complex")["data"]["logs"]
    assert "APPROVAL" not in [one["from_state_type"] for one in logs]
    assert receiver.wait().body["approve_result"] is True
    assert control(server, "POST", f"tickets/{sn}/finish_without_evidence").status_code == 409


def test_collectors_are_created_and_replaced(server):
    assert server.put_collector(3001, collector_config_name="new", itsm_ticket_status="applying")["is_active"]
    assert server.put_collector(3001, is_active=False)["itsm_ticket_status"] == "not_apply"
    assert server.collector(3001)["collector_config_id"] == 3001
    assert 3001 in [one["collector_config_id"] for one in control(server, "GET", "collectors").json()]


def test_requests_are_kept_with_bodies_and_without_secrets(client, server):
    sn = client.opened()
    before = len(server.requests("get_ticket_status"))
    client.status(sn)
    client.post("ticket_approval_result", {"sn": [sn]})
    assert len(server.requests("get_ticket_status")) == before + 1
    last = server.requests("ticket_approval_result")[-1]
    assert last == {"method": "POST", "path": last["path"], "query": "", "body": {"sn": [sn]}}
    assert server.requests("get_ticket_status")[-1]["query"] == f"sn={sn}"
    assert "sandbox-secret" not in control(server, "GET", "requests").text


def test_requests_are_counted(client, server):
    def count():
        counts = control(server, "GET", "requests/counts").json()
        return counts.get("GET /api/bk-itsm/prod/v2/itsm/get_services/", 0)

    before = count()
    client.get("get_services")
    assert count() == before + 1


def test_pending_faults_are_listed(server):
    server.fault("x", "html", times=3)
    assert [(one["path"], one["kind"], one["times"]) for one in control(server, "GET", "faults").json()] == [
        ("x", "html", 3)
    ]
    server.clear_faults()


def test_an_unknown_fault_is_refused(server):
    assert control(server, "POST", "faults", json={"path": "x", "kind": "nothing"}).status_code == 422


@pytest.mark.parametrize(("host", "allowed"), [("127.0.0.1", True), ("::1", True), ("10.0.0.5", False)])
def test_only_this_machine_controls(host, allowed):
    from fastapi import HTTPException, Request

    request = Request({"type": "http", "client": (host, 1), "headers": []})
    if allowed:
        only_from_here(request)
    else:
        with pytest.raises(HTTPException):
            only_from_here(request)
