# SPDX-License-Identifier: Apache-2.0
"""Whether an approval may end a wait where it is, or a worker has something left to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator


def ends_without_worker(task: BaseOperator) -> bool:
    """Whether an approval may end a task with nothing lost that only a worker does, so far as the task knows.

    Whether others are mapped over its result is known only later, see :func:`is_mapped_over`.
    """
    hooks = (task._pre_execute_hook, task._post_execute_hook, task.on_success_callback)
    return task.do_xcom_push and not (task.outlets or any(hooks))


def is_mapped_over(task: Any) -> bool:
    """Whether other tasks are mapped over a task's result, whose length only a worker reports."""
    if task is None or task.get_dag() is None:
        return False
    return next(task.iter_mapped_dependants(), None) is not None
