"""Callbacks that cross with what people do in Airflow, and with each other."""

from __future__ import annotations

import pytest

from tests.e2e.conftest import POSTGRES, SQLITE
from tests.e2e.gates import Gate, at_once

DATABASES = (SQLITE, POSTGRES)
NAMES = ("cleared", "cleared_at_once", "killed", "killed_at_once", "suspended")


@pytest.fixture(scope="module")
def gates(airflow, control) -> dict[str, Gate]:
    """Start a run for each test at once."""
    opened = {name: Gate.open(airflow, control, "by_callback") for name in NAMES}
    return {name: gate.waits() for name, gate in opened.items()}


@pytest.mark.parametrize("name", ["cleared", "cleared_at_once"])
def test_p1_p2_a_wait_cleared_by_a_person_waits_for_the_same_ticket_again(gates, name):
    gate = gates[name]
    clear = lambda: gate.api.clear(gate.dag, gate.run, ["wait"])  # noqa: E731
    if name == "cleared":
        clear()
        gate.decide("approve")
    else:
        at_once(clear, lambda: gate.decide("approve"))
    gate.retried("wait")
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
    at_once(
        lambda: gate.api.set_task_state(gate.dag, gate.run, "wait", "failed"),
        lambda: gate.decide("approve"),
    )
    gate.end()
    assert gate.states()["wait"] in {"failed", "success"}
    assert gate.tries()["then"] <= 1


def test_p3_a_callback_about_an_open_ticket_changes_nothing(gates, control):
    gate = gates["suspended"]
    control.operate(gate.sn, "SUSPEND")
    assert control.post_callback(gate.sn, current_status="FINISHED", approve_result=True)
    assert gate.callbacks() == {"still_open": 1}
    assert gate.states()["wait"] == "deferred"
    control.operate(gate.sn, "UNSUSPEND")
    gate.decide("approve")
    assert gate.end() == "success"


def test_p4_a_callback_about_a_ticket_nobody_waits_for_is_taken_and_changes_nothing(gates, control):
    waits = next(iter(gates.values()))
    address, headers, _ = waits.callback()
    fields = [
        {"key": key, "value": value}
        for key, value in {"title": "other", "APPROVER": "admin", "APPROVAL_CONTENT": "c"}.items()
    ]
    meta = {"callback_url": address, "headers": headers}
    body = {"creator": "admin", "fast_approval": True, "fields": fields, "meta": meta}
    other = control.call("POST", "create_ticket", json=body)["sn"]
    before = waits.states()
    control.approve(other)
    Gate(airflow=waits.airflow, itsm=control, dag="", run="", sn=other).heard("unknown")
    assert waits.states() == before
    assert other not in control.call("GET", "callback_failed_ticket")
