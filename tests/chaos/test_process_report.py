# SPDX-License-Identifier: Apache-2.0
"""The page says what was killed where, and what became of it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.chaos.points import APPROVED_ONLY, DECIDED_BEFORE, NO_TICKET_YET, SAYS, Point, plan
from tests.chaos.process_report import section
from tests.chaos.rounds import Result
from tests.chaos.settings import LOCAL


def result(point: Point, *, approve: bool, component: str = "scheduler", **more: Any) -> Result:
    return Result(executor=LOCAL, component=component, point=point, approve=approve, **{"problems": (), **more})


def test_every_run_has_its_letter_and_is_counted():
    said = section(
        [
            result(Point.WAITING, approve=True),
            result(Point.WAITING, approve=False),
            result(Point.COMPLETING, approve=True, problems=("two tickets",)),
        ]
    )
    assert "| - | - | - | - | A R | - | - | - | - | ! | 3 | 2 | 0 |" in said
    assert "3 runs, 2 approved and 1 rejected: **1 not as decided**" in said
    assert "exactly one ticket" not in said
    assert all(f"| {point} | {text} |" in said for point, text in SAYS.items())


def test_what_a_clean_up_has_cut_off_is_counted_apart():
    said = section(
        [
            result(Point.WAITING, approve=True, component="clean-trigger", cut=True),
            result(Point.WAITING, approve=False, component="clean-trigger", cut=True, problems=("unnamed",)),
            result(Point.RESUMING, approve=True, component="clean-trigger"),
        ]
    )
    assert "clean --tables trigger` | - | - | - | - | a ! | - | - | A | - | - | 3 | 1 | 1 |" in said
    assert "1 runs, 1 approved and 0 rejected: **0 not as decided**" in said
    assert "2 runs more were cut off by a clean-up: **1 with a ticket" in said


def test_every_point_is_visited_wherever_there_is_something_to_kill():
    assert {point for point, _ in plan("scheduler", 0)} == set(Point)
    assert {point for point, _ in plan("sandbox", 0)} == set(Point) - {Point.DECIDED}
    assert {point for point, _ in plan("worker", 0)} == {*NO_TICKET_YET, *DECIDED_BEFORE}


@pytest.mark.parametrize("both", [True, False])
def test_both_decisions_are_taken_at_every_point_but_where_only_an_approval_leads(both):
    taken = {*plan("scheduler", 0, both=both), *plan("scheduler", 1, both=both)}
    refused = {point for point, approve in taken if not approve}
    assert {point for point, approve in taken if approve} == set(Point)
    assert refused == set(Point) - set(APPROVED_ONLY)
