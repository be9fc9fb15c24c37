# SPDX-License-Identifier: Apache-2.0
"""A ticket ends with its wait only if a person ended that (promise P5)."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from airflow_provider_bkitsm.hooks.itsm import ItsmHook
from airflow_provider_bkitsm.itsm.errors import ItsmConflictError
from airflow_provider_bkitsm.triggers import giving_up as module
from airflow_provider_bkitsm.triggers import ticket as trigger_module
from airflow_provider_bkitsm.triggers.giving_up import task_states
from airflow_provider_bkitsm.triggers.ticket import ItsmTicketTrigger

FORM = {"title": "t", "APPROVER": "alice", "APPROVAL_CONTENT": "c"}
TASK = SimpleNamespace(id="0", dag_id="d", run_id="r", task_id="t", map_index=-1)


@pytest.fixture
def sn(connections, sandbox) -> str:
    number = ItsmHook().create_ticket(creator="robot", fields=FORM, fast_approval=True).sn
    sandbox.wait_for_step(number)
    return number


@pytest.fixture
def states(monkeypatch):
    """Let Airflow say this about the task."""

    def say(*found: str | None) -> None:
        async def ask(_task_instance):
            return list(found)

        monkeypatch.setattr(module, "task_states", ask)

    return say


async def kill(sn: str, **parameters) -> None:
    known = {"bkitsm_conn_id": "bkitsm_default", "poll_interval": 1, "approval_timeout": None}
    one = ItsmTicketTrigger(ticket_sn=sn, **(known | {"withdraw_when_killed": True} | parameters))
    one.task_instance = TASK
    await one.on_kill()


@pytest.mark.parametrize("state", ["failed", "success", "skipped", "removed"])
async def test_p5_a_wait_that_a_person_ended_leaves_no_open_ticket(sn, sandbox, states, state):
    states(state)
    await kill(sn)
    assert sandbox.ticket(sn)["status"] == "REVOKED"


async def test_p5_a_run_that_timed_out_is_not_said_to_be_ended_by_a_person(sn, sandbox, states, caplog):
    """Airflow skips the waiting task of a run whose ``dagrun_timeout`` is over."""
    states("skipped")
    await kill(sn)
    (sent,) = sandbox.requests("operate_ticket")
    assert "was ended, or its run" in str(sent)
    assert "person" not in f"{sent}{caplog.text}"


async def test_p5_a_deleted_run_leaves_no_open_ticket(sn, sandbox, states):
    states()
    await kill(sn)
    assert sandbox.ticket(sn)["status"] == "REVOKED"


@pytest.mark.parametrize(
    "state", [None, "scheduled", "queued", "running", "restarting", "deferred", "up_for_retry"]
)
async def test_p5_a_task_that_goes_on_keeps_its_ticket(sn, sandbox, states, state):
    states(state)
    await kill(sn)
    assert sandbox.ticket(sn)["status"] == "RUNNING"


async def test_p1_a_decision_that_the_api_server_took_is_left_alone(sn, sandbox, states):
    states("success")
    sandbox.approve(sn)
    await kill(sn)
    assert sandbox.ticket(sn)["status"] == "FINISHED"
    assert sandbox.requests("operate_ticket") == []


async def test_p6_a_ticket_that_is_to_be_kept_is_kept(sn, sandbox, states):
    states("failed")
    await kill(sn, withdraw_when_killed=False)
    assert sandbox.ticket(sn)["status"] == "RUNNING"


async def test_nothing_is_withdrawn_when_airflow_does_not_tell_the_state(sn, sandbox, monkeypatch):
    async def ask(_task_instance):
        raise RuntimeError("no answer")

    monkeypatch.setattr(module, "task_states", ask)
    with pytest.raises(RuntimeError):
        await kill(sn)
    assert sandbox.ticket(sn)["status"] == "RUNNING"


async def test_p5_a_withdrawal_that_got_lost_is_made_again(sn, sandbox, states, monkeypatch):
    monkeypatch.setattr(module, "_UNTIL_STARTED", 0)
    sandbox.fault("operate_ticket", "html")
    states("failed")
    await kill(sn)
    assert sandbox.ticket(sn)["status"] == "REVOKED"


async def test_a_ticket_that_nobody_may_end_is_an_error(sn, sandbox, states, monkeypatch):
    monkeypatch.setattr(module, "_UNTIL_STARTED", 0)
    sandbox.fault("operate_ticket", "refuse", times=99)
    states("failed")
    with pytest.raises(ItsmConflictError):
        await kill(sn)


@pytest.mark.parametrize(("tells", "withdrawn"), [(True, False), (False, True)])
async def test_an_airflow_that_does_not_tell_of_kills_is_asked_at_every_end(
    sn, sandbox, states, monkeypatch, tells, withdrawn
):
    monkeypatch.setattr(trigger_module, "AIRFLOW_V_3_3_PLUS", tells)
    states("failed")
    one = ItsmTicketTrigger(
        ticket_sn=sn,
        bkitsm_conn_id="bkitsm_default",
        poll_interval=1,
        approval_timeout=None,
        withdraw_when_killed=True,
    )
    one.task_instance = TASK
    await one.cleanup()
    assert (sandbox.ticket(sn)["status"] == "REVOKED") is withdrawn


async def test_airflow_is_asked_for_one_task_instance(monkeypatch):
    from airflow.sdk.execution_time import task_runner
    from airflow.sdk.execution_time.comms import TaskStatesResult

    asked = []

    class Supervisor:
        async def asend(self, message):
            asked.append(message)
            return TaskStatesResult(task_states={"r": {"t": "failed"}})

    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", Supervisor(), raising=False)
    assert await task_states(TASK) == ["failed"]
    assert (asked[0].dag_id, asked[0].run_ids, asked[0].task_ids, asked[0].map_index) == ("d", ["r"], ["t"], -1)


async def test_p2_a_task_that_is_cleared_meanwhile_keeps_its_ticket(sn, sandbox, monkeypatch):
    monkeypatch.setattr(module, "_UNTIL_STARTED", 0)
    said = iter([["failed"], [None]])

    async def ask(_task_instance):
        return next(said)

    monkeypatch.setattr(module, "task_states", ask)
    sandbox.fault("operate_ticket", "refuse", times=2)
    await kill(sn)
    assert sandbox.ticket(sn)["status"] == "RUNNING"


async def test_p5_a_short_outage_is_waited_out(sn, sandbox, states, monkeypatch):
    monkeypatch.setattr(module, "_UNTIL_STARTED", 0)
    sandbox.fault("get_ticket_status", "status", times=2)
    states("failed")
    await kill(sn)
    assert sandbox.ticket(sn)["status"] == "REVOKED"
