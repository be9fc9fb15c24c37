# SPDX-License-Identifier: Apache-2.0
"""Which task opens the ticket that a sensor waits for, as the DAG's author has written it.

The value of an XCom can be anybody's. The DAG's code says from which task it has to come.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from airflow_provider_bkitsm.tickets.ownership import ANYONE, indexed, one_of

_OPENERS = frozenset({"ItsmCreateTicketOperator", "CollectorApplyOperator"})
_PACKAGE = "airflow_provider_bkitsm."
_QUOTED = re.compile(r"'([^']+)'|\"([^\"]+)\"")
_INDEX = re.compile(r"map_indexes\s*=\s*([^,)]*)")
_RESULT = "return_value"
# Outputs that hold one item for each task of a mapped task, in the order of their indexes.
_IN_ORDER = ("PlainXComArg", "MapXComArg")


def check_opened_by(given: str | None) -> str | None:
    """Raise ValueError, when the DAG is parsed, for what can be no task id, or no list of them."""
    if given is None:
        return None
    openers = [one.strip() for one in given.split(",")] if isinstance(given, str) and "{" not in given else [""]
    if not all(openers) or (ANYONE in openers and len(openers) > 1):
        raise ValueError(f'opened_by must be the id of a task, ids with commas, or "anyone", not {given!r}')
    return given


def opener_of(sensor: Any, number: Any, *, index: int = -1) -> str | None:
    """Return the id of the task of ours that a sensor's ``ticket_sn`` comes from; None where there is none.

    Where the number is that of one of a mapped task's tickets, its index is in brackets behind the id. Where it
    comes from one of several tasks (``pull('a') or pull('b')``), all of them are named, with commas.

    :param number: ``ticket_sn`` before it is rendered: a task's output, or a template that quotes a task's id.
    :param index: of the sensor's own task, if it is mapped.
    """
    openers = {task.task_id: task for task in _sources(sensor, number, index) if _opens_tickets(task)}
    if len(openers) != 1:
        return one_of(sorted(openers)) or None
    ((task_id, task),) = openers.items()
    of_task = _index(sensor, number, task, index)
    return task_id if of_task is None else indexed(task_id, of_task)


def _index(sensor: Any, number: Any, opener: Any, index: int) -> int | None:
    """Return the index of the mapped task whose ticket a number is; None where the DAG does not say."""
    if isinstance(number, str) and (named := _INDEX.findall(number)):
        return int(named[0]) if len(named) == 1 and named[0].strip().isdecimal() else None
    if index < 0:
        return None
    group = sensor.get_closest_mapped_task_group()
    if group is not None:
        return index if opener.get_closest_mapped_task_group() is group else None
    mapped = _mapped(sensor)
    expanded = {} if mapped is None else _expanded(mapped)
    in_order = type(expanded.get("ticket_sn")).__name__ in _IN_ORDER
    return index if in_order and len(expanded) == 1 and opener.is_mapped else None


def _sources(sensor: Any, number: Any, index: int = -1) -> Iterator[Any]:
    if hasattr(number, "iter_references"):
        yield from (task for task, key in number.iter_references() if key == _RESULT)
    elif isinstance(number, str) and "xcom_pull" in number:
        yield from _quoted_tasks(sensor, number)
    else:
        yield from _mapped_sources(sensor, index)


def _quoted_tasks(sensor: Any, template: str) -> Iterator[Any]:
    dag = sensor.get_dag()
    tasks = {} if dag is None else dag.task_dict
    quoted = sorted({single or double for single, double in _QUOTED.findall(template)})
    return (tasks[task_id] for task_id in quoted if task_id in tasks)


def _mapped_sources(sensor: Any, index: int) -> Iterator[Any]:
    """Return the tasks that a mapped sensor's numbers come from: an item of it has the bare number."""
    mapped = _mapped(sensor)
    if mapped is None:
        return
    expanded = _expanded(mapped)
    written = {**mapped.partial_kwargs, **expanded}.get("ticket_sn")
    items = written if isinstance(written, list) else [written]
    if isinstance(written, list) and len(expanded) == 1 and 0 <= index < len(items):
        items = [items[index]]
    of_items = [list(_sources(mapped, one)) for one in items]
    # A number of the author's own among them is nobody's.
    if all(of_items):
        yield from (task for tasks in of_items for task in tasks)


def _mapped(sensor: Any) -> Any:
    """Return the mapped sensor of which a sensor is one; None where it is none."""
    dag = sensor.get_dag()
    mapped = dag.task_dict.get(sensor.task_id) if dag is not None else None
    return None if mapped is None or mapped is sensor or not mapped.is_mapped else mapped


def _expanded(mapped: Any) -> dict[str, Any]:
    value = getattr(mapped.expand_input, "value", None)
    return dict(value) if isinstance(value, dict) else {}


def _opens_tickets(task: Any) -> bool:
    """Whether a task is of one of our operators that open tickets, or of a subclass, mapped or not.

    By name: operators are built on sensors' ground, and not the other way round.
    """
    operator = task.operator_class if task.is_mapped else type(task)
    return any(one.__name__ in _OPENERS and one.__module__.startswith(_PACKAGE) for one in operator.__mro__)
