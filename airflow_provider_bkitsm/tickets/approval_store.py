# SPDX-License-Identifier: Apache-2.0
"""Where the records of approval rounds are kept: in the store's database, which Airflow's clean-ups do not touch.

Workers, triggerer and API server read the same rows. On one machine that is a SQLite file below ``AIRFLOW_HOME``;
where they span machines, name a connection: ``[bkitsm] store_conn_id``.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Collection, Mapping
from dataclasses import asdict, fields, replace
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Select, Update, bindparam, select
from sqlalchemy import exc as sql

from airflow_provider_bkitsm.collectors.database import UNTOUCHED, Store
from airflow_provider_bkitsm.collectors.errors import StoreRaceLost
from airflow_provider_bkitsm.collectors.migrations import APPROVALS_VERSION, reached_at
from airflow_provider_bkitsm.collectors.tables import approval_table
from airflow_provider_bkitsm.hooks import store
from airflow_provider_bkitsm.itsm.errors import ItsmInvalidRequestError
from airflow_provider_bkitsm.tickets.approval import ApprovalRecord, Attempt, Subject
from airflow_provider_bkitsm.version_compat import airflow_conf

log = logging.getLogger(__name__)

_ATTEMPT = tuple(field.name for field in fields(Attempt))
_SUBJECT = tuple(field.name for field in fields(Subject))
_JSON = ("request", "verdict")
# The columns of what is changed in a record, where they are not of that name; and what each change changes.
_COLUMNS_OF = {"request": ("request", "dialect"), "subject": (*_SUBJECT, "subject_key")}
_WITH_EACH_CHANGE = ("updated_at", "version")
# Columns that repeat a part of the others: for an index, and for who looks into the table.
_DERIVED = frozenset({"subject_key", "dialect"})
_ONE_MACHINE = ("LocalExecutor", "airflow.executors.local_executor.LocalExecutor")
# Airflow sets these in the containers that it starts for single tasks, whose own configuration may name another
# executor than the scheduler's.
_CONTAINERS = {
    "AIRFLOW_IS_K8S_EXECUTOR_POD": "KubernetesExecutor",
    "AIRFLOW_IS_EXECUTOR_CONTAINER": "an executor of containers",
}


class ApprovalStore(Store):
    """Keeps one row for each approval round. No connection is opened before the first use.

    Every method raises ``StoreUnavailable`` where the database cannot be used, and ``StoreTooNew`` where a newer
    provider made its tables.
    """

    def latest(self, subject: Subject) -> ApprovalRecord | None:
        """Return the last round of a subject, or None."""
        return next(iter(self._all(_latest_query(), subject_key=subject.key)), None)

    def get(self, nonce: str) -> ApprovalRecord | None:
        """Return one record, or None."""
        return next(iter(self._all(select(approval_table).where(approval_table.c.nonce == nonce))), None)

    def by_ticket(self, bkitsm_conn_id: str, sn: str) -> ApprovalRecord | None:
        """Return the record that opened a ticket; of a number that ITSM gave twice, the later one.

        Two installations may share a store and not an ITSM: this one's record comes first.
        """
        found = self._all(_opener_query(), of_sn=sn, conn_id=bkitsm_conn_id, here=installation())
        exact = (one for one in found if (one.sn, one.subject.bkitsm_conn_id) == (sn, bkitsm_conn_id))
        return next(exact, None)

    def lost(self, bkitsm_conn_id: str, tag: str) -> ApprovalRecord | None:
        """Return the record that has begun to open the ticket of a tag, and has not learnt its number."""
        columns = approval_table.c
        wanted = (columns.tag == tag, columns.bkitsm_conn_id == bkitsm_conn_id)
        query = select(approval_table).where(*wanted, columns.sn.is_(None), columns.create_started_at.is_not(None))
        found = (one for one in self._all(query) if one.ticket_of is None and one.tag == tag)
        return next((one for one in found if one.subject.bkitsm_conn_id == bkitsm_conn_id), None)

    def asked_by(self, dag_id: str, run_id: str, task_id: str, *, map_index: int = -1) -> ApprovalRecord | None:
        """Return the record of the ticket that answers a task's last round in a run of this Airflow; None: none.

        For a task behind an approval: ``request`` is what was sent, and so what people have read. XComs can be
        written by others meanwhile.
        """
        found = [one for one in self.of_run(dag_id, run_id) if one.subject.installation == installation()]
        rounds = [one for one in found if (one.subject.task_id, one.subject.map_index) == (task_id, map_index)]
        if not rounds:
            return None
        return rounds[-1] if rounds[-1].ticket_of is None else self.get(rounds[-1].ticket_of)

    def of_run(self, dag_id: str, run_id: str) -> list[ApprovalRecord]:
        """Return every round of a run's tasks, oldest first; shared approvals as far as its tasks joined them."""
        columns = approval_table.c
        query = select(approval_table).where(columns.dag_id == dag_id, columns.run_id == run_id)
        found = self._all(query.order_by(columns.created_at, columns.round_number))
        return [one for one in found if (one.subject.dag_id, one.subject.run_id) == (dag_id, run_id)]

    def joined_by(self, nonce: str, subject: Subject) -> ApprovalRecord | None:
        """Return the round of a subject's task that another record's ticket answers; None where it has none."""
        latest = self.latest(subject)
        return latest if latest is not None and latest.ticket_of == nonce else None

    def records_since(self) -> datetime | None:
        """Return since when this store has a record of each approval round; None if nothing says so.

        A ticket that was opened before may be one of a version that kept no records.
        """
        with self._transactions.begin() as connection:
            return reached_at(connection, APPROVALS_VERSION)

    def begin(self, record: ApprovalRecord) -> ApprovalRecord:
        """Store a round's intent, before anything is asked for.

        :raises StoreRaceLost: another try began this round at the same moment; its record is now the latest.
        :raises ItsmInvalidRequestError: the request holds what neither the store nor ITSM takes.
        """
        with self._transactions.begin() as connection:
            now = self.now()
            stored = _as_stored(record.with_changes(now, created_at=now), _JSON)
            try:
                connection.execute(approval_table.insert().values(**_columns(stored)))
            except sql.IntegrityError:
                raise _lost(record, "begun") from None
        return stored

    def change(self, record: ApprovalRecord, **changes: Any) -> ApprovalRecord:
        """Change a record, unless another was faster: one statement, which no transaction has to hold together.

        :raises StoreRaceLost: the record is not the stored one any more. Nothing was changed.
        """
        stored = _as_stored(record.with_changes(self.now(), **changes), changes)
        names = [one for name in (*changes, *_WITH_EACH_CHANGE) for one in _COLUMNS_OF.get(name, (name,))]
        columns = _columns(stored)
        values = {name: columns[name] for name in names} | {"of_nonce": record.nonce, "of_version": record.version}
        with self._transactions.statements() as connection:
            if connection.execute(_change_statement(), values).rowcount != 1:
                raise _lost(record, "changed")
        return stored

    def _all(self, query: Select[Any], **values: Any) -> list[ApprovalRecord]:
        """Return what a query finds; where it compares texts, MySQL has overlooked spaces at their ends."""
        with self._transactions.read() as connection:
            return [_record(row._asdict()) for row in connection.execute(query, values)]


# Statements are built once: building one takes as long as the database takes to answer it.
@cache
def _latest_query() -> Select[Any]:
    """Select the last round of the subject ``subject_key``."""
    columns = approval_table.c
    query = select(approval_table).where(columns.subject_key == bindparam("subject_key"))
    return query.order_by(columns.round_number.desc()).limit(1)


@cache
def _opener_query() -> Select[Any]:
    """Select the records that opened the ticket ``of_sn`` on the connection ``conn_id``."""
    columns = approval_table.c
    is_here: ColumnElement[bool] = columns.installation == bindparam("here")
    wanted = (columns.sn == bindparam("of_sn"), columns.bkitsm_conn_id == bindparam("conn_id"))
    query = select(approval_table).where(*wanted, columns.ticket_of.is_(None))
    return query.order_by(is_here.desc(), columns.created_at.desc())


@cache
def _change_statement() -> Update:
    """Change the record ``of_nonce``, if it still has the version ``of_version``; what, its values say."""
    columns = approval_table.c
    unchanged = (columns.nonce == bindparam("of_nonce"), columns.version == bindparam("of_version"))
    return approval_table.update().where(*unchanged)


def open_approval_store(store_conn_id: str | None = None) -> ApprovalStore:
    """Return the store of approval records; nothing is connected before its first use.

    :param store_conn_id: connection of a PostgreSQL or MySQL database. None: ``[bkitsm] store_conn_id``, and if
        that is empty too, a SQLite file.
    """
    engine = store.store_engine(store_conn_id)
    if engine.dialect.name == "sqlite":
        _warn_if_not_shared(executors_elsewhere())
    return ApprovalStore(engine)


@cache
def _warn_if_not_shared(elsewhere: tuple[str, ...]) -> None:
    """Say once in a process which promises are weaker where a file is the store and workers span machines."""
    if elsewhere:
        log.warning(
            "The records of approvals are in %s, a file of this machine, but tasks may run on several (%s). A"
            " retry on another machine does not know what an earlier try has asked: after a crash it may open a"
            " second ticket (P2), and a sensor there does not compare an approved form with what was sent (P3)."
            " Name a database that all of them reach: [bkitsm] store_conn_id",
            store.store_path(),
            ", ".join(elsewhere),
        )


def executors_elsewhere() -> tuple[str, ...]:
    """Return the executors of this Airflow that may run tasks on other machines than this one.

    ``[core] executor`` names them: ``LocalExecutor``, ``Mine:path.of.MyExecutor``, several with commas, and those
    of teams as ``;team=...``.
    """
    found = [name for variable, name in _CONTAINERS.items() if os.environ.get(variable)]
    for of_team in str(airflow_conf().get("core", "executor", fallback="")).split(";"):
        for one in of_team.rpartition("=")[2].split(","):
            executor = one.rpartition(":")[2].strip()
            if executor and executor not in _ONE_MACHINE:
                found.append(executor.rpartition(".")[2])
    return tuple(dict.fromkeys(found))


def _as_stored(record: ApprovalRecord, changed: Collection[str]) -> ApprovalRecord:
    """Return a record as it is read back: JSON makes lists of tuples and texts of a mapping's keys.

    :param changed: what of it was not read from the store.
    """
    names = [name for name in _JSON if name in changed]
    try:
        plain = {name: json.loads(json.dumps(getattr(record, name), allow_nan=False)) for name in names}
    except (TypeError, ValueError, RecursionError) as error:
        raise ItsmInvalidRequestError(
            f"what {record.subject} asks cannot be written as JSON: {error}. {UNTOUCHED}, and a retry is refused"
            " again"
        ) from error
    return replace(record, **plain)


def _columns(record: ApprovalRecord) -> dict[str, Any]:
    values = {name: getattr(record, name) for name in ApprovalRecord.__dataclass_fields__}
    subject: Subject = values.pop("subject")
    parts = {name: getattr(subject, name) for name in _SUBJECT}
    return (
        values | parts | {"subject_key": subject.key, "attempt": asdict(record.attempt), "dialect": record.dialect}
    )


def _record(row: Mapping[str, Any]) -> ApprovalRecord:
    values = {name: value for name, value in row.items() if name not in _DERIVED}
    subject = Subject(**{name: values.pop(name) for name in _SUBJECT})
    attempt = Attempt(**{name: values["attempt"].get(name) for name in _ATTEMPT})
    return ApprovalRecord(**values | {"subject": subject, "attempt": attempt})


def _lost(record: ApprovalRecord, what: str) -> StoreRaceLost:
    return StoreRaceLost(
        f"Round {record.round_number} of {record.subject} was {what} by another try at the same moment."
        f" {UNTOUCHED}; a retry is safe."
    )


def installation() -> str:
    """Return what tells this Airflow from others that share a store, DAGs and run ids: its own address."""
    conf = airflow_conf()
    own = conf.get("api", "base_url", fallback="") or conf.get("core", "execution_api_server_url", fallback="")
    return str(own or "")
