# SPDX-License-Identifier: Apache-2.0
"""Rows of Airflow's database: task instances that wait for tickets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from airflow_provider_bkitsm.callback.waiters import Waiter, registration_key
from airflow_provider_bkitsm.mixins import LATER_SETTINGS
from airflow_provider_bkitsm.triggers.ticket import ItsmTicketTrigger

OURS = "airflow_provider_bkitsm.triggers.ticket.ItsmTicketTrigger"
LONG_AGO = timedelta(hours=1)
DAG = "dag"


@dataclass(frozen=True, kw_only=True)
class Registered:
    """A task instance that waits: ``run_id`` finds its rows, ``waiter`` is what it registered for ``sn``."""

    sn: str
    run_id: str
    waiter: Waiter


def insert_dag() -> Any:
    """Insert the DAG all of them belong to; return its version's id."""
    from airflow.models.dag import DagModel
    from airflow.models.dag_version import DagVersion
    from airflow.models.dagbundle import DagBundleModel
    from airflow.utils.session import create_session

    of_dag = {"relative_fileloc": "dag.py", "fileloc": "/dag.py", "max_active_tasks": 1}
    with create_session(scoped=False) as session:
        session.add(DagBundleModel(name="bundle"))
        session.flush()
        session.add(DagModel(dag_id=DAG, bundle_name="bundle", **of_dag))  # type: ignore[no-untyped-call]
        session.flush()
        version = DagVersion(dag_id=DAG, version_number=1, bundle_name="bundle")
        session.add(version)
        session.flush()
        return version.id


def insert_waits(
    sns: Iterable[str],
    *,
    dag_version: Any,
    prefix: str = "run",
    classpath: str = OURS,
    deferred_for: timedelta = LONG_AGO,
    arguments: Mapping[str, Any] | None = None,
    **waiter: Any,
) -> list[Registered]:
    """Insert one run for each ticket, whose task ``wait`` waits for it.

    :param prefix: what the runs' ids begin with.
    :param waiter: what the registrations say; by default an approval may end the task.
    :param arguments: what the triggers say otherwise; by default the same.
    """
    from airflow.models.dagrun import DagRun
    from airflow.models.trigger import Trigger
    from airflow.utils.session import create_session
    from airflow.utils.state import DagRunState
    from airflow.utils.types import DagRunType

    sns, since = list(sns), datetime.now(UTC) - deferred_for
    ids = [f"{prefix}_{uuid4().hex}" for _ in sns]
    with create_session(scoped=False) as session:
        runs = [
            DagRun(dag_id=DAG, run_id=one, run_type=DagRunType.MANUAL, state=DagRunState.RUNNING) for one in ids
        ]
        said: dict[str, Any] = {"conn_id": "itsm", "ends_task": True} | waiter
        stored = [trigger_arguments(sn, **said) | dict(arguments or {}) for sn in sns]
        triggers = [Trigger(classpath=classpath, kwargs=one, created_date=since) for one in stored]
        session.add_all([*runs, *triggers])
        session.flush()
        pairs = zip(ids, triggers, strict=True)
        made = [_task_instance(run_id, trigger.id, dag_version, since) for run_id, trigger in pairs]
        who = [Waiter(**{"ti_id": str(one["id"])} | said) for one in made]
        _insert(session, made, [_xcom(*one) for one in zip(sns, who, runs, strict=True)])
    return [Registered(sn=sn, run_id=run, waiter=one) for sn, run, one in zip(sns, ids, who, strict=True)]


def trigger_arguments(sn: str, *, conn_id: str, ends_task: bool, **waiter: Any) -> dict[str, Any]:
    """Return the stored arguments of a trigger whose wait has registered itself so."""
    settings = ("verdict_field", "verdict_value", "require_evidence", *LATER_SETTINGS)
    trigger = ItsmTicketTrigger(
        ticket_sn=sn,
        bkitsm_conn_id=conn_id,
        poll_interval=60.0,
        approval_timeout=waiter.get("approval_seconds"),
        ends_task=ends_task,
        after_worker=waiter.get("after_worker", False),
        **{name: waiter[name] for name in settings if name in waiter},
    )
    return trigger.serialize()[1]


def _task_instance(run_id: str, trigger_id: int, dag_version: Any, since: datetime) -> dict[str, Any]:
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.state import TaskInstanceState

    return {
        "id": TaskInstance.id.type.python_type(str(uuid4())),
        "dag_id": DAG,
        "run_id": run_id,
        "task_id": "wait",
        "map_index": -1,
        "try_number": 1,
        "max_tries": 0,
        "pool": "default_pool",
        "pool_slots": 1,
        "queue": "default",
        "hostname": "",
        "state": TaskInstanceState.DEFERRED,
        "start_date": since,
        "trigger_id": trigger_id,
        "next_method": "execute_complete",
        "next_kwargs": {},
        "dag_version_id": dag_version,
    }


def _xcom(sn: str, waiter: Waiter, run: Any) -> dict[str, Any]:
    where = {"dag_run_id": run.id, "dag_id": DAG, "run_id": run.run_id, "task_id": "wait", "map_index": -1}
    return {"key": registration_key(sn), "value": waiter.as_dict(), **where}


def _insert(session: Any, task_instances: list[dict[str, Any]], xcoms: list[dict[str, Any]]) -> None:
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.xcom import XComModel
    from sqlalchemy import insert

    if task_instances:
        session.execute(insert(TaskInstance), task_instances)
        session.execute(insert(XComModel), xcoms)
