# SPDX-License-Identifier: Apache-2.0
"""Many runs, few collectors: one ticket for each at any time, and one run that holds it (promise P2)."""

from __future__ import annotations

from tests.chaos.contention import contest, most_at_once


def test_p2_runs_that_apply_at_once_get_one_ticket_for_each_collector(sandbox):
    result = contest(sandbox, runs=10, collectors=3)
    assert result.wrong == []
    assert set(result.at_once.values()) == {1}
    assert result.applications == 30


def test_tickets_are_counted_as_long_as_they_are_open():
    one, later = {"create_at": 1.0, "end_at": 5.0}, {"create_at": 5.0, "end_at": None}
    assert most_at_once([one, later]) == 1
    assert most_at_once([one, {**later, "create_at": 4.0}]) == 2
