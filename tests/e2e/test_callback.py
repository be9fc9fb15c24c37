# SPDX-License-Identifier: Apache-2.0
"""What a callback does besides telling of a decision, and what a forged one does: nothing."""

from __future__ import annotations

import json

import pytest
import requests

from airflow_provider_bkitsm.version_compat import AIRFLOW_V_3_3_PLUS
from tests.e2e.gates import Gate
from tests.sandbox.receiver import Receiver

TASKS = ("wait", "produces")


@pytest.fixture(scope="module")
def gates(airflow, control) -> list[Gate]:
    """Start a run for each test at once."""
    opened = [Gate.open(airflow, control, "two_waits", *TASKS) for _ in range(2)]
    return [gate.waits() for gate in opened]


def test_p1_p8_an_approval_ends_both_waits_with_and_without_a_worker(airflow, control, home, gates):
    gate, _ = gates
    signature = control.ticket(gate.sn)["meta"]["headers"]["X-Bkitsm-Signature"]
    gate.decide("approve", "go")
    assert gate.end() == "success"
    assert gate.xcom("then") == f"{gate.sn} approved"
    assert gate.xcom("wait")["approvers"][0]["remark"] == "go"
    events = airflow.api.call("GET", "assets/events", params={"source_run_id": gate.run})["asset_events"]
    assert [one["source_task_id"] for one in events] == ["produces"]
    assert gate.resumed() == {"resumed": 1}
    text = "".join(path.read_text(errors="replace") for path in home.rglob("*.log"))
    assert signature.removeprefix("v1=") not in text
    xcoms = airflow.api.call("GET", f"dags/{gate.dag}/dagRuns/{gate.run}/taskInstances/~/xcomEntries")
    assert signature not in json.dumps(xcoms)


def test_p4_forged_and_replayed_callbacks_change_nothing(control, gates):
    _, gate = gates
    address, signed, _ = gate.callback()
    good = {"sn": gate.sn, "current_status": "FINISHED", "approve_result": True, "token": _token(control)}

    def post(url: str = address, headers: dict | None = None, **changes: object) -> tuple[int, int]:
        given = signed if headers is None else headers
        said = requests.post(url, json=good | changes, headers=given, timeout=10)
        return said.status_code, said.json()["code"]

    assert post(headers={}) == (403, 1)
    assert post(headers={"X-Bkitsm-Signature": "v1=" + "0" * 64}) == (403, 1)
    assert post(url=address + "9") == (403, 1)
    assert post(url=address.replace("bkitsm_default", "bklog_default")) == (403, 1)
    # What is signed is answered first: its token and its ticket are looked at afterwards.
    assert post(token="A" * 88) == (200, 0)
    assert post(sn="REQ20991231000001") == (200, 0)
    assert post() == (200, 0)
    assert [gate.states()[task] for task in TASKS] == ["deferred", "deferred"]
    gate.decide("reject", "too risky")
    assert gate.end() == "failed"
    assert {gate.states()[task] for task in TASKS} == {"failed"}
    assert "admin refused: too risky" in gate.log("wait")
    assert post() == (200, 0)
    assert gate.api.run_state(gate.dag, gate.run) == "failed"


@pytest.fixture
def trigger_logs(airflow, gates) -> list[str]:
    """The log of each trigger, whose waits have ended by callbacks."""
    return [path.read_text(errors="replace") for path in (airflow.home / "logs").rglob("*.trigger.*.log")]


def test_ending_a_wait_from_the_api_server_leaves_no_error_in_any_log(trigger_logs):
    text = "".join(trigger_logs)
    assert '"level":"error"' not in text
    assert "on_kill() raised" not in text


def test_the_log_of_a_wait_says_who_is_asked_and_that_a_callback_has_ended_it(airflow, trigger_logs, gates):
    # A busy triggerer may have closed a wait's log before its last line, which its own log has then.
    triggerers = (airflow.process_logs / "triggerer.log").read_text(errors="replace")
    by_ticket = {gate.sn: [log for log in trigger_logs if gate.sn in log] for gate in gates}
    assert {sn: len(logs) for sn, logs in by_ticket.items()} == {gate.sn: len(TASKS) for gate in gates}
    for sn, logs in by_ticket.items():
        for log in logs:
            assert log.count(f"Waiting for ITSM ticket {sn}, until ") == 1
            assert log.count(f"ITSM ticket {sn}: waits for admin at step ") <= 1
            ended = f"Ended by callback: ITSM ticket {sn} is"
            assert ended in log or ended in triggerers
            # Since 3.3 Airflow names a person as the cause.
            assert not AIRFLOW_V_3_3_PLUS or "Trigger cancelled by user action" in log.partition(ended)[0]


def _token(control) -> str:
    """Return a token that ITSM sent about another ticket."""
    with Receiver() as receiver:
        fields = [
            {"key": key, "value": value}
            for key, value in {"title": "other", "APPROVER": "admin", "APPROVAL_CONTENT": "c"}.items()
        ]
        body = {
            "creator": "admin",
            "fast_approval": True,
            "fields": fields,
            "meta": {"callback_url": receiver.url},
        }
        control.withdraw(control.call("POST", "create_ticket", json=body)["sn"])
        token: str = receiver.wait().body["token"]
        return token
