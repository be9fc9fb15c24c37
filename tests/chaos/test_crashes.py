# SPDX-License-Identifier: Apache-2.0
"""One approval, one ticket, whatever crashes around ``create_ticket`` (promise P2)."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from airflow_provider_bkitsm.collectors.database import sqlite_engine
from airflow_provider_bkitsm.operators.ticket import ItsmCreateTicketOperator
from airflow_provider_bkitsm.tickets.approval_store import ApprovalStore
from tests.chaos.clock import sleeping_by
from tests.chaos.crashes import AFTER_SENDING, POINTS, TASKS, Chaos, Transport, crash_around_create, shortly
from tests.chaos.seams import Crash, wired
from tests.conftest import FakeTask


@pytest.mark.parametrize("dialect", ["v2", "v4"])
def test_p2_crashes_around_create_ticket_leave_one_ticket_for_each_approval(sandbox, dialect):
    sandbox.dialect = dialect
    result = crash_around_create(sandbox, crashes=40)
    assert result.crashes.total() == 40
    assert {task for task, _ in result.crashes} == set(TASKS)
    assert {point for _, point in result.crashes} == set(POINTS)
    assert (result.duplicates, result.lost) == (0, 0)


@pytest.fixture
def engine(tmp_path):
    return sqlite_engine(tmp_path / "bkitsm.db")


@pytest.mark.parametrize(("on_clear", "statuses"), [("keep", ["RUNNING"]), ("withdraw", ["REVOKED", "RUNNING"])])
def test_p5_a_ticket_that_appears_after_a_clear_is_not_left_behind(sandbox, engine, on_clear, statuses):
    fields, chaos, began = {"APPROVER": "alice", "APPROVAL_CONTENT": "restart"}, Chaos(), datetime.now(UTC)
    chaos.aim(AFTER_SENDING, looks=4)

    def run(**more):
        task = ItsmCreateTicketOperator(
            task_id="open", title="t", fast_approval=True, fields=fields, on_clear=on_clear
        )
        wired(task, lambda kind: Transport(kind, sandbox, chaos), approvals=ApprovalStore(engine))
        return task.execute(FakeTask("open", began=began, **more).context)

    with sleeping_by(shortly):
        with pytest.raises(Crash):
            run()
        sn = run(clear_number=1)
        chaos.let_it_appear()
    assert [one["status"] for one in sandbox.tickets()] == statuses
    assert sandbox.tickets()[-1]["sn"] == sn


def test_p2_a_ticket_that_appears_while_another_run_waits_for_it_is_the_one_of_both(sandbox, engine):
    fields, chaos, began = {"APPROVER": "alice", "APPROVAL_CONTENT": "restart"}, Chaos(), datetime.now(UTC)
    chaos.aim(AFTER_SENDING, looks=1)

    def run(name, **more):
        task = ItsmCreateTicketOperator(
            task_id="open", title="t", fast_approval=True, fields=fields, approval_key="key"
        )
        wired(task, lambda kind: Transport(kind, sandbox, chaos), approvals=ApprovalStore(engine))
        return task.execute(FakeTask("open", run_id=name, began=began, **more).context)

    with sleeping_by(shortly):
        with pytest.raises(Crash):
            run("run_1")
        sn = run("run_2")
        assert run("run_1", try_number=2) == sn
    chaos.let_it_appear()
    assert [one["sn"] for one in sandbox.tickets() if one["status"] == "RUNNING"] == [sn]
