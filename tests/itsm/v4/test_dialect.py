# SPDX-License-Identifier: Apache-2.0
"""The same operators, sensor and trigger with ITSM v4 behind the connection, which the sandbox serves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_bkitsm.cli.trial_ticket import open_trial_ticket
from airflow_provider_bkitsm.hooks.itsm import ItsmHook
from airflow_provider_bkitsm.itsm import errors
from airflow_provider_bkitsm.itsm.actions import operate, read_status
from airflow_provider_bkitsm.itsm.idempotency import is_marked
from airflow_provider_bkitsm.itsm.stall import StepsRead
from airflow_provider_bkitsm.itsm.v4 import calls
from airflow_provider_bkitsm.operators.ticket import (
    ItsmApprovalOperator,
    ItsmCreateTicketOperator,
    ItsmOperateTicketOperator,
)
from airflow_provider_bkitsm.sensors.ticket import ItsmTicketSensor
from airflow_provider_bkitsm.tickets.poller import TicketWait
from airflow_provider_bkitsm.triggers.ticket import ItsmTicketTrigger
from tests.conformance.v4.cases import case
from tests.conformance.v4.test_sandbox import TEMPLATE

FORM = {"APPROVER": "bob,carol", "APPROVAL_CONTENT": "Drop ORDERS"}


def opened(task: Any, *, service: str | None = None, fields: Any = FORM, **more: Any) -> str:
    operator = ItsmCreateTicketOperator(
        task_id="ask", title="Drop?", fields=fields, service_id=service, creator="alice"
    )
    return operator.execute(task("ask", **more).context)


def waited(sn: str, task: Any, **more: Any) -> dict[str, Any]:
    sensor = ItsmTicketSensor(
        task_id="wait", ticket_sn=sn, deferrable=False, poke_interval=0.05, opened_by="ask", **more
    )
    return sensor.execute(task("wait").context)


async def fired(sn: str, **more: Any) -> dict[str, Any]:
    trigger = ItsmTicketTrigger(
        ticket_sn=sn,
        bkitsm_conn_id="bkitsm_default",
        poll_interval=0.05,
        approval_timeout=None,
        opened_by="ask",
        **more,
    )
    return await anext(event.payload async for event in trigger.run())


@pytest.fixture
def sn(itsm, task) -> str:
    return opened(task)


def test_an_approval_runs_from_its_opening_to_its_verdict(itsm, sn, task):
    itsm.approve(sn, operator="bob", remark="fine")
    verdict = waited(sn, task)
    assert (verdict["outcome"], verdict["current_status"], verdict["sn"]) == ("approved", "finished", sn)
    (approver,) = verdict["approvers"]
    assert (approver["operator"], approver["remark"], approver.get("automatic", False)) == ("bob", "fine", False)


def test_a_ticket_is_opened_with_the_forms_own_keys(itsm, sn):
    found = itsm.ticket(sn)
    assert (len(sn), found["creator"], found["workflow_key"]) == (24, "alice", "approval")
    assert found["fields"]["approvers"] == ["bob", "carol"]
    assert found["fields"]["content"] == "Drop ORDERS"
    assert len(found["fields"]["client_ref"]) == 32
    assert is_marked(found["title"], found["fields"]["client_ref"])


async def test_the_triggerer_waits_for_it_as_well(itsm, sn):
    itsm.approve(sn)
    assert (await fired(sn))["verdict"]["outcome"] == "approved"


def test_p3_a_refusal_is_none(itsm, sn, task):
    itsm.reject(sn, remark="not tonight")
    with pytest.raises(AirflowFailException, match="refused by an approver"):
        waited(sn, task)


def test_p3_an_approved_ticket_whose_form_was_edited_is_none(itsm, sn, task):
    itsm.edit(sn, content="Drop everything")
    itsm.approve(sn)
    with pytest.raises(AirflowFailException, match="not what was sent"):
        waited(sn, task)


def test_p5_a_withdrawn_ticket_is_no_refusal(itsm, sn, task):
    withdraw = ItsmOperateTicketOperator(
        task_id="withdraw", ticket_sn=sn, action_type="WITHDRAW", action_message="over"
    )
    assert withdraw.execute(task("withdraw").context) == "revoked"
    with pytest.raises(AirflowFailException, match="was withdrawn"):
        waited(sn, task)


def test_a_ticket_is_terminated_at_its_open_task(itsm, sn, task):
    itsm.wait_for_step(sn)
    end = ItsmOperateTicketOperator(
        task_id="end", ticket_sn=sn, action_type="TERMINATE", action_message="over", operator="bob"
    )
    assert end.execute(task("end").context) == "termination"
    with pytest.raises(AirflowFailException, match="terminated"):
        waited(sn, task)


@pytest.mark.parametrize("action", ["SUSPEND", "UNSUSPEND"])
def test_what_no_call_can_do_is_refused_before_anything_is_sent(itsm, sn, action):
    before = len(itsm.requests())
    wish = {"action_type": action, "operator": "bob", "action_message": "m"}
    with pytest.raises(errors.ItsmConfigurationError, match=f"{action} to a ticket; ticket {sn} is as it was"):
        ItsmHook().run(operate(sn=sn, **wish))
    assert len(itsm.requests()) == before


@pytest.mark.parametrize("kind", [ItsmCreateTicketOperator, ItsmApprovalOperator])
def test_the_built_in_approval_is_refused_with_what_to_use_instead(itsm, task, kind):
    operator = kind(task_id="ask", title="Drop?", fields=FORM, fast_approval=True)
    with pytest.raises(errors.ItsmInvalidRequestError, match="name a workflow, as the task's service_id"):
        operator.execute(task("ask").context)
    assert itsm.tickets() == []


def test_a_task_names_another_workflow(itsm, task):
    sn = opened(task, service="two_steps", fields={**FORM, "second_approvers": "dave"})
    itsm.approve(sn, operator="carol")
    itsm.approve(sn, operator="dave")
    assert [one["operator"] for one in waited(sn, task)["approvers"]] == ["carol", "dave"]


@case(26)
def test_p3_one_refusal_in_a_countersign_is_enough(itsm, task):
    sn = opened(task, service="countersign")
    itsm.approve(sn, operator="bob")
    itsm.reject(sn, operator="carol")
    with pytest.raises(AirflowFailException, match="refused"):
        waited(sn, task)


@case(30)
def test_p3_a_workflow_without_a_step_approves_nothing(itsm, task):
    with pytest.raises(AirflowFailException, match="without any visible approval step"):
        waited(opened(task, service="no_approval"), task)


@case(31)
def test_p3_an_approval_that_itsm_gave_counts_only_where_the_task_says_so(itsm, task):
    sn = opened(task, service="auto_approve", fields={**FORM, "APPROVER": "alice"})
    with pytest.raises(AirflowFailException, match="automatic"):
        waited(sn, task)
    verdict = waited(sn, task, accept_automatic=True)
    assert [one["automatic"] for one in verdict["approvers"]] == [True]


@case(5)
@pytest.mark.parametrize("filters", ["honoured", "ignored"])
@pytest.mark.parametrize("visibility", ["all", "nothing"])
def test_p2_a_lost_answer_is_found_by_the_mark(itsm, task, filters, visibility):
    itsm.set_itsm_v4(filters=filters, visibility=visibility)
    itsm.fault("ticket/create", "drop_answer")
    sn = opened(task)
    assert opened(task, try_number=2) == sn
    assert [one["sn"] for one in itsm.tickets()] == [sn]


@case(4)
def test_p2_an_answer_without_an_id_is_looked_up(itsm, task):
    itsm.set_itsm_v4(create_answer="without_id")
    sn = opened(task)
    assert [one["sn"] for one in itsm.tickets()] == [sn]


@pytest.fixture
def lost(itsm, task) -> Callable[[], Callable[[], str]]:
    """Return what asks for a ticket whose request never arrives, and returns the retry: 502, and no ticket."""

    def retried() -> str:
        return opened(task, run_id="lost", try_number=2)

    def begun() -> Callable[[], str]:
        itsm.fault("ticket/create", "page", status=502)
        with pytest.raises(errors.ItsmOutcomeUnknownError):
            opened(task, run_id="lost")
        return retried

    return begun


@case(6)
@pytest.mark.parametrize("ended", [False, True])
@pytest.mark.parametrize("filters", ["honoured", "ignored"])
def test_p2_a_request_that_never_arrived_is_made_once_more_where_a_search_finds_tickets_of_ours(
    itsm, sn, task, lost, ended, filters
):
    itsm.set_itsm_v4(filters=filters)
    if ended:
        itsm.approve(sn)
    again = lost()()
    assert {one["sn"] for one in itsm.tickets()} == {sn, again}


@case(6)
@pytest.mark.parametrize("hidden", ["visibility", "system_visibility"])
def test_p2_one_list_that_shows_our_tickets_is_enough(itsm, sn, lost, hidden):
    itsm.set_itsm_v4(**{hidden: "nothing"})
    assert {one["sn"] for one in itsm.tickets()} < {sn, lost()()}


@case(6)
def test_p2_where_the_lists_hide_our_tickets_no_second_one_is_opened(itsm, sn, task):
    """The first one is open, and stays the only one, however often the task is tried."""
    itsm.set_itsm_v4(visibility="nothing", system_visibility="nothing")
    itsm.fault("ticket/create", "drop_answer")
    for number in range(1, 4):
        with pytest.raises(errors.ItsmOutcomeUnknownError) as raised:
            opened(task, run_id="lost", try_number=number)
    assert f"a search of the same kind does not find ticket {sn} either" in str(raised.value)
    assert "no second one was opened" in str(raised.value)
    assert len(itsm.tickets()) == 2
    itsm.set_itsm_v4(visibility="all")
    assert {opened(task, run_id="lost", try_number=4), sn} == {one["sn"] for one in itsm.tickets()}


@case(6)
def test_p2_with_nothing_to_try_the_search_by_the_outcome_stays_unknown(itsm, task, lost):
    retried = lost()
    with pytest.raises(errors.ItsmOutcomeUnknownError, match="A retry goes on once it has opened another one"):
        retried()
    assert itsm.tickets() == []
    another = opened(task, run_id="another")
    assert {one["sn"] for one in itsm.tickets()} == {another} != {retried()}


@case(6)
def test_p2_a_ticket_of_another_person_does_not_show_that_a_search_would_find_this_one(itsm, task, lost):
    operator = ItsmCreateTicketOperator(task_id="ask", title="Drop?", fields=FORM, creator="dave")
    operator.execute(task("ask", run_id="daves").context)
    with pytest.raises(errors.ItsmOutcomeUnknownError, match="in the name of alice"):
        lost()()


@case(6)
def test_a_ticket_that_tried_the_connection_is_one_to_try_the_search_by(itsm, task, lost, changed):
    changed(bk_username="alice")
    open_trial_ticket(ItsmHook(), approver="bob")
    assert lost()() in {one["sn"] for one in itsm.tickets()}


def test_p2_what_was_never_sent_needs_no_search(itsm, task):
    """ITSM was down as the first ticket was asked for: it has opened none."""
    itsm.fault("workflows", "page", status=502)
    with pytest.raises(errors.ItsmUnavailableError):
        opened(task)
    assert opened(task, try_number=2) in {one["sn"] for one in itsm.tickets()}


@case(12)
def test_p2_an_outage_with_a_code_is_no_refusal(itsm, sn, task):
    itsm.fault("ticket/create", "refuse", status=500, code="40000")
    with pytest.raises(errors.ItsmOutcomeUnknownError):
        opened(task, run_id="another")
    itsm.fault("ticket/create", "refuse", code="40001")
    with pytest.raises(errors.ItsmInvalidRequestError):
        opened(task, run_id="another", try_number=2)
    assert [one["sn"] for one in itsm.tickets()] == [sn]


@case(7)
def test_p2_of_two_the_oldest_stays(itsm, task):
    itsm.fault("ticket/create", "drop_answer")
    sn = opened(task)
    found = itsm.ticket(sn)
    body = {"workflow_key": "approval", "operator": "alice", "form_data": found["fields"]}
    twin = itsm.call("POST", "ticket/create", json=body)["id"]
    itsm.fault("ticket/create", "drop_answer")
    from datetime import UTC, datetime

    from airflow_provider_bkitsm.tickets.opener import TicketKey, TicketOpener

    key = TicketKey(tag=found["fields"]["client_ref"], creator="alice", since=datetime.now(UTC))
    assert TicketOpener(hook=ItsmHook()).find(key).sn == sn
    assert [itsm.ticket(one)["status"] for one in (sn, twin)] == ["running", "revoked"]


@case(10)
@pytest.mark.parametrize("data", ["html", "page"])
def test_an_outage_is_waited_out(itsm, sn, data):
    itsm.fault("ticket/detail", data)
    with pytest.raises(errors.ItsmUnavailableError):
        ItsmHook().send(calls.ticket_detail(sn))


@pytest.mark.parametrize(
    "switches",
    [
        {"code": 0},
        {"slash": "needed"},
        {"refusal_word": "reject"},
        {"steps": "name"},
        {"processor": "list"},
        {"processor": "empty"},
        {"tasks": "each"},
        {"early_verdict": True},
        {"early_verdict": None},
        {"list_rows": "short"},
        {"filters": "ignored"},
        {"unknown_id": "empty"},
        {"callback_of": "finished"},
    ],
    ids=str,
)
@pytest.mark.parametrize("decide", ["approve", "reject", "withdraw"])
def test_wherever_the_sources_disagree_the_outcome_is_the_same(itsm, task, switches, decide):
    itsm.set_itsm_v4(**switches)
    sn = opened(task)
    getattr(itsm, decide)(sn)
    outcomes = {"approve": "approved", "reject": "rejected", "withdraw": "withdrawn"}
    assert waited(sn, task, on_not_approved="pass")["outcome"] == outcomes[decide]


@case(36)
@pytest.mark.parametrize("kind", ["text", "null"])
def test_p3_a_verdict_that_is_no_boolean_is_none(itsm, sn, task, kind):
    itsm.set_itsm_v4(verdict_type=kind)
    itsm.approve(sn)
    with pytest.raises(AirflowFailException, match="verdict"):
        waited(sn, task)


@case(50)
def test_without_a_system_each_ticket_is_read_by_itself(itsm, task, changed):
    changed(system_id="", system_token="")
    sn = opened(task)
    itsm.approve(sn)
    assert waited(sn, task)["outcome"] == "approved"
    assert itsm.requests("system_ticket") == []
    assert not ItsmHook().gateway.dialect.capabilities.batch


async def test_many_waits_share_their_questions(itsm, task):
    numbers = [opened(task, run_id=f"run_{number}") for number in range(5)]
    before = len(itsm.requests("system_ticket/list"))
    for one in numbers:
        itsm.approve(one)
    verdicts = await asyncio.gather(*map(fired, numbers))
    assert {one["verdict"]["outcome"] for one in verdicts} == {"approved"}
    # One for all, and one for each verdict.
    assert len(itsm.requests("system_ticket/list")) - before < 3 * len(numbers)


async def test_whom_the_tickets_ask_is_read_from_the_polls_answers(itsm, task, monkeypatch):
    monkeypatch.setattr("airflow_provider_bkitsm.itsm.stall.FIRST_SECONDS", 0.2)
    numbers = [opened(task, run_id=f"run_{number}") for number in range(3)]
    for one in numbers:
        itsm.wait_for_step(one)
    before = len(itsm.requests("ticket/detail"))
    people: dict[str, tuple[str, ...]] = {}

    async def wait(one: str) -> None:
        async with TicketWait("bkitsm_default", sn=one, interval=0.05, steps=True) as waiting:
            while len(people) < len(numbers):
                if isinstance(news := await waiting.look(), StepsRead):
                    assert not news.stalled
                    people[one] = news.status.waits_for

    await asyncio.gather(*map(wait, numbers))
    assert set(people.values()) == {("bob", "carol")}
    assert len(itsm.requests("ticket/detail")) == before


async def people_seen(sn: str, *, then: Callable[[], object] | None = None) -> list[tuple[str, ...]]:
    """Wait until it is seen whom a ticket asks; with something to do then, until it asks others."""
    people: list[tuple[str, ...]] = []

    async with TicketWait("bkitsm_default", sn=sn, interval=0.05, steps=True) as waiting:
        while len(people) < (2 if then else 1):
            if isinstance(news := await waiting.look(), StepsRead):
                people.append(news.status.waits_for)
                if then is not None and len(people) == 1:
                    then()
    return people


async def test_a_next_step_is_seen_in_the_polls_answers(itsm, task, monkeypatch):
    monkeypatch.setattr("airflow_provider_bkitsm.itsm.stall.FIRST_SECONDS", 0.05)
    sn = opened(task, service="two_steps", fields={**FORM, "second_approvers": "dave"})
    itsm.wait_for_step(sn)
    answer = partial(itsm.approve, sn, operator="bob")
    assert await people_seen(sn, then=answer) == [("bob", "carol"), ("dave",)]


async def test_a_ticket_whose_people_the_list_leaves_out_is_read(itsm, sn, monkeypatch):
    monkeypatch.setattr("airflow_provider_bkitsm.itsm.stall.FIRST_SECONDS", 0.05)
    itsm.set_itsm_v4(list_rows="short")
    itsm.wait_for_step(sn)
    assert await people_seen(sn) == [("bob", "carol")]


@case(51)
@pytest.mark.parametrize("fault", [None, "approval_tasks"])
def test_whom_a_ticket_asks_its_tasks_say_where_it_names_nobody(itsm, sn, fault):
    itsm.set_itsm_v4(processor="empty")
    itsm.wait_for_step(sn)
    if fault:
        itsm.fault(fault, "page", status=500)
    read = ItsmHook().run(read_status(sn))
    assert read.waits_for == (() if fault else ("bob", "carol"))
    assert [step.name != "" for step in read.current_steps] == [True]


@case(54)
async def test_p2_a_ticket_of_v2_is_left_alone_by_a_connection_of_v4(sandbox, connections, task, monkeypatch):
    fields = {"APPROVER": "bob", "APPROVAL_CONTENT": "c"}
    ask = ItsmCreateTicketOperator(task_id="ask", title="Drop?", fields=fields, fast_approval=True)
    sn = ask.execute(task("ask").context)
    sandbox.dialect = "v4"
    monkeypatch.setenv("AIRFLOW_CONN_BKITSM_DEFAULT", sandbox.connection("bkitsm", read_retries=0))
    with pytest.raises(errors.ItsmAnotherDialectError, match="opened in the dialect 'v2'"):
        waited(sn, task)
    with pytest.raises(errors.ItsmAnotherDialectError, match="no second one was opened"):
        opened(task, try_number=2)
    withdraw = ItsmOperateTicketOperator(
        task_id="withdraw", ticket_sn=sn, action_type="WITHDRAW", action_message="m"
    )
    with pytest.raises(errors.ItsmAnotherDialectError, match="The ticket is as it was"):
        withdraw.execute(task("withdraw").context)
    sensor = ItsmTicketSensor(task_id="wait", ticket_sn=sn, opened_by="ask")
    with pytest.raises(errors.ItsmAnotherDialectError, match="goes on once"):
        sensor.execute_complete(task("wait").context, None)
    assert (await fired(sn))["kind"] == "ItsmAnotherDialectError"
    assert [one["sn"] for one in sandbox.tickets()] == [sn]
    assert sandbox.requests("cw-aitsm") == []
    sandbox.dialect = "v2"
    monkeypatch.setenv("AIRFLOW_CONN_BKITSM_DEFAULT", sandbox.connection("bkitsm", read_retries=0))
    sandbox.approve(sn)
    assert waited(sn, task)["outcome"] == "approved"


async def test_p6_a_connection_that_is_switched_while_its_tickets_wait_is_not_asked_about_them(
    sandbox, connections, task, monkeypatch
):
    fields = {"APPROVER": "bob", "APPROVAL_CONTENT": "c"}
    ask = ItsmCreateTicketOperator(task_id="ask", title="Drop?", fields=fields, fast_approval=True)
    old = ask.execute(task("ask").context)
    sandbox.dialect = "v4"
    monkeypatch.setenv("AIRFLOW_CONN_BKITSM_DEFAULT", sandbox.connection("bkitsm", read_retries=0))
    new = opened(task, run_id="run_2")
    sandbox.approve(new)
    before, after = await asyncio.gather(fired(old), fired(new))
    assert (before["kind"], after["verdict"]["outcome"]) == ("ItsmAnotherDialectError", "approved")
    assert not [one for one in sandbox.requests("cw-aitsm") if old in f"{one['query']}{one['body']}"]


# -- what v4 has not


@pytest.mark.parametrize("kind", [ItsmCreateTicketOperator, ItsmApprovalOperator])
def test_a_verdict_in_a_field_is_refused_before_anybody_is_asked(itsm, task, changed, kind):
    of_task = {"verdict_field": "answer"} if kind is ItsmApprovalOperator else {}
    if not of_task:
        changed(verdict_field="answer")
    operator = kind(task_id="ask", title="Drop?", fields=FORM, **of_task)
    with pytest.raises(errors.ItsmConfigurationError, match=r"'answer'.*let an approval step of the workflow"):
        operator.execute(task("ask").context)
    assert itsm.tickets() == []


async def test_no_wait_begins_that_could_never_be_approved(itsm, sn, task):
    before = len(itsm.requests())
    with pytest.raises(errors.ItsmConfigurationError, match="nothing would ever be approved"):
        waited(sn, task, verdict_field="answer")
    assert len(itsm.requests()) == before
    assert (await fired(sn, verdict_field="answer"))["kind"] == "ItsmConfigurationError"


def test_the_test_button_refuses_a_verdict_in_a_field(itsm, changed):
    changed(verdict_field="answer")
    good, text = ItsmHook().test_connection()
    assert (good, "Leave verdict_field out" in text) == (False, True)


# -- the connection


def test_the_test_button_says_what_it_has_seen(itsm):
    good, text = ItsmHook().test_connection()
    assert (good, "workflow 'approval' asks the people in 'approvers'" in text) == (True, True)


@pytest.mark.parametrize(
    ("extra", "why"),
    [
        ({"workflow_key": "nothing"}, "no enabled workflow 'nothing'"),
        ({"workflow_key": "no_approval"}, "no approval step"),
        ({"form_approvers": "leaders"}, "set the extra form_approvers"),
        ({"system_id": "nobody"}, "系统不存在"),
        ({"system_token": "wrong"}, "token"),
        ({"time_zone": "Mars/North"}, "time_zone"),
        ({"form_content": "approvers"}, "different keys"),
        ({"system_token": "ключ"}, "a header can hold"),
    ],
)
def test_the_test_button_says_what_is_wrong(itsm, changed, extra, why):
    changed(**extra)
    good, text = ItsmHook().test_connection()
    assert (good, why in text) == (False, True), text


def test_the_test_button_says_that_the_other_version_answers(itsm, changed, connect):
    login = {"conn_type": "bkitsm", "login": "sandbox", "password": "sandbox-secret"}
    connect("bkitsm_default", **login, host=itsm.itsm_v4_url, extra={"read_retries": 0})
    assert "ITSM v4 answers at this address" in ItsmHook().test_connection()[1]
    connect("bkitsm_default", **login, host=itsm.itsm_url, extra={"dialect": "v4", "read_retries": 0})
    assert "ITSM v2 answers at this address" in ItsmHook().test_connection()[1]


def test_p8_the_systems_token_is_sent_and_not_shown(itsm):
    gateway = ItsmHook().gateway
    assert gateway.headers()["SYSTEM-TOKEN"] == "sandbox-system-token"
    assert "sandbox-system-token" not in repr(gateway) + repr(gateway.dialect)


@pytest.mark.parametrize("tenant", [None, "red"])
def test_a_tenant_is_named_with_every_request(changed, tenant):
    changed(tenant_id=tenant)
    assert ItsmHook().gateway.headers().get("X-Bk-Tenant-Id") == tenant


def test_a_template_is_registered_by_the_hook(itsm):
    import json

    hook = ItsmHook()
    hook.send(calls.create_system(name="Own", code="own", token="t"))
    with pytest.raises(errors.ItsmInvalidRequestError, match="Duplicate entry"):
        hook.send(calls.create_system(name="Own", code="own"))
    hook.send(calls.migrate_system(json.dumps(TEMPLATE).encode()))
    assert [one.key for one in hook.send(calls.workflow_names("other"))] == ["mine"]


def test_an_answer_is_given_as_the_person_whom_a_task_asks(itsm, sn):
    itsm.wait_for_step(sn)
    hook = ItsmHook()
    (task,) = hook.send(calls.approval_tasks(sn))
    hook.send(calls.handle_approval_node(sn, task_id=task.id, operator="bob", action="approve"))
    assert itsm.ticket(sn)["approve_result"] is True
