# SPDX-License-Identifier: Apache-2.0
"""Airflow's metadata database, as the callback needs it: who waits, and resuming them.

Written against Airflow 3.1 to 3.3. Airflow's own human-in-the-loop endpoint hands tasks back the same way.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import Row, and_, delete, insert, select, update
from sqlalchemy.orm import Session, joinedload

from airflow_provider_bkitsm import telemetry
from airflow_provider_bkitsm.callback.receiver import Registrations
from airflow_provider_bkitsm.callback.waiters import (
    RESULT_KEYS,
    WaitArguments,
    Waiter,
    wait_can_finish_without_worker,
    wait_key,
    xcoms_of,
)
from airflow_provider_bkitsm.hooks.connection import Gateway, read_gateway
from airflow_provider_bkitsm.itsm.errors import ItsmConfigurationError, ItsmError
from airflow_provider_bkitsm.itsm.idempotency import shows_marker
from airflow_provider_bkitsm.itsm.outcome import Outcome, Reason
from airflow_provider_bkitsm.plugins.metadata.airflow_models import (
    AirflowNotFoundException,
    Connection,
    DagRun,
    TaskInstance,
    TaskInstanceState,
    Trigger,
    TriggerEvent,
    XComModel,
    create_session,
    handle_event_submit,
    run_with_db_retries,
)
from airflow_provider_bkitsm.tickets.binding import AwaitedTicket, Binding, Claim
from airflow_provider_bkitsm.tickets.binding_records import read_binding, read_request
from airflow_provider_bkitsm.version_compat import airflow_can_finish_without_worker

if TYPE_CHECKING:
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
        """Return who waits for a ticket on a connection; one indexed query.

        A registration only finds a task. What the task waits for, and how it wants the verdict read, is in its
        trigger's arguments.
        """
        same = [getattr(XComModel, name) == getattr(TaskInstance, name) for name in _KEY]
        columns = (XComModel.value, TaskInstance.id, TaskInstance.state, Trigger.encrypted_kwargs)
        query = (
            select(*columns)
            .join(TaskInstance, and_(*same))
            .join(Trigger, and_(TaskInstance.trigger_id == Trigger.id, Trigger.classpath == TRIGGER), isouter=True)
            .where(XComModel.key == wait_key(sn))
        )
        with create_session(scoped=False) as session:
            rows = session.execute(query).all()
        registered = (Waiter.from_value(row.value) for row in rows)
        known = any(one is not None and one.conn_id == conn_id for one in registered)
        waits = {who.ti_id: who for row in rows if (who := _waits_for(row, sn, conn_id)) is not None}
        request = read_request(sn, conn_id) if waits else None
        return Registrations(waiters=tuple(waits.values()), known=known or bool(waits), request=request)

    def resume(self, waiter: Waiter, verdict: Verdict) -> bool:
        """Resume a task if it still waits on our trigger; True for exactly one caller.

        An approval ends the task here where that loses nothing; all else goes to ``execute_complete`` on a worker.
        A worker gets the verdict where the trigger's arguments or a record of the store bind the ticket to the
        task; else it is only woken, and reads its own ticket. ITSM calls but once, so a transaction that the
        database gave up is made again.
        """
        found = run_with_db_retries()(_read, waiter)
        told = None if found is None else _message(found, waiter, verdict)
        if found is None or told is None:
            return False
        resumed: bool = run_with_db_retries()(_resume, found, told)
        if resumed and told.verdict is not None:
            telemetry.decided(told.verdict, conn_id=waiter.conn_id, way="callback")
        return resumed


_KEY = ("dag_id", "run_id", "task_id", "map_index")


@dataclass(frozen=True, kw_only=True)
class Message:
    """What a waiting task is told.

    :param waiter: as the trigger's arguments have it.
    :param read: how ITSM says the ticket stands.
    :param counts: whether that is the verdict for this task; else a worker has to read its ticket itself.
    :param sn: number in the trigger's arguments, for a wait whose worker kept none; None where it is a template.
    """

    waiter: Waiter
    read: Verdict
    counts: bool = False
    sn: str | None = None

    @property
    def verdict(self) -> Verdict | None:
        """The verdict, where it counts."""
        return self.read if self.counts else None

    @property
    def result(self) -> Verdict:
        """What takes the place of an earlier round's result until a worker has drawn the conclusion."""
        if self.counts and self.read.outcome is not Outcome.APPROVED:
            return self.read
        return replace(self.read, outcome=Outcome.WAITING, reason="", reason_code=Reason.OPEN, decided_at=None)

    @property
    def event(self) -> dict[str, Any]:
        """Return the event for ``execute_complete``; to a worker of the version before a wake-up is an error."""
        if self.verdict is not None:
            return {"verdict": self.verdict.as_event()}
        refusal = {"error": "a callback came, and this worker cannot look again", "kind": "ItsmError"}
        return {"look": True, "sn": self.sn, **refusal}


@lru_cache(maxsize=10_000)
def arguments_of(encrypted: str | None) -> WaitArguments | None:
    """Return a stored trigger's arguments as a wait takes them; None where they cannot be read.

    A trigger's row is never changed: what was decrypted once is remembered.
    """
    if encrypted is None:
        return None
    try:
        return WaitArguments.from_stored(Trigger._decrypt_kwargs(encrypted))
    except Exception as error:
        log.warning("The arguments of a trigger cannot be read: %s", type(error).__name__)
        return None


def waiter_of(row: Row[Any], value: object) -> Waiter | None:
    """Return who waits on a trigger of ours; None where this try has registered nothing.

    :param value: what is registered, whoever has written it. An earlier try waited for another ticket, or another
        round.
    """
    registered = Waiter.from_value(value)
    if registered is None or UUID(registered.ti_id) != UUID(str(row.id)):
        return None
    arguments = arguments_of(row.encrypted_kwargs)
    if arguments is None:
        return Waiter(ti_id=registered.ti_id, conn_id=registered.conn_id, after_worker=True)
    return arguments.waiter(registered)


def _waits_for(row: Row[Any], sn: str, conn_id: str) -> Waiter | None:
    """Return who waits for a ticket; None where the row's task does not wait, or for another one."""
    if row.state != TaskInstanceState.DEFERRED or row.encrypted_kwargs is None:
        return None
    waiter, arguments = waiter_of(row, row.value), arguments_of(row.encrypted_kwargs)
    if waiter is None or waiter.conn_id != conn_id or (arguments and not arguments.may_be_about(sn, conn_id)):
        return None
    return waiter


def _message(found: Row[Any], waiter: Waiter, verdict: Verdict) -> Message | None:
    """Return what a task is told about a ticket; None: it waits for another one."""
    arguments = arguments_of(found.encrypted_kwargs)
    if arguments is None:
        unknown = Waiter(ti_id=waiter.ti_id, conn_id=waiter.conn_id, after_worker=True)
        return Message(waiter=unknown, read=verdict)
    theirs = arguments.waiter(waiter)
    if not arguments.may_be_about(verdict.sn, waiter.conn_id):
        return None
    binding = _binding(found, arguments, waiter, verdict)
    if not arguments.names_ticket and binding is not None and binding.claim is Claim.FOREIGN:
        return None
    # Where the policy differs, the verdict was read for a wait that began anew meanwhile.
    as_asked = arguments.verdict_settings is not None and theirs.verdict_settings == waiter.verdict_settings
    if not as_asked or binding is None or binding.claim not in _BINDING[arguments.names_ticket]:
        return Message(waiter=theirs, read=verdict, sn=arguments.sn)
    if binding.request is None and theirs.after_worker and shows_marker(verdict.title):
        # Without a record only the worker that began the wait may have left what was sent to open the ticket.
        theirs = replace(theirs, ends_task=False)
    return Message(waiter=theirs, read=binding.applied_to(verdict), counts=True)


# By whether the trigger's arguments name the ticket: where only an XCom does, a record has to.
_BINDING = {True: frozenset(Claim) - {Claim.UNRECORDED}, False: frozenset({Claim.OWN})}


def _binding(found: Row[Any], arguments: WaitArguments, waiter: Waiter, verdict: Verdict) -> Binding | None:
    """Return whose the ticket is; None where the store cannot be read: a worker tries again."""
    if arguments.names_ticket and verdict.outcome is not Outcome.APPROVED:
        return Binding(claim=Claim.UNCLAIMED)
    ticket = AwaitedTicket(
        sn=verdict.sn,
        bkitsm_conn_id=waiter.conn_id,
        dag_id=found.dag_id,
        run_id=found.run_id,
        opened_by=arguments.opened_by,
    )
    try:
        return read_binding(ticket)
    except ItsmError as error:
        log.warning("%s", error)
        return None


def _resume(found: Row[Any], told: Message) -> bool:
    with create_session(scoped=False) as session:
        if not _lock(session, found):
            return False
        if (
            told.verdict is not None
            and wait_can_finish_without_worker(told.waiter, told.verdict)
            and airflow_can_finish_without_worker()
        ):
            _end(session, found, told.verdict)
            return True
        if told.waiter.after_worker and _is_young(found):
            return False
        _hand_over(session, found, told)
        return True


def _is_young(waits: Row[Any]) -> bool:
    return bool(datetime.now(UTC) - waits.created_date < _TOO_EARLY)


def _read(waiter: Waiter) -> Row[Any] | None:
    """Read what waits and its trigger; None for what does not wait on our trigger.

    A few columns only: loading task instance, run and DAG takes longer than all the rest of a callback.
    """
    key = [getattr(TaskInstance, name) for name in _KEY]
    run = and_(DagRun.dag_id == TaskInstance.dag_id, DagRun.run_id == TaskInstance.run_id)
    query = (
        select(
            *(TaskInstance.id, TaskInstance.start_date, TaskInstance.trigger_id, DagRun.id.label("dag_run_id")),
            *(Trigger.created_date, Trigger.encrypted_kwargs),
            *key,
        )
        .join(DagRun, run)
        .join(Trigger, TaskInstance.trigger_id == Trigger.id)
        .where(
            # Airflow 3.1 keeps these ids as text, later ones as UUID.
            TaskInstance.id == TaskInstance.id.type.python_type(waiter.ti_id),
            TaskInstance.state == TaskInstanceState.DEFERRED,
            Trigger.classpath == TRIGGER,
        )
    )
    with create_session(scoped=False) as session:
        return session.execute(query).one_or_none()


def _lock(session: Session, found: Row[Any]) -> bool:
    """Lock a task instance that is still deferred on the trigger that was read.

    The lock is an UPDATE that checks while it locks, which works alike on PostgreSQL, MySQL and SQLite (where
    FOR UPDATE does nothing). It must be the transaction's first statement.
    """
    still = (
        TaskInstance.id == found.id,
        TaskInstance.state == TaskInstanceState.DEFERRED,
        TaskInstance.trigger_id == found.trigger_id,
    )
    locked = update(TaskInstance).where(*still).values(updated_at=datetime.now(UTC))
    return bool(session.execute(locked.execution_options(synchronize_session=False)).rowcount)  # type: ignore[attr-defined]


def _end(session: Session, waits: Row[Any], verdict: Verdict) -> None:
    """End the task as Airflow does it for a trigger's ``TaskSuccessEvent``, XComs included, in one transaction.

    Airflow's own way writes those XComs in transactions of their own, after the task has ended, and has the DAG
    file parsed for a success callback; a task with one of those does not end here.
    """
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
    _forget(session, waits, xcoms)
    where = _where(waits)
    session.execute(insert(XComModel), [{"key": key, "value": value, **where} for key, value in xcoms.items()])


def _forget(session: Session, waits: Row[Any], keys: Iterable[str]) -> int:
    """Delete XComs; return how many there were."""
    earlier = delete(XComModel).filter_by(**_where(waits)).where(XComModel.key.in_(list(keys)))
    found = session.execute(earlier.execution_options(synchronize_session=False))
    return int(found.rowcount)  # type: ignore[attr-defined]


def _where(waits: Row[Any]) -> dict[str, Any]:
    return {name: getattr(waits, name) for name in (*_KEY, "dag_run_id")}


def _hand_over(session: Session, waits: Row[Any], told: Message) -> None:
    """Send the task back to a worker, with the event its trigger would have fired.

    Airflow clears XComs only for tries that begin on a worker: an earlier round's result goes here, and how this
    round stands takes its place.
    """
    if _forget(session, waits, RESULT_KEYS):
        _write(session, waits, {"return_value": told.result.as_dict()})
    eager = [joinedload(one) for one in (TaskInstance.dag_model, TaskInstance.dag_run)]
    task_instance = session.get_one(TaskInstance, waits.id, options=eager)
    event = TriggerEvent(told.event)  # type: ignore[no-untyped-call]
    handle_event_submit(event, task_instance=task_instance, session=session)
    why = "a callback came, its ticket is read anew" if told.verdict is None else told.verdict.describe()
    log.info("%s: %s %s goes back to a worker", why, waits.dag_id, waits.task_id)
