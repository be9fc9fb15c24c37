# SPDX-License-Identifier: Apache-2.0
"""What a wait writes on its own task instance, and what becomes of it when that fails."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.comms import DeleteXCom, GetXCom, SetXCom, TaskStatesResult, XComResult

from airflow_provider_bkitsm.approvals.snapshot import SEEN_KEY, TicketSnapshot
from airflow_provider_bkitsm.callback.waiters import POLLED_KEY, RESUMED_KEY, Waiter, registration_key
from airflow_provider_bkitsm.itsm.models import Progress
from airflow_provider_bkitsm.itsm.outcome import Outcome
from airflow_provider_bkitsm.itsm.verdict import Verdict
from airflow_provider_bkitsm.mixins import TICKET_URL_KEY
from airflow_provider_bkitsm.triggers.task_instance import TaskInstanceXComs, task_states

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
    assert (message.key, message.map_index, message.value) == (registration_key("REQ1"), 3, WAITER.as_dict())
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


class Clock:
    """Seconds that pass when they are told to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


async def test_p1_a_registration_that_a_clean_up_deleted_is_written_again(supervisor):
    clock = Clock()
    notes = TaskInstanceXComs(WAITING, clock=clock)
    await notes.register("REQ1", WAITER)
    await notes.show("https://itsm/1")
    supervisor.clear()
    await notes.renew("REQ1", WAITER)
    assert supervisor == {}
    clock.now += 86_400
    await notes.renew("REQ1", WAITER)
    await notes.show("https://itsm/1")
    assert supervisor == {registration_key("REQ1"): WAITER.as_dict(), TICKET_URL_KEY: "https://itsm/1"}


async def test_a_registration_that_is_there_keeps_its_time_and_is_looked_for_seldom(sent, monkeypatch):
    clock = Clock()
    notes = TaskInstanceXComs(WAITING, clock=clock)
    answers = [XComResult(key=registration_key("REQ1"), value=WAITER.as_dict())]

    async def asend(message):
        sent.append(message)
        return answers[0]

    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", SimpleNamespace(asend=asend), raising=False)
    for _ in range(24 * 60):
        clock.now += 60
        await notes.renew("REQ1", WAITER)
    assert {type(one) for one in sent} == {GetXCom}
    assert len(sent) < 24


@pytest.mark.usefixtures("_supervisor_is_gone")
async def test_a_registration_that_cannot_be_looked_for_ends_no_wait():
    clock = Clock()
    notes = TaskInstanceXComs(WAITING, clock=clock)
    clock.now += 86_400
    await notes.renew("REQ1", WAITER)
    assert not notes.registered


async def test_without_callbacks_no_registration_is_written_again(sent, monkeypatch):
    clock = Clock()
    notes = TaskInstanceXComs(WAITING, clock=clock)
    monkeypatch.setenv("AIRFLOW__BKITSM__CALLBACK", "False")
    clock.now += 86_400
    await notes.renew("REQ1", WAITER)
    assert sent == []


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


async def test_airflow_is_asked_for_one_task_instance(monkeypatch):
    asked = []

    class Supervisor:
        async def asend(self, message):
            asked.append(message)
            return TaskStatesResult(task_states={"r": {"t": "failed"}})

    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", Supervisor(), raising=False)
    assert await task_states(WAITING) == ["failed"]
    assert (asked[0].dag_id, asked[0].run_ids, asked[0].task_ids, asked[0].map_index) == ("d", ["r"], ["t"], 3)


MARK = {"trigger_id": 7, "outcome": "approved"}


async def test_a_trigger_learns_that_a_callback_has_ended_its_wait(supervisor):
    supervisor.update({RESUMED_KEY: MARK, "return_value": APPROVED.as_dict()})
    assert await TaskInstanceXComs(WAITING).end_by_callback("REQ1", 7) == "ITSM ticket REQ1 is approved"


@pytest.mark.parametrize(
    ("outcome", "how"), [("rejected", "ITSM ticket REQ1 is rejected"), (None, "a worker reads ITSM ticket REQ1")]
)
async def test_and_that_a_worker_goes_on(supervisor, outcome, how):
    supervisor.update({RESUMED_KEY: MARK | {"outcome": outcome}, "return_value": APPROVED.as_dict()})
    assert await TaskInstanceXComs(WAITING).end_by_callback("REQ1", 7) == how


@pytest.mark.parametrize("mark", [None, MARK | {"trigger_id": 6}, {}, "x", [], MARK | {"trigger_id": None}])
async def test_an_earlier_waits_callback_or_none_has_not_ended_it(supervisor, mark):
    supervisor[RESUMED_KEY] = mark
    assert await TaskInstanceXComs(WAITING).end_by_callback("REQ1", 7) is None
    assert await TaskInstanceXComs(WAITING).end_by_callback("REQ1", None) is None


@pytest.mark.usefixtures("_supervisor_is_gone")
async def test_what_cannot_be_read_is_no_callback():
    assert await TaskInstanceXComs(WAITING).end_by_callback("REQ1", 7) is None
