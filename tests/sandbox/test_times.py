# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from airflow_provider_bkitsm.sandbox.times import from_shanghai, maybe_shanghai, shanghai, tenth_of_day


def test_times_are_naive_and_eight_hours_ahead():
    assert shanghai(0) == "1970-01-01 08:00:00"
    assert shanghai(0.25) == "1970-01-01 08:00:00"
    assert shanghai(0.25, microseconds=True) == "1970-01-01 08:00:00.250000"
    assert shanghai(0, microseconds=True) == "1970-01-01 08:00:00"
    assert maybe_shanghai(None) is None


def test_the_tenths_of_a_days_seconds_are_counted_in_shanghai():
    assert tenth_of_day(from_shanghai("2026-11-29 00:00:00")) == 0
    assert tenth_of_day(from_shanghai("2026-11-29 23:59:59")) == 863_990


def test_reading_is_the_reverse():
    assert from_shanghai(shanghai(1_700_000_000)) == 1_700_000_000


@pytest.mark.parametrize("text", ["yesterday", "2026-01-01", "2026-01-01T00:00:00"])
def test_other_spellings_are_errors(text):
    with pytest.raises(ValueError, match="does not match"):
        from_shanghai(text)
