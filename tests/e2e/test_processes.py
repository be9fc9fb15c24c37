"""Processes that come and go, come twice, or can do but one thing at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import requests

from airflow_provider_bkitsm.sandbox.settings import ITSM_ROOT
from tests.e2e.conftest import POSTGRES
from tests.e2e.gates import Gate, at_once
from tests.e2e.one_at_a_time import one_at_a_time

DATABASES = (POSTGRES,)
SERVERS = ("api-server", "api-server-2")
SINGLE = "itsm_with_one_worker"
STARTS = {
    **dict.fromkeys(("approved_twice", "rejected_twice", "while_down", "after_restart"), "by_callback"),
    "polled": "by_poll",
}


@pytest.fixture(scope="module")
def single(airflow, itsm) -> Iterator[str]:
    """Define a connection to an ITSM that handles one request at a time."""
    with one_at_a_time(itsm.url) as url:
        login = {"login": "sandbox", "password": "sandbox-secret", "extra": json.dumps({"settle_seconds": 2})}
        body = {"connection_id": SINGLE, "conn_type": "bkitsm", "host": url + ITSM_ROOT, **login}
        airflow.api.call("POST", "connections", json=body)
        yield SINGLE


@pytest.fixture(scope="module")
def gates(airflow, control, single) -> dict[str, Gate]:
    """Start a run for each test at once."""
    opened = {name: Gate.open(airflow, control, dag) for name, dag in STARTS.items()}
    opened["inside"] = Gate.open(airflow, control, "withdraws_its_own", conn_id=single)
    return {name: gate.waits() for name, gate in opened.items()}


def test_p1_a_withdraw_from_inside_the_run_ends_the_wait_with_one_worker_everywhere(gates):
    """ITSM calls back before it answers the withdraw, and can be asked nothing until it has."""
    gate = gates["inside"]
    gate.api.wait_for_task(gate.dag, gate.run, "hold", "deferred")
    gate.api.set_task_state(gate.dag, gate.run, "hold", "success")
    assert gate.end() == "failed"
    assert gate.states() == {"ask": "success", "hold": "success", "withdraw": "success", "wait": "failed"}
    assert gate.xcom("wait", "verdict")["outcome"] == "withdrawn"
    assert gate.xcom("withdraw") == "REVOKED"
    assert gate.callbacks() == {"answered_first": 1, "resumed": 1}


@pytest.mark.parametrize(("name", "decision"), [("approved_twice", "approve"), ("rejected_twice", "reject")])
def test_p1_two_api_servers_that_hear_one_callback_at_once_resume_once(gates, airflow, control, name, decision):
    gate = gates[name]
    control.fault(gate.sn, "callback_lost")
    with airflow.another_api_server() as second:
        gate.decide(decision)
        address, headers, body = gate.callback()

        def post(url: str) -> int:
            code: int = requests.post(url, json=body, headers=headers, timeout=30).json()["code"]
            return code

        addresses = [address, address.replace(airflow.url, second)] * 3
        assert at_once(*(lambda url=url: post(url) for url in addresses)) == [0] * len(addresses)
    assert gate.end() == {"approve": "success", "reject": "failed"}[decision]
    assert gate.callbacks(*SERVERS)["resumed"] == 1
    assert all(gate.callbacks(server) for server in SERVERS)
    assert set(gate.tries().values()) <= {0, 1}


def test_p1_p5_a_restart_of_the_triggerer_withdraws_nothing_and_loses_nothing(gates, airflow, control):
    while_down, after, polled = gates["while_down"], gates["after_restart"], gates["polled"]
    airflow.stop_one("triggerer")
    while_down.decide("approve")
    assert while_down.end() == "success"
    control.fault(polled.sn, "callback_lost")
    polled.decide("approve")
    airflow.start_one("triggerer")
    assert polled.end() == "success"
    assert after.states()["wait"] == "deferred"
    assert control.ticket(after.sn)["status"] == "RUNNING"
    after.decide("reject", "after all")
    assert after.end() == "failed"
    assert "admin refused: after all" in after.log("wait")
    assert [gate.callbacks()["resumed"] for gate in (while_down, after, polled)] == [1, 1, 0]
