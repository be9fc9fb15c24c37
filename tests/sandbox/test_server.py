# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from airflow_provider_bkitsm.sandbox.server import SandboxServer
from airflow_provider_bkitsm.sandbox.settings import Settings
from tests.sandbox.client import Client


def test_what_a_client_needs_to_know(server):
    assert server.itsm_url == f"{server.url}/api/bk-itsm/prod/v2/itsm"
    assert server.bklog_url == f"{server.url}/api/bk-log-search/prod"
    assert (server.app_code, server.app_secret) == ("sandbox", "sandbox-secret")


def test_a_decision_waits_for_the_step():
    with SandboxServer(Settings(start_delay=0.3)) as server:
        sn = Client(server).create()["data"]["sn"]
        assert server.approve(sn)["status"] == "FINISHED"


def test_an_ended_ticket_is_not_waited_for(client, server):
    sn = client.opened()
    server.withdraw(sn)
    with pytest.raises(RuntimeError, match="REVOKED"):
        server.approve(sn)


def test_a_refused_operation_is_an_error(client, server):
    with pytest.raises(RuntimeError):
        server.operate(client.opened(), "TERMINATE", operator="eve")


def test_two_servers_have_nothing_in_common(client, server):
    client.opened()
    with SandboxServer(Settings(app_code="a", app_secret="b")) as other:
        assert other.tickets() == []
        assert other.url != server.url
        assert Client(other).get("get_services")["result"] is True


def test_a_port_that_is_taken_is_an_error(server):
    with pytest.raises(OSError, match="in use"):
        SandboxServer(port=server.port)
