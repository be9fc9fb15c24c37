# SPDX-License-Identifier: Apache-2.0
"""A ticket ends with its wait only if that was ended from outside (promise P5)."""

from __future__ import annotations

import asyncio
import contextlib
from types import SimpleNamespace

import pytest
from airflow.jobs.triggerer_job_runner import TriggerRunner
from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.comms import XComResult

from airflow_provider_bkitsm.callback.waiters import RESUMED_KEY
from airflow_provider_bkitsm.hooks.itsm import ItsmHook
from airflow_provider_bkitsm.itsm.errors import ItsmConflictError
from airflow_provider_bkitsm.tickets import withdrawal
from airflow_provider_bkitsm.tickets.approval_store import installation
from airflow_provider_bkitsm.tickets.waits import open_wait_store
from airflow_provider_bkitsm.tickets.withdrawal import withdraw
from airflow_provider_bkitsm.triggers import on_kill
from airflow_provider_bkitsm.triggers import ticket as trigger_module
from airflow_provider_bkitsm.triggers.on_kill import Withdrawal, withdraw_on_kill
from airflow_provider_bkitsm.triggers.ticket import ItsmTicketTrigger
from tests.tickets.records import record_round
from tests.triggers.test_ticket import on_task, trigger

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

        monkeypatch.setattr(on_kill, "task_states", ask)

    return say


async def kill(sn: str, **parameters) -> None:
    known = {"bkitsm_conn_id": "bkitsm_default", "poll_interval": 1, "approval_timeout": None}
    one = ItsmTicketTrigger(ticket_sn=sn, **(known | {"withdraw_when_killed": True} | parameters))
    one.task_instance = TASK
    await one.on_kill()


@pytest.mark.parametrize("state", ["failed", "success", "skipped"])
async def test_p5_a_wait_that_was_ended_from_outside_leaves_no_open_ticket(sn, sandbox, states, state):
    states(state)
    await kill(sn)
    assert sandbox.ticket(sn)["status"] == "REVOKED"


@pytest.mark.parametrize("state", ["failed", "success", "skipped"])
async def test_p5_the_remark_in_itsm_says_what_is_known_and_of_nobody(sn, sandbox, states, state):
    states(state)
    await kill(sn)
    [sent] = sandbox.requests("operate_ticket")
    assert sent["body"]["action_message"] == (
        f"The Airflow task that waited for this ticket is {state} now (d.t, run r)"
    )


@pytest.mark.parametrize("found", [(), ("removed",), ("some_state_of_a_later_airflow",), ("failed", "removed")])
async def test_p5_a_task_that_vanished_withdraws_nothing_and_the_log_says_so(sn, sandbox, states, caplog, found):
    """A DAG file without the task for one parse, ``airflow db clean``, a run that was deleted."""
    states(*found)
    await kill(sn)
    assert sandbox.ticket(sn)["status"] == "RUNNING"
    assert sandbox.requests("operate_ticket") == []
    assert f"ITSM ticket {sn} stays as it is: Airflow does not have the task d.t, run r" in caplog.text


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


@pytest.mark.parametrize("opened_by", ["ask", None])
async def test_p6_a_killed_wait_ends_no_ticket_of_another_task(sn, sandbox, monkeypatch, opened_by):
    ended = []

    async def remember(conn_id, *, sn, **_task):
        ended.append((sn, conn_id))

    monkeypatch.setattr(on_kill, "withdraw_on_kill", remember)
    killed = on_task(trigger(sn, withdraw_when_killed=True, opened_by=opened_by))
    record_round("REQ_own")
    record_round(sn, dag_id="chairs")
    await killed.on_kill()
    assert ended == []
    record_round(sn, round_number=2)
    await killed.on_kill()
    assert ended == [(sn, "bkitsm_default")]


async def test_p6_a_killed_wait_ends_no_ticket_that_nothing_shows_to_be_its_own(sn, sandbox, monkeypatch, capsys):
    """An XCom holds whatever somebody has written into it, such as the number of another application's ticket."""
    ended = []

    async def remember(conn_id, *, sn, **_task):
        ended.append(sn)

    monkeypatch.setattr(on_kill, "withdraw_on_kill", remember)
    await on_task(trigger(sn, withdraw_when_killed=True, opened_by="ask")).on_kill()
    assert ended == []
    assert f"{sn} stays as it is: there is no record that task ask opened" in capsys.readouterr().out


async def test_nothing_is_withdrawn_when_airflow_does_not_tell_the_state(sn, sandbox, monkeypatch):
    async def ask(_task_instance):
        raise RuntimeError("no answer")

    monkeypatch.setattr(on_kill, "task_states", ask)
    with pytest.raises(RuntimeError):
        await kill(sn)
    assert sandbox.ticket(sn)["status"] == "RUNNING"


async def test_p5_a_withdrawal_that_got_lost_is_made_again(sn, sandbox, states):
    sandbox.fault("operate_ticket", "html")
    states("failed")
    await kill(sn)
    assert sandbox.ticket(sn)["status"] == "REVOKED"


async def test_a_ticket_that_nobody_may_end_is_an_error(sn, sandbox, states):
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


async def test_p2_a_task_that_is_cleared_meanwhile_keeps_its_ticket(sn, sandbox, monkeypatch):
    said = iter([["failed"], [None]])

    async def ask(_task_instance):
        return next(said)

    monkeypatch.setattr(on_kill, "task_states", ask)
    sandbox.fault("operate_ticket", "refuse", times=2)
    await kill(sn)
    assert sandbox.ticket(sn)["status"] == "RUNNING"


async def test_p5_a_short_outage_is_waited_out(sn, sandbox, states):
    sandbox.fault("get_ticket_status", "status", times=2)
    states("failed")
    await kill(sn)
    assert sandbox.ticket(sn)["status"] == "REVOKED"


async def test_worker_and_triggerer_make_equally_many_attempts(sn, sandbox, monkeypatch):
    monkeypatch.setattr(withdrawal, "ATTEMPTS", 3)
    sandbox.fault("operate_ticket", "refuse", times=99)

    async def read_states() -> list[str | None]:
        return ["failed"]

    with pytest.raises(ItsmConflictError):
        withdraw(ItsmHook(), sn=sn, why="over")
    on_worker = len(sandbox.requests("operate_ticket"))
    with pytest.raises(ItsmConflictError):
        await withdraw_on_kill("bkitsm_default", sn=sn, task="d.t, run r", read_states=read_states)
    # Each attempt tries to withdraw and to terminate.
    assert (on_worker, len(sandbox.requests("operate_ticket")) - on_worker) == (6, 6)


# A triggerer cancels once a second; here ten times as fast, and ITSM is as much faster.
SECOND = 0.1


async def begun(one: ItsmTicketTrigger, sandbox) -> tuple[asyncio.Task[None], TriggerRunner]:
    """Run a trigger as Airflow's own triggerer does; return it once it waits."""
    runner = TriggerRunner()
    task = asyncio.create_task(runner.run_trigger(1, one))
    runner.triggers[1] = {"task": task, "is_watcher": False, "name": "wait", "events": 0}
    while not sandbox.requests("ticket_approval_result"):
        await asyncio.sleep(0.02)
    await asyncio.sleep(SECOND)
    return task, runner


async def run_in_triggerer(one: ItsmTicketTrigger, sandbox, *, at_once: int = 1) -> None:
    """Run a trigger in a triggerer, which cancels a trigger that is gone at each sync.

    :param at_once: so often with no time between.
    """
    task, runner = await begun(one, sandbox)
    while not task.done():
        runner.to_cancel.extend([1] * at_once)
        await runner.cancel_triggers()
        await asyncio.wait({task}, timeout=SECOND)
    with contextlib.suppress(asyncio.CancelledError):
        task.result()


def waiting_for(sn: str, **parameters) -> ItsmTicketTrigger:
    known = {"bkitsm_conn_id": "bkitsm_default", "poll_interval": 60, "approval_timeout": None}
    one = ItsmTicketTrigger(ticket_sn=sn, **(known | {"withdraw_when_killed": True} | parameters))
    one.task_instance = SimpleNamespace(**vars(TASK), try_number=1, context_carrier=None)
    return one


def slow(sandbox, seconds: float) -> None:
    for name in ("get_ticket_status", "get_ticket_info", "operate_ticket"):
        sandbox.fault(name, "delay", seconds=seconds, times=99)


@pytest.mark.parametrize("seconds", [0, 1, 3, 10])
@pytest.mark.parametrize("tells", [True, False])
async def test_p5_a_kill_ends_the_ticket_however_often_the_triggerer_cancels(
    sn, sandbox, states, monkeypatch, seconds, tells
):
    monkeypatch.setattr(trigger_module, "AIRFLOW_V_3_3_PLUS", tells and trigger_module.AIRFLOW_V_3_3_PLUS)
    states("failed")
    slow(sandbox, seconds * SECOND)
    one = waiting_for(sn)
    await run_in_triggerer(one, sandbox)
    assert sandbox.ticket(sn)["status"] == "REVOKED"
    assert len(sandbox.requests("operate_ticket")) == 1
    assert open_wait_store().waiting(installation()) == []


@pytest.mark.parametrize("cancels", [1, 2, 3])
async def test_p5_a_kill_is_not_lost_where_airflow_cancels_again_before_it_has_asked_the_trigger(
    sn, sandbox, states, cancels
):
    """Airflow logs the first cancel before it calls ``on_kill``; a triggerer that is busy then cancels again."""
    states("failed")
    await run_in_triggerer(waiting_for(sn), sandbox, at_once=cancels)
    assert sandbox.ticket(sn)["status"] == "REVOKED"
    assert open_wait_store().waiting(installation()) == []


@pytest.mark.since_airflow("3.3", "before, each end of a trigger asks")
@pytest.mark.parametrize("message", [None, "EOF - shutting down"])
async def test_p5_a_triggerer_that_stops_asks_about_no_task(sn, sandbox, states, monkeypatch, message):
    asked = []

    async def read(task_instance):
        asked.append(task_instance)
        return ["failed"]

    monkeypatch.setattr("airflow_provider_bkitsm.triggers.on_kill.task_states", read)
    task, _runner = await begun(waiting_for(sn), sandbox)
    task.cancel(message)
    await asyncio.wait({task})
    assert asked == []
    assert sandbox.ticket(sn)["status"] == "RUNNING"


async def test_p5_a_withdrawal_goes_on_when_its_trigger_has_waited_long_enough(
    sn, sandbox, states, monkeypatch, caplog
):
    monkeypatch.setattr(Withdrawal, "hold_seconds", SECOND)
    states("failed")
    slow(sandbox, 3 * SECOND)
    await run_in_triggerer(waiting_for(sn), sandbox)
    assert f"ITSM ticket {sn} is not ended yet; the triggerer goes on with it" in caplog.text
    await asyncio.wait(Withdrawal.under_way)
    assert sandbox.ticket(sn)["status"] == "REVOKED"


async def test_p5_a_withdrawal_that_cannot_be_finished_is_in_the_log_and_its_wait_stays_stored(
    sn, sandbox, states, monkeypatch, caplog
):
    monkeypatch.setattr(Withdrawal, "longest_seconds", SECOND)
    states("failed")
    slow(sandbox, 5 * SECOND)
    await run_in_triggerer(waiting_for(sn), sandbox)
    assert f"ITSM ticket {sn} MAY STILL BE OPEN" in caplog.text
    assert [one.sn for one in open_wait_store().waiting(installation())] == [sn]
    assert not Withdrawal.under_way


@pytest.mark.parametrize("has_begun", [True, False])
async def test_p5_a_triggerer_that_stops_says_what_it_did_not_finish(sn, sandbox, states, caplog, has_begun):
    states("failed")
    slow(sandbox, 50 * SECOND)
    killed = asyncio.create_task(run_in_triggerer(waiting_for(sn), sandbox))
    while not Withdrawal.under_way:
        await asyncio.sleep(0)
    if has_begun:
        await asyncio.sleep(SECOND)
    for one in tuple(Withdrawal.under_way):
        one.cancel()
    await killed
    assert f"ITSM ticket {sn} MAY STILL BE OPEN" in caplog.text
    assert "the triggerer stopped before the ticket was ended" in caplog.text


async def test_a_percent_sign_in_an_error_is_text(sn, monkeypatch, caplog):
    async def fails(_task_instance):
        raise RuntimeError("storage cluster is 95% full, %s %d")

    monkeypatch.setattr(on_kill, "task_states", fails)
    with pytest.raises(RuntimeError):
        await kill(sn)
    assert "storage cluster is 95% full, %s %d" in caplog.text


@pytest.mark.parametrize("withdraws", [True, False])
async def test_a_wait_that_a_callback_has_ended_says_so_where_airflow_names_a_user(
    sn, sandbox, states, monkeypatch, capsys, withdraws
):
    """Airflow cancels the trigger of a task that the API server has resumed as if a person had ended it."""

    async def asend(message):
        mark = {"trigger_id": 1, "outcome": "approved"}
        return XComResult(key=message.key, value=mark) if getattr(message, "key", "") == RESUMED_KEY else None

    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", SimpleNamespace(asend=asend), raising=False)
    states("success")
    one = waiting_for(sn, withdraw_when_killed=withdraws, poll_interval=3600)
    one.trigger_id = 1
    waits = asyncio.create_task(anext(one.run()))
    while not sandbox.requests("ticket_approval_result"):
        await asyncio.sleep(0.02)
    sandbox.approve(sn)
    waits.cancel()
    await one.on_kill()
    lines = [text for text in capsys.readouterr().out.splitlines() if "Ended by callback" in text]
    assert len(lines) == 1
    assert f"Ended by callback: ITSM ticket {sn} is approved" in lines[0]
    assert sandbox.requests("operate_ticket") == []
