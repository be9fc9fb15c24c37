# SPDX-License-Identifier: Apache-2.0
"""One approval, one ticket, whatever crashes around ``create_ticket`` (promise P2)."""

from __future__ import annotations

import pytest

from airflow_provider_bkitsm.operators.ticket import ItsmCreateTicketOperator
from tests.chaos.clock import sleeping_by
from tests.chaos.crashes import AFTER_SENDING, POINTS, TASKS, Chaos, Transport, crash_around_create, shortly
from tests.chaos.seams import Crash, SeamedStates, wired
from tests.conftest import FakeTask


def test_p2_crashes_around_create_ticket_leave_one_ticket_for_each_approval(sandbox):
    result = crash_around_create(sandbox, crashes=40)
    assert result.crashes.total() == 40
    assert {task for task, _ in result.crashes} == set(TASKS)
    assert {point for _, point in result.crashes} == set(POINTS)
    assert (result.duplicates, result.lost) == (0, 0)


@pytest.mark.parametrize("states", [None, SeamedStates], ids=["forgets", "remembers"])
@pytest.mark.parametrize(("on_clear", "statuses"), [("keep", ["RUNNING"]), ("withdraw", ["REVOKED", "RUNNING"])])
def test_p5_a_ticket_that_appears_after_a_clear_is_not_left_behind(sandbox, states, on_clear, statuses):
    fields, chaos = {"APPROVER": "alice", "APPROVAL_CONTENT": "restart"}, Chaos()
    states = states and states()
    chaos.aim(AFTER_SENDING, looks=4)

    def run(**more):
        task = ItsmCreateTicketOperator(
            task_id="open", title="t", fast_approval=True, fields=fields, on_clear=on_clear
        )
        wired(task, lambda kind: Transport(kind, sandbox, chaos))
        return task.execute(FakeTask("open", states=states, **more).context)

    with sleeping_by(shortly):
        with pytest.raises(Crash):
            run()
        sn = run(clear_number=1, try_number=2)
        chaos.let_it_appear()
    assert [one["status"] for one in sandbox.tickets()] == statuses
    assert sandbox.tickets()[-1]["sn"] == sn


def test_p2_a_ticket_that_appears_beside_the_one_another_run_opened_meanwhile_is_ended(sandbox):
    fields, chaos, states = {"APPROVER": "alice", "APPROVAL_CONTENT": "restart"}, Chaos(), SeamedStates()
    chaos.aim(AFTER_SENDING, looks=1)

    def run(name, seam, **more):
        task = ItsmCreateTicketOperator(
            task_id="open", title="t", fast_approval=True, fields=fields, approval_key="key"
        )
        wired(task, lambda kind: Transport(kind, sandbox, seam))
        return task.execute(FakeTask("open", run_id=name, **more).context)

    with sleeping_by(shortly):
        with pytest.raises(Crash):
            run("run_1", chaos, states=states)
        sn = run("run_2", Chaos(), states=SeamedStates())
        assert run("run_1", chaos, states=states, try_number=2) == sn
    chaos.let_it_appear()
    assert [one["sn"] for one in sandbox.tickets() if one["status"] == "RUNNING"] == [sn]
