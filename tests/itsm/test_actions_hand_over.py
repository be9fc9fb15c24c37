# SPDX-License-Identifier: Apache-2.0
"""Handing the steps of a ticket over, in both dialects, with the sandbox as ITSM."""

from __future__ import annotations

import json

import pytest

from airflow_provider_bkitsm.hooks.itsm import ItsmHook
from airflow_provider_bkitsm.itsm.actions import HandOver, hand_over, read_status
from airflow_provider_bkitsm.itsm.dialect import ask
from airflow_provider_bkitsm.itsm.models import Progress, Step, TicketStatus
from airflow_provider_bkitsm.sandbox.itsm.service_catalog import DELIVERABLE, FAST_APPROVAL
from tests.itsm.fake_dialect import FakeDialect
from tests.itsm.flows import drive


def opened(sandbox, service_id: int = DELIVERABLE) -> str:
    fields = {"title": "t", "approver": "alice", "content": "c"}
    if service_id == FAST_APPROVAL:
        fields = {"title": "t", "APPROVER": "alice", "APPROVAL_CONTENT": "c"}
    fast = service_id == FAST_APPROVAL
    more = {"fast_approval": True} if fast else {"service_id": service_id}
    sn = ItsmHook().create_ticket(creator="robot", fields=fields, **more).sn
    sandbox.wait_for_step(sn)
    return sn


def handed(hook: ItsmHook, sn: str, *people: str) -> HandOver:
    status = hook.run(read_status(sn))
    return hook.run(hand_over(sn=sn, status=status, people=people, message="nobody has decided"))


def test_a_step_that_may_be_handed_over_asks_the_new_people(connections, sandbox):
    sn = opened(sandbox)
    result = handed(ItsmHook(), sn, "boss", "chief")
    assert (result.done, result.refusals) == (("审批节点",), ())
    assert result.status.waits_for == ("boss", "chief")
    (request,) = sandbox.requests("operate_node")
    assert request["body"]["processors"] == "boss,chief"
    assert request["body"]["operator"] == "admin"


def test_a_repetition_asks_itsm_to_do_nothing(connections, sandbox):
    sn = opened(sandbox)
    handed(ItsmHook(), sn, "boss")
    result = handed(ItsmHook(), sn, "Boss")
    assert result.done == ("审批节点",)
    assert len(sandbox.requests("operate_node")) == 1


def test_a_step_whose_service_does_not_offer_it_is_not_even_asked(connections, sandbox):
    sn = opened(sandbox, FAST_APPROVAL)
    result = handed(ItsmHook(), sn, "boss")
    assert result.done == ()
    assert "does not offer" in result.refusals[0]
    assert sandbox.requests("operate_node") == []


def test_a_lost_answer_is_settled_by_reading_again(connections, sandbox):
    sn = opened(sandbox)
    sandbox.fault("operate_node", "drop_answer")
    assert handed(ItsmHook(), sn, "boss").done == ("审批节点",)


def test_a_refusal_is_told_and_changes_nothing(connections, sandbox):
    sn = opened(sandbox)
    sandbox.fault("operate_node", "refuse", code=3900004)
    result = handed(ItsmHook(), sn, "boss")
    assert (result.done, result.status.waits_for) == ((), ("admin",))
    assert "sandbox fault" in result.refusals[0]


@pytest.mark.parametrize("step", [Step(key="1"), Step(key="1", is_open_to_all=True)], ids=str)
def test_a_step_that_asks_nobody_by_name_is_left(connections, sandbox, step):
    sn = opened(sandbox)
    status = TicketStatus(current_status="RUNNING", progress=Progress.RUNNING, current_steps=(step,))
    result = ItsmHook().run(hand_over(sn=sn, status=status, people=["boss"], message="m"))
    assert "asks nobody by name" in result.refusals[0]
    assert sandbox.requests("operate_node") == []


@pytest.mark.parametrize("tasks", ["shared", "each"])
def test_in_v4_the_open_task_is_handed_over_and_the_new_persons_yes_counts(
    connections, sandbox, monkeypatch, tasks
):
    sandbox.dialect = "v4"
    sandbox.set_itsm_v4(tasks=tasks)
    monkeypatch.setenv("AIRFLOW_CONN_BKITSM_DEFAULT", sandbox.connection("bkitsm", read_retries=0))
    hook = ItsmHook()
    workflow = json.loads(sandbox.connection("bkitsm"))["extra"]["workflow_key"]
    fields = {"title": "t", "approvers": ["alice"], "content": "c"}
    service_id, form = hook.run(
        ask(lambda itsm: itsm.service_for(fields, service_id=workflow, fast_approval=False))
    )
    asked = {"service_id": service_id, "fields": form, "fast_approval": False, "meta": {}}
    sn = hook.run(ask(lambda itsm: itsm.create(tag="t" * 32, creator="robot", **asked))).sn
    sandbox.wait_for_step(sn)
    result = handed(hook, sn, "boss")
    assert (result.refusals, result.status.waits_for) == ((), ("boss",))
    sandbox.approve(sn, operator="boss")
    (state,) = hook.run(ask(lambda itsm: itsm.states([sn])))
    assert (state.progress, state.approve_result) == (Progress.FINISHED, True)


def test_a_version_that_hands_nothing_over_says_so():
    step = Step(key="1", name="review", processors=("alice",))
    status = TicketStatus(current_status="asks", progress=Progress.RUNNING, current_steps=(step,))
    flow = hand_over(sn="1", status=status, people=["boss"], message="m")
    result = drive(flow, lambda _call: None, dialect=FakeDialect())
    assert "hands no step" in result.refusals[0]
