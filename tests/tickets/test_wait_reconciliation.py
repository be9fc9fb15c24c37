# SPDX-License-Identifier: Apache-2.0
"""What a triggerer that was down, or gave up, has left is made up for (promise P5)."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Engine

from airflow_provider_bkitsm.collectors.errors import StoreUnavailable
from airflow_provider_bkitsm.hooks.itsm import ItsmHook
from airflow_provider_bkitsm.hooks.store import store_engine
from airflow_provider_bkitsm.tickets.approval_store import installation
from airflow_provider_bkitsm.tickets.wait_reconciliation import WaitReport, reconcile_waits
from airflow_provider_bkitsm.tickets.waits import WaitRecord, WaitStore, open_wait_store
from airflow_provider_bkitsm.triggers import abandoned_waits, task_instance
from tests.tickets.records import record_round
from tests.tickets.test_waits import WAIT

FORM = {"title": "t", "APPROVER": "alice", "APPROVAL_CONTENT": "c"}


class Airflow:
    """The states of tasks, asked for on a worker or in a triggerer."""

    def __init__(self) -> None:
        self.states: dict[str, str | None] = {}

    def ask(self, *, dag_id: str, run_ids: list[str], task_ids: list[str], map_index: int | None = None) -> Any:
        assert (dag_id, task_ids, map_index) in (("dag", ["gate"], None), ("dag", ["gate"], -1))
        return {run: {"gate": self.states[run]} for run in run_ids if run in self.states}

    def reconcile(self) -> WaitReport:
        return reconcile_waits(ItsmHook(), ask=self.ask)


@pytest.fixture
def airflow() -> Airflow:
    return Airflow()


@pytest.fixture
def triggerer(airflow, monkeypatch):
    """Look for waits that were left, in an event loop; return the numbers of the tickets that were ended."""

    async def in_triggerer() -> list[str]:
        return await abandoned_waits.withdraw_abandoned("bkitsm_default")

    async def ask(dag_id: str, **tasks: Any) -> Any:
        return airflow.ask(dag_id=dag_id, **tasks)

    monkeypatch.setattr(task_instance, "ask_states", ask)
    monkeypatch.setattr(abandoned_waits, "ask_states", ask)
    return in_triggerer


@pytest.fixture(params=["on a worker", "in a triggerer"])
def look(request, airflow, triggerer):
    """Look for waits that were left; return the numbers of the tickets that were ended."""

    async def on_worker() -> list[str]:
        return airflow.reconcile().withdrawn

    return on_worker if request.param == "on a worker" else triggerer


@pytest.fixture
def wait(connections, sandbox):
    """Open a ticket, and store that a task waits for it."""

    def waits(run_id: str = "run_1", **record: Any) -> WaitRecord:
        sn = ItsmHook().create_ticket(creator="robot", fields=FORM, fast_approval=True).sn
        sandbox.wait_for_step(sn)
        one = replace(WAIT, installation=installation(), sn=sn, run_id=run_id, **record)
        open_wait_store().begin(one)
        return one

    return waits


def stored() -> list[WaitRecord]:
    return open_wait_store().waiting(installation())


@pytest.mark.parametrize("state", ["failed", "success", "skipped"])
async def test_p5_a_task_that_was_ended_while_no_triggerer_ran_leaves_no_open_ticket(
    airflow, look, wait, sandbox, state
):
    one = wait()
    airflow.states["run_1"] = state
    assert await look() == [one.sn]
    assert sandbox.ticket(one.sn)["status"] == "REVOKED"
    [sent] = sandbox.requests("operate_ticket")
    assert sent["body"]["action_message"].endswith(f"is {state} now (dag.gate, run run_1)")
    assert stored() == []
    assert await look() == []


@pytest.mark.parametrize("state", [None, "scheduled", "running", "deferred", "up_for_retry", "removed"])
async def test_p5_a_wait_that_goes_on_or_whose_task_vanished_keeps_ticket_and_record(
    airflow, look, wait, sandbox, state
):
    one = wait()
    airflow.states["run_1"] = state
    assert await look() == []
    assert sandbox.ticket(one.sn)["status"] == "RUNNING"
    assert stored() == [one]


async def test_p5_a_task_that_was_deleted_withdraws_nothing(airflow, look, wait, sandbox):
    one = wait()
    assert await look() == []
    assert sandbox.ticket(one.sn)["status"] == "RUNNING"


async def test_p5_a_triggerer_opens_the_store_in_threads_alone(airflow, triggerer, wait, sandbox, monkeypatch):
    """Airflow's supervisor refuses an event loop's thread that asks for the store's connection."""
    one = wait()
    airflow.states["run_1"] = "failed"
    engine = store_engine()

    def engine_for_a_thread() -> Engine:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return engine
        raise RuntimeError("asked in an event loop's thread")

    monkeypatch.setattr("airflow_provider_bkitsm.hooks.store.store_engine", engine_for_a_thread)
    assert await triggerer() == [one.sn]
    assert sandbox.ticket(one.sn)["status"] == "REVOKED"
    assert await asyncio.to_thread(stored) == []


@pytest.mark.parametrize("ends", ["withdrawn", "approved, and its task is gone"])
def test_a_ticket_whose_record_cannot_be_deleted_is_not_reported_open(
    airflow, wait, sandbox, monkeypatch, caplog, ends
):
    one = wait()
    if ends == "withdrawn":
        airflow.states["run_1"] = "failed"
    else:
        sandbox.approve(one.sn)
    with monkeypatch.context() as patch:
        patch.setattr(WaitStore, "end_of", _refuse)
        report = airflow.reconcile()
    assert (report.withdrawn, report.left_open) == ([one.sn] if ends == "withdrawn" else [], [])
    assert sandbox.ticket(one.sn)["status"] in ("REVOKED", "FINISHED")
    assert f"the record of the wait for ITSM ticket {one.sn} stays until the next comparison" in caplog.text
    airflow.reconcile()
    assert stored() == []


async def test_a_triggerer_names_a_ticket_it_has_ended_whose_record_cannot_be_deleted(
    airflow, triggerer, wait, sandbox, monkeypatch, caplog
):
    one = wait()
    airflow.states["run_1"] = "failed"
    monkeypatch.setattr(WaitStore, "end_of", _refuse)
    assert await triggerer() == [one.sn]
    assert sandbox.ticket(one.sn)["status"] == "REVOKED"
    assert "is not ended yet" not in caplog.text


def _refuse(*_: object) -> None:
    raise StoreUnavailable("no")


async def test_a_ticket_that_is_to_be_kept_is_kept_and_its_wait_forgotten(airflow, look, wait, sandbox):
    one = wait(withdraw=False)
    airflow.states["run_1"] = "failed"
    await look()
    assert sandbox.ticket(one.sn)["status"] == "RUNNING"
    assert stored() == []


async def test_p6_a_ticket_that_another_run_has_opened_is_not_ended(airflow, look, wait, sandbox):
    """Whatever number an XCom has brought, and although the wait does not say who opens its ticket."""
    one = wait(opened_by=None)
    record_round(one.sn, dag_id="another", run_id="run_9")
    airflow.states["run_1"] = "failed"
    await look()
    assert sandbox.ticket(one.sn)["status"] == "RUNNING"
    assert stored() == []


async def test_p6_a_ticket_of_another_itsm_that_has_the_same_number_is_not_ended(
    airflow, look, wait, sandbox, caplog
):
    """The connection speaks another dialect than when the ticket was opened."""
    one = wait()
    record_round(one.sn, request={"dialect": "v9"})
    airflow.states["run_1"] = "failed"
    assert await look() == []
    assert sandbox.requests("get_ticket_status") + sandbox.requests("operate_ticket") == []
    assert f"ITSM ticket {one.sn} was opened in the dialect 'v9'" in caplog.text
    assert stored() == [one]


def test_p6_nor_is_it_asked_about_where_its_task_is_gone(airflow, wait, sandbox):
    one = wait()
    record_round(one.sn, request={"dialect": "v9"})
    report = airflow.reconcile()
    assert (report.left_open, report.deleted) == ([one.sn], {one.sn})
    assert sandbox.requests("get_ticket_status") == []
    assert stored() == [one]


async def test_p1_a_decision_that_came_first_stands(airflow, look, wait, sandbox):
    one = wait()
    sandbox.approve(one.sn)
    airflow.states["run_1"] = "success"
    await look()
    assert sandbox.ticket(one.sn)["status"] == "FINISHED"
    assert sandbox.requests("operate_ticket") == []
    assert stored() == []


async def test_p5_one_ticket_that_cannot_be_ended_stops_no_other_and_is_tried_again(
    airflow, look, wait, sandbox, caplog
):
    first, second = wait("run_1"), wait("run_2")
    airflow.states |= {"run_1": "failed", "run_2": "failed"}
    sandbox.fault("get_ticket_status", "status", times=1)
    assert await look() == [second.sn]
    assert first.sn in caplog.text
    assert stored() == [first]
    assert await look() == [first.sn]


def test_an_open_ticket_whose_task_is_gone_is_named_each_time(airflow, wait, sandbox, caplog):
    one = wait()
    for _ in range(2):
        report = airflow.reconcile()
        assert (report.left_open, report.deleted) == ([one.sn], {one.sn})
    assert f"ITSM ticket {one.sn} stays open: Airflow does not have dag.gate, run run_1 any more" in caplog.text
    sandbox.approve(one.sn)
    assert airflow.reconcile().left_open == []
    assert stored() == []


def test_a_removed_task_may_come_back_and_is_not_deleted(airflow, wait):
    wait()
    airflow.states["run_1"] = "removed"
    assert airflow.reconcile().deleted == set()


@pytest.mark.usefixtures("triggerer")
async def test_a_triggerer_looks_as_long_as_somebody_waits(airflow, wait, sandbox, monkeypatch):
    monkeypatch.setattr(abandoned_waits, "WATCH_SECONDS", 0.02)
    one = wait()
    airflow.states["run_1"] = "failed"
    async with abandoned_waits.watching_abandoned_waits("bkitsm_default"):
        async with abandoned_waits.watching_abandoned_waits("bkitsm_default"):
            pass
        while stored():
            await abandoned_waits.asyncio.sleep(0.02)
    assert sandbox.ticket(one.sn)["status"] == "REVOKED"
    assert not abandoned_waits._WATCHERS[abandoned_waits.asyncio.get_running_loop()]
