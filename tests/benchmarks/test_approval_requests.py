# SPDX-License-Identifier: Apache-2.0
"""The requests of an approval, as the page shows them."""

from __future__ import annotations

from collections import Counter

from benchmarks.approval_requests import GATES, report


def test_a_call_that_one_version_does_not_make_is_shown_all_the_same():
    earlier = {dag: Counter({"create_ticket": 1, "get_tickets": 2}) for dag in GATES}
    now = {dag: Counter({"create_ticket": 1, "get_ticket_info": 1}) for dag in GATES}
    text = report(earlier, now, "abc")
    for name in GATES.values():
        assert f"| {name} | 3 | 2 |" in text
    assert text.count("| `get_tickets` | 2 | 0 |") == len(GATES)
    assert text.count("| `get_ticket_info` | 0 | 1 |") == len(GATES)
