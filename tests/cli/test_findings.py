# SPDX-License-Identifier: Apache-2.0
"""How a clock is judged."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from airflow_provider_bkitsm.cli.findings import Level, judge_clock

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "level"),
    [(0, "ok"), (59, "ok"), (-59, "ok"), (60, "warning"), (-299, "warning"), (300, "wrong"), (-86400, "wrong")],
)
def test_a_clock_is_judged_in_both_directions(seconds, level):
    found = judge_clock("clock", format_datetime(NOW - timedelta(seconds=seconds), usegmt=True), NOW)
    assert found.level == level
    assert ("ahead of" if seconds > 0 else "behind") in found.text or level == "ok"


@pytest.mark.parametrize("date", [None, "", "soon", "Thu, 32 Jan 2026 00:00:00 GMT", "Thu, 01 Jan 2026 00:00:00"])
def test_a_time_that_cannot_be_read_is_a_warning(date):
    assert judge_clock("clock", date, NOW).level is Level.WARNING
