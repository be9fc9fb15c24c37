# SPDX-License-Identifier: Apache-2.0
"""What the Ticket tab shows of reminders: those that went out, and what is due next."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_bkitsm.approvals.ticket_reminders import next_reminder, sent_reminders
from airflow_provider_bkitsm.itsm.reminders import WorkingHours, read_plan
from airflow_provider_bkitsm.tickets.reminder_store import ReminderState, StoredReminder

# A Friday.
OPENED = datetime(2026, 11, 27, 8, tzinfo=UTC)
HOUR = timedelta(hours=1)


def row(kind: str = "remind", hours: int = 1, state: str = "sent", **values: Any) -> StoredReminder:
    known = {"is_hand_over": False, "at": OPENED + hours * HOUR, "recipients": ("alice",)}
    return StoredReminder(kind=kind, after_seconds=hours * 3600, state=ReminderState(state), **{**known, **values})


def told(*rows: StoredReminder) -> list[tuple[str, str, tuple[str, ...]]]:
    return [(str(one.kind), one.state, one.recipients) for one in sent_reminders(rows)]


def test_the_oldest_comes_first():
    rows = row(hours=2), row(hours=1)
    assert [one.at for one in sent_reminders(rows)] == [OPENED + HOUR, OPENED + 2 * HOUR]


def test_what_several_senders_did_alike_is_told_once():
    assert told(row(), row(at=OPENED + 2 * HOUR)) == [("reminder", "sent", ("alice",))]
    failed = row(state="given_up", recipients=())
    assert told(row(), failed, failed) == [("reminder", "sent", ("alice",)), ("reminder", "given_up", ())]
    assert len(told(row(hours=1), row(hours=2))) == 2
    assert len(told(row(), row(recipients=("bob",)))) == 2


def test_a_hand_over_and_the_message_about_it_are_two():
    rows = row("escalate", is_hand_over=True, state="refused"), row("escalate")
    assert told(*rows) == [("hand_over", "refused", ("alice",)), ("escalation", "sent", ("alice",))]


def test_a_reminder_that_was_merged_is_not_told_as_sent():
    assert told(row(state="merged", recipients=())) == [("reminder", "merged", ())]


def test_names_are_limited_in_number_and_length():
    ((_, _, people),) = told(row(recipients=tuple("x" * 1000 for _ in range(1000))))
    assert (len(people), {len(name) for name in people}) == (50, {200})


def planned(*, remind_by: Any = (), **plan: Any) -> str:
    return json.dumps({"plan": read_plan(**plan).as_dict(), "remind_by": list(remind_by)})


def due(
    text: str,
    *stored: StoredReminder,
    after: timedelta = timedelta(0),
    deadline: datetime | None = None,
    has_sender: bool = True,
) -> tuple[str, timedelta] | None:
    found = next_reminder(
        text, stored, opened_at=OPENED, now=OPENED + after, deadline=deadline, has_sender=has_sender
    )
    return None if found is None else (str(found.kind), found.at - OPENED)


TWICE = planned(remind_after=[HOUR, 3 * HOUR])
BOTH = planned(remind_after=2 * HOUR, escalate_after=2 * HOUR)


def test_the_next_one_is_what_comes_first_after_now():
    assert due(TWICE) == ("reminder", HOUR)
    assert due(TWICE, after=HOUR) == ("reminder", 3 * HOUR)
    assert due(TWICE, after=3 * HOUR) is None


def test_of_two_that_are_due_together_the_escalation_is_told():
    assert due(BOTH) == ("escalation", 2 * HOUR)


def test_nothing_is_due_at_the_deadline_or_later():
    assert due(TWICE, after=HOUR, deadline=OPENED + 3 * HOUR) is None
    assert due(TWICE, after=HOUR, deadline=OPENED + 3 * HOUR + timedelta(seconds=1)) == ("reminder", 3 * HOUR)


def test_working_hours_put_the_next_one_off_and_call_nothing_back():
    hours = WorkingHours("09:00", "10:00", time_zone="UTC")
    text = planned(remind_after=[HOUR, 4 * HOUR], hours=hours)
    monday = timedelta(days=3, hours=1)
    assert due(text) == ("reminder", HOUR)
    assert due(text, after=3 * HOUR) == ("reminder", monday)
    assert due(text, after=monday) is None
    assert due(text, after=monday + 5 * HOUR) is None


def test_what_another_task_of_the_ticket_has_done_is_not_due_again():
    assert due(TWICE, row(hours=1)) == ("reminder", 3 * HOUR)
    assert due(TWICE, row("escalate", hours=1)) == ("reminder", HOUR)
    assert due(BOTH, row("escalate", hours=2, is_hand_over=True)) == ("reminder", 2 * HOUR)


def test_without_a_sender_nobody_is_reminded_and_the_ticket_is_handed_over_all_the_same():
    assert due(TWICE, has_sender=False) is None
    assert due(BOTH, has_sender=False) == ("escalation", 2 * HOUR)
    own = planned(remind_after=HOUR, remind_by=[{"path": "company.chat.remind"}])
    assert due(own, has_sender=False) == ("reminder", HOUR)


@pytest.mark.parametrize(
    "text",
    ["", "no", "7", "null", "[]", "{}", '{"plan": 7}', '{"plan": {"remind_after": "x"}}', "[" * 100_000],
    ids=range(9),
)
def test_a_plan_that_cannot_be_read_is_not_known(text):
    assert due(text) is None
