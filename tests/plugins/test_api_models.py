# SPDX-License-Identifier: Apache-2.0
"""The JSON API's models have all that the pages read, and make of it what the documentation says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from pydantic import BaseModel, ValidationError

from airflow_provider_bkitsm.approvals.list_query import Wanted, page_of
from airflow_provider_bkitsm.approvals.rows import ApprovalWait, TaskKey, row_of
from airflow_provider_bkitsm.approvals.ticket_detail import Entry, FormRow, Kind, TicketDetail
from airflow_provider_bkitsm.approvals.ticket_list import ticket_page_of
from airflow_provider_bkitsm.approvals.ticket_reminders import NextReminder, ReminderAct, sent_reminders
from airflow_provider_bkitsm.collectors.row import CollectorRow
from airflow_provider_bkitsm.plugins import api_models
from airflow_provider_bkitsm.plugins.api_models import (
    Approval,
    ApprovalList,
    Collector,
    SentReminder,
    Story,
    TicketList,
    TicketOfList,
    TicketTask,
    Time,
)
from airflow_provider_bkitsm.plugins.store_reader import collector_row
from airflow_provider_bkitsm.tickets.reminder_store import ReminderState, StoredReminder

NOW = datetime(2026, 11, 29, 8, tzinfo=UTC)
TASK = TaskKey(dag_id="dag", run_id="run", task_id="wait")
WAIT = ApprovalWait(task=TASK, state="deferred", sn="REQ1", conn_id="itsm", registered_at=NOW)
SHOWN = {"title": "T", "ticket_url": "", "iframe_ticket_url": "https://itsm/i", "creator": "robot"}


def test_nothing_of_a_row_is_lost_on_its_way():
    row = row_of(WAIT, None)
    assert row.as_dict().keys() == Approval.model_fields.keys()
    page = page_of([row], Wanted()).as_dict()
    assert page.keys() | {"itsm_answered", "now"} == ApprovalList.model_fields.keys()


def test_nothing_of_a_listed_ticket_is_lost():
    page = ticket_page_of([row_of(WAIT, None)], Wanted())
    rights = {"may_withdraw", "withdraw_by", "may_remind"}
    (ticket,) = page.as_dict()["rows"]
    assert ticket.keys() | rights == TicketOfList.model_fields.keys()
    assert ticket["tasks"][0].keys() | {"may_change"} == TicketTask.model_fields.keys()
    assert page.as_dict().keys() | {"itsm_answered", "now"} == TicketList.model_fields.keys()


def test_nothing_of_a_ticket_is_lost_but_the_address_that_is_framed():
    entry = Entry(kind=Kind.APPROVED, at=NOW, people=("alice",), message="m")
    form = (FormRow(name="n", rows=(("a", "b"),)),)
    story = TicketDetail(
        **SHOWN, current_status="RUNNING", created_at=NOW, ended_at=None, form=form, entries=(entry,)
    ).as_dict()
    answer = Story.model_validate(story)
    assert story.keys() - answer.model_dump().keys() == {"iframe_ticket_url"}
    assert answer.form[0].model_dump().keys() == form[0].as_dict().keys()
    assert answer.entries[0].model_dump().keys() == entry.as_dict().keys()


def test_nothing_of_a_reminder_is_lost():
    row = StoredReminder(
        kind="escalate",
        after_seconds=60,
        is_hand_over=True,
        state=ReminderState.REFUSED,
        at=NOW,
        recipients=("bob",),
    )
    (sent,) = sent_reminders([row])
    following = NextReminder(kind=ReminderAct.ESCALATION, at=NOW)
    for shown, model in ((sent, SentReminder), (following, api_models.NextReminder)):
        assert shown.as_dict().keys() == model.model_fields.keys()
        assert model.model_validate(shown.as_dict()).at == NOW


def test_nothing_of_a_collector_is_lost():
    row = CollectorRow(bklog_conn_id="bklog", collector_config_id=7, created_at=NOW, updated_at=NOW)
    assert collector_row(row).keys() == Collector.model_fields.keys()


def test_what_is_unknown_is_null_if_it_is_no_text():
    answer = Approval.model_validate(row_of(WAIT, None).as_dict())
    assert (answer.reason_code, answer.seen_by, answer.decided_at, answer.title) == (None, None, None, "")


def test_a_status_that_there_is_not_is_refused():
    with pytest.raises(ValidationError, match="waiting, suspended, resuming, ended, approved, rejected"):
        Approval.model_validate(row_of(WAIT, None).as_dict() | {"status": "done"})


class Moment(BaseModel):
    at: Time


@pytest.mark.parametrize(
    ("time", "written"),
    [
        (NOW, "2026-11-29T08:00:00Z"),
        (NOW.isoformat(), "2026-11-29T08:00:00Z"),
        ("2026-11-29T16:00:00.5+08:00", "2026-11-29T08:00:00.500000Z"),
        # Local mean time, as Python writes it: no RFC 3339.
        ("1900-01-01T08:05:43+08:05:43", "1900-01-01T00:00:00Z"),
        (datetime.min.replace(tzinfo=timezone(timedelta(hours=8))), "0001-01-01T00:00:00Z"),
        ("9999-12-31T23:59:59-14:00", "9999-12-31T23:59:59Z"),
    ],
)
def test_every_time_is_rfc_3339_in_utc(time, written):
    assert Moment(at=time).model_dump(mode="json") == {"at": written}


def test_every_model_of_an_answer_says_what_it_is():
    models = [one for one in vars(api_models).values() if isinstance(one, type) and issubclass(one, BaseModel)]
    assert all(model.__doc__ for model in models if not model.__name__.startswith("_"))
