# SPDX-License-Identifier: Apache-2.0
"""Registering a wait from the triggerer, and what a waiting task must say about itself."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator


async def push_xcom(task_instance: Any, key: str, value: Any) -> None:
    """Write an XCom on a waiting task instance, again and again if need be; only inside a triggerer.

    The message goes past any XCom backend: the API server reads Airflow's own table.
    """
    from airflow.sdk.execution_time import task_runner
    from airflow.sdk.execution_time.comms import SetXCom

    where = {name: getattr(task_instance, name) for name in ("dag_id", "run_id", "task_id", "map_index")}
    message = SetXCom(key=key, value=value, **where)
    # Shielded: on Airflow 3.1 a question to the supervisor that is cut short spoils the answer to the next one.
    await asyncio.shield(task_runner.SUPERVISOR_COMMS.asend(message))


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
