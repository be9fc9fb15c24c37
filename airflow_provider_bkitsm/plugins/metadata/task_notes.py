# SPDX-License-Identifier: Apache-2.0
"""Keeps the notes of waiting tasks in Airflow's database in line with their waits.

Several API servers do the same. So each write says what it replaces: a note that a person or another server has
written in between stays. A note of ours is one that no person has written and that begins as ours do. What a
person has written, over ours or not, is the person's.

A round reads the waits by their triggers, of which there are as many as tasks that wait, and the few notes of ours
whose tasks wait no longer, by whatever end. It writes only what has changed. It goes in steps: Python runs one
thread at a time, and 5,000 waits at once would make every callback and page wait for it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from functools import cache
from itertools import groupby
from operator import itemgetter
from typing import Any

from sqlalchemy import Row, Select, and_, bindparam, delete, exists, func, insert, select, true, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.orm import aliased

from airflow_provider_bkitsm.approvals.rows import TaskKey
from airflow_provider_bkitsm.approvals.snapshot import SEEN_KEY, from_note
from airflow_provider_bkitsm.approvals.task_note import (
    NOTE_PREFIX,
    NoteStyle,
    StoredNote,
    is_outdated,
    note_text,
)
from airflow_provider_bkitsm.callback.waiters import TRIGGER, WAIT_PREFIX
from airflow_provider_bkitsm.plugins.metadata.airflow_models import (
    DagRun,
    TaskInstance,
    TaskInstanceNote,
    TaskInstanceState,
    Trigger,
    XComModel,
    create_session,
)
from airflow_provider_bkitsm.plugins.metadata.queries import registered_ticket

log = logging.getLogger(__name__)

_MOST_WAITING, _MOST_ENDED = 5000, 5000
# How many waits a step reads, or ended waits it deletes the notes of.
_AT_ONCE = 100
# So many failures are of single notes; more are the database's.
_MOST_FAILURES = 5

Change = tuple[Any, dict[str, Any]]
"""A statement and its values."""


class TaskNotes:
    """The notes of the tasks that wait for a ticket.

    :param style: how they are written; None: there are to be none.
    """

    def __init__(self, style: NoteStyle | None) -> None:
        self._style = style

    def steps(self) -> Iterator[int]:
        """Write the notes that are missing or out of date, delete those of ended waits; each step blocks.

        :return: how many notes each step has changed.
        :raises SQLAlchemyError: Airflow's database cannot be used. The next round does what is left.
        """
        if self._style is not None:
            waits = [row.id for row in _run(_triggers_query())]
            for start in range(0, len(waits), _AT_ONCE):
                yield _write([*_outdated(waits[start : start + _AT_ONCE], self._style)])
        ended = [*_ended(all_of_them=self._style is None)]
        for start in range(0, len(ended), _AT_ONCE):
            yield _write(ended[start : start + _AT_ONCE])


def _outdated(triggers: Sequence[int], style: NoteStyle) -> Iterator[Change]:
    """Yield what writes the notes that are missing or out of date, of the waits of some triggers."""
    for row, sn, conn_id in _waiting(triggers):
        task = TaskKey(dag_id=row.dag_id, run_id=row.run_id, task_id=row.task_id, map_index=row.map_index)
        text = note_text(task, sn, from_note(row.seen, sn, conn_id), style)
        stored = None if row.noted is None else StoredNote(content=row.content, user_id=row.user_id)
        if not is_outdated(stored, text):
            continue
        values = {"of_task": row.id, "text": text, "now": datetime.now(UTC)}
        if stored is None:
            yield _insert_statement(), {**values, "trigger": row.trigger_id}
        else:
            yield _update_statement(), {**values, "replaced": stored.content}


def _waiting(triggers: Sequence[int]) -> Iterable[tuple[Row[Any], str, str]]:
    """Return each task instance that waits for a ticket, with the ticket's number and connection."""
    earliest_first = sorted(
        _run(_waits_query(), triggers=triggers),
        key=lambda row: row.wait_time.timestamp() if row.wait_time else 0.0,
    )
    found = ((row, *_ticket(row)) for row in earliest_first)
    return {row.id: (row, sn, conn_id) for row, sn, conn_id in found if sn}.values()


def _ended(*, all_of_them: bool) -> Iterator[Change]:
    """Yield what deletes the notes of ours whose tasks wait no longer."""
    for row in _run(_ours_query() if all_of_them else _ended_query()):
        yield _delete_statement(), {"of_task": row.ti_id, "replaced": row.content}


def _ticket(row: Row[Any]) -> tuple[str, str]:
    """Return number and connection of the ticket that a task waits for; empty where they are not known yet."""
    sn, waiter = registered_ticket(row)
    return (sn, waiter.conn_id) if waiter else ("", "")


def _run(query: Select[Any], **values: Any) -> Sequence[Row[Any]]:
    with create_session(scoped=False) as session:
        return session.execute(query, values).all()


def _write(changes: Sequence[Change]) -> int:
    """Make some changes in one transaction; where one of them fails, each in its own. Return how many."""
    if changes:
        try:
            _execute(changes)
        except SQLAlchemyError:
            _write_each(changes)
    return len(changes)


def _write_each(changes: Sequence[Change]) -> None:
    failures = 0
    for change in changes:
        try:
            _execute([change])
        except IntegrityError:
            log.debug("a person or another API server was faster to note something on a waiting task")
        except SQLAlchemyError as error:
            failures += 1
            if failures > _MOST_FAILURES:
                raise
            # Its text is left out: it may hold the address of a database.
            log.warning("the note of a waiting task could not be written: %s", type(error).__name__)


def _execute(changes: Sequence[Change]) -> None:
    with create_session(scoped=False) as session:
        for statement, each in groupby(changes, key=itemgetter(0)):
            # One after the other, each would take several times the CPU.
            session.connection().execute(statement, [values for _, values in each])


def _note() -> Any:
    return TaskInstanceNote.__table__


@cache
def _triggers_query() -> Select[Any]:
    """Select the triggers that wait for a ticket."""
    return select(Trigger.id).where(Trigger.classpath == TRIGGER).order_by(Trigger.id).limit(_MOST_WAITING)


@cache
def _waits_query() -> Select[Any]:
    """Select the task instances that wait on one of ``triggers``, what is known of its ticket, and their notes."""
    wait, seen = (aliased(XComModel, name=f"xcom_{name}") for name in ("wait", "seen"))
    note = _note()
    query = select(
        *(
            getattr(TaskInstance, name)
            for name in ("id", "dag_id", "run_id", "task_id", "map_index", "trigger_id")
        ),
        *(wait.key, wait.value.label("wait"), wait.timestamp.label("wait_time"), seen.value.label("seen")),
        *(Trigger.classpath, Trigger.encrypted_kwargs),
        *(note.c.ti_id.label("noted"), note.c.content, note.c.user_id),
    )
    run = and_(DagRun.dag_id == TaskInstance.dag_id, DagRun.run_id == TaskInstance.run_id)
    query = query.join(DagRun, run).join(Trigger, TaskInstance.trigger_id == Trigger.id)
    keys = (wait, wait.key.startswith(WAIT_PREFIX, autoescape=True)), (seen, seen.key == SEEN_KEY)
    for xcom, key in keys:
        task = (xcom.task_id == TaskInstance.task_id, xcom.map_index == TaskInstance.map_index)
        query = query.join(xcom, and_(xcom.dag_run_id == DagRun.id, *task, key), isouter=True)
    query = query.join(note, note.c.ti_id == TaskInstance.id, isouter=True)
    return query.where(_waits(), TaskInstance.trigger_id.in_(bindparam("triggers", expanding=True)))


def _waits() -> Any:
    return and_(TaskInstance.state == TaskInstanceState.DEFERRED, Trigger.classpath == TRIGGER)


@cache
def _ours_query() -> Select[Any]:
    """Select all notes of ours."""
    note = _note()
    return select(note.c.ti_id, note.c.content).where(_is_ours()).limit(_MOST_ENDED)


@cache
def _ended_query() -> Select[Any]:
    """Select the notes of ours whose tasks do not wait. Tasks and triggers are looked up by their keys."""
    query = _ours_query().join(TaskInstance, TaskInstance.id == _note().c.ti_id)
    query = query.join(Trigger, TaskInstance.trigger_id == Trigger.id, isouter=True)
    # Without a state or a trigger the condition is NULL.
    return query.where(func.coalesce(~_waits(), true()))


def _is_ours() -> Any:
    note = _note()
    return and_(note.c.user_id.is_(None), note.c.content.startswith(NOTE_PREFIX, autoescape=True))


@cache
def _insert_statement() -> Any:
    """Insert a note, if the task still waits on the same trigger and nobody has noted anything."""
    note, task = _note(), TaskInstance.__table__
    now = bindparam("now", type_=note.c.created_at.type)
    text = bindparam("text", type_=note.c.content.type)
    values = select(task.c.id, text, now, now).where(
        task.c.id == bindparam("of_task"),
        task.c.state == TaskInstanceState.DEFERRED,
        task.c.trigger_id == bindparam("trigger"),
        ~exists().where(note.c.ti_id == task.c.id),
    )
    return insert(note).from_select(["ti_id", "content", "created_at", "updated_at"], values)


@cache
def _update_statement() -> Any:
    """Replace a note of ours, if it is still the one that was read."""
    return update(_note()).where(_is_the_one()).values(content=bindparam("text"), updated_at=bindparam("now"))


@cache
def _delete_statement() -> Any:
    """Delete a note of ours, if it is still the one that was read."""
    return delete(_note()).where(_is_the_one())


def _is_the_one() -> Any:
    note = _note()
    is_read = (note.c.ti_id == bindparam("of_task"), note.c.content == bindparam("replaced"))
    return and_(*is_read, note.c.user_id.is_(None))
