# SPDX-License-Identifier: Apache-2.0
"""When people are reminded: times after the opening, working hours, what an outage leaves of several reminders."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_bkitsm.itsm.errors import ItsmConfigurationError
from airflow_provider_bkitsm.itsm.reminders import MOST_REMINDERS, Due, ReminderPlan, WorkingHours, read_plan
from tests.tables import table

HOUR = 3600.0
SHANGHAI = WorkingHours("09:00", "18:00", time_zone="Asia/Shanghai")
NEW_YORK = WorkingHours("02:30", "18:00", days="mon-sun", time_zone="America/New_York")


def at(text: str) -> datetime:
    """Return a moment; without an offset it is UTC."""
    read = datetime.fromisoformat(text)
    return read if read.tzinfo else read.replace(tzinfo=UTC)


@table(
    ("hours", "moment", "earliest"),
    [
        # Wednesday, within and around the hours, whose end does not count.
        (SHANGHAI, "2026-11-25T09:00+08:00", "2026-11-25T09:00+08:00"),
        (SHANGHAI, "2026-11-25T17:59+08:00", "2026-11-25T17:59+08:00"),
        (SHANGHAI, "2026-11-25T18:00+08:00", "2026-11-26T09:00+08:00"),
        (SHANGHAI, "2026-11-25T08:59+08:00", "2026-11-25T09:00+08:00"),
        # By the clocks there, not by UTC's day.
        (SHANGHAI, "2026-11-25T23:30+00:00", "2026-11-26T09:00+08:00"),
        # Friday evening, Saturday, Sunday.
        (SHANGHAI, "2026-11-27T20:00+08:00", "2026-11-30T09:00+08:00"),
        (SHANGHAI, "2026-11-28T12:00+08:00", "2026-11-30T09:00+08:00"),
        (SHANGHAI, "2026-11-29T23:59+08:00", "2026-11-30T09:00+08:00"),
        # The day that New York's clocks go forward: 02:30 is left out, and 03:30 comes in its place.
        (NEW_YORK, "2026-03-08T01:00-05:00", "2026-03-08T03:30-04:00"),
        (NEW_YORK, "2026-03-08T03:10-04:00", "2026-03-08T03:10-04:00"),
        # The day that they go back: the first of the two counts.
        (
            WorkingHours("01:30", "18:00", days="sun", time_zone="America/New_York"),
            "2026-11-01T00:00-04:00",
            "2026-11-01T01:30-04:00",
        ),
        (WorkingHours("00:00", "24:00", days="mon-sun"), "2026-11-29T23:59", "2026-11-29T23:59"),
        (
            WorkingHours("09:00", "18:00", holidays=["2026-10-01", date(2026, 10, 2)]),
            "2026-10-01T10:00",
            "2026-10-05T09:00",
        ),
    ],
)
def test_what_falls_outside_of_the_working_hours_waits_until_they_begin(hours, moment, earliest):
    assert hours.earliest(at(moment)) == at(earliest)


def test_hours_that_a_change_of_clocks_leaves_out_whole_are_none_that_day():
    hours = WorkingHours("02:10", "02:50", days="sun,mon", time_zone="America/New_York")
    assert hours.earliest(at("2026-03-08T00:00-05:00")) == at("2026-03-09T02:10-04:00")


@given(
    st.datetimes(datetime(2026, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)),
    st.sampled_from([SHANGHAI, NEW_YORK, WorkingHours("23:00", "24:00", days="sat")]),
)
def test_the_earliest_moment_is_within_the_hours_and_never_before(moment, hours):
    found = hours.earliest(moment)
    assert hours.hold(found)
    assert found >= moment
    assert found - moment < timedelta(days=8)


@table(
    ("arguments", "word"),
    [
        ({"start": "22:00", "end": "06:00"}, "not after"),
        ({"start": "09:00", "end": "09:00"}, "not after"),
        ({"start": "9 o'clock"}, "start"),
        ({"start": "24:30"}, "start"),
        ({"end": "18:60"}, "end"),
        ({"end": None}, "end"),
        ({"days": ""}, "days"),
        ({"days": "monday"}, "days"),
        ({"days": "fri-mon"}, "backwards"),
        ({"days": ()}, "no day"),
        ({"days": 5}, "days"),
        ({"time_zone": "Asia/Nowhere"}, "time_zone"),
        ({"time_zone": ""}, "time_zone"),
        ({"time_zone": None}, "time_zone"),
        ({"holidays": ["soon"]}, "holidays"),
        ({"until": "18:00"}, "until"),
    ],
)
def test_hours_that_cannot_be_are_refused_while_the_dag_is_parsed(arguments, word):
    with pytest.raises(ItsmConfigurationError, match="working_hours") as refused:
        read_plan(hours=arguments)
    assert word in str(refused.value)


@table(
    ("days", "expected"),
    [
        ("mon-fri", "mon,tue,wed,thu,fri"),
        ("Sun, wed", "wed,sun"),
        (["sat", "mon-tue"], "mon,tue,sat"),
    ],
)
def test_days_in_any_spelling_are_the_same_days(days, expected):
    assert WorkingHours(days=days).as_dict()["days"] == expected


def test_hours_and_plan_survive_json():
    hours = WorkingHours("08:30", "24:00", days=["sat"], time_zone="Asia/Shanghai", holidays=[date(2026, 10, 1)])
    assert WorkingHours(**json.loads(json.dumps(hours.as_dict()))) == hours
    plan = read_plan(remind_after=[timedelta(hours=4), HOUR], escalate_after=timedelta(days=1), hours=hours)
    assert ReminderPlan.from_dict(json.loads(json.dumps(plan.as_dict()))) == plan
    assert ReminderPlan.from_dict(ReminderPlan().as_dict()) == ReminderPlan()


@table(
    ("given_times", "expected"),
    [
        (None, ()),
        (timedelta(hours=1), (HOUR,)),
        (HOUR, (HOUR,)),
        (90, (90.0,)),
        ([timedelta(hours=4), HOUR, 3600], (HOUR, 4 * HOUR)),
        ([], ()),
    ],
)
def test_one_time_or_several_in_rising_order_each_once(given_times, expected):
    assert read_plan(remind_after=given_times).remind_after == expected


@pytest.mark.parametrize("name", ["remind_after", "escalate_after"])
@table("wrong", [0, -1, timedelta(0), True, float("nan"), float("inf"), "1h", timedelta(days=367)])
def test_what_is_no_time_after_the_opening_is_refused(name, wrong):
    with pytest.raises(ItsmConfigurationError, match=name):
        read_plan(**{name: wrong})


def test_there_are_not_too_many():
    with pytest.raises(ItsmConfigurationError, match="21"):
        read_plan(remind_after=[HOUR * one for one in range(1, MOST_REMINDERS + 2)])


OPENED = at("2026-11-25T10:00+08:00")
PLAN = read_plan(remind_after=[HOUR, 4 * HOUR, 24 * HOUR], escalate_after=30 * HOUR)


@table(
    ("hours_later", "due", "next_hours"),
    [
        (0, Due(), 1),
        (0.99, Due(), 1),
        (1, Due(reminder=HOUR), 4),
        (3.9, Due(reminder=HOUR), 4),
        # After an outage: one reminder, not three.
        (25, Due(reminder=24 * HOUR), 30),
        (30, Due(reminder=24 * HOUR, escalation=30 * HOUR), None),
        (1000, Due(reminder=24 * HOUR, escalation=30 * HOUR), None),
    ],
)
def test_the_latest_reminder_stands_for_those_before_it(hours_later, due, next_hours):
    now = OPENED + timedelta(hours=hours_later)
    assert PLAN.due(OPENED, now) == due
    expected = None if next_hours is None else OPENED + timedelta(hours=next_hours)
    assert PLAN.next_at(OPENED, now) == expected


def test_a_plan_that_says_nothing_is_never_due():
    assert not ReminderPlan()
    assert not ReminderPlan().due(OPENED, OPENED + timedelta(days=99))
    assert ReminderPlan().next_at(OPENED, OPENED) is None


def test_over_a_weekend_two_reminders_become_one_on_monday():
    plan = read_plan(remind_after=[HOUR, 4 * HOUR, 70 * HOUR], hours=SHANGHAI)
    opened, monday = at("2026-11-27T17:30+08:00"), at("2026-11-30T09:00+08:00")
    assert not plan.due(opened, at("2026-11-28T12:00+08:00"))
    assert plan.next_at(opened, at("2026-11-28T12:00+08:00")) == monday
    assert plan.due(opened, monday) == Due(reminder=4 * HOUR)
    assert plan.next_at(opened, monday) == at("2026-11-30T15:30+08:00")


def test_what_was_due_before_an_outage_waits_for_the_hours_after_it():
    plan = read_plan(remind_after=HOUR, escalate_after=2 * HOUR, hours=SHANGHAI)
    opened, night = at("2026-11-25T10:00+08:00"), at("2026-11-25T22:00+08:00")
    assert not plan.due(opened, night)
    assert plan.next_at(opened, night) == at("2026-11-26T09:00+08:00")
