# SPDX-License-Identifier: Apache-2.0
"""Airflow's metadata database, as the callback needs it: who waits, and resuming them.

Written against Airflow 3.1 to 3.3. Airflow's own human-in-the-loop endpoint hands tasks back the same way.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from airflow_provider_bkitsm import telemetry
from airflow_provider_bkitsm.callback.receiver import Waiting
from airflow_provider_bkitsm.callback.waiters import Waiter, ends_here, wait_key, xcoms_of
from airflow_provider_bkitsm.hooks.connection import Gateway, read_gateway
from airflow_provider_bkitsm.itsm.errors import ItsmConfigurationError
from airflow_provider_bkitsm.version_compat import workers_do_no_more

if TYPE_CHECKING:
    from sqlalchemy import Row
    from sqlalchemy.orm import Session

    from airflow_provider_bkitsm.itsm.verdict import Verdict

log = logging.getLogger(__name__)

TRIGGER = "airflow_provider_bkitsm.triggers.ticket.ItsmTicketTrigger"
_CONN_TYPE = "bkitsm"
# A task that goes back to a worker within seconds of its deferral can be failed by the executor's late report
# about the worker that deferred it. The trigger's first look comes right after this.
_TOO_EARLY = timedelta(seconds=5)


class AirflowMetadata:
    """Connections, registrations and waiting task instances."""

    def gateway(self, conn_id: str) -> Gateway | None:
        """Return a connection of type ``bkitsm``; None when there is none."""
        from airflow.exceptions import AirflowNotFoundException  # type: ignore[attr-defined,unused-ignore]
        from airflow.models.connection import Connection

        try:
            found = Connection.get_connection_from_secrets(conn_id)
        except AirflowNotFoundException:
            return None
        if found.conn_type != _CONN_TYPE:
            return None
        try:
            return read_gateway(found)
        except ItsmConfigurationError as error:
            log.error("%s", error)
            return None

    def waiting(self, sn: str, conn_id: str) -> Waiting:
        """Return who waits for a ticket on a connection; one indexed query."""
        from airflow.models.taskinstance import TaskInstance
        from airflow.models.xcom import XComModel
        from airflow.utils.session import create_session
        from airflow.utils.state import TaskInstanceState
        from sqlalchemy import and_, select

        same = [getattr(XComModel, name) == getattr(TaskInstance, name) for name in _KEY]
        query = (
            select(XComModel.value, TaskInstance.id, TaskInstance.state)
            .join(TaskInstance, and_(*same))
            .where(XComModel.key == wait_key(sn))
        )
        with create_session(scoped=False) as session:
            rows = session.execute(query).all()
        registered = ((Waiter.from_value(value), ti_id, state) for value, ti_id, state in rows)
        ours = [(who, *now) for who, *now in registered if who is not None and who.conn_id == conn_id]
        waits = (who for who, ti_id, state in ours if _is_try(who, ti_id) and state == TaskInstanceState.DEFERRED)
        return Waiting(waiters=tuple(waits), known=bool(ours))

    def resume(self, waiter: Waiter, verdict: Verdict) -> bool:
        """Resume a task if it still waits on our trigger; True for exactly one caller.

        An approval ends the task here where that loses nothing; all else goes to ``execute_complete`` on a
        worker. ITSM calls but once, so a transaction that the database gave up is made again.
        """
        from airflow.utils.retries import run_with_db_retries

        resumed: bool = run_with_db_retries()(_resume, waiter, verdict)
        if resumed:
            telemetry.decided(verdict, conn_id=waiter.conn_id, way="callback")
        return resumed


def _resume(waiter: Waiter, verdict: Verdict) -> bool:
    from airflow.utils.session import create_session

    with create_session(scoped=False) as session:
        waits = _lock(session, waiter)
        if waits is None:
            return False
        if ends_here(waiter, verdict) and workers_do_no_more():
            _end(session, waits, verdict)
            return True
        if waiter.after_worker and _is_young(waits):
            return False
        _hand_over(session, waits, verdict)
        return True


_KEY = ("dag_id", "run_id", "task_id", "map_index")


def _is_young(waits: Row[Any]) -> bool:
    return bool(datetime.now(UTC) - waits.created_date < _TOO_EARLY)


def _is_try(waiter: Waiter, ti_id: Any) -> bool:
    """Whether the registration is this try's: an earlier one waited for another ticket, or another round."""
    return UUID(str(ti_id)) == UUID(waiter.ti_id)


def _lock(session: Session, waiter: Waiter) -> Row[Any] | None:
    """Lock a task instance that is still deferred on our trigger; return what its end needs.

    The lock is an UPDATE that checks while it locks, which works alike on PostgreSQL, MySQL and SQLite (where
    FOR UPDATE does nothing). It must be the transaction's first statement.
    """
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.trigger import Trigger
    from airflow.utils.state import TaskInstanceState
    from sqlalchemy import select, update

    # Airflow 3.1 keeps these ids as text, later ones as UUID.
    ti_id = TaskInstance.id.type.python_type(waiter.ti_id)
    still = (
        TaskInstance.id == ti_id,
        TaskInstance.state == TaskInstanceState.DEFERRED,
        TaskInstance.trigger_id.in_(select(Trigger.id).where(Trigger.classpath == TRIGGER)),
    )
    locked = update(TaskInstance).where(*still).values(updated_at=datetime.now(UTC))
    if not session.execute(locked.execution_options(synchronize_session=False)).rowcount:  # type: ignore[attr-defined]
        return None
    return _what_waits(session, ti_id)


def _what_waits(session: Session, ti_id: Any) -> Row[Any]:
    """Read a few columns: loading task instance, run and DAG takes longer than all the rest of a callback."""
    from airflow.models.dagrun import DagRun
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.trigger import Trigger
    from sqlalchemy import and_, select

    key = [getattr(TaskInstance, name) for name in _KEY]
    columns = (TaskInstance.id, TaskInstance.start_date, DagRun.id.label("dag_run_id"), Trigger.created_date)
    run = and_(DagRun.dag_id == TaskInstance.dag_id, DagRun.run_id == TaskInstance.run_id)
    query = select(*columns, *key).join(DagRun, run).join(Trigger, TaskInstance.trigger_id == Trigger.id)
    return session.execute(query.where(TaskInstance.id == ti_id)).one()


def _end(session: Session, waits: Row[Any], verdict: Verdict) -> None:
    """End the task as Airflow does it for a trigger's ``TaskSuccessEvent``, XComs included, in one transaction.

    Airflow's own way writes those XComs in transactions of their own, after the task has ended, and has the DAG
    file parsed for a success callback; a task with one of those does not end here.
    """
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.state import TaskInstanceState
    from sqlalchemy import update

    now = datetime.now(UTC)
    start = waits.start_date or now
    times = {"start_date": start, "end_date": now, "duration": (now - start).total_seconds()}
    ended = update(TaskInstance).where(TaskInstance.id == waits.id)
    ended = ended.values(state=TaskInstanceState.SUCCESS, trigger_id=None, **times)
    session.execute(ended.execution_options(synchronize_session=False))
    _write(session, waits, xcoms_of(verdict))
    log.info("%s: %s %s goes on", verdict.describe(), waits.dag_id, waits.task_id)


def _write(session: Session, waits: Row[Any], xcoms: dict[str, Any]) -> None:
    """Write XComs in place of earlier ones, without loading them."""
    from airflow.models.xcom import XComModel
    from sqlalchemy import delete, insert

    where = {name: getattr(waits, name) for name in (*_KEY, "dag_run_id")}
    earlier = delete(XComModel).filter_by(**where).where(XComModel.key.in_(xcoms))
    session.execute(earlier.execution_options(synchronize_session=False))
    session.execute(insert(XComModel), [{"key": key, "value": value, **where} for key, value in xcoms.items()])


def _hand_over(session: Session, waits: Row[Any], verdict: Verdict) -> None:
    """Send the task back to a worker, with the event its trigger would have fired."""
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.trigger import handle_event_submit
    from airflow.triggers.base import TriggerEvent
    from sqlalchemy.orm import joinedload

    eager = [joinedload(one) for one in (TaskInstance.dag_model, TaskInstance.dag_run)]
    task_instance = session.get_one(TaskInstance, waits.id, options=eager)
    event = TriggerEvent({"verdict": verdict.as_dict()})  # type: ignore[no-untyped-call]
    handle_event_submit(event, task_instance=task_instance, session=session)
    log.info("%s: %s %s goes back to a worker", verdict.describe(), waits.dag_id, waits.task_id)
