# SPDX-License-Identifier: Apache-2.0
"""Queries of Airflow's metadata database: who waits for which ticket, who waited, and who sees the pages.

All queries of waits use an index, however many XComs there are. Open waits are found by their triggers, of which
there are as many as tasks that wait at this moment. Past waits are found by the XCom of the ticket's button, whose
key is always the same. The waits of a run are found by the run.

Anybody who can write XComs can write these. A value that is no registration of this try, or that is not about the
ticket of its trigger, is left out. No content of an XCom raises.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from types import SimpleNamespace
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Select, Text, and_, cast, column, null, or_, select, table, true
from sqlalchemy.orm import aliased

from airflow_provider_bkitsm.approvals.rows import ApprovalWait, TaskKey
from airflow_provider_bkitsm.approvals.snapshot import SEEN_KEY, from_note, text
from airflow_provider_bkitsm.callback.messages import is_number
from airflow_provider_bkitsm.callback.waiters import POLLED_KEY, TRIGGER, WAIT_PREFIX, Waiter
from airflow_provider_bkitsm.itsm.verdict import moment
from airflow_provider_bkitsm.mixins import TICKET_URL_KEY, VERDICT_KEY
from airflow_provider_bkitsm.plugins.metadata.airflow_models import (
    DagRun,
    TaskInstance,
    Trigger,
    XComModel,
    create_session,
)
from airflow_provider_bkitsm.plugins.metadata.waiting_tasks import arguments_of, waiter_of

_DEFERRED = "deferred"
_MOST_WAITING, _MOST_PAST, _MOST_NOTES, _MOST_RECORDS = 5000, 2000, 500, 20_000
# The clocks of two machines differ by less than this.
_SKEW = timedelta(minutes=1)
_TASK = ("dag_id", "run_id", "task_id", "map_index", "state", "start_date", "end_date")
_KEYS = {
    "button": TICKET_URL_KEY,
    "result": "return_value",
    "verdict": "verdict",
    "note": VERDICT_KEY,
    "seen": SEEN_KEY,
}
# The FAB auth manager's tables.
_READ, _TASKS, _PLUGINS = "can_read", "Task Instances", "Plugins"
_ROLE = table("ab_role", column("id"), column("name"))
_HAS = table("ab_permission_view_role", column("role_id"), column("permission_view_id"))
_GRANT = table("ab_permission_view", column("id"), column("permission_id"), column("view_menu_id"))
_ACTION = table("ab_permission", column("id"), column("name"))
_RESOURCE = table("ab_view_menu", column("id"), column("name"))


class AirflowTickets:
    """Waits of the DAGs that a person may read. Every method makes one or two queries."""

    def __init__(self) -> None:
        self._records: dict[tuple[str, str | None], tuple[int, ApprovalWait]] = {}

    def waits(self, dag_ids: Collection[str] | None, *, since: datetime) -> list[ApprovalWait]:
        """Return all open waits, and the latest ended waits whose button appeared after ``since``.

        :param dag_ids: the DAGs that may be read; None: every DAG, for an administrator.
        """
        ours = true() if dag_ids is None else TaskInstance.dag_id.in_(dag_ids)
        waiting = _columns(*_OF_OPEN).where(ours, Trigger.classpath == TRIGGER).limit(_MOST_WAITING)
        button = _xcoms()["button"]
        ended = _columns(*_OF_ENDED, has="button").where(
            ours, TaskInstance.trigger_id.is_(None), button.timestamp >= since
        )
        open_waits = self._read(waiting)
        past = self._read(ended.order_by(button.timestamp.desc()).limit(_MOST_PAST))
        # A wait that has ended between the two queries is in both.
        found = {wait.task: wait for wait in open_waits}
        found |= {wait.task: wait for wait in past if wait.sn or wait.verdict}
        return list(found.values())

    def of_run(self, dag_id: str, run_id: str) -> list[ApprovalWait]:
        """Return a run's tasks that have a ticket: they wait or waited for it, or opened it."""
        # A task with none of these has no ticket, and the value that it returned may be large.
        has = or_(Trigger.classpath == TRIGGER, *(_xcoms()[name].key.is_not(None) for name in ("wait", "button")))
        query = _columns("trigger", *_xcoms()).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id, has)
        return self._read(query.limit(_MOST_WAITING))

    def polls(self, *, since: datetime) -> dict[str, datetime]:
        """Return when ITSM last answered a poll after ``since``, by connection.

        One wait of a connection notes it for all waits, whatever its DAG: a poll is not about a DAG.
        """
        noted = (XComModel.key == POLLED_KEY, XComModel.timestamp >= since)
        query = select(XComModel.value).where(*noted).order_by(XComModel.timestamp.desc()).limit(_MOST_NOTES)
        polls = [_poll(row.value) for row in _run(query)]
        return dict(sorted(filter(None, polls), key=lambda poll: poll[1]))

    def _read(self, query: Select[Any]) -> list[ApprovalWait]:
        """Return one record for each task instance that waits or has a ticket; its latest registration counts."""
        if len(self._records) > _MOST_RECORDS:
            self._records.clear()
        earliest_first = sorted(_run(query), key=lambda row: _seconds(row.wait_time))
        waits = ((row.id, self._record(row)) for row in earliest_first)
        return list({key: wait for key, wait in waits if _is_known(wait)}.values())

    def _record(self, row: Row[Any]) -> ApprovalWait:
        """Return a row's record, the same one while nothing of the row has changed: that is quicker to see."""
        # The hash, since what a task has returned may be large.
        key, content = (row.id, row.key), hash(tuple(row))
        last = self._records.get(key)
        if last is None or last[0] != content:
            values = {name: _value(getattr(row, name)) for name in _VALUES}
            last = self._records[key] = content, _wait_record(SimpleNamespace(**{**row._mapping, **values}))
        return last[1]


# What counts while a task has its trigger, and after that.
_OF_OPEN, _OF_ENDED = ("trigger", "wait", "button", "seen"), ("wait", "button", "result", "verdict", "note")
_VALUES = ("wait", "url", "result", "verdict", "note", "seen")


def _columns(*names: str, has: str = "") -> Select[Any]:
    """Select task instances with their triggers and XComs about a ticket; the values are JSON texts.

    :param names: what is read, ``trigger`` and names of XComs. The columns of all else are null.
    :param has: the XCom that a task instance must have. The other ones, and the trigger, may be missing.
    """
    read = {name: _xcoms()[name] for name in names if name != "trigger"}
    query = select(
        cast(TaskInstance.id, Text).label("id"),
        *(getattr(TaskInstance, name) for name in _TASK),
        DagRun.triggering_user_name.label("triggered_by"),
        read["wait"].key,
        *(_value_of(label, read.get(name)) for name, label in zip(_xcoms(), _VALUES, strict=True)),
        *(_time_of(name, read.get(name)) for name in ("wait", "button", "result", "verdict", "note")),
        *(column if "trigger" in names else null().label(column.key) for column in _trigger_columns()),
    ).join(DagRun, and_(DagRun.dag_id == TaskInstance.dag_id, DagRun.run_id == TaskInstance.run_id))
    if "trigger" in names:
        query = query.join(Trigger, TaskInstance.trigger_id == Trigger.id, isouter=True)
    for name, xcom in read.items():
        same = (xcom.dag_run_id == DagRun.id, xcom.task_id == TaskInstance.task_id)
        key = xcom.key.startswith(WAIT_PREFIX, autoescape=True) if name == "wait" else xcom.key == _KEYS[name]
        on = and_(*same, xcom.map_index == TaskInstance.map_index, key)
        query = query.join(xcom, on, isouter=name != has)
    return query


def _trigger_columns() -> tuple[Any, ...]:
    return Trigger.classpath, Trigger.encrypted_kwargs


def _value_of(label: str, xcom: Any) -> Any:
    return (null() if xcom is None else cast(xcom.value, Text)).label(label)


def _time_of(name: str, xcom: Any) -> Any:
    return (null() if xcom is None else xcom.timestamp).label(f"{name}_time")


def _value(stored: str | None) -> Any:
    """Return the value of an XCom; None for what is no JSON."""
    try:
        return None if stored is None else json.loads(stored)
    except (ValueError, RecursionError):
        return None


@cache
def _xcoms() -> dict[str, Any]:
    return {name: aliased(XComModel, name=f"xcom_{name}") for name in ("wait", *_KEYS)}


def _run(query: Select[Any]) -> list[Row[Any]]:
    with create_session(scoped=False) as session:
        return list(session.execute(query))


def _wait_record(row: Any) -> ApprovalWait:
    sn, waiter, state = *registered_ticket(row), _state(row)
    return ApprovalWait(
        task=TaskKey(dag_id=row.dag_id, run_id=row.run_id, task_id=row.task_id, map_index=row.map_index),
        state=state,
        sn=sn,
        conn_id=waiter.conn_id if waiter else "",
        ticket_url=text(row.url),
        registered_at=row.wait_time or row.button_time,
        started_at=row.start_date,
        ended_at=row.end_date,
        triggered_by=row.triggered_by or "",
        approval_seconds=waiter.approval_seconds if waiter else None,
        verdict=None if state == _DEFERRED else _last_verdict(row, sn),
        noted=from_note(row.seen, sn, waiter.conn_id) if waiter and state == _DEFERRED else None,
        reminders=_reminders(row) if waiter and state == _DEFERRED else "",
    )


def _is_known(wait: ApprovalWait) -> bool:
    """Whether a task waits, or has a ticket; a clean-up may have deleted what says which one."""
    return bool(wait.state == _DEFERRED or wait.sn or wait.ticket_url or wait.verdict)


def _reminders(row: Any) -> str:
    """Return what a task says of reminders: its trigger has that, which only Airflow writes."""
    arguments = arguments_of(row.encrypted_kwargs) if row.classpath == TRIGGER else None
    return arguments.reminders if arguments else ""


def _state(row: Any) -> str | None:
    return None if row.state is None else str(getattr(row.state, "value", row.state))


def registered_ticket(row: Any) -> tuple[str, Waiter | None]:
    """Return the ticket that this try waits or waited for, and its waiter; empty where it is not known.

    While the task waits, the arguments of its trigger count; its registration is needed only where they hold
    templates. After that only its registration is left.
    """
    sn = (row.key or "").removeprefix(WAIT_PREFIX)
    if row.classpath == TRIGGER:
        arguments, waiter = arguments_of(row.encrypted_kwargs), waiter_of(row, row.wait)
        sn = (arguments and arguments.sn) or sn
        if waiter is None and arguments is not None and arguments.conn_id and arguments.sn:
            waiter = arguments.waiter(Waiter(ti_id=str(row.id), conn_id=arguments.conn_id))
    else:
        waiter = Waiter.from_value(row.wait)
        waiter = waiter if waiter is not None and UUID(waiter.ti_id) == UUID(str(row.id)) else None
    return (sn, waiter) if waiter is not None and is_number(sn) else ("", None)


def _last_verdict(row: Any, sn: str) -> Mapping[str, Any] | None:
    """Return the verdict of this round: it is about this ticket, and not older than this wait.

    Beside an XCom backend the results are references, and the worker's note is the verdict.
    """
    stored = [(row.result, row.result_time), (row.verdict, row.verdict_time), (row.note, row.note_time)]
    ended = [(verdict, at) for value, at in stored if (verdict := _verdict(value)) is not None]
    if sn:
        since = _seconds(row.wait_time) - _SKEW.total_seconds()
        ended = [(verdict, at) for verdict, at in ended if verdict["sn"] == sn and _seconds(at) >= since]
    return max(ended, key=lambda verdict_at: _seconds(verdict_at[1]))[0] if ended else None


def _poll(value: Any) -> tuple[str, datetime] | None:
    """Read the connection and the time of a poll; None for another value, or a time in the future."""
    noted = value if isinstance(value, Mapping) else {}
    conn_id, at = text(noted.get("conn_id")), moment(noted.get("at"))
    return (conn_id, at) if conn_id and at and at < datetime.now(UTC) + _SKEW else None


def _verdict(value: Any) -> Mapping[str, Any] | None:
    """Return a verdict's values; None for anything else that a task may have returned."""
    return value if isinstance(value, Mapping) and {"sn", "outcome"} <= value.keys() else None


def _seconds(moment: datetime | None) -> float:
    return moment.timestamp() if moment else 0.0


def has_roles() -> bool:
    """Whether FAB has roles: the first start of an API server makes its own.

    :raises SQLAlchemyError: there are no tables of FAB, or the database cannot be used.
    """
    with create_session(scoped=False) as session:
        return session.execute(select(_ROLE.c.id).limit(1)).first() is not None


def roles_without_plugins() -> frozenset[str]:
    """Return FAB's roles that may read task instances and not plugins: Airflow shows them no page of a plugin.

    :raises SQLAlchemyError: there are no tables of FAB, or the database cannot be used.
    """
    query = (
        select(_ROLE.c.name.label("role"), _RESOURCE.c.name.label("resource"))
        .join(_HAS, _HAS.c.role_id == _ROLE.c.id)
        .join(_GRANT, _GRANT.c.id == _HAS.c.permission_view_id)
        .join(_ACTION, _ACTION.c.id == _GRANT.c.permission_id)
        .join(_RESOURCE, _RESOURCE.c.id == _GRANT.c.view_menu_id)
        .where(_ACTION.c.name == _READ, _RESOURCE.c.name.in_((_TASKS, _PLUGINS)))
    )
    with create_session(scoped=False) as session:
        pairs = {(row.role, row.resource) for row in session.execute(query)}
    return frozenset(role for role, resource in pairs if resource == _TASKS and (role, _PLUGINS) not in pairs)
