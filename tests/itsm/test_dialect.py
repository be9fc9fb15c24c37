# SPDX-License-Identifier: Apache-2.0
"""An approval from opening to verdict in an ITSM of another version: the core knows none of v2's words."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_bkitsm.callback.messages import read_notice
from airflow_provider_bkitsm.hooks.connection import DIALECTS
from airflow_provider_bkitsm.hooks.itsm import ItsmHook
from airflow_provider_bkitsm.itsm import errors
from airflow_provider_bkitsm.itsm.actions import comment, operate
from airflow_provider_bkitsm.itsm.dialect import stored_dialect
from airflow_provider_bkitsm.itsm.v2.dialect import V2
from airflow_provider_bkitsm.itsm.verdict import VerdictPolicy
from airflow_provider_bkitsm.itsm.verdict_reading import read_verdict
from airflow_provider_bkitsm.operators.ticket import ItsmCreateTicketOperator, ItsmOperateTicketOperator
from airflow_provider_bkitsm.sensors.ticket import ItsmTicketSensor
from airflow_provider_bkitsm.triggers.ticket import ItsmTicketTrigger
from tests.itsm.fake_dialect import FakeDialect

CONN = "bkitsm_default"
LOGIN = {"conn_type": "bkitsm", "host": "https://itsm.invalid/api", "login": "app", "password": "secret"}


@pytest.fixture
def itsm(connect, monkeypatch, tmp_path) -> FakeDialect:
    """An ITSM of the other version, behind the default connection; nothing answers at its address."""
    fake = FakeDialect()
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    monkeypatch.setitem(DIALECTS, "fake", fake)
    connect(CONN, **LOGIN, extra={"dialect": "fake", "settle_seconds": 0.1})
    return fake


@pytest.fixture
def sn(itsm, task) -> str:
    return opened(task)


def opened(task: Any, **more: Any) -> str:
    fields = {"APPROVER": "bob", "APPROVAL_CONTENT": "Drop ORDERS"}
    operator = ItsmCreateTicketOperator(task_id="ask", title="Drop?", fields=fields, fast_approval=True)
    return operator.execute(task("ask", **more).context)


def waited(sn: str, task: Any) -> dict[str, Any]:
    sensor = ItsmTicketSensor(task_id="wait", ticket_sn=sn, deferrable=False, poke_interval=0.05, opened_by="ask")
    return sensor.execute(task("wait").context)


async def fired(sn: str) -> dict[str, Any]:
    trigger = ItsmTicketTrigger(
        ticket_sn=sn, bkitsm_conn_id=CONN, poll_interval=0.05, approval_timeout=None, opened_by="ask"
    )
    return await anext(event.payload async for event in trigger.run())


def test_an_approval_runs_from_its_opening_to_its_verdict(itsm, sn, task):
    itsm.answer(sn, approved=True)
    verdict = waited(sn, task)
    assert (verdict["outcome"], verdict["current_status"]) == ("approved", "done")
    assert [(one["operator"], one["approved"], one["remark"]) for one in verdict["approvers"]] == [
        ("bob", True, "r")
    ]


async def test_the_triggerer_waits_for_it_as_well(itsm, sn):
    itsm.answer(sn, approved=True)
    assert (await fired(sn))["verdict"]["outcome"] == "approved"


def test_p3_a_refusal_is_none(itsm, sn, task):
    itsm.answer(sn, approved=False)
    with pytest.raises(AirflowFailException, match="refused by an approver"):
        waited(sn, task)


def test_p3_an_end_without_evidence_is_none(itsm, sn, task):
    itsm.answer(sn, approved=True)
    hook, yes = ItsmHook(), itsm.answers[sn]
    itsm.log = lambda sn: FakeDialect.log(FakeDialect(), sn)
    verdict = hook.run(read_verdict(sn, VerdictPolicy()))
    assert yes.approved
    assert (verdict.outcome, verdict.reason_code) == ("rejected", "no_evidence")


def test_p3_an_approved_ticket_whose_form_was_edited_is_none(itsm, sn, task):
    before = itsm.tickets[sn]
    edited = tuple(
        type(one)(**vars(one) | {"value": "Drop tmp"}) if one.key == "APPROVAL_CONTENT" else one
        for one in before.fields
    )
    itsm.tickets[sn] = type(before)(**vars(before) | {"fields": edited})
    itsm.answer(sn, approved=True)
    with pytest.raises(AirflowFailException, match="not what was sent"):
        waited(sn, task)


def test_p5_a_ticket_is_withdrawn(itsm, sn, task):
    withdraw = ItsmOperateTicketOperator(
        task_id="withdraw", ticket_sn=sn, action_type="WITHDRAW", action_message="over"
    )
    assert withdraw.execute(task("withdraw").context) == "gone"
    with pytest.raises(AirflowFailException, match="was withdrawn"):
        waited(sn, task)


def test_p2_a_lost_answer_is_found_by_the_mark_where_there_is_no_tag(itsm, task):
    itsm.loses_answers = True
    sn = opened(task)
    assert opened(task, try_number=2) == sn
    assert list(itsm.tickets) == [sn]


def test_what_a_version_cannot_do_is_an_error_that_says_so(itsm, sn):
    with pytest.raises(errors.ItsmConfigurationError, match="ITSM fake, which the connection names"):
        ItsmHook().run(comment(sn=sn, stars=3, operator="bob", comments=""))


async def test_tickets_are_read_one_by_one_where_a_version_reads_no_batches(itsm, task, monkeypatch):
    numbers, asked = [opened(task, run_id=f"run_{number}") for number in range(3)], []

    def states(_dialect: FakeDialect, sns: list[str]) -> Any:
        asked.append(list(sns))
        return read(itsm, sns)

    read = FakeDialect.states
    monkeypatch.setattr(FakeDialect, "states", states)
    for sn in numbers:
        itsm.answer(sn, approved=True)
    await asyncio.gather(*map(fired, numbers))
    assert asked
    assert all(len(one) == 1 for one in asked)


@pytest.mark.parametrize("action", ["SUSPEND", "UNSUSPEND", "TERMINATE"])
def test_what_an_application_may_not_do_there_is_refused(itsm, sn, action):
    before = itsm.tickets[sn]
    wish = {"action_type": action, "operator": "bob", "action_message": "m"}
    with pytest.raises(errors.ItsmConfigurationError, match=f"{action} to a ticket; ticket {sn} is as it was"):
        ItsmHook().run(operate(sn=sn, **wish))
    assert itsm.tickets[sn] is before


def test_a_version_without_a_built_in_approval_opens_none(itsm, monkeypatch, task):
    monkeypatch.setattr(itsm, "capabilities", replace(itsm.capabilities, fast_approval=False))
    with pytest.raises(errors.ItsmInvalidRequestError, match="no built-in approval service"):
        opened(task)
    assert itsm.tickets == {}


def test_v2_can_do_all_of_it():
    can = V2.capabilities
    assert can.fast_approval
    assert can.batch
    assert can.terminate
    assert can.suspend


def test_a_callback_is_read_in_the_dialect_it_is_written_in(itsm):
    theirs = {"receipt": "ours", "case": {"id": "1020261129"}}
    ours = {"sn": "REQ1", "token": "t" * 8}
    assert read_notice(json.dumps(theirs).encode()).dialect == "fake"
    assert read_notice(json.dumps(ours).encode()).dialect == "v2"


def test_p4_a_callback_of_two_dialects_at_once_is_none(itsm):
    both = {"receipt": "ours", "case": {"id": "1020261129"}, "sn": "REQ1", "token": "t" * 8}
    assert read_notice(json.dumps(both).encode()) is None


def test_a_dialect_nobody_knows_is_named_with_those_there_are(connect):
    connect(CONN, **LOGIN, extra={"dialect": "v9"})
    with pytest.raises(errors.ItsmConfigurationError, match="'dialect' must be v2 or v4; nothing was sent"):
        _ = ItsmHook().gateway


CORE = "actions confirmation evidence form idempotency models outcome people schedule stall verdict_reading"
CORE += " verdict_source wait"


def test_the_core_imports_no_version_of_itsm():
    """A subprocess, since this one has imported everything."""
    modules = [*(f"airflow_provider_bkitsm.itsm.{name}" for name in CORE.split()), "tests.itsm.fake_dialect"]
    script = (
        f"import importlib, sys; [importlib.import_module(one) for one in {modules}];"
        " print([one for one in sys.modules if '.itsm.v2' in one or '.itsm.v4' in one])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.fixture
def changed(itsm, sn, connect) -> str:
    """A ticket whose connection has been changed to another version since it was opened."""
    other = FakeDialect()
    other.name = "other"
    DIALECTS["other"] = other
    connect(CONN, **LOGIN, extra={"dialect": "other", "settle_seconds": 0.1})
    yield sn
    del DIALECTS["other"]


def test_p3_a_ticket_of_another_dialect_is_not_waited_for(changed, task):
    with pytest.raises(errors.ItsmAnotherDialectError, match=r"A retry goes on once .* 'fake' again"):
        waited(changed, task)


async def test_p3_the_triggerer_does_not_wait_for_it_either(changed):
    assert (await fired(changed))["kind"] == "ItsmAnotherDialectError"


def test_p3_another_itsms_ticket_of_the_same_number_is_no_approval(changed, itsm, task):
    itsm.answer(changed, approved=True)
    other = DIALECTS["other"]
    other.tickets, other.answers = itsm.tickets, itsm.answers
    with pytest.raises(errors.ItsmAnotherDialectError, match="another ITSM may have a ticket of that number"):
        waited(changed, task)


def test_p2_a_retry_opens_no_second_ticket_in_the_other_itsm(changed, task):
    with pytest.raises(errors.ItsmAnotherDialectError, match="no second one was opened"):
        opened(task, try_number=2)
    assert DIALECTS["other"].tickets == {}


def test_a_cleared_task_asks_anew_there(changed, task):
    assert opened(task, clear_number=1, try_number=2)
    assert len(DIALECTS["other"].tickets) == 1


def test_what_was_stored_before_there_were_several_dialects_is_v2s():
    assert stored_dialect({}) == stored_dialect({"dialect": None}) == "v2"


def test_p6_another_itsms_ticket_of_the_same_number_is_not_ended_when_time_is_up(changed, itsm, task):
    other = DIALECTS["other"]
    other.tickets = dict(itsm.tickets)
    sensor = ItsmTicketSensor(
        task_id="wait", ticket_sn=changed, opened_by="ask", on_not_approved="pass", on_timeout="withdraw"
    )
    event = {"verdict": {"sn": changed, "outcome": "timed_out", "reason_code": "deadline"}}
    assert sensor.execute_complete(task("wait").context, event)["outcome"] == "timed_out"
    assert other.tickets == itsm.tickets
