# SPDX-License-Identifier: Apache-2.0
"""What is sent about an open ticket, and what is not, with the sandbox as ITSM and a clock of the test's own."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_bkitsm.hooks.itsm import ItsmHook
from airflow_provider_bkitsm.hooks.store import call_store, store_engine
from airflow_provider_bkitsm.itsm.reminders import read_plan
from airflow_provider_bkitsm.itsm.verdict import VerdictPolicy
from airflow_provider_bkitsm.itsm.verdict_reading import read_verdict
from airflow_provider_bkitsm.sandbox.itsm.service_catalog import COUNTERSIGN, DELIVERABLE, ONE_APPROVAL
from airflow_provider_bkitsm.tickets import reminder_sending
from airflow_provider_bkitsm.tickets.ownership import AwaitedTicket
from airflow_provider_bkitsm.tickets.reminder_sending import Sending, TicketReminders, ticket_reminders
from airflow_provider_bkitsm.tickets.reminder_store import LEASE_SECONDS, ReminderStore, open_reminder_store
from airflow_provider_bkitsm.tickets.senders import SenderSpec, ThreadPerCall
from tests.tickets.records import record_round

CONN = "bkitsm_default"
HOUR = 3600.0
SENT: list[dict[str, Any]] = []
FAILURES: list[Exception] = []
HANGS, HANGING = threading.Event(), threading.Event()
SECRET = "hook-token-7"


def sends(*, reminder: dict[str, Any], **_: Any) -> None:
    if FAILURES:
        raise FAILURES.pop()
    SENT.append(reminder)


def sends_too(*, reminder: dict[str, Any], **_: Any) -> None:
    SENT.append(reminder)


def hangs(**_: Any) -> None:
    HANGING.set()
    HANGS.wait(10)


HERE = SenderSpec(path=f"{__name__}.sends")
TOO = SenderSpec(path=f"{__name__}.{sends_too.__name__}")


class Clock:
    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now

    def pass_by(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture(autouse=True)
def _afresh() -> Iterator[None]:
    SENT.clear()
    FAILURES.clear()
    HANGS.clear()
    HANGING.clear()
    yield
    HANGS.set()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def opened(sandbox: Any, service_id: int = ONE_APPROVAL, approver: str = "alice") -> str:
    fields = {"title": "Open the gate", "approver": approver, "content": "c"}
    sn = ItsmHook().create_ticket(creator="robot", fields=fields, service_id=service_id).sn
    sandbox.wait_for_step(sn)
    return sn


@pytest.fixture
def sn(connections, sandbox) -> str:
    return opened(sandbox)


def item(sn: str, clock: Clock, **more: Any) -> TicketReminders:
    """Return what is sent about a ticket that was opened an hour ago."""
    about: dict[str, Any] = {
        "plan": read_plan(remind_after=[HOUR / 2, HOUR]),
        "senders": (HERE,),
        "opened": clock.now - timedelta(hours=1),
        "title": lambda: "Open the gate",
        "task_id": "wait",
        "awaited": AwaitedTicket(sn=sn, bkitsm_conn_id=CONN, dag_id="dag", run_id="run_1"),
    }
    return TicketReminders(**(about | more))


ESCALATES = {"plan": read_plan(escalate_after=HOUR), "escalate_to": ("boss",)}


async def do(one: TicketReminders, clock: Clock) -> datetime | None:
    """Do what is due, as one of several processes does."""
    store = ReminderStore(store_engine(), now=clock)
    return await Sending(one, store, clock, ThreadPerCall(most=4)).do(one.due(clock.now))


def states(sn: str) -> list[tuple[str, float, str]]:
    return open_reminder_store().states(CONN, sn)


async def test_the_people_of_the_step_are_reminded_with_what_itsm_says_now(sn, sandbox, clock, monkeypatch):
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example.com")
    assert await do(item(sn, clock, deadline=clock.now + timedelta(days=1)), clock) is None
    (one,) = SENT
    assert (one["kind"], one["sn"], one["title"], one["recipients"]) == ("remind", sn, "Open the gate", ["alice"])
    assert (one["step"], one["ticket_url"]) == ("审批", f"{sandbox.url}/#/ticket/detail?id=1")
    assert one["airflow_url"] == "https://airflow.example.com/dags/dag/runs/run_1/tasks/wait/plugin/bkitsm-ticket"
    assert one["deadline"] - one["waiting_since"] == timedelta(hours=25)
    assert states(sn) == [("remind", HOUR, "sent")]


async def test_of_many_who_wait_for_one_ticket_one_reminds(sn, clock):
    for _ in range(5):
        await do(item(sn, clock), clock)
    assert len(SENT) == 1


async def test_each_sender_sends_once_and_a_failing_one_repeats_no_other(sn, clock):
    one = item(sn, clock, senders=(TOO, HERE))
    FAILURES.append(RuntimeError(SECRET))
    again = await do(one, clock)
    assert again is not None
    assert len(SENT) == 1
    clock.now = again
    assert await do(one, clock) is None
    assert len(SENT) == 2


async def test_p8_a_failing_sender_is_logged_without_its_words_and_given_up(sn, clock, caplog):
    one = item(sn, clock)
    FAILURES.extend(RuntimeError(SECRET) for _ in range(9))
    while (again := await do(one, clock)) is not None:
        clock.now = again
    assert SENT == []
    assert len(FAILURES) == 6
    assert "RuntimeError" in caplog.text
    assert SECRET not in caplog.text
    assert states(sn) == [("remind", HOUR, "given_up")]


async def test_the_log_says_that_a_sender_cannot_be_imported(sn, clock, caplog):
    await do(item(sn, clock, senders=(SenderSpec(path="company.nowhere.Notifier"),)), clock)
    assert "company.nowhere.Notifier cannot be imported (ModuleNotFoundError), attempt 1" in caplog.text


async def test_a_sender_that_hangs_is_waited_for_so_long_only_and_counts_when_it_returns(sn, clock, monkeypatch):
    monkeypatch.setattr(reminder_sending, "SENDER_SECONDS", 0.05)
    one = item(sn, clock, senders=(SenderSpec(path=f"{__name__}.hangs"),))
    assert await do(one, clock) is not None
    HANGS.set()
    while states(sn) != [("remind", HOUR, "sent")]:
        await call_store(lambda: None)
    assert await do(one, clock) is None


async def test_one_that_hangs_for_ever_is_tried_again_once_its_claim_has_run_out(sn, clock, monkeypatch):
    monkeypatch.setattr(reminder_sending, "SENDER_SECONDS", 0.05)
    one = item(sn, clock, senders=(SenderSpec(path=f"{__name__}.hangs"),))
    for _ in range(3):
        assert await do(one, clock) is not None
        clock.pass_by(LEASE_SECONDS)
    assert await do(one, clock) is None


async def test_without_room_for_another_thread_nothing_is_lost(sn, clock):
    store = ReminderStore(store_engine(), now=clock)
    one = item(sn, clock)
    full = ThreadPerCall(most=0)
    again = await Sending(one, store, clock, full).do(one.due(clock.now))
    assert again is not None
    clock.now = again
    assert await do(one, clock) is None
    assert len(SENT) == 1


@pytest.mark.parametrize("end", ["approve", "reject", "withdraw"])
async def test_nobody_is_reminded_of_a_ticket_that_is_over(sn, sandbox, clock, end):
    getattr(sandbox, end)(sn)
    assert await do(item(sn, clock), clock) is not None
    assert SENT == []


async def test_a_suspended_ticket_is_reminded_of_when_it_goes_on(sn, sandbox, clock):
    one = item(sn, clock)
    sandbox.operate(sn, "SUSPEND", operator="alice")
    for _ in range(4):
        again = await do(one, clock)
        assert again is not None
        clock.now = again
    assert SENT == []
    sandbox.operate(sn, "UNSUSPEND", operator="alice")
    assert await do(one, clock) is None
    assert len(SENT) == 1


@pytest.mark.parametrize("fault", ["html", "refuse", "status"])
async def test_nobody_is_reminded_while_itsm_does_not_say_how_the_ticket_stands(sn, sandbox, clock, fault):
    one = item(sn, clock)
    sandbox.fault("get_ticket_status", fault, times=9)
    again = await do(one, clock)
    assert again is not None
    assert SENT == []
    sandbox.clear_faults()
    clock.now = again
    assert await do(one, clock) is None
    assert len(SENT) == 1


async def test_p6_a_ticket_of_another_itsm_under_the_same_number_is_nobodys_to_remind(sn, clock, caplog):
    assert await do(item(sn, clock, dialect="v4"), clock) is not None
    assert SENT == []


@pytest.mark.parametrize("what", [{}, ESCALATES])
async def test_p6_who_has_its_number_in_another_itsm_is_neither_reminded_nor_asks_others(sn, clock, sandbox, what):
    """The connection leads to another ITSM of the same version by now."""
    record_round(sn, request={"dialect": "v2", "creator": "zoe", "fields": {"title": "ours"}})
    assert await do(item(sn, clock, **what), clock) is not None
    assert (SENT, sandbox.requests("operate_node")) == ([], [])


async def test_p6_another_tasks_ticket_is_neither_reminded_of_nor_claimed(sn, clock):
    record_round(sn, dag_id="other", request={"dialect": "v2"})
    assert await do(item(sn, clock), clock) is None
    assert (SENT, states(sn)) == ([], [])


async def test_where_a_wait_does_not_know_its_task_the_log_says_who_reminds(sn, clock, caplog):
    """As in dag.test(), and so in bkitsm_run."""
    record_round(sn, dag_id="dag", request={"dialect": "v2"})
    unknown = AwaitedTicket(sn=sn, bkitsm_conn_id=CONN, dag_id="", run_id="")
    assert await do(item(sn, clock, awaited=unknown), clock) is None
    assert (SENT, states(sn)) == ([], [])
    assert "only a triggerer reminds, not dag.test()" in caplog.text


async def test_the_option_is_the_default_sender(sn, clock, monkeypatch):
    monkeypatch.setenv("AIRFLOW__BKITSM__REMIND", f"{__name__}.sends")
    await do(item(sn, clock, senders=()), clock)
    assert len(SENT) == 1


async def test_without_any_sender_the_log_says_so(sn, clock, caplog):
    assert await do(item(sn, clock, senders=()), clock) is None
    assert "no [bkitsm] remind" in caplog.text


# -- escalation


@pytest.fixture
def deliverable(connections, sandbox) -> str:
    """A ticket of ours whose step may be handed over."""
    sn = opened(sandbox, DELIVERABLE)
    record_round(sn, request={"dialect": "v2", "requester": "robot"})
    return sn


def asks(sn: str) -> tuple[str, ...]:
    return ItsmHook().get_ticket_status(sn).waits_for


async def test_an_escalated_ticket_asks_the_further_approvers_and_they_are_told(deliverable, clock, sandbox):
    assert await do(item(deliverable, clock, **ESCALATES), clock) is None
    assert asks(deliverable) == ("boss",)
    (one,) = SENT
    assert (one["kind"], one["recipients"], one["handed_over"]) == ("escalate", ["boss"], True)
    # A hand-over is no answer: the ticket waits, and the new approver's answer ends it.
    assert sandbox.ticket(deliverable)["status"] == "RUNNING"
    sandbox.approve(deliverable, operator="boss")
    (row,) = ItsmHook().ticket_approval_result([deliverable])
    assert (row.current_status, row.approve_result) == ("FINISHED", True)


async def test_it_is_escalated_once_by_however_many(deliverable, clock, sandbox):
    for _ in range(4):
        await do(item(deliverable, clock, **ESCALATES), clock)
    assert len(sandbox.requests("operate_node")) == 1
    assert len(SENT) == 1


async def test_p3_a_hand_over_alone_is_no_approval(deliverable, clock):
    await do(item(deliverable, clock, **ESCALATES), clock)
    verdict = ItsmHook().run(read_verdict(deliverable, VerdictPolicy()))
    assert not verdict.outcome.is_final


async def test_a_killed_escalation_hands_over_no_second_time_and_tells_all_the_same(deliverable, clock, sandbox):
    one = item(deliverable, clock, **ESCALATES)
    store = ReminderStore(store_engine(), now=clock)
    assert not isinstance(store.claim(one.key("escalate", HOUR, "")), str)  # type: ignore[arg-type]
    ItsmHook().operate_node(
        sn=deliverable,
        state_id=80,
        operator="admin",
        action_type="DELIVER",
        processors="boss",
        processors_type="PERSON",
        action_message="m",
    )
    assert await do(one, clock) is not None
    clock.pass_by(LEASE_SECONDS)
    assert await do(one, clock) is None
    assert len(sandbox.requests("operate_node")) == 1
    assert [one["handed_over"] for one in SENT] == [True]


async def test_where_the_service_hands_nothing_over_the_further_approvers_are_told(sn, clock, sandbox):
    record_round(sn, request={"dialect": "v2", "requester": "robot"})
    assert await do(item(sn, clock, **ESCALATES), clock) is None
    assert asks(sn) == ("alice",)
    assert sandbox.requests("operate_node") == []
    assert [(one["recipients"], one["handed_over"]) for one in SENT] == [(["boss"], False)]


async def test_a_refused_hand_over_becomes_a_notice(deliverable, clock, sandbox):
    sandbox.fault("operate_node", "refuse", code=3900004)
    assert await do(item(deliverable, clock, **ESCALATES), clock) is None
    assert asks(deliverable) == ("admin",)
    assert [one["handed_over"] for one in SENT] == [False]


async def test_an_outage_during_the_hand_over_is_tried_again(deliverable, clock, sandbox):
    one = item(deliverable, clock, **ESCALATES)
    sandbox.fault("get_ticket_status", "html", times=1)
    again = await do(one, clock)
    assert again is not None
    clock.now = again
    assert await do(one, clock) is None
    assert asks(deliverable) == ("boss",)


async def test_p6_a_ticket_without_a_record_of_ours_is_not_handed_over(connections, sandbox, clock):
    sn = opened(sandbox, DELIVERABLE)
    assert await do(item(sn, clock, **ESCALATES), clock) is None
    assert asks(sn) == ("admin",)
    assert [one["handed_over"] for one in SENT] == [False]


@pytest.mark.parametrize("where", ["task", "request"])
async def test_p3_who_asked_is_never_escalated_to_where_they_may_not_approve(connections, sandbox, clock, where):
    sn = opened(sandbox, DELIVERABLE)
    policy = asdict(VerdictPolicy(forbid_self_approval=where == "request"))
    record_round(sn, request={"dialect": "v2", "requester": "boss", "policy": policy})
    own = {"forbid_self_approval": True} if where == "task" else {}
    assert await do(item(sn, clock, **ESCALATES, policy_settings=own), clock) is None
    assert asks(sn) == ("admin",)
    assert SENT == []


async def test_p3_of_several_the_one_who_asked_is_left_out(connections, sandbox, clock):
    sn = opened(sandbox, DELIVERABLE)
    record_round(sn, request={"dialect": "v2", "requester": "boss"})
    more = ESCALATES | {"escalate_to": ("Boss", "chief"), "policy_settings": {"forbid_self_approval": True}}
    assert await do(item(sn, clock, **more), clock) is None
    assert asks(sn) == ("chief",)
    assert [one["recipients"] for one in SENT] == [["chief"]]


async def test_p3_a_ticket_that_needs_more_people_is_not_handed_over_to_fewer(connections, sandbox, clock):
    sn = opened(sandbox, COUNTERSIGN, "alice,bob,carol")
    record_round(sn, request={"dialect": "v2", "requester": "robot"})
    assert await do(item(sn, clock, **ESCALATES, policy_settings={"min_approvers": 2}), clock) is None
    assert set(asks(sn)) == {"alice", "bob", "carol"}
    assert sandbox.requests("operate_node") == []


async def test_what_is_due_together_with_an_escalation_counts_with_it(deliverable, clock):
    plan = read_plan(remind_after=[HOUR / 2, HOUR], escalate_after=HOUR)
    for _ in range(3):
        await do(item(deliverable, clock, **(ESCALATES | {"plan": plan})), clock)
    assert [one["kind"] for one in SENT] == ["escalate"]


async def test_a_reminder_due_after_an_escalation_is_sent_by_a_process_that_did_not_escalate(deliverable, clock):
    plan = read_plan(remind_after=[HOUR / 2, 2 * HOUR], escalate_after=HOUR)
    about = ESCALATES | {"plan": plan, "opened": clock.now - timedelta(hours=1)}
    await do(item(deliverable, clock, **about), clock)
    clock.pass_by(HOUR)
    await do(item(deliverable, clock, **about), clock)
    assert [(one["kind"], one["recipients"]) for one in SENT] == [("escalate", ["boss"]), ("remind", ["boss"])]


async def test_a_reminder_due_with_an_escalation_that_may_go_to_nobody_is_sent(connections, sandbox, clock):
    sn = opened(sandbox, DELIVERABLE)
    record_round(sn, request={"dialect": "v2", "requester": "boss"})
    plan = read_plan(remind_after=HOUR, escalate_after=HOUR)
    more = ESCALATES | {"plan": plan, "policy_settings": {"forbid_self_approval": True}}
    assert await do(item(sn, clock, **more), clock) is None
    assert [(one["kind"], one["recipients"]) for one in SENT] == [("remind", ["admin"])]


async def test_the_log_names_no_message_as_sent_that_was_given_up(sn, clock, caplog):
    caplog.set_level("INFO")
    one = item(sn, clock)
    FAILURES.extend(RuntimeError() for _ in range(3))
    while (again := await do(one, clock)) is not None:
        clock.now = again
    assert "the last attempt" in caplog.text
    assert f"A message about ITSM ticket {sn}" not in caplog.text


def test_what_travels_with_a_trigger_is_read_back():
    text = '{"plan": {"remind_after": [60], "escalate_after": 90}, "remind_by": [{"path": "a.b", "kwargs": {}}]}'
    awaited = AwaitedTicket(sn="REQ1", bkitsm_conn_id=CONN, dag_id="d", run_id="r")
    found = ticket_reminders(text, escalate_to="boss, chief", awaited=awaited, opened=datetime.now(UTC))
    assert (found.plan.remind_after, found.plan.escalate_after) == ((60.0,), 90.0)
    assert (found.senders, found.escalate_to) == ((SenderSpec(path="a.b"),), ("boss", "chief"))
