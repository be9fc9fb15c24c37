# SPDX-License-Identifier: Apache-2.0
"""Finds the tasks that wait for a ticket in Airflow's metadata database, by their registrations and triggers."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from functools import cache, lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import Executable, Row, Select, and_, bindparam, select

from airflow_provider_bkitsm.callback.waiters import TRIGGER, WaitArguments, Waiter, registration_key
from airflow_provider_bkitsm.itsm.errors import ItsmError
from airflow_provider_bkitsm.plugins.metadata.airflow_models import (
    DagRun,
    TaskInstance,
    TaskInstanceState,
    Trigger,
    XComModel,
)
from airflow_provider_bkitsm.plugins.metadata.connections import callback_engine, with_db_retries
from airflow_provider_bkitsm.tickets.waits import open_wait_store

log = logging.getLogger(__name__)

KEY = ("dag_id", "run_id", "task_id", "map_index")
"""The columns that name a task instance."""


def registrations(sn: str) -> Sequence[Row[Any]]:
    """Read who has registered to wait for a ticket, ended waits included; one indexed query."""
    return _rows(_registered_query(), key=registration_key(sn))


def registered_waiters(rows: Iterable[Row[Any]], sn: str, conn_id: str) -> list[Waiter]:
    """Return the waiters of registrations that still wait for a ticket.

    A registration only finds a task. Its ticket and its verdict policy come from its trigger's arguments.
    """
    return _waiting(((row, row.value) for row in rows), sn, conn_id)


@lru_cache(maxsize=10_000)
def arguments_of(encrypted: str | None) -> WaitArguments | None:
    """Return the arguments of a stored trigger; None where they cannot be read.

    The row of a trigger never changes, so decrypted arguments are cached.
    """
    if encrypted is None:
        return None
    try:
        return WaitArguments.from_stored(Trigger._decrypt_kwargs(encrypted))
    except Exception as error:
        log.warning("The arguments of a trigger cannot be read: %s", type(error).__name__)
        return None


def waiter_of(row: Row[Any], value: object) -> Waiter | None:
    """Return the waiter of a task on our trigger; None where this try has registered nothing.

    :param value: the registration, which anybody may have written. An earlier try's registration does not count:
        it waited for another ticket or another round.
    """
    registered = Waiter.from_value(value)
    if registered is None or UUID(registered.ti_id) != UUID(str(row.id)):
        return None
    arguments = arguments_of(row.encrypted_kwargs)
    if arguments is None:
        return Waiter(ti_id=registered.ti_id, conn_id=registered.conn_id, after_worker=True)
    return arguments.waiter(registered)


def recorded_waiters(sn: str, conn_id: str) -> list[Waiter]:
    """Return who waits for a ticket by the store's records of waits."""
    try:
        tries = open_wait_store().tries_for(sn, bkitsm_conn_id=conn_id)
    except ItsmError as error:
        log.warning("%s", error)
        return []
    if not tries:
        return []
    kind = TaskInstance.id.type.python_type
    query = (
        select(TaskInstance.id, TaskInstance.state, Trigger.encrypted_kwargs.label("encrypted_kwargs"))
        .join(Trigger, TaskInstance.trigger_id == Trigger.id)
        .where(TaskInstance.id.in_([kind(one) for one in tries]), Trigger.classpath == TRIGGER)
    )
    rows = _rows(query)
    # Whether others are mapped over a task, which would need a worker to end it, the record does not say.
    registered = ((row, Waiter(ti_id=str(row.id), conn_id=conn_id).as_dict()) for row in rows)
    return _waiting(registered, sn, conn_id)


def _waiting(registered: Iterable[tuple[Row[Any], object]], sn: str, conn_id: str) -> list[Waiter]:
    """Return the waiters of rows of task instances, each with its registration."""
    found = (_waits_for(row, value, sn, conn_id) for row, value in registered)
    return [waiter for waiter in found if waiter is not None]


def _waits_for(row: Row[Any], value: object, sn: str, conn_id: str) -> Waiter | None:
    """Return the waiter of a row; None where its task does not wait, or waits for another ticket."""
    if row.state != TaskInstanceState.DEFERRED or row.encrypted_kwargs is None:
        return None
    waiter, arguments = waiter_of(row, value), arguments_of(row.encrypted_kwargs)
    if waiter is None or waiter.conn_id != conn_id or (arguments and not arguments.may_be_about(sn, conn_id)):
        return None
    return waiter


def read_waiting_task(waiter: Waiter) -> Row[Any] | None:
    """Read a waiting task instance and its trigger; None where it does not wait on our trigger."""
    # Airflow 3.1 stores these ids as text, later versions as UUID.
    ti_id = TaskInstance.id.type.python_type(waiter.ti_id)
    return next(iter(_rows(_waiting_query(), ti_id=ti_id)), None)


def _rows(query: Executable, **values: Any) -> Sequence[Row[Any]]:
    """Read rows without a session, whose own work takes longer than the database's.

    On PostgreSQL a transaction would be two more round trips.
    """

    def read() -> Sequence[Row[Any]]:
        engine = callback_engine()
        with engine.connect() as connection:
            if engine.dialect.name == "postgresql":
                connection.execution_options(isolation_level="AUTOCOMMIT")
            return connection.execute(query, values).all()

    return with_db_retries(read)


# Statements are built once: building one takes as long as the database takes to answer it.
@cache
def _registered_query() -> Select[Any]:
    """Select the registrations with an XCom's ``key``, with their tasks and triggers."""
    same = [getattr(XComModel, name) == getattr(TaskInstance, name) for name in KEY]
    columns = (XComModel.value, XComModel.dag_run_id, *_waiting_columns(), TaskInstance.state)
    return (
        select(*columns)
        .join(TaskInstance, and_(*same))
        .join(Trigger, and_(TaskInstance.trigger_id == Trigger.id, Trigger.classpath == TRIGGER), isouter=True)
        .where(XComModel.key == bindparam("key"))
    )


@cache
def _waiting_query() -> Select[Any]:
    """Select the task instance ``ti_id`` and its trigger, if it waits on our trigger."""
    run = and_(DagRun.dag_id == TaskInstance.dag_id, DagRun.run_id == TaskInstance.run_id)
    return (
        select(*_waiting_columns(), DagRun.id.label("dag_run_id"))
        .join(DagRun, run)
        .join(Trigger, TaskInstance.trigger_id == Trigger.id)
        .where(
            TaskInstance.id == bindparam("ti_id"),
            TaskInstance.state == TaskInstanceState.DEFERRED,
            Trigger.classpath == TRIGGER,
        )
    )


def _waiting_columns() -> tuple[Any, ...]:
    """Return the columns of a waiting task and its trigger.

    Only a few: loading task instance, run and DAG takes longer than all the rest of a callback.
    """
    key = (getattr(TaskInstance, name) for name in KEY)
    task = (TaskInstance.id, TaskInstance.start_date, TaskInstance.trigger_id, *key)
    return *task, Trigger.created_date, Trigger.encrypted_kwargs.label("encrypted_kwargs")
