# SPDX-License-Identifier: Apache-2.0
"""A task goes back to a worker when its scheduler has heard of the worker before (promise P1)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from airflow_provider_bkitsm.callback.handover import is_settled, is_too_early

DEFERRED = datetime(2026, 1, 1, tzinfo=UTC)


def after(seconds: float | None) -> datetime | None:
    return None if seconds is None else DEFERRED + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("now", "heartbeat", "too_early"),
    [
        # The worker before may still be ending, whatever the scheduler has read.
        (0, None, True),
        (4.9, 4.8, True),
        # The scheduler has ended a loop since that worker's end; what was before says nothing.
        (10, 10, False),
        (12, 10.5, False),
        (12, 9.9, True),
        (7, 5.5, True),
        (7, -3, True),
        (59, -3, True),
        # A scheduler that is gone, or silent for a minute, reads no report any more.
        (5, None, False),
        (60, -3, False),
        # By a clock that is ahead of ours.
        (4, 100, True),
    ],
)
def test_p1_a_task_goes_back_once_its_scheduler_has_ended_a_loop_since(now, heartbeat, too_early):
    assert is_too_early(after(now), deferred_at=DEFERRED, heartbeat=after(heartbeat)) is too_early


@pytest.mark.parametrize("heartbeat", [None, -3, 4.9, 5, 70])
@pytest.mark.parametrize("now", [0, 4.9, 5, 30, 59.9, 60, 61])
def test_what_is_settled_is_never_too_early(now, heartbeat):
    if is_settled(after(now), deferred_at=DEFERRED):
        assert not is_too_early(after(now), deferred_at=DEFERRED, heartbeat=after(heartbeat))
