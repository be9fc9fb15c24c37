# SPDX-License-Identifier: Apache-2.0
"""The promises hold under everything the machine does; the long version is ``python -m tests.chaos``."""

from __future__ import annotations

from tests.chaos.machine import explore


def test_p1_p2_p3_p5_p6_p7_whatever_happens_in_whatever_order():
    totals = explore(examples=25, steps=40)
    assert totals.steps >= 500
    assert min(totals.counts[one] for one in ("crashes", "believed", "refused", "runs made again")) > 0
