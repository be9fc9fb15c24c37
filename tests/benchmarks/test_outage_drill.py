# SPDX-License-Identifier: Apache-2.0
"""The drill of outages, in small: what the page promises holds for each kind, wherever in a round it begins."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.outage_drill import INTERVAL, OUTAGE, OUTAGES, SLACK, broken, drill, quick, report


@pytest.mark.parametrize("phase", [0.5, 31.0])
@pytest.mark.parametrize("kind", OUTAGES)
def test_p1_an_outage_costs_a_request_an_interval_and_loses_no_decision(kind, phase):
    seen = drill(OUTAGES[kind], waits=120, phase=phase, seconds=quick)
    assert seen.requests <= OUTAGE / INTERVAL
    assert seen.last <= INTERVAL + SLACK
    assert seen.unseen == 0


def test_a_missed_target_is_named():
    good = drill(None, waits=5, phase=3.0, seconds=quick)
    assert broken({"good": good}) == []
    for wrong in ({"requests": 11}, {"last": 66.0}, {"unseen": 1}):
        assert broken({"good": good, "bad": replace(good, **wrong)}) == ["bad"]
    assert "| bad | 10 |" in report(5, 1, {"bad": replace(good, requests=10)}, good)
