# SPDX-License-Identifier: Apache-2.0
"""A connection that speaks another version of ITSM while tickets are open: from v2 to v4, and from v4 to v2."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
import requests

from airflow_provider_bkitsm.sandbox.control import SandboxControl
from airflow_provider_bkitsm.sandbox.itsm.service_catalog import FAST_APPROVAL
from tests.e2e.conftest import DIALECTS
from tests.e2e.gates import Gate

Dialect = Literal["v2", "v4"]
OTHER: dict[Dialect, Dialect] = {"v2": "v4", "v4": "v2"}
EXTRA: dict[Dialect, dict[str, Any]] = {"v2": {"service_id": FAST_APPROVAL}, "v4": {}}
WAYS = {"polled": "either_by_poll", "called_back": "either_by_callback", "open": "either_by_callback"}


@dataclass(kw_only=True)
class Switched:
    """A connection of Airflow's database whose tickets were opened in one version, and the runs that wait."""

    airflow: Any
    url: str
    first: Dialect
    gates: dict[str, Gate] = field(default_factory=dict)

    @property
    def conn_id(self) -> str:
        return f"from_{self.first}"

    def control(self, dialect: Dialect) -> SandboxControl:
        return SandboxControl(self.url, dialect=dialect)

    def connect(self, dialect: Dialect, *, is_new: bool = False) -> None:
        """Let the connection lead to a version of ITSM, as a person does in its form."""
        text = self.control(dialect).connection("bkitsm", settle_seconds=2, read_retries=0, **EXTRA[dialect])
        given = json.loads(text)
        extra = json.dumps({"dialect": dialect} | given.pop("extra"))
        body = {"connection_id": self.conn_id, **given, "extra": extra}
        where = ("POST", "connections") if is_new else ("PATCH", f"connections/{self.conn_id}")
        self.airflow.api.call(*where, json=body)

    def open(self, name: str) -> None:
        self.gates[name] = Gate.open(self.airflow, self.control(self.first), WAYS[name], conn_id=self.conn_id)

    def tickets_of(self, gate: Gate) -> list[str]:
        """Return the tickets of a run in the ITSM of either version."""
        return [one["sn"] for one in gate.itsm.tickets() if gate.run in one["title"]]

    def post_callback(self, gate: Gate) -> int:
        """Post what ITSM would post now."""
        address, headers, body = gate.callback()
        return requests.post(address, json=body, headers=headers, timeout=10).status_code


@pytest.fixture(scope="module")
def all_switched(airflow, itsm) -> dict[str, Switched]:
    """Open tickets on both connections, and let each of them speak the other version."""
    found = {one: Switched(airflow=airflow, url=itsm.url, first=one) for one in DIALECTS}
    for one in found.values():
        one.connect(one.first, is_new=True)
        for name in WAYS:
            one.open(name)
    for one in found.values():
        for gate in one.gates.values():
            gate.waits()
            one.control(one.first).fault(gate.sn, "callback_lost")
    for one in found.values():
        one.connect(OTHER[one.first])
    return found


@pytest.fixture(params=DIALECTS)
def switched(request, all_switched) -> Switched:
    found: Switched = all_switched[request.param]
    return found


@pytest.fixture(scope="module")
def restarted(airflow, all_switched) -> None:
    """Let the waits begin anew, as at every start of a triggerer: from then on they see what the connection is."""
    airflow.stop_one("triggerer")
    airflow.start_one("triggerer")


def test_p1_a_wait_that_is_under_way_is_finished_by_the_version_that_opened_its_ticket(switched):
    gate = switched.gates["polled"]
    gate.decide("approve")
    assert gate.end() == "success"
    assert gate.xcom("then") == f"{gate.sn} approved"


def test_p4_a_callback_of_a_version_that_the_connection_does_not_speak_is_refused(switched):
    gate = switched.gates["called_back"]
    gate.decide("approve")
    assert switched.post_callback(gate) == 403
    assert gate.states()["wait"] == "deferred"


@pytest.mark.usefixtures("restarted")
def test_p2_p3_a_wait_that_cannot_be_finished_says_why_and_goes_on_once_it_can(switched):
    """Nobody is asked anew, the other ITSM is not asked about the ticket, and no decision is lost."""
    first, other = switched.first, OTHER[switched.first]
    gates = [switched.gates[name] for name in ("called_back", "open")]
    for gate in gates:
        assert gate.end() == "failed"
        log = gate.log("wait")
        assert f"ITSM ticket {gate.sn} was opened in the dialect '{first}'" in log
        assert f"connection '{switched.conn_id}' speaks '{other}' now" in log
        assert f"A retry goes on once the connection's extra dialect is '{first}' again" in log
    gates[-1].decide("approve")
    switched.connect(first)
    for gate in gates:
        gate.api.clear(gate.dag, gate.run, ["wait"])
    for gate in gates:
        gate.retried("wait")
        assert gate.end() == "success"
        assert gate.xcom("then") == f"{gate.sn} approved"
    for gate in switched.gates.values():
        assert switched.tickets_of(gate) == [gate.sn]
        assert [one for one in switched.control(other).request_counts() if gate.sn in one] == []
