# SPDX-License-Identifier: Apache-2.0
"""When a wait looks again and when it stops."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from airflow_provider_bkitsm.itsm import errors
from airflow_provider_bkitsm.itsm.outcome import Outcome
from airflow_provider_bkitsm.itsm.verdict import Verdict
from airflow_provider_bkitsm.itsm.wait import Done, Failed, Pause, Wait, approval_time, ticket_number

NOW = datetime(2026, 11, 24, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)


def verdict(outcome: Outcome) -> Verdict:
    return Verdict(sn="REQ1", outcome=outcome, reason="", current_status="X")


WAITING = verdict(Outcome.WAITING)


def test_a_number_is_taken_without_the_blanks_around_it():
    assert ticket_number(" REQ1\n") == "REQ1"


@pytest.mark.parametrize("empty", [None, "", "  ", "None", " None "])
def test_p3_an_empty_number_is_an_error_never_a_wait(empty):
    with pytest.raises(errors.ItsmConfigurationError, match="ticket_sn is empty"):
        ticket_number(empty)


@pytest.mark.parametrize(
    ("given", "time"),
    [
        (None, None),
        (LATER - NOW, LATER - NOW),
        (90, timedelta(seconds=90)),
        ("1.5", timedelta(seconds=1.5)),
        (0, timedelta(0)),
    ],
)
def test_people_may_take_seconds_or_a_timedelta_or_for_ever(given, time):
    assert approval_time(given) == time


@pytest.mark.parametrize(
    "wrong", ["soon", "", "inf", 1e300, "nan", -1, "-0.5", timedelta(-1), True, [7], timedelta.max, 1e12]
)
def test_what_is_no_time_is_shown(wrong):
    with pytest.raises(errors.ItsmConfigurationError) as caught:
        approval_time(wrong)
    assert "approval_timeout" in str(caught.value)
    assert repr(wrong) in str(caught.value)


def test_an_open_ticket_is_looked_at_again_after_the_interval():
    assert Wait(interval=30, deadline=LATER).saw(WAITING, NOW) == Pause(seconds=30)
    assert Wait(interval=30).saw(WAITING, NOW) == Pause(seconds=30)


def test_the_last_look_is_at_the_deadline_not_an_interval_later():
    for left in (4, 0.5):
        now = LATER - timedelta(seconds=left)
        assert Wait(interval=30, deadline=LATER).saw(WAITING, now) == Pause(seconds=left)


def test_an_open_ticket_at_the_deadline_has_timed_out():
    step = Wait(interval=30, deadline=LATER).saw(WAITING, LATER)
    assert isinstance(step, Done)
    assert step.verdict.outcome is Outcome.TIMED_OUT


@pytest.mark.parametrize("outcome", [one for one in Outcome if one is not Outcome.WAITING])
def test_p1_a_decision_wins_over_a_deadline_long_gone(outcome):
    decided = verdict(outcome)
    assert Wait(interval=30, deadline=LATER).saw(decided, LATER + timedelta(days=9)) == Done(verdict=decided)


def test_errors_that_pass_back_off_and_recover():
    wait = Wait(interval=10)
    down = errors.ItsmUnavailableError("down")
    pauses = [wait.missed(down, NOW) for _ in range(8)]
    assert [step.seconds for step in pauses if isinstance(step, Pause)] == [
        20,
        40,
        80,
        160,
        300,
        300,
        300,
        300,
    ]
    wait.saw(WAITING, NOW)
    assert wait.missed(down, NOW) == Pause(seconds=20)
    assert Wait(interval=0.1).missed(down, NOW) == Pause(seconds=0.2)


def test_p1_an_outage_of_the_poll_lengthens_no_pause_after_it():
    wait, down = Wait(interval=60), errors.ItsmUnavailableError("down")
    assert wait.missed(down, NOW) == Pause(seconds=120)
    assert [wait.missed(down, NOW, polled=True) for _ in range(10)] == [Pause(seconds=60)] * 10
    assert wait.missed(down, NOW) == Pause(seconds=120)


def test_the_gateways_own_pause_is_obeyed():
    assert Wait(interval=1).missed(errors.ItsmRateLimitedError("slow", retry_after=500), NOW) == Pause(seconds=500)


@pytest.mark.parametrize(
    "error",
    [errors.ItsmConfigurationError("x"), errors.ItsmAmbiguousError("x")],
)
def test_errors_that_cannot_pass_stop_the_wait(error):
    assert Wait(interval=1).missed(error, NOW) == Failed(error=error)


def test_p3_a_ticket_itsm_does_not_know_is_an_error_after_three_looks():
    wait, missing = Wait(interval=1), errors.ItsmTicketNotFoundError("gone")
    assert [wait.missed(missing, NOW) for _ in range(3)] == [
        Pause(seconds=2),
        Pause(seconds=4),
        Failed(error=missing),
    ]


def test_p1_an_outage_at_the_deadline_is_waited_out_for_an_hour():
    wait, down = Wait(interval=1, deadline=NOW), errors.ItsmUnavailableError("down")
    assert isinstance(wait.missed(down, NOW + timedelta(minutes=60)), Pause)
    assert isinstance(wait.missed(down, NOW + timedelta(minutes=60, seconds=1)), Failed)


@pytest.mark.parametrize(
    "kind", [errors.ItsmAuthenticationError, errors.ItsmPermissionError, errors.ItsmEndpointNotFoundError]
)
def test_p1_a_refused_read_does_not_end_a_wait_of_days_before_it_has_lasted(kind):
    wait = Wait(interval=10)
    steps = [wait.missed(kind("x"), NOW) for _ in range(6)]
    assert [type(step) for step in steps] == [Pause] * 5 + [Failed]
    assert sum(step.seconds for step in steps if isinstance(step, Pause)) >= 600


def test_p1_a_connection_that_is_wrong_meanwhile_is_a_refusal_like_others():
    wait, wrong = Wait(interval=10), errors.ItsmConfigurationError("x")
    wait.saw(WAITING, NOW)
    assert [type(wait.missed(wrong, NOW)) for _ in range(6)] == [Pause] * 5 + [Failed]


def test_a_good_look_and_an_outage_forget_earlier_refusals():
    wait, refused = Wait(interval=1), errors.ItsmPermissionError("x")
    for forget in (wait.saw, wait.missed):
        for _ in range(5):
            assert isinstance(wait.missed(refused, NOW), Pause)
        forget(WAITING if forget == wait.saw else errors.ItsmUnavailableError("down"), NOW)
    assert [type(wait.missed(refused, NOW)) for _ in range(6)] == [Pause] * 5 + [Failed]
