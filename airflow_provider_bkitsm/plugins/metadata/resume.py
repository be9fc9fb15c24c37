# SPDX-License-Identifier: Apache-2.0
"""Resumes the tasks that wait for a ticket, in Airflow's metadata database.

Written against Airflow 3.1 to 3.3. Airflow's own human-in-the-loop endpoint resumes tasks in the same way.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection as SqlConnection
from sqlalchemy import Row, Select, bindparam, delete, insert, select, update
from sqlalchemy.orm import Session, joinedload

from airflow_provider_bkitsm import telemetry
from airflow_provider_bkitsm.callback.handover import is_settled, is_too_early
from airflow_provider_bkitsm.callback.receiver import LostTicket, Registrations
from airflow_provider_bkitsm.callback.waiters import (
    RESULT_KEYS,
    Waiter,
    resumption,
    wait_can_finish_without_worker,
    xcoms_of,
)
from airflow_provider_bkitsm.collectors.errors import CollectItsmConflict, StoreRaceLost
from airflow_provider_bkitsm.hooks.connection import Gateway, read_gateway
from airflow_provider_bkitsm.hooks.store import open_store
from airflow_provider_bkitsm.itsm.errors import ItsmConfigurationError, ItsmError
from airflow_provider_bkitsm.mixins import VERDICT_KEY
from airflow_provider_bkitsm.plugins.metadata.airflow_models import (
    AirflowNotFoundException,
    Connection,
    Job,
    TaskInstance,
    TaskInstanceState,
    TriggerEvent,
    XComModel,
    create_session,
    handle_event_submit,
)
from airflow_provider_bkitsm.plugins.metadata.callback_message import Message, message_for
from airflow_provider_bkitsm.plugins.metadata.connections import callback_engine, with_db_retries
from airflow_provider_bkitsm.plugins.metadata.waiting_tasks import (
    KEY,
    read_waiting_task,
    recorded_waiters,
    registered_waiters,
    registrations,
)
from airflow_provider_bkitsm.tickets.approval_store import open_approval_store
from airflow_provider_bkitsm.tickets.callback_tokens import open_callback_tokens
from airflow_provider_bkitsm.tickets.ownership_records import TicketOpening, read_opening
from airflow_provider_bkitsm.tickets.round_end import WaitingTask, record_end
from airflow_provider_bkitsm.version_compat import airflow_can_finish_without_worker

if TYPE_CHECKING:
    from airflow_provider_bkitsm.itsm.verdict import Verdict

log = logging.getLogger(__name__)

_CONN_TYPE = "bkitsm"
_ROWS_KEPT = 1_000


class AirflowMetadata:
    """Connections, registrations and waiting task instances."""

    def __init__(self) -> None:
        # What was read of waiting tasks until they are resumed. Resuming checks under a lock that nothing has
        # changed: a task instance that still waits on the same trigger is still the same.
        self._rows: OrderedDict[str, tuple[Row[Any], TicketOpening]] = OrderedDict()

    def gateway(self, conn_id: str) -> Gateway | None:
        """Return a connection of type ``bkitsm``; None when there is none."""
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

    def waiting(self, sn: str, conn_id: str) -> Registrations:
        """Return who waits for a ticket on a connection.

        A clean-up may have deleted the registration: then the store's record of the wait finds the task.
        """
        rows = registrations(sn)
        registered = (Waiter.from_value(row.value) for row in rows)
        is_registered = any(waiter is not None and waiter.conn_id == conn_id for waiter in registered)
        waiting = registered_waiters(rows, sn, conn_id) or recorded_waiters(sn, conn_id)
        waits = {waiter.ti_id: waiter for waiter in waiting}
        opening = read_opening(sn, conn_id) if waits else TicketOpening()
        self._rows.update({ti_id: (row, opening) for row in rows if (ti_id := str(row.id)) in waits})
        while len(self._rows) > _ROWS_KEPT:
            self._rows.popitem(last=False)
        return Registrations(
            waiters=tuple(waits.values()), ever_registered=is_registered or bool(waits), request=opening.request
        )

    def token_digests(self, tag: str, conn_id: str) -> tuple[str, ...]:
        """Return what is kept of the tokens that were chosen for a ticket."""
        return open_callback_tokens().of_ticket(bkitsm_conn_id=conn_id, tag=tag)

    def lost(self, tag: str, conn_id: str) -> LostTicket | None:
        """Return the ticket of a tag, if its record has begun to open it and has not learnt its number.

        It is an approval's, or a collector's. Another try that is faster knows the number as well.
        """
        store = open_approval_store()
        record = store.lost(conn_id, tag)
        if record is None:
            return _lost_application(tag, conn_id)

        def found(sn: str, ticket_url: str) -> None:
            with suppress(StoreRaceLost):
                store.change(record, sn=sn, ticket_url=ticket_url, opened_at=store.now())

        return LostTicket(request=record.request, found=found)

    def resume(self, waiter: Waiter, verdict: Verdict) -> bool:
        """Resume a task if it still waits on our trigger; True for exactly one caller.

        An approval ends the task here where that loses nothing. Otherwise ``execute_complete`` on a worker draws
        the conclusion. The worker gets the verdict where the trigger's arguments or a record of the store bind the
        ticket to the task. Without either the worker is only woken, and reads its own ticket. ITSM calls
        back only once, so a transaction that the database aborted is repeated.
        """
        found, opening = self._rows.pop(waiter.ti_id, None) or (read_waiting_task(waiter), None)
        message = None if found is None else message_for(found, waiter, verdict, opening)
        if found is None or message is None:
            return False
        message = _with_stored_end(found, message, opening)
        resumed = with_db_retries(_resume, found, message)
        if resumed and message.verdict is not None:
            telemetry.decided(message.verdict, conn_id=waiter.conn_id, way="callback")
        return resumed


def _with_stored_end(found: Row[Any], message: Message, opening: TicketOpening | None) -> Message:
    """Store an approval that ends its task here, before it does; a worker ends the task where that fails."""
    if message.verdict is None or not wait_can_finish_without_worker(message.waiter, message.verdict):
        return message
    task = WaitingTask(**{name: getattr(found, name) for name in KEY})
    opener = None if opening is None else opening.record
    try:
        return replace(message, read=record_end(message.waiter.conn_id, message.verdict, task, opener=opener))
    except ItsmError as error:
        log.warning("%s: %s goes back to a worker", error, task)
        return replace(message, waiter=replace(message.waiter, ends_task=False))


def _lost_application(tag: str, conn_id: str) -> LostTicket | None:
    store = open_store(actor="callback")
    row = store.lost(conn_id, tag)
    if row is None or row.request is None:
        return None

    def found(sn: str, ticket_url: str) -> None:
        with suppress(StoreRaceLost, CollectItsmConflict):
            store.ticket_opened(row.bklog_conn_id, row.collector_config_id, tag=tag, sn=sn, url=ticket_url)

    return LostTicket(request=row.request, found=found)


def _resume(found: Row[Any], message: Message) -> bool:
    if (
        message.verdict is not None
        and wait_can_finish_without_worker(message.waiter, message.verdict)
        and airflow_can_finish_without_worker()
    ):
        with callback_engine().begin() as connection:
            return _end(connection, found, message.verdict)
    with create_session(scoped=False) as session:
        if not _lock(session, found):
            return False
        if message.waiter.after_worker and _is_too_early(session, found):
            return False
        _resume_on_worker(session, found, message)
        return True


def _is_too_early(session: Session, waits: Row[Any]) -> bool:
    """Whether the report about the worker that deferred the task could fail it; the callback is tried again."""
    now = datetime.now(UTC)
    if is_settled(now, deferred_at=waits.created_date):
        return False
    heartbeat = session.scalar(_heartbeat_query(), {"ti_id": waits.id})
    return is_too_early(now, deferred_at=waits.created_date, heartbeat=heartbeat)


@cache
def _heartbeat_query() -> Select[Any]:
    """Select the last heartbeat of the scheduler that has queued a task instance."""
    return (
        select(Job.latest_heartbeat)
        .join(TaskInstance, TaskInstance.queued_by_job_id == Job.id)
        .where(TaskInstance.id == bindparam("ti_id"))
    )


def _still_waiting() -> Any:
    """Update the task instance ``ti_id`` if it is still deferred on the trigger ``trigger``.

    An UPDATE checks while it locks, which works alike on PostgreSQL, MySQL and SQLite (where FOR UPDATE does
    nothing). It must be the transaction's first statement.
    """
    table: Any = TaskInstance.__table__
    return update(table).where(
        table.c.id == bindparam("ti_id"),
        table.c.state == TaskInstanceState.DEFERRED,
        table.c.trigger_id == bindparam("trigger"),
    )


@cache
def _lock_statement() -> Any:
    """Lock a task instance that still waits."""
    return _still_waiting().values(updated_at=bindparam("now"))


@cache
def _end_statement() -> Any:
    """Set a task instance that still waits to success."""
    times: Any = {name: bindparam(f"new_{name}") for name in ("start_date", "end_date", "duration")}
    return _still_waiting().values(
        state=TaskInstanceState.SUCCESS, trigger_id=None, updated_at=bindparam("now"), **times
    )


@cache
def _insert_xcoms_statement() -> Any:
    return insert(XComModel.__table__)


@cache
def _delete_xcoms_statement() -> Any:
    """Delete the XComs ``keys`` of a task of a run."""
    table: Any = XComModel.__table__
    of_task = [table.c[name] == bindparam(name) for name in (*KEY, "dag_run_id")]
    return delete(table).where(*of_task, table.c.key.in_(bindparam("keys", expanding=True)))


def _lock(session: Session, found: Row[Any]) -> bool:
    """Lock a task instance that is still deferred on the trigger that was read."""
    values = {"ti_id": found.id, "trigger": found.trigger_id, "now": datetime.now(UTC)}
    return bool(session.connection().execute(_lock_statement(), values).rowcount)


def _end(connection: SqlConnection, waits: Row[Any], verdict: Verdict) -> bool:
    """End the task as Airflow does it for a trigger's ``TaskSuccessEvent``, XComs included, in one transaction.

    Airflow writes those XComs in separate transactions after the task has ended, and parses the DAG file to run a
    success callback. A task with a success callback does not end here.

    :return: False where the task does not wait any more.
    """
    now = datetime.now(UTC)
    start = waits.start_date or now
    values = {
        "ti_id": waits.id,
        "trigger": waits.trigger_id,
        "now": now,
        "new_start_date": start,
        "new_end_date": now,
        "new_duration": (now - start).total_seconds(),
    }
    if not connection.execute(_end_statement(), values).rowcount:
        return False
    _write_xcoms(connection, waits, xcoms_of(verdict) | resumption(waits.trigger_id, verdict))
    log.info("%s: %s %s goes on", verdict.describe(), waits.dag_id, waits.task_id)
    return True


def _write_xcoms(connection: SqlConnection, waits: Row[Any], xcoms: dict[str, Any]) -> None:
    """Replace XComs without loading the earlier values."""
    _delete_xcoms(connection, waits, xcoms)
    task = _task_columns(waits)
    rows = [{"key": key, "value": value, **task} for key, value in xcoms.items()]
    connection.execute(_insert_xcoms_statement(), rows)


def _delete_xcoms(connection: SqlConnection, waits: Row[Any], keys: Iterable[str]) -> int:
    """Delete XComs; return how many existed."""
    values = {"keys": list(keys), **_task_columns(waits)}
    return connection.execute(_delete_xcoms_statement(), values).rowcount


def _task_columns(waits: Row[Any]) -> dict[str, Any]:
    return {name: getattr(waits, name) for name in (*KEY, "dag_run_id")}


def _resume_on_worker(session: Session, waits: Row[Any], message: Message) -> None:
    """Send the task back to a worker, with the event its trigger would have fired.

    Airflow clears XComs only for tries that begin on a worker. So an earlier round's result is deleted here, and
    this round's state takes its place.
    """
    connection = session.connection()
    has_result = _delete_xcoms(connection, waits, (*RESULT_KEYS, VERDICT_KEY)) > 0
    result = {"return_value": message.result.as_dict()} if has_result else {}
    _write_xcoms(connection, waits, result | resumption(waits.trigger_id, message.verdict))
    eager = [joinedload(relation) for relation in (TaskInstance.dag_model, TaskInstance.dag_run)]
    task_instance = session.get_one(TaskInstance, waits.id, options=eager)
    event = TriggerEvent(message.event)  # type: ignore[no-untyped-call]
    handle_event_submit(event, task_instance=task_instance, session=session)
    why = "a callback came, its ticket is read anew" if message.verdict is None else message.verdict.describe()
    log.info("%s: %s %s goes back to a worker", why, waits.dag_id, waits.task_id)
