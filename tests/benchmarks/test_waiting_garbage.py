# SPDX-License-Identifier: Apache-2.0
"""The section about garbage collections of many waits."""

from __future__ import annotations

from benchmarks.waiting_garbage import Garbage, report
from benchmarks.waiting_report import IDLE, OURS


def test_the_section_says_what_was_measured_and_the_target():
    found = {IDLE: Garbage(seconds=0.4, objects=38.0), OURS: Garbage(seconds=0.5, objects=44.04)}
    text = report(found, 10_000)
    assert "10,000 triggers of one kind" in text
    assert "| 500 ms | 44.0 |" in text
    assert "Ours: 1.25 times as long as triggers that do nothing (target: at most 1.2)" in text
