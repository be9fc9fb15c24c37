# SPDX-License-Identifier: Apache-2.0
"""What a retry or a clear knows of a ticket that a version without approval records has opened (promise P2)."""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_bkitsm.collectors.errors import StoreUnavailable
from airflow_provider_bkitsm.hooks.itsm import ItsmHook
from airflow_provider_bkitsm.operators.ticket import ItsmApprovalOperator, ItsmCreateTicketOperator
from airflow_provider_bkitsm.tickets.approval_store import ApprovalStore, open_approval_store
from tests.tickets.records import record_round

FORM = {"APPROVER": "alice", "APPROVAL_CONTENT": "restart"}
FAST = {"task_id": "gate", "title": "Restart", "fast_approval": True, "fields": FORM}
LEGACY = {"asking": "0123456789abcdef0123456789abcdef:0", "since": "2026-01-01T00:00:00+00:00", "id": 1}


class States(dict[str, Any]):
    """Airflow's task state store."""

    def set(self, key: str, value: Any) -> None:
        self[key] = value


@pytest.fixture
def ask(connections, task):
    """Run one try of the task, and return the number of its ticket."""

    def run(*, parameters=None, states, **more):
        who = task("gate", states=States(bkitsm_ticket=states), **more)
        return ItsmCreateTicketOperator(**FAST | (parameters or {})).execute(who.context)

    return run


@pytest.fixture
def opened(connections, sandbox) -> dict[str, object]:
    form = {"title": "Restart #01234567", **FORM}
    sn = ItsmHook().create_ticket(creator="robot", fields=form, fast_approval=True).sn
    sandbox.wait_for_step(sn)
    return {**LEGACY, "sn": sn, "ticket_url": "https://itsm.example.com/1", "title": form["title"]}


def test_p2_a_retry_goes_on_with_it_decided_or_not(ask, opened, sandbox):
    sandbox.reject(opened["sn"])
    assert ask(try_number=2, states=opened) == opened["sn"]


def test_p2_a_clear_keeps_it_while_it_is_open(ask, opened):
    assert ask(clear_number=1, states=opened) == opened["sn"]


def test_p3_a_clear_asks_anew_once_it_has_ended(ask, opened, sandbox):
    sandbox.approve(opened["sn"])
    assert ask(clear_number=1, states=opened) != opened["sn"]


def test_clearing_may_withdraw_it(ask, opened, sandbox):
    ask(clear_number=1, states=opened, parameters={"on_clear": "withdraw"})
    assert sandbox.ticket(opened["sn"])["status"] == "REVOKED"


def test_p3_one_that_shows_another_digest_is_not_waited_for(task, opened):
    state = {**opened, "title": f"{opened['title']}-00000000"}
    with pytest.raises(AirflowFailException, match="asks something else"):
        ItsmApprovalOperator(**FAST).execute(
            task("gate", try_number=2, states=States(bkitsm_ticket=state)).context
        )


def test_p2_a_crash_while_it_is_recorded_costs_no_second_ticket(ask, opened, sandbox, monkeypatch):
    change = ApprovalStore.change

    def broken(*_args, **_changes):
        raise StoreUnavailable("locked")

    monkeypatch.setattr(ApprovalStore, "change", broken)
    with suppress(StoreUnavailable):
        ask(try_number=2, states=opened)
    monkeypatch.setattr(ApprovalStore, "change", change)
    assert ask(try_number=3, states=opened) == opened["sn"]
    assert len(sandbox.tickets()) == 1


def test_p3_where_itsms_clock_is_behind_a_ticket_is_so_much_younger_than_it_says(ask, opened, sandbox):
    """A ticket of ours shows by how much: its worker has its number before ITSM says it was made."""
    open_approval_store().records_since()
    last = ItsmHook().create_ticket(creator="robot", fields={"title": "t", **FORM}, fast_approval=True).sn
    now = datetime.now(UTC)
    record = record_round(last, task_id="last", create_started_at=now)
    open_approval_store().change(record, opened_at=now + timedelta(minutes=10))
    assert ask(try_number=2, states=opened) != opened["sn"]


@pytest.mark.parametrize("number", [1, 2])
def test_p3_a_state_that_somebody_has_written_since_is_not_believed(ask, opened, sandbox, number):
    """A first try has opened nothing before, and a later one only what is older than the records."""
    if number > 1:
        open_approval_store().records_since()
        time.sleep(1.1)
        fields = {"title": opened["title"], **FORM}
        opened["sn"] = ItsmHook().create_ticket(creator="robot", fields=fields, fast_approval=True).sn
    sandbox.approve(opened["sn"])
    assert ask(try_number=number, states=opened) != opened["sn"]
