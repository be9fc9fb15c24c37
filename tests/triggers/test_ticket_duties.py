# SPDX-License-Identifier: Apache-2.0
"""Separation of duties in the triggerer (promise P3): no approval ends a task there that a worker would refuse."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from airflow.triggers.base import TaskSuccessEvent

from airflow_provider_bkitsm.hooks.itsm import ItsmHook
from airflow_provider_bkitsm.itsm.duties import REQUESTER
from airflow_provider_bkitsm.operators.ticket import ItsmCreateTicketOperator
from airflow_provider_bkitsm.triggers.task_instance import TaskInstanceXComs
from airflow_provider_bkitsm.triggers.ticket import ItsmTicketTrigger
from tests.triggers.test_ticket import fired, trigger


@pytest.fixture
def sn(connections, task) -> str:
    """Open a ticket for alice, by a task that forbids self-approval."""
    fields = {"APPROVER": "alice,bob", "APPROVAL_CONTENT": "c"}
    opener = ItsmCreateTicketOperator(
        task_id="ask", title="t", fast_approval=True, fields=fields, forbid_self_approval=True
    )
    return str(opener.execute(task("ask", person="alice").context))


@pytest.fixture
def on_task(monkeypatch):
    """Give a trigger a task instance whose XComs can be written."""
    from airflow_provider_bkitsm.triggers import conclusion

    async def written(*_args, **_more):
        return True

    for name in ("register", "forget_results", "show", "conclude", "polled", "renew"):
        monkeypatch.setattr(TaskInstanceXComs, name, written)
    monkeypatch.setattr(conclusion, "airflow_can_finish_without_worker", lambda: True)

    def give(one: ItsmTicketTrigger) -> ItsmTicketTrigger:
        one.task_instance = SimpleNamespace(
            id="i", dag_id="dag", run_id="run_1", task_id="wait", map_index=-1, start_date=None
        )
        return one

    return give


async def ended(sn: str, on_task, **parameters):
    return await fired(on_task(trigger(sn, ends_task=True, opened_by="ask", **parameters)))


def reason(event) -> str:
    return str(event.payload["verdict"]["reason_code"])


async def test_p3_the_record_says_who_asked(sn, sandbox, on_task):
    sandbox.approve(sn, operator="alice")
    assert reason(await ended(sn, on_task)) == "self_approved"


async def test_another_persons_yes_ends_the_task(sn, sandbox, on_task):
    sandbox.approve(sn, operator="bob")
    assert isinstance(await ended(sn, on_task), TaskSuccessEvent)


async def test_p3_the_trigger_may_be_stricter(sn, sandbox, on_task):
    sandbox.approve(sn, operator="bob")
    assert reason(await ended(sn, on_task, min_approvers=2)) == "too_few_approvers"
    assert reason(await ended(sn, on_task, forbid_self_approval=True, requester="bob")) == "self_approved"


@pytest.mark.parametrize("settings", [{"forbid_self_approval": True}, {"after_worker": True}])
async def test_p3_without_the_record_a_worker_decides(sn, sandbox, on_task, tmp_path, settings):
    sandbox.approve(sn, operator="alice")
    for one in tmp_path.glob("bkitsm.db*"):
        one.unlink()
    event = await fired(on_task(trigger(sn, ends_task=True, opened_by="anyone", **settings)))
    assert not isinstance(event, TaskSuccessEvent)


async def test_the_tickets_creator_asked_where_nothing_else_says_who(connections, sandbox):
    form = {"title": "t", "APPROVER": "alice", "APPROVAL_CONTENT": "c"}
    sn = ItsmHook().create_ticket(creator="alice", fields=form, fast_approval=True).sn
    sandbox.approve(sn, operator="alice")
    assert reason(await fired(trigger(sn, forbid_self_approval=True))) == "self_approved"
    assert reason(await fired(trigger(sn, forbid_self_approval=True, **{REQUESTER: "carol"}))) == "approved"
