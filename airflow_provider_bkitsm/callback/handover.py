# SPDX-License-Identifier: Apache-2.0
"""When a waiting task may go back to a worker: once its scheduler has heard of the end of the worker before.

A worker that defers a task ends, and the executor reports its end. The scheduler reads the reports once in each of
its loops, after it has queued what is ready. Where a task is ready again before its first report was read, the
scheduler takes that report for the end of the task that it has just queued, and fails it: an approved ticket ends
in a failed task. So it is in Airflow 3.1 to 3.3.2 (``SchedulerJobRunner.process_executor_events``). A loop takes
less than a second as a rule, and ten or more where much is to be scheduled or the machine is busy.
"""

from __future__ import annotations

from datetime import datetime, timedelta

FIRST_PAUSE_SECONDS = 5.0
"""So long after its deferral a task is left alone. The worker that deferred it has looked just before."""
HANDOVER_SECONDS = 60.0
"""After this time a task goes back whatever is known: a scheduler that has said nothing for so long is taken for
dead, and another one knows nothing of its reports. A trigger cannot see heartbeats, and always takes this time."""
# By then a worker has ended and is reported, the upload of its log included, which comes between. The clocks of
# schedulers and API servers may differ by some seconds of that.
_REPORTED_SECONDS = 10.0


def is_too_early(now: datetime, *, deferred_at: datetime, heartbeat: datetime | None) -> bool:
    """Whether the report about the worker that deferred a task may still be unread.

    :param heartbeat: the last one of the scheduler that queued the task for that worker; None where its job is
        gone. A heartbeat ends a loop, in which the reports were read.
    """
    if now < deferred_at + timedelta(seconds=FIRST_PAUSE_SECONDS):
        return True
    is_silent = heartbeat is not None and heartbeat < deferred_at + timedelta(seconds=_REPORTED_SECONDS)
    return is_silent and now < deferred_at + timedelta(seconds=HANDOVER_SECONDS)


def is_settled(now: datetime, *, deferred_at: datetime) -> bool:
    """Whether it is never too early any more, whatever the scheduler's heartbeat is."""
    return now >= deferred_at + timedelta(seconds=HANDOVER_SECONDS)
