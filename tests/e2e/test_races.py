# SPDX-License-Identifier: Apache-2.0
"""Callbacks that cross with what people and tasks do in Airflow."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial

import pytest

from airflow_provider_bkitsm.sandbox.settings import ITSM_ROOT
from tests.e2e.conftest import POSTGRES, SQLITE
from tests.e2e.gates import Gate, at_once
from tests.e2e.one_at_a_time import one_at_a_time

DATABASES = (SQLITE, POSTGRES)
SINGLE = "itsm_with_one_worker"
# A task that is queued when a person clears it, or a run that ends meanwhile, is Airflow's own to lose: see
# docs/troubleshooting.md. These wait with nothing queued behind them.
HELD = ("cleared", "cleared_at_once")
NAMES = ("killed", "killed_at_once", "suspended")


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
    opened = {name: Gate.open(airflow, control, "by_callback") for name in NAMES}
    opened |= {name: Gate.open(airflow, control, "held") for name in HELD}
    opened["inside"] = Gate.open(airflow, control, "withdraws_its_own", conn_id=single)
    return {name: gate.waits() for name, gate in opened.items()}


@pytest.mark.parametrize("name", HELD)
def test_p1_p2_a_wait_cleared_by_a_person_waits_for_the_same_ticket_again(gates, name):
    gate = gates[name]
    clear, approve = partial(gate.api.clear, gate.dag, gate.run, ["wait"]), partial(gate.decide, "approve")
    if name == "cleared":
        clear()
        approve()
    else:
        at_once(clear, approve)
    gate.retried("wait")
    gate.api.wait_for_task(gate.dag, gate.run, "wait", "success")
    gate.release()
    assert gate.end() == "success"
    assert gate.xcom("then") == f"{gate.sn} approved"
    assert gate.tries()["ask"] == 1


def test_p4_a_wait_killed_by_a_person_stays_killed_when_its_approval_comes(gates):
    gate = gates["killed"]
    gate.api.set_task_state(gate.dag, gate.run, "wait", "failed")
    gate.decide("approve")
    gate.heard("duplicate")
    assert gate.end() == "failed"
    assert gate.states() == {"ask": "success", "wait": "failed", "then": "upstream_failed"}


def test_p4_a_kill_and_an_approval_at_once_leave_a_whole_run(gates):
    """A person's word about a task that has just ended counts too; what was already downstream may have run."""
    gate = gates["killed_at_once"]
    kill = partial(gate.api.set_task_state, gate.dag, gate.run, "wait", "failed")
    at_once(kill, partial(gate.decide, "approve"))
    gate.end()
    assert gate.states()["wait"] in {"failed", "success"}
    assert gate.tries()["then"] <= 1


def test_p3_a_callback_about_an_open_ticket_changes_nothing(gates, control):
    gate = gates["suspended"]
    control.operate(gate.sn, "SUSPEND")
    assert control.post_callback(gate.sn, current_status="FINISHED", approve_result=True)
    gate.heard("still_open")
    assert gate.states()["wait"] == "deferred"
    control.operate(gate.sn, "UNSUSPEND")
    gate.decide("approve")
    assert gate.end() == "success"


def test_p4_a_callback_about_a_ticket_nobody_waits_for_is_taken_and_changes_nothing(gates, control):
    waits = gates["inside"]
    address, headers, _ = waits.callback()
    fields = [
        {"key": key, "value": value}
        for key, value in {"title": "other", "APPROVER": "admin", "APPROVAL_CONTENT": "c"}.items()
    ]
    meta = {"callback_url": address, "headers": headers}
    body = {"creator": "admin", "fast_approval": True, "fields": fields, "meta": meta}
    other = control.call("POST", "create_ticket", json=body)["sn"]
    control.approve(other)
    Gate(airflow=waits.airflow, itsm=control, dag="", run="", sn=other).heard("unknown")
    assert waits.states()["wait"] == "deferred"
    assert other not in control.call("GET", "callback_failed_ticket")


def test_p1_a_withdraw_from_inside_the_run_ends_the_wait_with_one_worker_everywhere(gates):
    """ITSM calls back before it answers the withdraw, and can be asked nothing until it has."""
    gate = gates["inside"]
    gate.release()
    assert gate.end() == "failed"
    assert gate.states() == {"ask": "success", "hold": "success", "withdraw": "success", "wait": "failed"}
    assert gate.xcom("wait", "verdict")["outcome"] == "withdrawn"
    assert gate.xcom("withdraw") == "REVOKED"
    assert gate.resumed() == {"resumed": 1}
