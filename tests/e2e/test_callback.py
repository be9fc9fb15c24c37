"""Decisions that arrive by callback alone: polling would take an hour."""

from __future__ import annotations

import json

import pytest
import requests

from demo.airflow_api import wait_until
from tests.sandbox.receiver import Receiver

DAG = "called_back"
TASKS = ("wait", "produces")


def ticket(itsm, sn: str) -> dict:
    found: dict = requests.get(f"{itsm.url}/sandbox/tickets/{sn}", timeout=10).json()
    return found


def lost(itsm) -> list[str]:
    listed: list[str] = itsm.itsm("GET", "callback_failed_ticket/")
    return listed


def registered(api, run: str, task: str, sn: str) -> bool:
    return api.xcom(DAG, run, task, f"bkitsm_wait:{sn}") is not None


@pytest.fixture
def waiting(airflow, itsm):
    """Start a run and return it with its ticket once the first look has found the ticket open."""

    def start() -> tuple[str, str]:
        api = airflow.api
        run = api.trigger(DAG)
        for task in TASKS:
            api.wait_for_task(DAG, run, task, "deferred", seconds=120)
        sn = api.xcom(DAG, run, "ask")
        for task in TASKS:
            wait_until(lambda one=task: registered(api, run, one, sn), 30, lambda: "nobody registered")
        looked = {"path": "ticket_approval_result"}

        def looks() -> int:
            asked = requests.get(f"{itsm.url}/sandbox/requests", params=looked, timeout=10).json()
            return sum(sn in json.dumps(one["body"]) for one in asked)

        # Each wait looks twice: on the worker, and in the triggerer after it has registered.
        wait_until(lambda: looks() >= 2 * len(TASKS), 60, lambda: f"only {looks()} looks")
        return run, sn

    return start


def test_p1_an_approval_goes_on_at_once_with_and_without_a_worker(airflow, itsm, waiting):
    run, sn = waiting()
    itsm.decide(sn, "approve", "go")
    assert airflow.api.wait_for_run(DAG, run, seconds=60) == "success"
    assert airflow.api.xcom(DAG, run, "then") == f"{sn} approved"
    assert airflow.api.xcom(DAG, run, "wait")["approvers"][0]["remark"] == "go"
    events = airflow.api.call("GET", "assets/events", params={"source_run_id": run})["asset_events"]
    assert [one["source_task_id"] for one in events] == ["produces"]
    assert sn not in lost(itsm)


def test_p3_a_rejection_fails_for_good_and_says_why(airflow, itsm, waiting):
    run, sn = waiting()
    itsm.decide(sn, "reject", "too risky")
    assert airflow.api.wait_for_run(DAG, run, seconds=60) == "failed"
    assert airflow.api.task_states(DAG, run) | {"ask": ""} == {
        "ask": "",
        "wait": "failed",
        "produces": "failed",
        "then": "upstream_failed",
    }
    assert "admin refused: too risky" in airflow.api.log(DAG, run, "wait")


@pytest.mark.parametrize("action", ["WITHDRAW", "TERMINATE"])
def test_a_ticket_ended_by_itsms_own_call_arrives_too(airflow, itsm, waiting, action):
    run, sn = waiting()
    body = {"sn": sn, "operator": "admin", "action_type": action, "action_message": "obsolete"}
    itsm.itsm("POST", "operate_ticket/", json=body)
    assert airflow.api.wait_for_run(DAG, run, seconds=60) == "failed"
    assert sn not in lost(itsm)


def test_p1_a_withdraw_by_airflow_itself_ends_the_wait_too(airflow, itsm, waiting):
    run, sn = waiting()
    withdrawal = airflow.api.trigger("withdrawn_by_airflow", {"sn": sn})
    assert airflow.api.wait_for_run("withdrawn_by_airflow", withdrawal, seconds=60) == "success"
    assert airflow.api.wait_for_run(DAG, run, seconds=60) == "failed"
    assert "withdrawn" in airflow.api.log(DAG, run, "wait")
    assert sn not in lost(itsm)


def test_p4_forged_and_replayed_callbacks_change_nothing(airflow, itsm, waiting):
    run, sn = waiting()
    meta = ticket(itsm, sn)["meta"]
    good = {"sn": sn, "current_status": "FINISHED", "approve_result": True, "token": _token(itsm)}

    def post(url: str = meta["callback_url"], headers: dict | None = None, **changes: object) -> tuple[int, int]:
        given = meta["headers"] if headers is None else headers
        said = requests.post(url, json=good | changes, headers=given, timeout=10)
        return said.status_code, said.json()["code"]

    assert post(headers={}) == (403, 1)
    assert post(headers={"X-Bkitsm-Signature": "v1=" + "0" * 64}) == (403, 1)
    assert post(url=meta["callback_url"] + "9") == (403, 1)
    assert post(url=meta["callback_url"].replace("bkitsm_default", "bklog_default")) == (403, 1)
    assert post(token="A" * 88) == (403, 1)
    assert post(sn="REQ20991231000001") == (200, 0)
    assert post() == (200, 0)
    states = airflow.api.task_states(DAG, run)
    assert [states[task] for task in TASKS] == ["deferred", "deferred"]
    itsm.decide(sn, "reject", "no")
    assert airflow.api.wait_for_run(DAG, run, seconds=60) == "failed"
    assert post() == (200, 0)
    assert airflow.api.run_state(DAG, run) == "failed"


def test_p8_no_log_shows_a_signature_or_a_token(airflow, itsm, home, waiting):
    run, sn = waiting()
    signature = ticket(itsm, sn)["meta"]["headers"]["X-Bkitsm-Signature"]
    itsm.decide(sn, "approve", "")
    assert airflow.api.wait_for_run(DAG, run, seconds=60) == "success"
    text = "".join(path.read_text(errors="replace") for path in home.rglob("*.log"))
    assert f"callback for ticket {sn}: resumed" in text
    assert signature.removeprefix("v1=") not in text
    xcoms = airflow.api.call("GET", f"dags/{DAG}/dagRuns/{run}/taskInstances/~/xcomEntries")
    assert signature not in json.dumps(xcoms)


def test_ending_a_wait_from_the_api_server_leaves_no_error_in_any_log(home):
    text = "".join(path.read_text(errors="replace") for path in (home / "logs").rglob("*.trigger.*.log"))
    assert '"level":"error"' not in text
    assert "on_kill() raised" not in text


def _token(itsm) -> str:
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
        other = itsm.itsm("POST", "create_ticket/", json=body)["sn"]
        itsm.decide(other, "withdraw", "not needed")
        token: str = receiver.wait().body["token"]
        return token
