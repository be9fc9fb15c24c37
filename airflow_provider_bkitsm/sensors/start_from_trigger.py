# SPDX-License-Identifier: Apache-2.0
"""Whether a wait can begin in the triggerer, without a worker: Airflow's ``start_from_trigger``.

It begins on a worker wherever something would be lost. ``docs/waiting.md`` says it for each argument of a task.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from functools import cache, lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Any

from airflow.sdk.definitions.xcom_arg import PlainXComArg
from jinja2 import Environment, StrictUndefined, TemplateSyntaxError, nodes

from airflow_provider_bkitsm.callback.waiters import TRIGGER, is_template
from airflow_provider_bkitsm.version_compat import AIRFLOW_V_3_3_PLUS, airflow_conf

if TYPE_CHECKING:
    from airflow.sdk import DAG, BaseSensorOperator
    from airflow.triggers.base import StartTriggerArgs

_ON_A_WORKER = object()
_DEFAULT_POOL = "default_pool"
# Only reads templates.
_JINJA = Environment(autoescape=True)
# What templates may use in a triggerer. All else is not there, is not asked for there, or is not true: a run has
# nobody who started it, and no assets that did.
_SERVED = frozenset({"params", "run_id", "logical_date", "data_interval_start", "data_interval_end", "macros"})
_SERVED |= {"ds", "ds_nodash", "ts", "ts_nodash", "ts_nodash_with_tz", "var", "conn"}
_OF_TASK = frozenset({"xcom_pull", "dag_id", "run_id", "task_id", "map_index", "try_number"})
_PARTS: Mapping[str, Collection[str]] = {
    "dag_run": {
        "conf",
        "dag_id",
        "run_id",
        "logical_date",
        "data_interval_start",
        "data_interval_end",
        "run_after",
    },
    "dag": {"dag_id"},
    "task": {"task_id"},
    "ti": _OF_TASK,
    "task_instance": _OF_TASK,
}


class AskedLate:
    """An attribute of a task that is computed each time Airflow asks for it.

    A site's cluster policy, a subclass, or the DAG's author may change a task after it was made. What the task
    is when its DAG is written down counts. The class itself, which Airflow asks for mapped tasks, has a value
    of its own.
    """

    def __init__(self, compute: Callable[[Any], Any], *, of_class: Any) -> None:
        self._compute = compute
        self._of_class = of_class

    def __get__(self, task: Any, owner: type | None = None) -> Any:
        """Return the task's value; an assignment to the task hides it."""
        return self._of_class if task is None else self._compute(task)


def start_args(task: BaseSensorOperator, values: Mapping[str, Any]) -> StartTriggerArgs | None:
    """Return what a task's trigger is started with; None when it has to be started by a worker.

    :param values: arguments of the trigger, templates not yet rendered.
    """
    if not AIRFLOW_V_3_3_PLUS or not _needs_no_worker(task):
        return None
    templates = {name: found for name, value in values.items() if (found := list(_templates(value)))}
    if _has_jinja_of_its_own(task, templates) or not all(map(_is_served, chain(*templates.values()))):
        return None
    ready = {name: _as_template(value) for name, value in values.items()}
    flat = [value for given in ready.values() for value in _flat(given)]
    if any(value is _ON_A_WORKER for value in flat) or not _reads_xcoms_in_triggerer(task, flat):
        return None
    from airflow.triggers.base import StartTriggerArgs

    return StartTriggerArgs(trigger_cls=TRIGGER, trigger_kwargs=ready, next_method="execute_complete")


def _reads_xcoms_in_triggerer(task: BaseSensorOperator, values: Collection[Any]) -> bool:
    """Whether Airflow can render a task's templates in a triggerer.

    There it cannot ask for anything of which a name is not ASCII; see
    :mod:`airflow_provider_bkitsm.hooks.connection_lookup`. Names of runs are not known before they are there.
    """
    templates = [value for value in values if is_template(value)]
    return not templates or all(text.isascii() for text in (task.dag_id, *templates))


@lru_cache(maxsize=256)
def _is_served(template: str) -> bool:
    """Whether a triggerer has all that a template uses, and has it as a worker has it.

    It can pull an XCom only where the index of the task is said: any other pull waits for ever.
    """
    try:
        tree = _JINJA.parse(template)
    except TemplateSyntaxError:
        return False
    names = [one.name for one in tree.find_all(nodes.Name)]
    if not _SERVED.union(_PARTS).issuperset(names):
        return False
    served = [
        one for one in tree.find_all(nodes.Getattr) if one.attr in _PARTS.get(getattr(one.node, "name", ""), ())
    ]
    calls = [one for one in tree.find_all(nodes.Call) if getattr(one.node, "attr", None) == "xcom_pull"]
    pulls = [one for one in served if one.attr == "xcom_pull"]
    return (
        sum(name in _PARTS for name in names) == len(served)
        and len(calls) == len(pulls)
        and all(map(_names_index, calls))
    )


def _names_index(call: nodes.Call) -> bool:
    given = next((one.value for one in call.kwargs if one.key == "map_indexes"), None)
    index = given.node if isinstance(given, nodes.Neg) else given
    return isinstance(index, nodes.Const) and isinstance(index.value, int)


def _needs_no_worker(task: BaseSensorOperator) -> bool:
    """Whether nothing is wanted that only a worker does when a task begins.

    In a mapped group a value that comes from the group has the index of its task, which a template in the
    triggerer does not follow. An ``execution_timeout`` would end a wait that starts there, decided or not. The
    scheduler holds a task to its limits only on its way to a worker. Only there a trigger learns its task's queue.
    """
    if triggerers_have_queues():
        return False
    if task.execution_timeout is not None or task.pool != _DEFAULT_POOL:
        return False
    limits = (task.max_active_tis_per_dag, task.max_active_tis_per_dagrun)
    begins = (task._pre_execute_hook, task.on_execute_callback)
    if any(begins + limits) or task.get_closest_mapped_task_group() is not None:
        return False
    return all(map(_have_defaults, (task, task.get_dag())))


@cache
def triggerers_have_queues() -> bool:
    """Whether each triggerer may take up the triggers of some queues only."""
    return bool(airflow_conf().getboolean("triggerer", "queues_enabled", fallback=False))


def _have_defaults(owner: BaseSensorOperator | DAG | None) -> bool:
    """Whether each parameter of a task or DAG has a default.

    Without one Airflow cannot make the context of a trigger, whatever the run was given, and the error ends the
    triggerer with all that wait in it (seen in Airflow 3.3.2), again at each start.
    """
    params: Any = getattr(owner, "params", None) or {}
    return all(params.get_param(name).has_value for name in params)


def _has_jinja_of_its_own(task: BaseSensorOperator, templates: Collection[str]) -> bool:
    """Whether templates mean something else on a worker: a triggerer has none of what a DAG adds to Jinja.

    :param templates: names of the arguments that are templates.
    """
    dag = task.get_dag()
    if dag is None:
        # Whatever DAG it is put into later.
        return bool(templates)
    if dag.jinja_environment_kwargs:
        # With signs of its own a template does not even look like one.
        return True
    is_lenient = dag.template_undefined is not StrictUndefined
    if templates and (dag.user_defined_macros or dag.user_defined_filters or is_lenient):
        return True
    # All others are texts, whether Jinja is native or not.
    return "approval_timeout" in templates and _is_native(task, dag)


def _is_native(task: BaseSensorOperator, dag: DAG) -> bool:
    native = getattr(task, "render_template_as_native_obj", None)
    return bool(dag.render_template_as_native_obj if native is None else native)


def _as_template(value: Any) -> Any:
    """Return a value as a trigger takes it."""
    if isinstance(value, PlainXComArg):
        return _pulled(value)
    if isinstance(value, list | tuple | set):
        return type(value)(_as_template(one) for one in value)
    if hasattr(value, "iter_references"):
        return _ON_A_WORKER
    return value


def _flat(value: Any) -> Iterator[Any]:
    """Yield what a list holds, or the value that is none."""
    if isinstance(value, list | tuple | set):
        for one in value:
            yield from _flat(one)
    else:
        yield value


def _templates(value: Any) -> Iterator[str]:
    return (text for text in _flat(value) if is_template(text))


def _pulled(value: PlainXComArg) -> Any:
    task = value.operator
    if task.is_mapped or task.get_closest_mapped_task_group() is not None:
        return _ON_A_WORKER
    return f"{{{{ ti.xcom_pull(task_ids={task.task_id!r}, key={value.key!r}, map_indexes=-1) }}}}"
