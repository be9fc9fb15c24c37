# SPDX-License-Identifier: Apache-2.0
"""Asking ITSM about one ticket, with the sandbox as ITSM."""

from __future__ import annotations

import asyncio

import pytest

from airflow_provider_bkitsm.approvals.rows import ApprovalWait, TaskKey
from airflow_provider_bkitsm.hooks.connection import Gateway
from airflow_provider_bkitsm.hooks.itsm import ItsmHook
from airflow_provider_bkitsm.plugins import views
from airflow_provider_bkitsm.plugins.views import ApprovalViews, read_story
from tests.callback.conftest import FORM, gateway_of
from tests.plugins.people import Person


@pytest.fixture
def gateway(sandbox) -> Gateway:
    return gateway_of(sandbox)


@pytest.fixture
def sn(connections, sandbox) -> str:
    """Open a ticket that waits for its approver."""
    opened = ItsmHook().create_ticket(creator="robot", fields=FORM, fast_approval=True).sn
    sandbox.wait_for_step(opened)
    return opened


async def test_an_open_ticket_tells_what_was_asked_and_whose_turn_it_is(gateway, sn):
    story, problem = await read_story(gateway, sn)
    assert story is not None
    assert (problem, story["title"], story["creator"]) == ("", "t", "robot")
    assert story["entries"][-1]["people"] == ("alice",)


@pytest.mark.parametrize(("decide", "kind"), [("approve", "approved"), ("reject", "refused")])
async def test_an_answer_is_told_with_its_remark(gateway, sn, sandbox, decide, kind):
    getattr(sandbox, decide)(sn, remark="because")
    story, _ = await read_story(gateway, sn)
    assert story is not None
    assert [(one["people"], one["remark"]) for one in story["entries"] if one["kind"] == kind] == [
        (("alice",), "because")
    ]


async def test_a_ticket_that_is_unknown_has_no_story(gateway, connections):
    story, problem = await read_story(gateway, "REQ_nobody")
    assert story is None
    assert "3900022" in problem


async def test_a_silent_itsm_does_not_hold_the_page(gateway, sn, monkeypatch):
    async def never(*_: object) -> None:
        await asyncio.sleep(3600)

    monkeypatch.setattr("airflow_provider_bkitsm.plugins.views.ItsmAsyncHook.run", never)
    assert await read_story(gateway, sn, seconds=0.5) == (None, "no answer in 0.5 s")


async def test_people_who_look_at_a_ticket_within_seconds_share_one_look_until_it_is_changed(
    metadata, sn, sandbox, monkeypatch
):
    monkeypatch.setattr(views, "check_reads", lambda *_: None)
    monkeypatch.setattr(views, "may_change", lambda *_: False)
    task = TaskKey(dag_id="dag", run_id="run", task_id="wait")
    wait = ApprovalWait(task=task, state="deferred", sn=sn, conn_id="bkitsm_default")
    seen = ApprovalViews(metadata)
    monkeypatch.setattr(seen.tickets, "of_run", lambda *_: [wait])
    monkeypatch.setattr(seen.tickets, "polls", lambda **_: {})
    both = await asyncio.gather(*(seen.ticket(None, Person(), task) for _ in range(20)))
    assert both[0]["story"]["title"] == "t"
    assert len(sandbox.requests("get_ticket_info")) == 1
    seen.forget_story(wait.ticket)
    await seen.ticket(None, Person(), task)
    assert len(sandbox.requests("get_ticket_info")) == 2
