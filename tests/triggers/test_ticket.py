# SPDX-License-Identifier: Apache-2.0
"""Waiting in the triggerer."""

from __future__ import annotations

import asyncio
import json
import re
import time
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from types import SimpleNamespace

import pytest
from airflow.triggers.base import TaskSuccessEvent
from jinja2.sandbox import SandboxedEnvironment

from airflow_provider_bkitsm.approvals.snapshot import SEEN_KEY, from_note
from airflow_provider_bkitsm.callback.waiters import POLLED_KEY
from airflow_provider_bkitsm.hooks.itsm import ItsmHook
from airflow_provider_bkitsm.itsm.idempotency import marked_title
from airflow_provider_bkitsm.itsm.verdict import Verdict, VerdictPolicy
from airflow_provider_bkitsm.tickets.approval_store import installation
from airflow_provider_bkitsm.tickets.waits import WaitRecord, open_wait_store
from airflow_provider_bkitsm.triggers import abandoned_waits
from airflow_provider_bkitsm.triggers import ticket as module
from airflow_provider_bkitsm.triggers.task_instance import TaskInstanceXComs
from airflow_provider_bkitsm.triggers.ticket import ItsmTicketTrigger
from tests.tickets.records import record_round

LOGIN = {"login": "sandbox", "password": "sandbox-secret"}
FORM = {"title": "t", "APPROVER": "alice", "APPROVAL_CONTENT": "c"}


@pytest.fixture
def sn(connections) -> str:
    return ItsmHook().create_ticket(creator="robot", fields=FORM, fast_approval=True).sn


def trigger(sn: str, **parameters) -> ItsmTicketTrigger:
    known = {"bkitsm_conn_id": "bkitsm_default", "poll_interval": 0.02, "approval_timeout": 60.0}
    return ItsmTicketTrigger(ticket_sn=sn, **(known | parameters))


def in_triggerer(one: ItsmTicketTrigger) -> ItsmTicketTrigger:
    one.trigger_id = 1
    return one


async def fired(one: ItsmTicketTrigger):
    (event,) = [event async for event in one.run()]
    return event


async def fire(one: ItsmTicketTrigger) -> dict:
    return json.loads(json.dumps((await fired(one)).payload))


def test_a_trigger_of_the_version_before_takes_what_nobody_has_set():
    assert "opened_by" not in trigger("REQ1").serialize()[1]


def test_a_trigger_keeps_who_opened_its_ticket():
    path, arguments = trigger("REQ1", opened_by="ask").serialize()
    assert arguments["opened_by"] == "ask"
    assert ItsmTicketTrigger(**json.loads(json.dumps(arguments))).serialize() == (path, arguments)


def test_a_trigger_survives_its_serialisation():
    path, arguments = trigger("REQ1", verdict_field="approval_result", require_evidence=False).serialize()
    assert path.endswith("triggers.ticket.ItsmTicketTrigger")
    assert ItsmTicketTrigger(**json.loads(json.dumps(arguments))).serialize() == (path, arguments)


@pytest.mark.since_airflow("3.3", "no trigger is rendered before")
async def test_p1_what_airflow_cannot_render_in_a_triggerer_begins_on_a_worker():
    def pull(**_: object) -> str:
        raise RuntimeError("'latin-1' codec can't encode characters")

    one = trigger("{{ pull(task_ids='ask') }}")
    one.template_fields = ("ticket_sn",)
    one.render_template_fields({"pull": pull}, SandboxedEnvironment())
    event = await fire(one)
    assert event["look"] is True
    assert event["sn"] is None


@pytest.mark.parametrize(
    "arguments",
    [
        {"sn": "{{ ti.xcom_pull(task_ids='ask', map_indexes=-1) }}"},
        {"sn": "REQ1", "bkitsm_conn_id": "{{ params.itsm }}"},
        {"sn": "REQ1", "escalate_to": ["bob", "{{ params.lead }}"]},
    ],
)
async def test_p1_so_does_what_it_does_not_render_since_the_dag_was_edited(arguments, sandbox):
    """Airflow renders a trigger only where the task of the DAG as it is by now begins in the triggerer."""
    event = await fire(trigger(**arguments))
    assert (event["look"], event["sn"], sandbox.requests()) == (True, None, [])


@pytest.mark.since_airflow("3.3", "no trigger is rendered before")
async def test_p3_what_is_not_defined_is_no_empty_value_but_for_a_worker_to_refuse(sandbox):
    one = trigger("REQ1", requester="{{ run.nobody }}")
    one.template_fields = ("ticket_sn", "requester")
    one.render_template_fields({"run": {}})
    assert (await fire(one))["look"] is True
    assert not sandbox.requests()


@pytest.mark.since_airflow("3.3", "no trigger is rendered before")
async def test_what_a_worker_has_rendered_is_not_rendered_again(sn, sandbox):
    """What people have given to a run is no template."""
    one = trigger(sn, after_worker=True, requester="{{ secret }}")
    one.template_fields = ("ticket_sn", "requester")
    one.render_template_fields({"secret": "s3cret"}, SandboxedEnvironment())
    sandbox.approve(sn)
    assert (await fire(one))["verdict"]["outcome"] == "approved"
    assert one.requester == "{{ secret }}"


@pytest.mark.parametrize(("end", "outcome"), [("approve", "approved"), ("reject", "rejected")])
async def test_a_decision_fires_once(sn, sandbox, end, outcome):
    getattr(sandbox, end)(sn, remark="r")
    event = await fire(trigger(sn))
    assert (event["verdict"]["outcome"], event["verdict"]["approvers"][0]["operator"]) == (outcome, "alice")


async def test_it_asks_until_the_decision(sn, sandbox):
    waiting = asyncio.create_task(fire(trigger(sn)))
    while len(sandbox.requests("ticket_approval_result")) < 4:
        await asyncio.sleep(0.01)
    sandbox.approve(sn)
    assert (await waiting)["verdict"]["outcome"] == "approved"


async def test_the_deadline_fires_with_the_ticket_still_open(sn, sandbox):
    event = await fire(trigger(sn, approval_timeout=0.0))
    assert event["verdict"]["outcome"] == "timed_out"
    assert sandbox.ticket(sn)["status"] == "RUNNING"


async def test_p1_outages_are_waited_out(sn, sandbox):
    sandbox.approve(sn)
    sandbox.fault("ticket_approval_result", "html", times=3)
    assert (await fire(trigger(sn)))["verdict"]["outcome"] == "approved"


async def test_p1_a_decision_is_seen_although_the_tickets_creation_cannot_be_read(sn, sandbox):
    sandbox.approve(sn)
    sandbox.fault("get_tickets", "refuse", code="SERVER_500_ERROR", times=99)
    assert (await fire(trigger(sn)))["verdict"]["outcome"] == "approved"


async def test_p3_an_unknown_ticket_is_an_error_after_a_few_looks(connections, sandbox):
    event = await fire(trigger("REQ20000101000001", approval_timeout=None))
    assert event["kind"] == "ItsmTicketNotFoundError"
    assert len(sandbox.requests("ticket_approval_result")) == 3


async def test_an_error_that_will_not_pass_reaches_the_task(sn, sandbox):
    sandbox.fault("ticket_approval_result", "status", status=403, times=9)
    assert (await fire(trigger(sn)))["kind"] == "ItsmPermissionError"


async def test_p1_a_secret_rotated_while_people_decide_is_read_anew(sn, sandbox, connections):
    sandbox.approve(sn)
    connections("rotated", conn_type="bkitsm", host=sandbox.itsm_url, login="sandbox", password="old")
    waiting = asyncio.create_task(fire(trigger(sn, bkitsm_conn_id="rotated")))
    while not sandbox.requests("ticket_approval_result"):
        await asyncio.sleep(0.01)
    connections("rotated", conn_type="bkitsm", host=sandbox.itsm_url, **LOGIN)
    assert (await waiting)["verdict"]["outcome"] == "approved"


@pytest.mark.parametrize("broken", [{"extra": "no JSON"}, {"extra": {"client_cert": "/gone"}}, {"host": ""}])
async def test_p1_a_connection_that_is_broken_for_a_while_ends_no_wait_that_it_has_served(
    sn, sandbox, connections, broken, capsys, caplog
):
    """Somebody edits the connection, or a file that it names is being renewed."""
    good = {"conn_type": "bkitsm", "host": sandbox.itsm_url, **LOGIN}
    connections("edited", **good)
    waiting = asyncio.create_task(fire(trigger(sn, bkitsm_conn_id="edited", poll_interval=0.1)))
    while not sandbox.requests("ticket_approval_result"):
        await asyncio.sleep(0.01)
    connections("edited", **good | broken)
    sandbox.fault("ticket_approval_result", "app_refused")
    seen = ""
    # Where a trigger's lines go, and what Airflow says of an extra that is no JSON, depends on its version.
    while not re.search("nothing was sent|isn't defined", seen + caplog.text):
        assert not waiting.done()
        seen += "".join(capsys.readouterr())
        await asyncio.sleep(0.01)
    sandbox.approve(sn)
    connections("edited", **good)
    assert (await waiting).get("verdict", {}).get("outcome") == "approved"


async def test_a_connection_that_is_not_there_reaches_the_task(sn):
    event = await fire(trigger(sn, bkitsm_conn_id="nowhere"))
    assert "nowhere" in event["error"]


async def registered(one: ItsmTicketTrigger, monkeypatch, *, fails: str = "none") -> list[tuple]:
    """Run a trigger on a task instance; return what it wrote there, but for when ITSM was polled."""
    return [one for one in await pushed(one, monkeypatch, fails=fails) if one[1] != POLLED_KEY]


async def pushed(one: ItsmTicketTrigger, monkeypatch, *, fails: str = "none") -> list[tuple]:
    seen = []

    async def push(task_instance, key, value):
        seen.append((task_instance.task_id, key, value))
        if key.startswith(fails):
            raise RuntimeError("the supervisor is gone")

    monkeypatch.setattr("airflow_provider_bkitsm.triggers.task_instance.push_xcom", push)
    one.task_instance = SimpleNamespace(id="01a20d5b-e52e-7d97-8d82-4612038db7fd", task_id="wait")
    assert await fired(one)
    return seen


async def test_p1_a_wait_registers_before_it_looks(sn, sandbox, monkeypatch):
    sandbox.approve(sn)
    (task_id, key, waiter), button, *_ = await registered(
        trigger(sn, ends_task=True, verdict_value="x"), monkeypatch
    )
    assert (task_id, key) == ("wait", f"bkitsm_wait:{sn}")
    assert (waiter["conn_id"], waiter["ends_task"], waiter["verdict_value"]) == ("bkitsm_default", True, "x")
    assert button == ("wait", "bkitsm_ticket_url", sandbox.url + "/#/ticket/detail?id=1")


async def test_p1_a_wait_looks_after_its_registration_between_two_looks_at_its_ticket(
    sn, sandbox, pushes, monkeypatch
):
    renewed = []

    async def renew(_notes, number, waiter):
        renewed.append((number, waiter.ti_id))
        sandbox.approve(sn)

    monkeypatch.setattr(TaskInstanceXComs, "renew", renew)
    assert await fired(on_task(trigger(sn)))
    assert renewed[0] == (sn, WAITING.id)


async def test_p1_a_wait_looks_after_its_registration_while_its_ticket_stays_as_it_is(
    sn, sandbox, pushes, monkeypatch
):
    """Each reading of the ticket's steps is an occasion, a few times a day."""
    monkeypatch.setattr("airflow_provider_bkitsm.itsm.stall.FIRST_SECONDS", 0.05)
    renewed = []

    async def renew(_notes, number, _waiter):
        renewed.append(number)
        if len(renewed) == 2:
            sandbox.approve(sn)

    monkeypatch.setattr(TaskInstanceXComs, "renew", renew)
    assert await fired(on_task(trigger(sn)))
    assert renewed == [sn, sn]


async def test_p1_a_wait_that_cannot_register_polls(sn, sandbox, monkeypatch, caplog):
    sandbox.approve(sn)
    assert len(await registered(trigger(sn), monkeypatch, fails="bkitsm_wait")) == 2


async def test_without_callbacks_nobody_registers(sn, sandbox, monkeypatch):
    monkeypatch.setenv("AIRFLOW__BKITSM__CALLBACK", "False")
    sandbox.approve(sn)
    assert [key for _, key, _ in await registered(trigger(sn), monkeypatch)] == ["bkitsm_ticket_url"]


async def test_after_a_worker_the_button_is_there_already(sn, sandbox, monkeypatch):
    sandbox.approve(sn)
    seen = await registered(trigger(sn, after_worker=True), monkeypatch)
    assert [key for _, key, _ in seen] == [f"bkitsm_wait:{sn}"]


async def test_an_approval_ends_the_task_with_the_xcoms_a_worker_would_push(sn, sandbox, monkeypatch):
    sandbox.approve(sn)
    one = trigger(sn, ends_task=True)
    xcoms = {key: value for _, key, value in await registered(one, monkeypatch)}
    assert xcoms["return_value"]["outcome"] == "approved"
    assert xcoms["bkitsm_ticket_url"] == xcoms["return_value"]["ticket_url"]
    assert isinstance(await fired(one), TaskSuccessEvent)


async def test_a_decision_says_that_a_poll_found_it(sn, sandbox):
    sandbox.reject(sn, remark="r")
    verdict = (await fire(trigger(sn)))["verdict"]
    assert verdict["seen_by"] == "poll"
    assert abs(datetime.now(UTC) - datetime.fromisoformat(verdict["seen_at"])).total_seconds() < 60


async def test_a_wait_notes_that_itsm_was_polled(sn, sandbox, monkeypatch):
    sandbox.approve(sn)
    (note,) = [value for _, key, value in await pushed(trigger(sn), monkeypatch) if key == POLLED_KEY]
    assert note["conn_id"] == "bkitsm_default"
    assert datetime.fromisoformat(note["at"]).tzinfo is not None


async def test_p1_a_poll_that_cannot_be_noted_is_a_poll(sn, sandbox, monkeypatch):
    sandbox.approve(sn)
    assert await pushed(trigger(sn), monkeypatch, fails=POLLED_KEY)


async def test_an_approval_that_cannot_be_written_goes_to_a_worker(sn, sandbox, monkeypatch):
    sandbox.approve(sn)
    one = trigger(sn, ends_task=True)
    await registered(one, monkeypatch, fails="return_value")
    assert (await fire(one))["verdict"]["outcome"] == "approved"


@pytest.mark.parametrize("end", ["reject", "withdraw"])
async def test_p3_what_is_not_approved_goes_to_a_worker(sn, sandbox, end):
    getattr(sandbox, end)(sn)
    event = await fired(trigger(sn, ends_task=True))
    assert not isinstance(event, TaskSuccessEvent)
    assert event.payload["verdict"]["outcome"] in ("rejected", "withdrawn")


WAITING = SimpleNamespace(
    id="01a20d5b-e52e-7d97-8d82-4612038db7fd", dag_id="dag", run_id="run_1", task_id="wait", map_index=-1
)


@pytest.fixture
def pushes(monkeypatch) -> list[str]:
    """Keys of the XComs that are written."""
    keys: list[str] = []

    async def push(_task_instance, key, _value):
        keys.append(key)

    monkeypatch.setattr("airflow_provider_bkitsm.triggers.task_instance.push_xcom", push)
    return keys


def on_task(one: ItsmTicketTrigger) -> ItsmTicketTrigger:
    one.task_instance = WAITING
    return one


async def test_p3_another_tasks_ticket_is_not_approved_however_approved_it_is(sn, sandbox, pushes):
    sandbox.approve(sn)
    record_round("REQ_own")
    event = await fire(on_task(trigger(sn, ends_task=True, opened_by="ask")))
    verdict = event["verdict"]
    assert (verdict["outcome"], verdict["reason_code"]) == ("rejected", "not_its_ticket")
    assert "REQ_own" in verdict["reason"]
    assert sn in verdict["reason"]
    assert "return_value" not in pushes


@pytest.mark.parametrize("opened_by", [None, "ask"])
async def test_p1_its_own_tickets_approval_ends_the_task(sn, sandbox, pushes, opened_by):
    sandbox.approve(sn)
    record_round(sn)
    event = await fired(on_task(trigger(sn, ends_task=True, opened_by=opened_by)))
    assert isinstance(event, TaskSuccessEvent)
    assert "return_value" in pushes


@pytest.mark.parametrize("record", [{"dag_id": "chairs"}, {"run_id": "another"}])
async def test_p3_another_runs_ticket_is_not_approved(sn, sandbox, pushes, record):
    sandbox.approve(sn)
    record_round(sn, **record)
    event = await fire(on_task(trigger(sn, ends_task=True)))
    assert event["verdict"]["reason_code"] == "not_its_ticket"
    assert isinstance(await fired(on_task(trigger(sn, ends_task=True, opened_by="anyone"))), TaskSuccessEvent)


async def test_p3_a_ticket_without_a_record_is_left_to_a_worker(sn, sandbox, pushes):
    sandbox.approve(sn)
    event = await fired(on_task(trigger(sn, ends_task=True, opened_by="ask")))
    assert not isinstance(event, TaskSuccessEvent)
    assert event.payload["verdict"]["outcome"] == "approved"
    assert "return_value" not in pushes


async def test_p3_a_store_that_cannot_be_read_approves_nothing(sn, sandbox, pushes, monkeypatch):
    def locked(_conn_id=None):
        raise RuntimeError("locked")

    monkeypatch.setattr("airflow_provider_bkitsm.hooks.store.store_engine", locked)
    sandbox.approve(sn)
    event = await fire(on_task(trigger(sn, ends_task=True)))
    assert event["kind"] == "StoreUnavailable"
    assert "untouched" in event["error"]
    assert "return_value" not in pushes


async def test_p1_an_outage_of_the_store_when_a_decision_is_seen_costs_time_and_not_the_task(
    sn, sandbox, pushes, monkeypatch, capsys
):
    record_round(sn)
    sandbox.approve(sn)
    with monkeypatch.context() as locked:
        locked.setattr("airflow_provider_bkitsm.hooks.store.store_engine", lambda _=None: 1 / 0)
        waiting = asyncio.create_task(fired(on_task(trigger(sn, opened_by="ask", poll_interval=0.2))))
        seen = ""
        # First it reads when the ticket was opened, and then whose it is.
        while seen.count("Whose ITSM ticket") < 2 and not waiting.done():
            seen += capsys.readouterr().out
            await asyncio.sleep(0.01)
    assert (await waiting).payload["verdict"]["outcome"] == "approved"


async def test_p3_a_ticket_of_ours_without_a_record_is_left_to_a_worker(connections, sandbox, pushes):
    """The task itself may have kept what was sent to open it."""
    fields = {"title": marked_title("t", "0" * 32), "APPROVER": "alice", "APPROVAL_CONTENT": "c"}
    sn = ItsmHook().create_ticket(creator="robot", fields=fields, fast_approval=True).sn
    sandbox.approve(sn)
    event = await fire(on_task(trigger(sn, ends_task=True, after_worker=True)))
    assert event["verdict"]["outcome"] == "approved"
    record_round(sn, task_id="wait", request={"fields": fields})
    assert isinstance(await fired(on_task(trigger(sn, ends_task=True, after_worker=True))), TaskSuccessEvent)


async def test_p3_nor_does_one_that_does_not_answer(sn, sandbox, pushes, monkeypatch):
    monkeypatch.setattr("airflow_provider_bkitsm.hooks.store.CALL_SECONDS", 0.1)
    monkeypatch.setattr("airflow_provider_bkitsm.hooks.store.store_engine", lambda _=None: time.sleep(1))
    sandbox.approve(sn)
    event = await fire(on_task(trigger(sn, ends_task=True)))
    assert "did not answer in 0.1 s" in event["error"]


async def test_p3_an_earlier_rounds_result_goes_before_a_callback_can_find_the_wait(sn, sandbox, monkeypatch):
    order = []

    async def forget(_self, about):
        order.append(("forget", about))

    async def register(_self, about, _waiter):
        order.append(("register", about))

    monkeypatch.setattr(TaskInstanceXComs, "forget_results", forget)
    monkeypatch.setattr(TaskInstanceXComs, "register", register)
    sandbox.reject(sn)
    await fire(on_task(trigger(sn)))
    assert order == [("forget", sn), ("register", sn)]


@pytest.mark.parametrize("number", ["", "None", None, "  "])
async def test_p3_an_empty_number_is_an_error_not_a_wait(number, sandbox, connections):
    event = await fire(trigger(number, ends_task=True))
    assert event["kind"] == "ItsmConfigurationError"
    assert not sandbox.requests()


async def test_p1_a_wait_whose_xcom_was_deleted_goes_on_with_its_own_ticket(sn, sandbox, pushes):
    """``airflow db clean`` deletes XComs, and a triggerer that starts anew renders the number again."""
    sandbox.approve(sn)
    record_round(sn)
    event = await fired(on_task(trigger("None", ends_task=True, opened_by="ask")))
    assert isinstance(event, TaskSuccessEvent)


@pytest.mark.parametrize("opened_by", [None, "anyone", "other"])
async def test_p3_a_wait_that_names_no_opener_has_no_ticket_without_a_number(sn, sandbox, pushes, opened_by):
    sandbox.approve(sn)
    record_round(sn)
    event = await fire(on_task(trigger("None", ends_task=True, opened_by=opened_by)))
    assert event["kind"] == "ItsmConfigurationError"


async def _began(sn, **changes) -> None:
    """Store the record of a wait that its trigger has begun in an earlier triggerer."""
    where = {name: getattr(WAITING, name) for name in ("dag_id", "run_id", "task_id", "map_index")}
    kept = {"installation": installation(), "bkitsm_conn_id": "bkitsm_default", "sn": sn, "opened_by": None}
    open_wait_store().begin(WaitRecord(**where | kept | {"withdraw": False, "ti_id": WAITING.id} | changes))


@pytest.mark.parametrize("opened_by", [None, "anyone", "other"])
async def test_p1_a_wait_whose_xcom_was_deleted_goes_on_with_the_ticket_it_has_waited_for(
    sn, sandbox, pushes, opened_by
):
    """No opener's record brings the number: it came from elsewhere, and was stored when the wait began."""
    sandbox.reject(sn)
    await _began(sn)
    event = await fire(on_task(trigger("None", ends_task=True, opened_by=opened_by)))
    assert (event["verdict"]["sn"], event["verdict"]["outcome"]) == (sn, "rejected")


@pytest.mark.parametrize("ti_id", [None, "01a20d5b-e52e-7d97-8d82-4612038db7fe"])
async def test_p3_what_an_earlier_try_has_waited_for_is_no_number(sn, sandbox, pushes, ti_id):
    sandbox.approve(sn)
    await _began(sn, ti_id=ti_id)
    event = await fire(on_task(trigger("None", ends_task=True)))
    assert event["kind"] == "ItsmConfigurationError"


async def test_p1_a_wait_is_stored_with_the_try_that_waits(sn, sandbox, pushes):
    waiting = asyncio.create_task(fire(on_task(trigger(sn))))
    find = partial(open_wait_store().tries_for, sn, bkitsm_conn_id="bkitsm_default")
    while not await asyncio.to_thread(find):
        await asyncio.sleep(0.01)
    assert find() == [WAITING.id]
    sandbox.approve(sn)
    await waiting
    assert find() == []


@pytest.mark.parametrize("how", ["its deadline", "errors"])
async def test_p5_a_task_that_is_ended_between_its_wait_and_a_worker_leaves_no_open_ticket(
    sn, sandbox, pushes, monkeypatch, how
):
    """The workers are busy: a person marks the queued task failed, or its run's time is up."""

    async def failed(*_: object, **_more: object) -> list[str]:
        return ["failed"]

    async def all_failed(dag_id: str, *, run_ids: list[str], task_ids: list[str]) -> dict:
        return {run: dict.fromkeys(task_ids, "failed") for run in run_ids}

    if how == "errors":
        sandbox.fault("ticket_approval_result", "refuse", code="NO_PERMISSION", times=99)
    one = trigger(sn, withdraw_when_killed=True, approval_timeout=0.0 if how == "its deadline" else None)
    assert {"error", "verdict"} & (await fire(on_task(one))).keys()
    assert sandbox.ticket(sn)["status"] == "RUNNING"
    monkeypatch.setattr(abandoned_waits, "ask_states", all_failed)
    monkeypatch.setattr(abandoned_waits, "task_states", failed)
    assert await abandoned_waits.withdraw_abandoned("bkitsm_default") == [sn]
    assert sandbox.ticket(sn)["status"] == "REVOKED"


async def test_a_time_that_is_none_is_an_error(sn, sandbox):
    assert (await fire(trigger(sn, approval_timeout="soon")))["kind"] == "ItsmConfigurationError"


async def test_p1_a_decision_of_the_first_moments_is_seen_when_they_are_over(sn, sandbox, monkeypatch):
    """Its callback found the task too young to go back to a worker."""
    monkeypatch.setattr(module, "FIRST_PAUSE_SECONDS", 0.3)
    monkeypatch.setattr(module, "HANDOVER_SECONDS", 0.3)
    waiting = asyncio.create_task(fire(in_triggerer(trigger(sn, poll_interval=3600, after_worker=True))))
    await asyncio.sleep(0.1)
    sandbox.reject(sn)
    assert (await asyncio.wait_for(waiting, 30))["verdict"]["outcome"] == "rejected"


@pytest.mark.parametrize("decision", ["approve", "reject"])
async def test_p1_a_task_goes_back_to_a_worker_only_when_its_scheduler_has_heard_of_the_one_before(
    sn, sandbox, monkeypatch, decision
):
    """Else the late report of that worker's end fails it."""
    monkeypatch.setattr(module, "FIRST_PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(module, "HANDOVER_SECONDS", 3600)
    getattr(sandbox, decision)(sn)
    waiting = asyncio.create_task(fire(in_triggerer(trigger(sn, after_worker=True))))
    assert not (await asyncio.wait([waiting], timeout=1))[0]
    waiting.cancel()
    # Without a worker before, or in `dag.test()`, there is nothing to be heard of.
    for one in (in_triggerer(trigger(sn)), trigger(sn, after_worker=True)):
        assert "verdict" in await asyncio.wait_for(fire(one), 60)


async def test_p1_the_first_look_comes_soon_however_long_the_interval(sn, sandbox):
    sandbox.approve(sn)
    assert (await fire(trigger(sn, poll_interval=3600)))["verdict"]["outcome"] == "approved"


async def test_a_ticket_that_asks_nobody_is_in_the_tasks_log(connections, sandbox, monkeypatch, capsys):
    for name in ("FIRST_SECONDS", "START_SECONDS"):
        monkeypatch.setattr(f"airflow_provider_bkitsm.itsm.stall.{name}", 0.05)
    connections("bkitsm_default", conn_type="bkitsm", host=sandbox.itsm_url, extra={"four_byte": "send"}, **LOGIN)
    form = FORM | {"APPROVAL_CONTENT": "\U0001f680"}
    sn = ItsmHook().create_ticket(creator="robot", fields=form, fast_approval=True).sn
    waiting, output = asyncio.create_task(fire(trigger(sn, approval_timeout=3600.0))), ""
    while "lists no step" not in output:
        await asyncio.sleep(0.05)
        output += capsys.readouterr().out
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    output += capsys.readouterr().out
    (warning,) = (one for one in output.splitlines() if "lists no step" in one)
    assert f"ITSM ticket {sn} " in warning


async def test_the_tasks_log_says_who_is_asked_where_and_until_when_and_only_once(
    sn, sandbox, monkeypatch, capsys
):
    monkeypatch.setattr("airflow_provider_bkitsm.itsm.stall.FIRST_SECONDS", 0.05)
    sandbox.wait_for_step(sn)
    waiting = asyncio.create_task(fire(trigger(sn, approval_timeout=3600.0)))
    output = ""
    while "waits for alice" not in output or len(sandbox.requests("ticket_approval_result")) < 6:
        await asyncio.sleep(0.05)
        output += capsys.readouterr().out
    sandbox.approve(sn, remark="go\n2026-01-01 forged")
    await asyncio.wait_for(waiting, 30)
    lines = [one for one in (output + capsys.readouterr().out).splitlines() if sn in one]
    assert [f"Waiting for ITSM ticket {sn}, until 20" in one for one in lines] == [True, False, False]
    assert "waits for alice at step 内置审批节点, until 20" in lines[1]
    assert "/#/ticket/detail?id=" in lines[1]
    assert "alice approved: go\\n2026-01-01 forged" in lines[2]
    assert len(sandbox.requests("get_ticket_status")) == 1


async def test_step_and_approvers_are_noted_for_the_pages_once_they_were_read(sn, sandbox, monkeypatch):
    for name in ("FIRST_SECONDS", "START_SECONDS"):
        monkeypatch.setattr(f"airflow_provider_bkitsm.itsm.stall.{name}", 0.05)
    sandbox.wait_for_step(sn)
    written: dict = {}

    async def push(_task_instance, key, value):
        written[key] = value

    monkeypatch.setattr("airflow_provider_bkitsm.triggers.task_instance.push_xcom", push)
    waiting = asyncio.create_task(fire(on_task(trigger(sn, approval_timeout=3600.0))))
    while SEEN_KEY not in written:
        await asyncio.sleep(0.02)
    sandbox.approve(sn)
    await waiting
    noted = from_note(written[SEEN_KEY], sn, "bkitsm_default")
    assert (noted.title, noted.approvers, noted.stalled) == (FORM["title"], ("alice",), False)
    assert noted.step


async def test_p3_a_policy_that_the_connection_loosened_after_asking_releases_nothing(
    sn, sandbox, pushes, reconnect
):
    policy = asdict(ItsmHook().verdict_policy())
    sandbox.wait_for_step(sn)
    sandbox.finish_without_evidence(sn)
    reconnect(require_evidence=False)
    record_round(sn, request={"fields": FORM, "policy": policy})
    event = await fire(on_task(trigger(sn, ends_task=True, opened_by="ask")))
    assert (event["verdict"]["outcome"], event["verdict"]["reason_code"]) == ("rejected", "no_evidence")
    assert "return_value" not in pushes


async def test_p3_an_event_says_by_which_policy_its_verdict_was_read(sn, sandbox, reconnect):
    """A worker compares it with that of when the ticket was asked for, whatever the connection says by then."""
    sandbox.approve(sn)
    reconnect(require_evidence=False)
    verdict = Verdict.from_dict((await fire(trigger(sn)))["verdict"])
    assert verdict.policy == VerdictPolicy(require_evidence=False)


@pytest.mark.parametrize("status", [502, 403])
async def test_a_log_that_cannot_be_read_is_asked_for_with_pauses_after_the_deadline_too(sn, sandbox, status):
    sandbox.approve(sn)
    await asyncio.sleep(0.5)
    sandbox.fault("get_ticket_logs", "status", status=status, times=1000)
    waiting = asyncio.create_task(fire(trigger(sn, approval_timeout=0.4, poll_interval=60.0)))
    while not sandbox.requests("get_ticket_logs"):
        await asyncio.sleep(0.05)
    await asyncio.sleep(2)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert len(sandbox.requests("get_ticket_logs")) == 1
    assert len(sandbox.requests("ticket_approval_result")) <= 2


async def test_p1_a_log_that_can_be_read_again_ends_the_wait(sn, sandbox):
    sandbox.approve(sn)
    sandbox.fault("get_ticket_logs", "status", status=502, times=2)
    event = await asyncio.wait_for(fire(trigger(sn, poll_interval=0.2)), 30)
    assert event["verdict"]["outcome"] == "approved"
