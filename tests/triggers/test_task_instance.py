# SPDX-License-Identifier: Apache-2.0
"""What a wait writes on its own task instance, and what becomes of it when that fails."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.comms import DeleteXCom, GetXCom, SetXCom, XComResult

from airflow_provider_bkitsm.approvals.snapshot import SEEN_KEY, TicketSnapshot
from airflow_provider_bkitsm.callback.waiters import POLLED_KEY, Waiter, wait_key
from airflow_provider_bkitsm.itsm.models import Progress
from airflow_provider_bkitsm.itsm.outcome import Outcome
from airflow_provider_bkitsm.itsm.verdict import Verdict
from airflow_provider_bkitsm.mixins import TICKET_URL_KEY
from airflow_provider_bkitsm.triggers.task_instance import TaskInstanceXComs

WAITER = Waiter(ti_id="01a20d5b-e52e-7d97-8d82-4612038db7fd", conn_id="itsm")
WAITING = SimpleNamespace(dag_id="d", run_id="r", task_id="t", map_index=3)
APPROVED = Verdict(outcome=Outcome.APPROVED, sn="REQ1", current_status="FINISHED", reason="")


@pytest.fixture
def sent(monkeypatch) -> list:
    """What the supervisor is sent."""
    messages: list = []

    async def asend(message):
        messages.append(message)

    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", SimpleNamespace(asend=asend), raising=False)
    return messages


@pytest.fixture
def _supervisor_is_gone(monkeypatch):
    async def asend(_message):
        raise RuntimeError("gone")

    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", SimpleNamespace(asend=asend), raising=False)


async def test_the_registration_goes_to_airflows_own_table_under_the_tickets_number(sent):
    notes = TaskInstanceXComs(WAITING)
    await notes.register("REQ1", WAITER)
    (message,) = sent
    assert (message.key, message.map_index, message.value) == (wait_key("REQ1"), 3, WAITER.as_dict())
    assert notes.registered


async def test_without_callbacks_nobody_registers(sent, monkeypatch):
    monkeypatch.setenv("AIRFLOW__BKITSM__CALLBACK", "False")
    notes = TaskInstanceXComs(WAITING)
    await notes.register("REQ1", WAITER)
    assert (sent, notes.registered) == ([], False)


async def test_the_button_appears_once_and_only_with_an_address(sent):
    notes = TaskInstanceXComs(WAITING)
    for address in ("", "https://itsm/1", "https://itsm/1"):
        await notes.show(address)
    assert [(one.key, one.value) for one in sent] == [(TICKET_URL_KEY, "https://itsm/1")]


@pytest.fixture
def supervisor(monkeypatch) -> dict:
    """XComs of the waiting task, as a supervisor reads, writes and deletes them."""
    stored: dict = {}

    async def asend(message):
        if isinstance(message, GetXCom):
            return XComResult(key=message.key, value=stored.get(message.key))
        if isinstance(message, DeleteXCom):
            del stored[message.key]
        if isinstance(message, SetXCom):
            stored[message.key] = message.value
        return None

    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", SimpleNamespace(asend=asend), raising=False)
    return stored


@pytest.mark.parametrize("stored", [APPROVED.as_dict(), "anything", [1], {"outcome": "approved"}])
async def test_p3_an_earlier_rounds_result_goes_when_a_wait_begins(supervisor, stored):
    supervisor.update({"return_value": stored, "verdict": stored, TICKET_URL_KEY: "https://itsm/1"})
    await TaskInstanceXComs(WAITING).forget_results("REQ2")
    assert supervisor == {TICKET_URL_KEY: "https://itsm/1"}


async def test_p1_a_result_that_a_callback_has_just_written_stays(supervisor):
    supervisor["return_value"] = APPROVED.as_dict()
    await TaskInstanceXComs(WAITING).forget_results("REQ1")
    assert supervisor == {"return_value": APPROVED.as_dict()}


async def test_a_poll_is_noted_with_its_connection(sent):
    await TaskInstanceXComs(WAITING).polled("itsm")
    assert [(one.key, one.value["conn_id"]) for one in sent] == [(POLLED_KEY, "itsm")]


async def test_how_the_ticket_stands_is_noted_with_its_number(sent):
    snapshot = TicketSnapshot(progress=Progress.RUNNING, read_at=datetime.now(UTC), step="审批")
    TaskInstanceXComs(WAITING).see("REQ1", "itsm", snapshot)
    await asyncio.sleep(0.01)
    assert [(one.key, one.value["sn"], one.value["step"]) for one in sent] == [(SEEN_KEY, "REQ1", "审批")]


async def test_an_approval_leaves_what_a_worker_would_push(sent):
    assert await TaskInstanceXComs(WAITING).conclude(APPROVED)
    assert {one.key: one.value for one in sent}["return_value"] == APPROVED.as_dict()


@pytest.mark.usefixtures("_supervisor_is_gone")
async def test_p1_what_cannot_be_written_never_stops_the_wait():
    notes = TaskInstanceXComs(WAITING)
    await notes.forget_results("REQ1")
    await notes.register("REQ1", WAITER)
    await notes.polled("itsm")
    notes.see("REQ1", "itsm", TicketSnapshot(progress=Progress.RUNNING, read_at=datetime.now(UTC)))
    await asyncio.sleep(0.01)
    assert not notes.registered
    assert not await notes.conclude(APPROVED)


async def test_where_there_is_no_task_nothing_is_written(sent):
    notes = TaskInstanceXComs(None)
    await notes.show("https://itsm/1")
    await notes.polled("itsm")
    await notes.forget_results("REQ1")
    assert sent == []
