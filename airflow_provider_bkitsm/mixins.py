# SPDX-License-Identifier: Apache-2.0
"""What every task about a ticket has: hook, verdict policy, parameters read once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, get_args

from airflow_provider_bkitsm.itsm.errors import ItsmConfigurationError

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator

    from airflow_provider_bkitsm.hooks.itsm import ItsmHook

    TaskMixin = BaseOperator
else:
    # Airflow would give an operator class of its own an __init__ that ends the chain.
    TaskMixin = object

# XCom of a task that holds its ticket's address, for the button.
TICKET_URL_KEY = "bkitsm_ticket_url"
# XCom of a task that a worker has ended, beside an XCom backend: the verdict, as the approvals pages read it.
VERDICT_KEY = "bkitsm_verdict"


def task_can_finish_without_worker(task: BaseOperator) -> bool:
    """Whether an approval may end a task with nothing lost that only a worker does, so far as the task knows.

    Whether others are mapped over its result is known only later, see :func:`is_mapped_over`.
    """
    hooks = (task._pre_execute_hook, task._post_execute_hook, task.on_success_callback)
    # A worker checks that assets are active, stores each output under its own key, and names a mapped task by it.
    of_a_worker = (task.inlets, task.outlets, task.multiple_outputs, task.map_index_template)
    return task.do_xcom_push and not any(hooks + of_a_worker)


def is_mapped_over(task: Any) -> bool:
    """Whether other tasks are mapped over a task's result, whose length only a worker reports."""
    if task is None or task.get_dag() is None:
        return False
    return next(task.iter_mapped_dependants(), None) is not None


def number(name: str, value: object) -> int:
    """Read a whole number.

    :raises ItsmConfigurationError: it is none.
    """
    try:
        return int(str(value).strip())
    except ValueError:
        raise ItsmConfigurationError(f"{name} must be a number, not {value!r}; nothing was done") from None


def json_value(given: Any) -> Any:
    """Read what was rendered to JSON text; other text is left for its reader to refuse."""
    if not isinstance(given, str):
        return given
    try:
        return json.loads(given)
    except ValueError:
        return given


# What anything but an approval does to a task: see ``deferral.act_on_refusal``.
OnNotApproved = Literal["fail", "skip", "pass"]
# What becomes of an open ticket that nobody waits for any more.
OnAbandoned = Literal["withdraw", "keep"]


def check_on_not_approved(given: OnNotApproved) -> OnNotApproved:
    """Raise ValueError for an unknown policy when the DAG is parsed."""
    _check_choice("on_not_approved", given, get_args(OnNotApproved))
    return given


def check_on_abandoned(name: str, given: OnAbandoned) -> OnAbandoned:
    """Raise ValueError for an unknown policy when the DAG is parsed."""
    _check_choice(name, given, get_args(OnAbandoned))
    return given


def _check_choice(name: str, given: object, choices: tuple[str, ...]) -> None:
    if given not in choices:
        raise ValueError(f"{name} must be {', '.join(choices[:-1])} or {choices[-1]}, not {given!r}")


def check_fast_approval(given: bool, service_id: object) -> bool:
    """Refuse two services for one ticket, while the DAG is written."""
    if given and service_id is not None:
        raise ValueError(
            f"fast_approval is ITSM's built-in service, and service_id {service_id!r} another: leave one out"
        )
    return given


def map_index(ti: Any) -> int:
    """Return a task instance's map index; -1 for one that is not mapped, however Airflow says so."""
    index = getattr(ti, "map_index", None)
    return -1 if index is None else int(index)


class ItsmHookMixin:
    """Has the synchronous ITSM client of its connection, made when it is first used."""

    bkitsm_conn_id: str

    @cached_property
    def hook(self) -> ItsmHook:
        """The synchronous ITSM client."""
        from airflow_provider_bkitsm.hooks.itsm import ItsmHook

        return ItsmHook(self.bkitsm_conn_id)


class OpenLineageMixin:
    """Tells OpenLineage of the ticket the task has seen; called by its provider, where that is installed."""

    bkitsm_conn_id: str
    _seen: Mapping[str, Any] | None = None

    def get_openlineage_facets_on_complete(self, _task_instance: Any) -> Any:
        """Return the facet ``bkitsm_approval``, see :mod:`airflow_provider_bkitsm.lineage`."""
        from airflow_provider_bkitsm.lineage import approval_lineage

        return approval_lineage(
            self._seen, conn_id=self.bkitsm_conn_id, service_id=getattr(self, "service_id", None)
        )

    def get_openlineage_facets_on_failure(self, task_instance: Any) -> Any:
        """Return the same: a refusal fails the task."""
        return self.get_openlineage_facets_on_complete(task_instance)


# Settings of a verdict policy that an earlier version did not have.
LATER_SETTINGS = ("accept_automatic", "forbid_self_approval", "min_approvers", "requester")


class VerdictPolicyMixin:
    """Says where a verdict is read; what is None comes from the connection."""

    verdict_field: str | None
    verdict_value: str | None
    require_evidence: bool | None
    accept_automatic: bool | None = None
    forbid_self_approval: bool | None = None
    min_approvers: int | None = None
    requester: str | None = None

    @property
    def verdict_settings(self) -> dict[str, Any]:
        """What the hooks' ``verdict_policy`` takes.

        What an earlier version did not have is in it only where it is set: a trigger of that version does not
        take it.
        """
        later = {name: getattr(self, name) for name in LATER_SETTINGS}
        return {
            "verdict_field": self.verdict_field,
            "verdict_value": self.verdict_value,
            "require_evidence": self.require_evidence,
            **{name: value for name, value in later.items() if value is not None},
        }
