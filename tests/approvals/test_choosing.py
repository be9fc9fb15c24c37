# SPDX-License-Identifier: Apache-2.0
"""Which ticket a task's page shows."""

from __future__ import annotations

from airflow_provider_bkitsm.approvals.rows import TaskKey, WaitRecord, wait_of

APPLY, WAIT = (TaskKey(dag_id="d", run_id="r", task_id=name) for name in ("apply", "wait"))
OPENED = WaitRecord(task=APPLY, state="success", ticket_url="https://itsm/1")
WAITS = WaitRecord(task=WAIT, state="deferred", sn="REQ1", conn_id="itsm", ticket_url="https://itsm/1")
ANOTHER = WaitRecord(task=WAIT, state="deferred", sn="REQ2", conn_id="itsm", ticket_url="https://itsm/2")


def test_a_wait_shows_its_own():
    assert wait_of([OPENED, WAITS], WAIT) is WAITS


def test_the_task_that_opened_it_shows_the_waits():
    assert wait_of([OPENED, ANOTHER, WAITS], APPLY) is WAITS


def test_another_ticket_is_not_taken_for_it():
    assert wait_of([OPENED, ANOTHER], APPLY) is OPENED


def test_without_an_address_nothing_is_guessed():
    bare = WaitRecord(task=APPLY, state="success")
    silent = WaitRecord(task=WAIT, state="deferred", sn="REQ3", conn_id="itsm")
    assert wait_of([bare, silent], APPLY) is bare


def test_a_task_without_a_ticket_has_none():
    assert wait_of([OPENED, WAITS], TaskKey(dag_id="d", run_id="r", task_id="other")) is None
    assert wait_of([OPENED, WAITS], TaskKey(dag_id="d", run_id="r", task_id="wait", map_index=0)) is None
