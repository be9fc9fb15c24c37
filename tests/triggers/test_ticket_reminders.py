# SPDX-License-Identifier: Apache-2.0
"""Reminders of a ticket that a trigger waits for: begun with the wait, ended with it."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from airflow_provider_bkitsm.hooks.itsm import ItsmHook
from airflow_provider_bkitsm.itsm.errors import ItsmError
from airflow_provider_bkitsm.operators.ticket import ItsmApprovalOperator, ItsmCreateTicketOperator
from airflow_provider_bkitsm.sandbox.itsm.service_catalog import DELIVERABLE
from airflow_provider_bkitsm.sensors.ticket import ItsmTicketSensor
from airflow_provider_bkitsm.tickets.reminder_store import open_reminder_store
from airflow_provider_bkitsm.tickets.reminder_watch import reminder_watch
from airflow_provider_bkitsm.tickets.senders import read_senders
from airflow_provider_bkitsm.tickets.waits import open_wait_store, wait_key
from airflow_provider_bkitsm.triggers.ticket import ItsmTicketTrigger
from tests.triggers.test_ticket import FORM, fire, trigger
from tests.triggers.test_ticket_duties import on_task

__all__ = ["on_task"]

SENT: list[dict[str, Any]] = []
ESCALATION = {"escalate_after": timedelta(days=2), "escalate_to": "boss"}


def sends(*, reminder: dict[str, Any], **_: Any) -> None:
    SENT.append(reminder)


HERE = f"{__name__}.sends"


@pytest.fixture(autouse=True)
def _afresh() -> None:
    SENT.clear()


@pytest.fixture
def sn(connections, sandbox) -> str:
    opened = ItsmHook().create_ticket(creator="robot", fields=FORM, fast_approval=True).sn
    sandbox.wait_for_step(opened)
    return opened


def text(*, after: float = 0.01, **more: Any) -> str:
    return json.dumps({"plan": {"remind_after": [after], **more}, "remind_by": [{"path": HERE, "kwargs": {}}]})


async def until_sent(waiting: asyncio.Task[Any], count: int = 1) -> None:
    while len(SENT) < count and not waiting.done():
        await asyncio.sleep(0.01)


async def test_a_waiting_trigger_reminds_and_the_decision_ends_the_wait(sn, sandbox):
    waiting = asyncio.create_task(fire(trigger(sn, reminders=text())))
    await until_sent(waiting)
    sandbox.approve(sn)
    assert (await waiting)["verdict"]["outcome"] == "approved"
    assert [(one["sn"], one["title"], one["recipients"]) for one in SENT] == [(sn, "t", ["alice"])]


async def test_without_a_deadline_it_is_learnt_when_the_ticket_was_opened(sn, sandbox):
    waiting = asyncio.create_task(fire(trigger(sn, reminders=text(), approval_timeout=None)))
    await until_sent(waiting)
    sandbox.approve(sn)
    await waiting
    assert SENT[0]["deadline"] is None


async def test_a_restarted_trigger_and_others_on_the_same_ticket_remind_once(sn, sandbox):
    for _ in range(2):
        waits = [asyncio.create_task(fire(trigger(sn, reminders=text()))) for _ in range(3)]
        await until_sent(waits[0])
        await asyncio.sleep(0.1)
        for one in waits:
            one.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
        await reminder_watch().settle()
    assert len(SENT) == 1


async def test_what_cannot_be_read_harms_no_wait(sn, sandbox):
    sandbox.approve(sn)
    event = await fire(trigger(sn, reminders='{"plan": {"remind_after": ["soon"]}}'))
    assert event["verdict"]["outcome"] == "approved"
    assert open_reminder_store().states("bkitsm_default", sn) == []


async def test_a_sender_that_cannot_be_imported_harms_no_wait(sn, sandbox):
    stored = json.dumps({"plan": {"remind_after": [0.01]}, "remind_by": [{"path": "nowhere.at_all"}]})
    waiting = asyncio.create_task(fire(trigger(sn, reminders=stored)))
    while not open_reminder_store().states("bkitsm_default", sn):
        await asyncio.sleep(0.01)
    sandbox.approve(sn)
    assert (await waiting)["verdict"]["outcome"] == "approved"


async def test_p3_after_an_escalation_the_new_approvers_yes_counts_with_evidence(
    connections, sandbox, task, on_task
):
    fields = {"approver": "alice", "content": "c"}
    opener = ItsmCreateTicketOperator(task_id="ask", title="t", service_id=DELIVERABLE, fields=fields)
    opened = str(opener.execute(task("ask", person="carol").context))
    sandbox.wait_for_step(opened)
    one = on_task(
        trigger(opened, reminders=text(after=99999, escalate_after=0.01), escalate_to="boss", opened_by="ask")
    )
    waiting = asyncio.create_task(fire(one))
    await until_sent(waiting)
    assert ItsmHook().get_ticket_status(opened).waits_for == ("boss",)
    assert not waiting.done()
    sandbox.approve(opened, operator="boss")
    verdict = (await waiting)["verdict"]
    assert (verdict["outcome"], verdict["approvers"][0]["operator"]) == ("approved", "boss")


async def test_after_an_escalation_in_the_creators_name_the_log_says_whom_the_ticket_asks(
    connections, sandbox, task, on_task, monkeypatch, capsys
):
    """Nobody new has acted then, so the poll's answers do not show it."""
    monkeypatch.setattr("airflow_provider_bkitsm.itsm.stall.FIRST_SECONDS", 0.05)
    fields = {"approver": "admin", "content": "c"}
    opener = ItsmCreateTicketOperator(
        task_id="ask", title="t", service_id=DELIVERABLE, fields=fields, creator="admin"
    )
    opened = str(opener.execute(task("ask", person="carol").context))
    sandbox.wait_for_step(opened)
    plan = text(after=99999, escalate_after=2.0)
    one = on_task(trigger(opened, reminders=plan, escalate_to="boss", opened_by="ask"))
    waiting = asyncio.create_task(fire(one))
    output = ""
    while "waits for boss" not in output and not waiting.done():
        await asyncio.sleep(0.01)
        output += capsys.readouterr().out
    assert not waiting.done()
    sandbox.approve(opened, operator="boss")
    assert (await waiting)["verdict"]["outcome"] == "approved"


def test_a_trigger_takes_reminders_only_where_they_are_set():
    assert not {"reminders", "escalate_to"} & trigger("REQ1").serialize()[1].keys()
    path, arguments = trigger("REQ1", reminders=text(), escalate_to="boss").serialize()
    assert ItsmTicketTrigger(**json.loads(json.dumps(arguments))).serialize() == (path, arguments)


def test_a_sensor_hands_its_reminders_to_the_trigger_and_no_template_in_them():
    sensor = ItsmTicketSensor(
        task_id="wait",
        ticket_sn="REQ1",
        remind_after=60,
        remind_by=HERE,
        working_hours={"end": "20:00"},
        **ESCALATION,
    )
    arguments = sensor.trigger_arguments()
    stored = json.loads(arguments["reminders"])
    assert stored["plan"]["remind_after"] == [60.0]
    assert stored["plan"]["hours"]["end"] == "20:00"
    assert stored["remind_by"] == [{"path": HERE, "kwargs": {}}]
    assert arguments["escalate_to"] == "boss"
    assert "reminders" not in ItsmTicketSensor(task_id="wait", ticket_sn="REQ1").trigger_arguments()


@pytest.mark.since_airflow("3.3", "no wait begins in the triggerer before")
def test_a_wait_with_reminders_begins_in_the_triggerer_all_the_same():
    callback = {"text": "{{ reminder.text_en }}"}
    from airflow.sdk.definitions.callback import SyncCallback

    sensor = ItsmTicketSensor(
        task_id="wait", ticket_sn="REQ1", remind_after=60, remind_by=SyncCallback(HERE, kwargs=callback)
    )
    assert sensor.start_from_trigger
    assert json.loads(sensor.start_trigger_args.trigger_kwargs["reminders"])["remind_by"][0]["kwargs"] == callback


async def test_the_store_knows_what_sends_a_waiting_tasks_reminders(sn, sandbox, on_task):
    one = on_task(trigger(sn, reminders=text(after=99999)))
    waiting, key = asyncio.create_task(fire(one)), wait_key("dag", "run_1", "wait", -1)
    while key not in open_wait_store().remind_by([key]):
        await asyncio.sleep(0.01)
    (spec,) = read_senders(open_wait_store().remind_by([key])[key])
    assert spec.path == HERE
    sandbox.approve(sn)
    await waiting
    assert open_wait_store().remind_by([key]) == {}


KINDS = {
    "sensor": partial(ItsmTicketSensor, task_id="wait", ticket_sn="REQ1"),
    "approval": partial(ItsmApprovalOperator, task_id="gate", title="t", fast_approval=True),
}


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"remind_after": 0}, "remind_after"),
        ({"remind_by": 7}, "remind_by"),
        ({"working_hours": {"start": "22:00", "end": "06:00"}}, "working_hours"),
        ({"escalate_after": 60}, "escalate_to"),
        ({"escalate_to": "boss"}, "escalate_after"),
        ({"escalate_after": 60, "escalate_to": "the boss"}, "escalate_to"),
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", KINDS)
def test_what_nobody_could_send_is_refused_while_the_dag_is_parsed(kind, arguments, word):
    with pytest.raises(ItsmError, match=word):
        KINDS[kind](**arguments)


def test_a_sensor_that_keeps_a_worker_sends_nothing_and_says_so():
    with pytest.raises(ValueError, match="deferrable"):
        ItsmTicketSensor(task_id="wait", ticket_sn="REQ1", remind_after=60, deferrable=False)
