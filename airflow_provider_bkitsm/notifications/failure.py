# SPDX-License-Identifier: Apache-2.0
"""What a callback of Airflow is about, told from its context: a task, a run, or a missed deadline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from airflow_provider_bkitsm.itsm.errors import ItsmConfigurationError
from airflow_provider_bkitsm.tasks import map_index


@dataclass(frozen=True, kw_only=True)
class Failure:
    """What failed.

    :param names: tell it from all others; the same for every callback about it, in whichever process.
    :param began: when it began, so far as Airflow says (aware).
    """

    names: tuple[str, ...]
    began: datetime | None = None


def failure_of(context: Mapping[str, Any], *, key: str | None = None) -> Failure:
    """Return what a callback is about.

    :param key: names it in place of what Airflow says.
    :raises ItsmConfigurationError: nothing says what it is.
    """
    known = _deadline(context) or _task(context) or _run(context)
    if key:
        return Failure(names=("key", key), began=known.began if known else None)
    if known is None:
        raise ItsmConfigurationError(
            "the callback's context names neither task nor run nor deadline; give the notifier a failure_key."
            " No ticket was opened"
        )
    return known


def _deadline(context: Mapping[str, Any]) -> Failure | None:
    deadline = context.get("deadline")
    if not deadline:
        return None
    return Failure(names=("deadline", str(_of(deadline, "id"))), began=_began(context.get("dag_run")))


def _task(context: Mapping[str, Any]) -> Failure | None:
    """Return the task; a run's callback has one in its context too, and the run's ``reason``."""
    ti = context.get("ti")
    if ti is None or "reason" in context:
        return None
    names = ("task", ti.dag_id, ti.run_id, ti.task_id, str(map_index(ti)))
    return Failure(names=names, began=_began(ti))


def _run(context: Mapping[str, Any]) -> Failure | None:
    dag, run_id = context.get("dag"), context.get("run_id")
    if dag is None or not run_id:
        return None
    return Failure(names=("run", dag.dag_id, str(run_id)), began=_began(context.get("dag_run")))


def _began(one: Any) -> datetime | None:
    """Return when a task's try or a run began; a cleared run begins anew."""
    said = _of(one, "start_date") or _of(one, "run_after")
    return datetime.fromisoformat(said) if isinstance(said, str) else said


def _of(one: Any, name: str) -> Any:
    """Read what is an object in most contexts, and JSON in a deadline's."""
    return one.get(name) if isinstance(one, Mapping) else getattr(one, name, None)
