# SPDX-License-Identifier: Apache-2.0
"""How a round ended is in its record, whoever waited, and whatever Airflow's clean-ups delete."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from airflow_provider_bkitsm.itsm.errors import ItsmError
from airflow_provider_bkitsm.itsm.models import Progress, TicketStatus
from airflow_provider_bkitsm.itsm.outcome import Outcome, Reason
from airflow_provider_bkitsm.itsm.verdict import Verdict
from airflow_provider_bkitsm.tickets.approval_store import open_approval_store
from airflow_provider_bkitsm.tickets.round_end import WaitingTask, record_end, record_withdrawal, ticket_tab
from tests.tickets.records import CONN, record_round

ASK = WaitingTask(dag_id="dag", run_id="run_1", task_id="ask", runs="sha256:0")
WAIT = WaitingTask(dag_id="dag", run_id="run_1", task_id="wait")


@pytest.fixture(autouse=True)
def airflow(monkeypatch, tmp_path):
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example.com/prefix/")


def verdict(outcome: Outcome = Outcome.APPROVED, **more: Any) -> Verdict:
    reason = Reason.APPROVED if outcome is Outcome.APPROVED else Reason.REFUSED
    known = {"sn": "SN1", "outcome": outcome, "reason": "", "reason_code": reason, "current_status": "FINISHED"}
    return Verdict(**known | more)


def stored(nonce: str) -> Any:
    record = open_approval_store().get(nonce)
    assert record is not None
    return record


def test_the_record_of_the_ticket_has_its_verdict_and_who_waited():
    opened = record_round("SN1")
    recorded = record_end(CONN, verdict(), ASK)
    end = stored(opened.nonce)
    assert {name: value for name, value in end.verdict.items() if name != "waits"} == recorded.as_dict()
    (wait,) = end.verdict["waits"]
    assert (wait["task_id"], wait["outcome"], wait["runs"]) == ("ask", "approved", "sha256:0")
    assert end.ended_at is not None
    assert not end.is_open


def test_the_verdict_has_the_address_of_the_task_that_asked():
    record_round("SN1", task_id="ask me/now", run_id="run_1")
    recorded = record_end(CONN, verdict(), replace(WAIT, map_index=3))
    assert recorded.airflow_url == (
        "https://airflow.example.com/prefix/dags/dag/runs/run_1/tasks/ask%20me%2Fnow/plugin/bkitsm-ticket"
    )


def test_without_a_record_it_is_that_of_the_task_itself():
    recorded = record_end(CONN, verdict(), replace(WAIT, map_index=3))
    assert recorded.airflow_url.endswith("/tasks/wait/mapped/3/plugin/bkitsm-ticket")


@pytest.mark.parametrize("base", ["", "javascript:alert(1)", "airflow.example.com", "https://a b"])
def test_there_is_no_address_where_airflow_has_none(monkeypatch, base):
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", base)
    assert ticket_tab(WAIT) == ""


def test_an_end_that_is_stored_again_changes_nothing():
    opened = record_round("SN1")
    record_end(CONN, verdict(), ASK)
    first = stored(opened.nonce)
    record_end(CONN, verdict(), ASK)
    assert stored(opened.nonce) == first
    assert stored(opened.nonce).version == first.version


def test_each_wait_for_a_ticket_is_listed_and_that_something_ran_is_never_hidden():
    opened = record_round("SN1")
    record_end(CONN, verdict(Outcome.TIMED_OUT, reason_code=Reason.DEADLINE), WAIT)
    record_end(CONN, verdict(Outcome.REJECTED, reason_code=Reason.SELF_APPROVED), replace(WAIT, task_id="strict"))
    record_end(CONN, verdict(), ASK)
    record_end(CONN, verdict(Outcome.REJECTED), replace(WAIT, task_id="late"))
    end = stored(opened.nonce).verdict
    assert end["outcome"] == "approved"
    listed = [(one["task_id"], one["outcome"]) for one in end["waits"]]
    assert listed == [("wait", "timed_out"), ("strict", "rejected"), ("ask", "approved"), ("late", "rejected")]


def test_p1_many_waits_for_one_ticket_that_end_at_once_are_all_listed(engine, monkeypatch):
    """Each approval is stored before its task goes on: one that is not stored waits once more."""
    monkeypatch.setattr("airflow_provider_bkitsm.hooks.store.store_engine", lambda _=None: engine)
    opened = record_round("SN1")
    waits = [replace(WAIT, map_index=index) for index in range(48)]
    with ThreadPoolExecutor(16) as threads:
        list(threads.map(partial(record_end, CONN, verdict()), waits))
    assert {one["map_index"] for one in stored(opened.nonce).verdict["waits"]} == set(range(48))


def test_a_cleared_wait_that_ends_otherwise_takes_its_own_place():
    opened = record_round("SN1")
    record_end(CONN, verdict(Outcome.TIMED_OUT), WAIT)
    record_end(CONN, verdict(), WAIT)
    assert [one["outcome"] for one in stored(opened.nonce).verdict["waits"]] == ["approved"]


def test_a_task_that_has_joined_has_its_end_in_its_own_record():
    shared = record_round("SN1", run_id="", task_id="", approval_key="k")
    one, other = (
        record_round(None, task_id=name, approval_key="k", ticket_of=shared.nonce) for name in ("ask", "other")
    )
    recorded = record_end(CONN, verdict(), ASK)
    assert "/tasks/ask/" in recorded.airflow_url
    assert [wait["task_id"] for wait in stored(one.nonce).verdict["waits"]] == ["ask"]
    assert stored(other.nonce).is_open
    source = stored(shared.nonce)
    assert (source.verdict["outcome"], source.verdict["waits"]) == ("approved", [])
    record_end(CONN, verdict(), replace(ASK, task_id="other"))
    assert stored(shared.nonce).version == source.version


def test_a_ticket_that_the_run_opened_on_another_connection_counts():
    opened = record_round("SN1", conn_id="another")
    record_end(CONN, verdict(), WAIT)
    assert not stored(opened.nonce).is_open


@pytest.mark.parametrize("reason", [Reason.NOT_ITS_TICKET, Reason.NOT_RECORDED])
def test_p6_the_record_of_another_tasks_ticket_stays_as_it_is(reason):
    opened = record_round("SN1")
    record_end(CONN, verdict(Outcome.REJECTED, reason_code=reason), WAIT)
    assert stored(opened.nonce).is_open


ENDED = TicketStatus(current_status="REVOKED", progress=Progress.WITHDRAWN)


def test_that_airflow_has_ended_a_ticket_is_recorded_with_why():
    opened = record_round("SN1")
    record_withdrawal(CONN, "SN1", why="the task was cleared", status=ENDED)
    end = stored(opened.nonce).verdict
    assert (end["outcome"], end["reason"]) == (
        "withdrawn",
        "the ticket was withdrawn by Airflow: the task was cleared",
    )
    assert (end["by_airflow"], bool(end["decided_at"])) == (True, True)


@pytest.mark.parametrize("outcome", [Outcome.APPROVED, Outcome.TIMED_OUT, Outcome.REJECTED])
def test_what_a_wait_says_of_its_end_says_more(outcome):
    first, second = record_round("SN1"), record_round("SN2", task_id="second")
    record_withdrawal(CONN, "SN1", why="late", status=ENDED)
    record_end(CONN, verdict(outcome), ASK)
    record_end(CONN, verdict(outcome, sn="SN2"), ASK)
    record_withdrawal(CONN, "SN2", why="late", status=ENDED)
    assert [stored(one.nonce).verdict["outcome"] for one in (first, second)] == [str(outcome)] * 2


def test_a_withdrawal_goes_on_without_a_store(monkeypatch, tmp_path, caplog):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path / "file"))
    record_withdrawal(CONN, "SN1", why="late", status=ENDED)
    assert "could not be stored for the audit" in caplog.text


def test_p8_a_store_that_cannot_be_opened_is_an_error_of_ours_without_its_address(monkeypatch):
    monkeypatch.setenv("AIRFLOW__BKITSM__STORE_CONN_ID", "gone")
    monkeypatch.setenv("AIRFLOW_CONN_GONE", "http://user:s3cret@host")
    with pytest.raises(ItsmError) as raised:
        record_end(CONN, verdict(), ASK)
    assert "s3cret" not in str(raised.value)


def test_a_withdrawal_outlasts_any_error_of_the_store(monkeypatch, caplog):
    monkeypatch.setenv("AIRFLOW__BKITSM__STORE_CONN_ID", "nobody_has_this")
    record_withdrawal(CONN, "SN1", why="late", status=ENDED)
    assert "could not be stored for the audit" in caplog.text
