# SPDX-License-Identifier: Apache-2.0
"""Whether a wait may start in the triggerer with no worker before it, and what it is started with.

Airflow 3.3 renders a trigger's templates in the triggerer. Where a value would not reach the trigger as it
would reach a worker, the wait starts on a worker, as it does on every older Airflow.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow.sdk.definitions.xcom_arg import PlainXComArg

from airflow_provider_bkitsm.version_compat import RENDERS_IN_TRIGGERER

if TYPE_CHECKING:
    from airflow.sdk import BaseSensorOperator
    from airflow.triggers.base import StartTriggerArgs

_TRIGGER = "airflow_provider_bkitsm.triggers.ticket.ItsmTicketTrigger"


def start_args(task: BaseSensorOperator, values: Mapping[str, Any]) -> StartTriggerArgs | None:
    """Return what a task's trigger is started with; None when it has to be started by a worker.

    :param values: arguments of the trigger, templates not yet rendered.
    """
    if not RENDERS_IN_TRIGGERER or not _needs_no_worker(task):
        return None
    ready = {name: _as_template(value) for name, value in values.items()}
    if any(value is _ON_A_WORKER for value in ready.values()):
        return None
    from airflow.triggers.base import StartTriggerArgs

    return StartTriggerArgs(trigger_cls=_TRIGGER, trigger_kwargs=ready, next_method="execute_complete")


_ON_A_WORKER = object()


def _needs_no_worker(task: BaseSensorOperator) -> bool:
    """Whether nothing is wanted that only a worker does when a task begins.

    In a mapped group a value that comes from the group has the index of its task, which a template in the
    triggerer does not follow. An ``execution_timeout`` would end a wait that starts there, decided or not.
    """
    if task.execution_timeout is not None:
        return False
    begins = (task._pre_execute_hook, task.on_execute_callback)
    return not any(begins) and task.get_closest_mapped_task_group() is None


def _as_template(value: Any) -> Any:
    """Return a value as a trigger takes it.

    A triggerer can only pull an XCom that says which map index is meant; any other pull waits for ever.
    """
    if isinstance(value, PlainXComArg):
        return _pulled(value)
    if hasattr(value, "iter_references"):
        return _ON_A_WORKER
    if isinstance(value, str) and "xcom_pull" in value and "map_indexes" not in value:
        return _ON_A_WORKER
    return value


def _pulled(value: PlainXComArg) -> Any:
    task = value.operator
    if task.is_mapped or task.get_closest_mapped_task_group() is not None:
        return _ON_A_WORKER
    return f"{{{{ ti.xcom_pull(task_ids={task.task_id!r}, key={value.key!r}, map_indexes=-1) }}}}"
