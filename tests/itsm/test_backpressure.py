# SPDX-License-Identifier: Apache-2.0
"""How much a connection bears, what an error says of it, and when it is down. No clock, no network."""

from __future__ import annotations

import pytest

from airflow_provider_bkitsm.itsm import errors
from airflow_provider_bkitsm.itsm.backpressure import Backpressure, Cause, backoff, cause_of

DOWN = errors.ItsmUnavailableError("down", code=1650200)


def answered(one: Backpressure, *seconds: float) -> None:
    for each in seconds:
        one.answered(each)


def fail(one: Backpressure, now: float, error: errors.ItsmError = DOWN, *, shortest: float = 60.0, **more) -> None:
    one.sent(now, alone=True)
    one.failed(error, cause_of(error), now, shortest=shortest, **({"again": False, "part": False} | more))


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (errors.ItsmCrashError("x"), Cause.QUESTION),
        (errors.ItsmCrashError("x", code="any of its own"), Cause.QUESTION),
        (errors.ItsmUnexpectedAnswerError("x"), Cause.QUESTION),
        (errors.ItsmInvalidRequestError("x", code=3900003), Cause.QUESTION),
        (errors.ItsmRefusedError("x", code=3900004), Cause.QUESTION),
        (errors.ItsmUnavailableError("a page"), Cause.EITHER),
        (errors.ItsmError("RuntimeError: x"), Cause.EITHER),
        (errors.ItsmUnavailableError("x", code=1650200), Cause.OUTAGE),
        (errors.ItsmUnavailableError("x", code="1306201"), Cause.OUTAGE),
        (errors.ItsmUnavailableError("x", code="500"), Cause.OUTAGE),
        (errors.ItsmRateLimitedError("x"), Cause.REFUSAL),
        (errors.ItsmAuthenticationError("x"), Cause.REFUSAL),
        (errors.ItsmPermissionError("x", code=1640301), Cause.REFUSAL),
        (errors.ItsmConfigurationError("x"), Cause.REFUSAL),
        (errors.ItsmEndpointNotFoundError("x"), Cause.REFUSAL),
    ],
)
def test_what_an_error_is_about(error, cause):
    assert cause_of(error) is cause


def test_a_question_that_takes_too_long_is_too_large():
    assert cause_of(errors.ItsmTimeoutError("x"), timed_out=True) is Cause.QUESTION


def test_one_batch_goes_ahead_then_two_at_a_time():
    one = Backpressure(limit=50)
    one.sent(0, alone=True)
    assert one.at_a_time == 1
    one.answered(1.5)
    assert one.at_a_time == 2


def test_after_a_rest_one_batch_goes_ahead_again():
    one = Backpressure(limit=50)
    one.sent(0, alone=True)
    one.answered(1.5)
    one.sent(4, alone=True)
    assert one.at_a_time == 2
    one.sent(60, alone=True)
    assert one.at_a_time == 1


def test_a_long_round_is_no_rest():
    one = Backpressure(limit=50)
    one.sent(0, alone=True)
    one.answered(1.5)
    one.sent(20, alone=False)
    assert one.at_a_time == 2


def test_quick_answers_allow_more_at_a_time_slow_ones_fewer():
    one = Backpressure(limit=50)
    answered(one, *[0.2] * 7)
    assert one.at_a_time == 2
    answered(one, *[0.2] * 30)
    assert one.at_a_time == 4
    answered(one, 11.0)
    assert one.at_a_time == 1
    answered(one, *[1.5] * 40)
    assert one.at_a_time == 2


def test_what_was_not_measured_changes_nothing():
    one = Backpressure(limit=50)
    for _ in range(40):
        one.answered(None)
    assert one.at_a_time == 2


def test_what_takes_too_long_is_asked_for_in_halves_one_at_a_time():
    one = Backpressure(limit=50)
    answered(one, *[0.2] * 30)
    one.timed_out()
    assert (one.chunk, one.at_a_time) == (25, 1)
    answered(one, *[0.2] * 200)
    assert (one.chunk, one.at_a_time) == (50, 4)


@pytest.mark.parametrize("shortest", [5.0, 60.0, 300.0])
def test_p1_an_outage_is_probed_once_an_interval(shortest):
    one = Backpressure(limit=50)
    for now in range(0, 9000, int(shortest)):
        assert one.may_ask_at(now, new=False) == now
        fail(one, now, shortest=shortest)
        assert one.is_down
        assert one.may_ask_at(now, new=False) == now + shortest


def test_a_probe_is_as_late_as_it_was_asked_not_as_it_failed():
    one = Backpressure(limit=50)
    one.sent(0, alone=True)
    one.failed(DOWN, Cause.OUTAGE, 30.0, shortest=60.0, again=False, part=False)
    assert one.may_ask_at(30, new=False) == 60


def test_in_an_outage_a_probe_that_hangs_holds_up_no_other():
    one = Backpressure(limit=50)
    fail(one, 0)
    assert one.at_a_time > 1


def test_after_an_outage_single_failures_are_expected_for_some_minutes():
    one = Backpressure(limit=50)
    fail(one, 0)
    one.sent(60, alone=True)
    one.answered(0.1)
    fail(one, 61)
    assert not one.is_down
    one.answered(0.1)
    fail(one, 361)
    assert one.is_down


@pytest.mark.parametrize(("failures", "expected"), [(1, True), (2, True), (3, False), (10, False)])
def test_after_a_long_outage_the_next_is_noticed_at_once(failures, expected):
    one = Backpressure(limit=50)
    for number in range(failures):
        fail(one, number * 60)
    one.answered(0.1)
    fail(one, failures * 60 + 60)
    assert one.is_down is not expected


def test_a_refusal_is_never_expected():
    one = Backpressure(limit=50)
    fail(one, 0)
    one.answered(0.1)
    fail(one, 1, errors.ItsmRateLimitedError("slow down"))
    assert one.is_down


def test_a_pause_that_was_asked_for_holds_for_new_waits_too():
    one = Backpressure(limit=50)
    fail(one, 0, errors.ItsmRateLimitedError("slow down", retry_after=90))
    assert one.may_ask_at(1, new=True) == one.may_ask_at(1, new=False) == 90


def test_new_waits_wait_a_second_for_each_other():
    one = Backpressure(limit=50)
    fail(one, 10)
    assert one.may_ask_at(10.2, new=True) == 11
    assert one.may_ask_at(30, new=True) == 30


def test_probes_end_with_one_ticket():
    one, sizes = Backpressure(limit=50), []
    for now in range(0, 900, 60):
        fail(one, now)
        sizes.append(one.probe_size)
    assert sizes == [50] * 6 + [25, 12, 6, 3] + [1] * 5
    assert not one.suspects_tickets


def test_pauses_double_up_to_five_minutes_or_one_interval():
    assert [backoff(60, number) for number in range(5)] == [60, 120, 240, 300, 300]
    assert backoff(3600, 9) == 3600
