# SPDX-License-Identifier: Apache-2.0
"""The section about waits that begin at once."""

from __future__ import annotations

from benchmarks.waiting_report import IDLE, OURS, Cost
from benchmarks.waiting_start import report


def test_the_section_says_what_was_measured_and_the_target():
    stalls = {"wall": [0.08, 0.01], "cpu": [0.025], "between": [0.025]}
    cost = Cost(requests=1.0, cpu=1.5, memory=0.0, stalls=stalls)
    text = report({IDLE: [cost], OURS: [cost]}, 200)
    assert "200 waits begin at once" in text
    assert "80.0 ms | 25.0 ms" in text
    assert "Ours: 80 ms, of which it computed 25 ms (target: less than 100 ms)" in text
