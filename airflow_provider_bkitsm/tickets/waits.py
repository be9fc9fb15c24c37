# SPDX-License-Identifier: Apache-2.0
"""Records of the tasks that wait for a ticket, so that the ticket ends although no triggerer saw its task end.

A wait's record is there from before its task is deferred until its ticket has ended, or a worker has the task
again. So where a record is left and its task is over, something outside ended the task while it waited: a person,
or a time limit of Airflow's. A task that Airflow does not have any more shows nothing of that kind: DAG files go
and come back, and clean-ups delete.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, select
from sqlalchemy import exc as sql

from airflow_provider_bkitsm.collectors.database import Store
from airflow_provider_bkitsm.collectors.tables import wait_table
from airflow_provider_bkitsm.tickets.ownership import AwaitedTicket
from airflow_provider_bkitsm.tickets.ownership_records import read_ownership

# Cleared, about to run again, or merely moved to another triggerer: somebody waits, or will.
_GOES_ON = frozenset({None, "scheduled", "queued", "running", "restarting", "deferred", "up_for_retry"})
_GOES_ON |= {"up_for_reschedule", "awaiting_input"}
# Run and task ids are in an address. Servers and proxies take 8 KB of it, Airflow's client 64 KB.
_AT_A_TIME = 50
_LONGEST_ADDRESS = 6_000
_ENDED = frozenset({"success", "failed", "skipped", "upstream_failed"})


NOT_MADE_UP_FOR = "If the task is ended while no triggerer runs, its ticket stays open"
"""What follows where a wait has no record."""
RECORD_KEPT = "the record of the wait for ITSM ticket {sn} stays until the next comparison"
"""What is logged where the record of a wait that is over cannot be deleted."""
NUMBER_KEPT = "ticket_sn is empty now; this task has waited for ITSM ticket {sn}, by its record in the store"
"""Why a wait goes on although nothing brings its number any more, and no opener is named."""


class TaskFate(StrEnum):
    """What became of a task that waits: it goes on, it has ended, or Airflow does not have it any more."""

    GOES_ON = "goes_on"
    ENDED = "ended"
    GONE = "gone"


def task_fate(states: Iterable[str | None]) -> TaskFate:
    """Return what became of a task by the states that Airflow gives for it; none where it has no such task."""
    found = frozenset(states)
    if found & _GOES_ON:
        return TaskFate.GOES_ON
    return TaskFate.ENDED if found and found <= _ENDED else TaskFate.GONE


def end_reason(task: object, states: Iterable[str | None]) -> str:
    """Return the remark of a withdrawal; ``task`` is named as Airflow names it. Who ended it is not known."""
    state = ", ".join(sorted(str(one) for one in set(states)))
    return f"The Airflow task that waited for this ticket is {state} now ({task})"


@dataclass(frozen=True, kw_only=True)
class WaitRecord:
    """One task that waits for a ticket. A task has one record, that of its latest wait.

    :param installation: tells Airflow installations apart that share a store.
    :param opened_by: see :class:`~airflow_provider_bkitsm.tickets.ownership.AwaitedTicket`.
    :param withdraw: whether the ticket is to end when the task is ended from outside.
    :param ti_id: UUID of the task instance's try that waits; None: an earlier version stored the record.
    :param remind_by: what sends the task's reminders, as ``tickets.senders`` writes it; None: it names nothing.
    """

    installation: str
    bkitsm_conn_id: str
    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    sn: str
    opened_by: str | None
    withdraw: bool
    ti_id: str | None = None
    remind_by: str | None = None

    @property
    def key(self) -> str:
        """64 hex characters, the same for the same task instance only."""
        return wait_key(self.dag_id, self.run_id, self.task_id, self.map_index)

    def withdraws(self) -> bool:
        """Whether the ticket ends with its task: never another task's, whatever number an XCom has brought (P6).

        Blocks, and raises ``ItsmError`` where the store cannot be read.
        """
        if not self.withdraw:
            return False
        ticket = AwaitedTicket(**{name: getattr(self, name) for name in _TICKET})
        return read_ownership(ticket).may_be_ended

    def __str__(self) -> str:
        return task_name(self.dag_id, self.run_id, self.task_id, self.map_index)


def task_name(dag_id: str, run_id: str, task_id: str, map_index: int) -> str:
    """Return the name of a task instance for people."""
    index = f"[{map_index}]" if map_index >= 0 else ""
    return f"{dag_id}.{task_id}{index}, run {run_id}"


def wait_key(dag_id: str, run_id: str, task_id: str, map_index: int) -> str:
    """Return the key of a task instance's record. Processes need not agree on what the installation is called."""
    return hashlib.sha256(json.dumps([dag_id, run_id, task_id, map_index]).encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class StateQuestion:
    """What Airflow is asked about many waits at once, in the terms of its ``GetTaskStates``."""

    dag_id: str
    waits: Sequence[WaitRecord]

    @property
    def run_ids(self) -> list[str]:
        """The runs, each once."""
        return sorted({one.run_id for one in self.waits})

    @property
    def task_ids(self) -> list[str]:
        """The tasks, each once."""
        return sorted({one.task_id for one in self.waits})

    def not_waiting(self, answer: Mapping[str, Mapping[str, str | None]]) -> list[WaitRecord]:
        """Return the waits whose tasks do not seem to go on, each of which is to be asked about by itself.

        Airflow's answer has one name for the second instance of ``a`` and for a task that is called ``a_1``.
        """
        return [one for one in self.waits if task_fate(_states_in(answer, one)) is not TaskFate.GOES_ON]


def state_questions(waits: Iterable[WaitRecord]) -> Iterator[StateQuestion]:
    """Return the questions about many waits: thousands may wait, and their states are looked at often."""
    by_dag: dict[str, list[WaitRecord]] = defaultdict(list)
    for wait in waits:
        by_dag[wait.dag_id].append(wait)
    for dag_id, of_dag in by_dag.items():
        yield from (StateQuestion(dag_id=dag_id, waits=some) for some in _in_addresses(of_dag))


def _in_addresses(waits: Iterable[WaitRecord]) -> Iterator[list[WaitRecord]]:
    """Yield waits in parts whose run and task ids fit into an address; a Chinese character takes nine of it."""
    part: list[WaitRecord] = []
    length = 0
    for one in waits:
        added = len(quote(f"&run_ids={one.run_id}&task_ids={one.task_id}"))
        if part and (len(part) == _AT_A_TIME or length + added > _LONGEST_ADDRESS):
            yield part
            part, length = [], 0
        part.append(one)
        length += added
    if part:
        yield part


def _states_in(answer: Mapping[str, Mapping[str, str | None]], wait: WaitRecord) -> list[str | None]:
    name = wait.task_id if wait.map_index < 0 else f"{wait.task_id}_{wait.map_index}"
    of_run = answer.get(wait.run_id, {})
    return [of_run[name]] if name in of_run else []


_NAMES = tuple(field.name for field in fields(WaitRecord))
_TICKET = tuple(field.name for field in fields(AwaitedTicket))


class WaitStore(Store):
    """Keeps the record of each wait. No connection is opened before the first use.

    Every method raises ``StoreUnavailable`` where the database cannot be used.
    """

    def begin(self, record: WaitRecord) -> None:
        """Store a wait in place of the task's earlier one; one that is stored already is left as it is."""
        mine = wait_table.c.wait_key == record.key
        values = asdict(record) | {"wait_key": record.key, "began_at": self.now()}
        with self._transactions.begin() as connection:
            row = connection.execute(select(wait_table).where(mine)).first()
            if row is not None and _record(row._asdict()) == record:
                return
            # Nothing is deleted that is not there: on MySQL waits that begin at once would end in a deadlock.
            if row is not None and connection.execute(wait_table.update().where(mine).values(**values)).rowcount:
                return
            try:
                connection.execute(wait_table.insert().values(**values))
            except sql.IntegrityError:
                # The task's worker and its trigger may store the same wait at the same moment.
                connection.rollback()

    def number_of(self, key: str, *, ti_id: str) -> str | None:
        """Return the number of the ticket that this try of a task waits for; None where no record says."""
        with self._transactions.begin() as connection:
            return _number(connection, key, ti_id)

    def take_up(self, key: str, *, ti_id: str) -> str | None:
        """Delete the record of a task that has a worker again; return the number that ``number_of`` returned."""
        with self._transactions.begin() as connection:
            sn = _number(connection, key, ti_id)
            connection.execute(wait_table.delete().where(wait_table.c.wait_key == key))
        return sn

    def remind_by(self, keys: Iterable[str]) -> dict[str, str]:
        """Return what sends the reminders of waiting tasks, by their keys, of those that name something."""
        columns, wanted = wait_table.c, sorted(set(keys))
        found: dict[str, str] = {}
        with self._transactions.read() as connection:
            for first in range(0, len(wanted), _AT_A_TIME):
                some = columns.wait_key.in_(wanted[first : first + _AT_A_TIME])
                rows = connection.execute(select(columns.wait_key, columns.remind_by).where(some))
                found |= {key: text for key, text in rows if text is not None}
        return found

    def tries_for(self, sn: str, *, bkitsm_conn_id: str) -> list[str]:
        """Return the tries of tasks that wait for a ticket, as UUIDs, of every installation."""
        columns = wait_table.c
        query = select(columns.ti_id).where(columns.sn == sn, columns.bkitsm_conn_id == bkitsm_conn_id)
        with self._transactions.begin() as connection:
            return [ti_id for ti_id in connection.scalars(query) if ti_id is not None]

    def end(self, key: str) -> None:
        """Delete a task's record, if there is one: whatever ends the task from now on is no kill of its wait."""
        with self._transactions.begin() as connection:
            connection.execute(wait_table.delete().where(wait_table.c.wait_key == key))

    def end_of(self, record: WaitRecord) -> None:
        """Delete a record unless a later wait of the task, for another ticket, has taken its place."""
        columns = wait_table.c
        with self._transactions.begin() as connection:
            connection.execute(wait_table.delete().where(columns.wait_key == record.key, columns.sn == record.sn))

    def waiting(self, installation: str, *, bkitsm_conn_id: str | None = None) -> list[WaitRecord]:
        """Return the waits of an Airflow installation, longest first.

        :param bkitsm_conn_id: of one connection only.
        """
        columns = wait_table.c
        query = select(wait_table).order_by(columns.began_at)
        if bkitsm_conn_id is not None:
            query = query.where(columns.bkitsm_conn_id == bkitsm_conn_id)
        with self._transactions.begin() as connection:
            records = [_record(row._asdict()) for row in connection.execute(query)]
        return [one for one in records if one.installation == installation]


def _number(connection: Connection, key: str, ti_id: str) -> str | None:
    columns = wait_table.c
    query = select(columns.sn).where(columns.wait_key == key, columns.ti_id == ti_id)
    sn: str | None = connection.execute(query).scalar()
    return sn


def _record(row: Mapping[str, Any]) -> WaitRecord:
    return WaitRecord(**{name: row[name] for name in _NAMES})


def open_wait_store() -> WaitStore:
    """Return the store of waits, beside the approval records; nothing is connected before its first use."""
    from airflow_provider_bkitsm.hooks.store import store_engine

    return WaitStore(store_engine())
