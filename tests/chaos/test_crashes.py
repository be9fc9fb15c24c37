"""One approval, one ticket, whatever crashes around ``create_ticket`` (promise P2)."""

from __future__ import annotations

from tests.chaos.crashes import POINTS, TASKS, crash_around_create


def test_p2_crashes_around_create_ticket_leave_one_ticket_for_each_approval(sandbox):
    result = crash_around_create(sandbox, crashes=40)
    assert result.crashes.total() == 40
    assert {task for task, _ in result.crashes} == set(TASKS)
    assert {point for _, point in result.crashes} == set(POINTS)
    assert (result.duplicates, result.lost) == (0, 0)
