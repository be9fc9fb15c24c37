# SPDX-License-Identifier: Apache-2.0
"""What happens to a ticket, in one Airflow, with ITSM v2 and ITSM v4 side by side: the same DAGs and tests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import requests

from airflow_provider_bkitsm.sandbox.control import SandboxControl
from airflow_provider_bkitsm.sandbox.settings import ITSM_ROOT, ITSM_V4_ROOT
from demo.airflow_api import wait_until
from tests.e2e.conftest import COLLECTORS_OF, CONNECTION_OF, DIALECTS
from tests.e2e.gates import DECISIONS, Gate

CALLBACK, POLL, COLLECTOR = "either_by_callback", "either_by_poll", "either_collector"
UNSIGNED = "v1=" + "0" * 64
STARTS = {
    **dict.fromkeys((*DECISIONS, "killed", "forged"), CALLBACK),
    **dict.fromkeys(("lost_callback", "cleared", "outage"), POLL),
}


@dataclass(frozen=True, kw_only=True)
class Spelling:
    """How a version calls what the tests look at.

    :param root: where its gateway is.
    :param create: the call that opens a ticket.
    """

    root: str
    create: str
    withdrawn: str


SPELLINGS = {
    "v2": Spelling(root=ITSM_ROOT, create="create_ticket", withdrawn="REVOKED"),
    "v4": Spelling(root=ITSM_V4_ROOT, create="ticket/create", withdrawn="revoked"),
}


class Site:
    """One version of ITSM, and the runs that wait for its tickets."""

    def __init__(self, airflow: Any, url: str, dialect: Any) -> None:
        self.airflow, self.spelling = airflow, SPELLINGS[dialect]
        self.control = SandboxControl(url, dialect=dialect)
        self.conn_id, self.collectors = CONNECTION_OF[dialect], COLLECTORS_OF[dialect]
        self.collector = 2301 + DIALECTS.index(dialect)
        self.gates: dict[str, Gate] = {}

    def open(self, name: str, dag: str, **conf: Any) -> Gate:
        """Start a run."""
        self.gates[name] = Gate.open(self.airflow, self.control, dag, conn_id=self.conn_id, **conf)
        return self.gates[name]

    def requests(self) -> int:
        """Return how many requests its gateway has had."""
        return sum(count for path, count in self.control.request_counts().items() if self.spelling.root in path)

    def tickets_of(self, gate: Gate) -> list[str]:
        """Return the tickets that a run has opened."""
        return [one["sn"] for one in self.control.tickets() if gate.run in one["title"]]


@pytest.fixture(scope="module")
def sites(airflow, itsm) -> Iterator[dict[str, Site]]:
    """Start all runs of both, the ones whose answers are lost first."""
    found = {dialect: Site(airflow, itsm.url, dialect) for dialect in DIALECTS}
    for site in found.values():
        site.control.fault(site.spelling.create, "drop_answer")
        site.open("lost_answer", CALLBACK)
    for site in found.values():
        site.gates["lost_answer"].asks()
        for name, dag in STARTS.items():
            site.open(name, dag)
        site.control.put_collector(site.collector, bk_biz_id=2)
    for site in found.values():
        for gate in site.gates.values():
            gate.waits()
    yield found
    itsm.control.clear_faults()


@pytest.fixture(params=DIALECTS)
def site(request, sites) -> Site:
    found: Site = sites[request.param]
    return found


@pytest.mark.parametrize("decision", DECISIONS)
def test_p1_p3_a_decision_arrives_by_callback(site, decision):
    gate = site.gates[decision]
    gate.decide(decision, "so it is")
    assert gate.end() == ("success" if decision == "approve" else "failed")
    assert gate.resumed()["resumed"] == 1
    if decision == "approve":
        assert gate.xcom("then") == f"{gate.sn} approved"
    else:
        assert gate.xcom("wait", "verdict")["outcome"] == DECISIONS[decision]
        assert gate.states()["then"] == "upstream_failed"


def test_p1_a_decision_whose_callback_is_lost_arrives_by_the_poll(site):
    gate = site.gates["lost_callback"]
    site.control.fault(gate.sn, "callback_lost")
    gate.decide("approve")
    assert gate.end() == "success"
    assert gate.callbacks()["resumed"] == 0


def test_p2_a_create_whose_answer_is_lost_opens_one_ticket(site):
    gate = site.gates["lost_answer"]
    assert site.tickets_of(gate) == [gate.sn]
    gate.decide("approve")
    assert gate.end() == "success"


def test_p5_a_person_who_ends_the_wait_ends_the_ticket(site):
    gate = site.gates["killed"]
    gate.api.set_task_state(gate.dag, gate.run, "wait", "failed")
    status = lambda: site.control.ticket(gate.sn)["status"]  # noqa: E731
    wait_until(lambda: status() == site.spelling.withdrawn, status)
    assert gate.end() == "failed"


def test_p2_a_wait_that_is_cleared_waits_for_the_same_ticket(site):
    gate = site.gates["cleared"]
    gate.api.clear(gate.dag, gate.run, ["wait"])
    gate.retried("wait")
    gate.api.wait_for_task(gate.dag, gate.run, "wait", "deferred")
    gate.decide("approve")
    assert gate.end() == "success"
    assert gate.xcom("then") == f"{gate.sn} approved"
    assert site.tickets_of(gate) == [gate.sn]


def test_p4_a_forged_callback_changes_nothing(site):
    gate = site.gates["forged"]
    address, headers, body = gate.callback()

    def post(url: str = address, *, signed: bool = True, **changes: Any) -> int:
        unsigned, in_body = dict.fromkeys(headers, UNSIGNED), "callback_token" in body and not signed
        token = {"callback_token": UNSIGNED} if in_body else {}
        given, sent = headers if signed else unsigned, body | token | changes
        return requests.post(url, json=sent, headers=given, timeout=10).status_code

    assert post(signed=False) == 403
    assert post(url=f"{address}9") == 403
    assert post(url=address.replace(site.conn_id, "bklog_default")) == 403
    # Signed, and wrong about the decision: ITSM is asked, and says that it is open.
    if "ticket" in body:
        assert post(ticket=body["ticket"] | {"status": "finished", "approve_result": True}) == 200
    else:
        assert post(current_status="FINISHED", approve_result=True) == 200
    gate.heard("still_open")
    assert gate.states()["wait"] == "deferred"
    gate.decide("reject")
    assert gate.end() == "failed"


def test_p7_a_collector_goes_live_after_its_approval(site, store):
    run = Gate.open(
        site.airflow, site.control, COLLECTOR, conn_id=site.collectors, collector_config_id=site.collector
    )
    run.api.wait_for_task(run.dag, run.run, "wait", "deferred")
    assert site.control.collector(site.collector)["table_id"] is None
    run.sn = run.xcom("apply")
    run.decide("approve")
    assert run.end() == "success"
    assert site.control.collector(site.collector)["table_id"] == "2_bklog.app_runtime"
    row = store.get("bklog_default", site.collector)
    assert (row.state, row.ticket_sn) == ("success_apply", run.sn)


def test_p1_a_decision_during_an_outage_is_seen_after_it(site):
    gate = site.gates["outage"]
    site.control.fault(gate.sn, "callback_lost")
    site.control.fault(site.spelling.root, "status", status=502, times=10_000)
    gate.decide("approve")
    before = site.requests()
    wait_until(lambda: site.requests() > before + 2, lambda: "nobody asks")
    assert gate.states()["wait"] == "deferred"
    site.control.clear_faults()
    assert gate.end() == "success"
