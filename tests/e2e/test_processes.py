# SPDX-License-Identifier: Apache-2.0
"""Airflow's own processes: two that hear the same, one that goes and comes back."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest
import requests

from tests.e2e.conftest import POSTGRES
from tests.e2e.gates import Gate, at_once

DATABASES = (POSTGRES,)
SERVERS = ("api-server", "api-server-2")
STARTS = {
    **dict.fromkeys(("approved_twice", "rejected_twice", "while_down", "after_restart"), "by_callback"),
    "polled": "by_poll",
}


@pytest.fixture(scope="module")
def gates(airflow, control) -> dict[str, Gate]:
    """Start a run for each test at once."""
    opened = {name: Gate.open(airflow, control, dag) for name, dag in STARTS.items()}
    return {name: gate.waits() for name, gate in opened.items()}


@pytest.fixture(scope="module")
def second(airflow) -> Iterator[str]:
    with airflow.another_api_server() as url:
        yield url


@pytest.mark.parametrize(("name", "decision"), [("approved_twice", "approve"), ("rejected_twice", "reject")])
def test_p1_two_api_servers_that_hear_one_callback_at_once_resume_once(
    gates, airflow, control, second, name, decision
):
    gate = gates[name]
    # A server's first callback imports what later ones find in memory: this one is about an open ticket.
    assert hear(gate, airflow.url, second) == [0, 0]
    for server in SERVERS:
        gate.heard("still_open", log=server)
    control.fault(gate.sn, "callback_lost")
    gate.decide(decision)
    assert hear(gate, *[airflow.url, second] * 3) == [0] * 6
    assert gate.end() == {"approve": "success", "reject": "failed"}[decision]
    # A server reads the ticket once for callbacks that come together, and once more for those that come meanwhile.
    seen = [gate.callbacks(server) for server in SERVERS]
    assert all(1 < sum(one.values()) <= 4 for one in seen), seen
    assert gate.callbacks(*SERVERS)["resumed"] == 1
    assert set(gate.tries().values()) <= {0, 1}


def hear(gate: Gate, *servers: str) -> list[int]:
    """Let these API servers hear the same callback at the same moment; return their codes."""
    address, headers, body = gate.callback()

    def post(url: str) -> int:
        code: int = requests.post(url, json=body, headers=headers, timeout=30).json()["code"]
        return code

    return at_once(*(partial(post, address.replace(gate.api.url, one)) for one in servers))


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
    assert [gate.resumed()["resumed"] for gate in (while_down, after)] == [1, 1]
    assert polled.callbacks()["resumed"] == 0
