"""The store: one row per collector, changed by compare-and-set, with an append-only audit beside it.

Works on SQLite, PostgreSQL and MySQL. Every event is one transaction: the row is read, the pure transition of
:mod:`~airflow_provider_bkitsm.collectors.state` is applied, the row is written where its version is still the
one read, and the audit line joins it. Whoever loses the race reads again and applies the transition to what
is there now.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, insert, select, update
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from airflow_provider_bkitsm.collectors import state
from airflow_provider_bkitsm.collectors.errors import (
    CollectItsmConflict,
    CollectItsmNotFound,
    StoreUnavailable,
)
from airflow_provider_bkitsm.collectors.schema import audit, collectors, create_tables, row_from, values_of
from airflow_provider_bkitsm.collectors.state import Application, CollectorKey, CollectorRow, CollectorState
from airflow_provider_bkitsm.itsm.outcome import Outcome

_RACES = 20
_BUSY_SECONDS = 30


@dataclass(frozen=True, kw_only=True)
class AuditEntry:
    """One line of a collector's story."""

    at: datetime
    event: str
    application: int
    from_state: str
    to_state: str
    ticket_sn: str | None
    dag_id: str | None
    run_id: str | None
    task_id: str | None
    detail: Mapping[str, Any]


def sqlite_engine(path: Path) -> Engine:
    """Return an engine on a file in write-ahead mode; nothing is created before its first use."""
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        poolclass=NullPool,
        connect_args={"timeout": _BUSY_SECONDS},
    )

    @event.listens_for(engine, "do_connect")
    def _private_file(*_args: object) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            path.touch(mode=0o600)

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: object) -> None:
        # The driver's own transactions begin as readers, and two of those cannot both become writers.
        connection.isolation_level = None
        connection.execute("PRAGMA journal_mode=WAL")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


class CollectorStore:
    """The collectors' approval state.

    :param engine: an SQLAlchemy engine; use ``NullPool``, since Airflow forks its workers.
    :param now: the clock's seam (aware).
    """

    def __init__(self, engine: Engine, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._engine = engine
        self._now = now
        self._ready = False

    def get(self, key: CollectorKey) -> CollectorRow | None:
        """Return a collector's row; None when it was never applied for."""
        with self._transaction() as connection:
            return _read(connection, key)

    def by_ticket(self, sn: str) -> CollectorRow | None:
        """Return the row whose current application has this ticket."""
        with self._transaction() as connection:
            found = connection.execute(select(collectors).where(collectors.c.ticket_sn == sn)).one_or_none()
            return row_from(found) if found else None

    def history(self, key: CollectorKey) -> list[AuditEntry]:
        """Return the collector's whole story, oldest line first."""
        query = select(audit).where(_is(audit, key)).order_by(audit.c.id)
        with self._transaction() as connection:
            return [_audit_entry(line) for line in connection.execute(query)]

    def apply(self, key: CollectorKey, wanted: Application) -> CollectorRow:
        """Store the intent to apply; see :func:`~.state.apply`."""
        return self._change(key, "apply", lambda row: state.apply(row, wanted), {"digest": wanted.etl_digest})

    def creating(self, key: CollectorKey, tag: str) -> CollectorRow:
        """Note that a ticket is about to be opened."""
        return self._change(key, "creating", lambda row: state.creating(row, tag, self._now()), {"tag": tag})

    def ticket_opened(self, key: CollectorKey, tag: str, sn: str, ticket_url: str | None) -> CollectorRow:
        """Record the ticket."""
        return self._change(
            key,
            "ticket_opened",
            lambda row: state.ticket_opened(row, tag, sn, ticket_url),
            {"ticket_url": ticket_url},
        )

    def decided(
        self, key: CollectorKey, sn: str, outcome: Outcome, detail: Mapping[str, Any]
    ) -> CollectorRow:
        """Record the verdict, unless one stands already."""
        return self._change(
            key, "decided", lambda row: state.decided(row, sn, outcome, detail), {"outcome": str(outcome)}
        )

    def resume(self, key: CollectorKey, sn: str) -> CollectorRow:
        """Take up an approved application whose ETL had failed."""
        return self._change(key, "resume", lambda row: state.resume(row, sn))

    def provisioned(self, key: CollectorKey, sn: str, result: Mapping[str, Any]) -> CollectorRow:
        """Record the written ETL."""
        return self._change(
            key, "provisioned", lambda row: state.provisioned(row, sn, self._now()), dict(result)
        )

    def etl_failed(self, key: CollectorKey, sn: str, reason: str) -> CollectorRow:
        """Record why the ETL failed."""
        return self._change(
            key, "etl_failed", lambda row: state.etl_failed(row, sn, reason), {"reason": reason}
        )

    def complete(self, key: CollectorKey, sn: str) -> CollectorRow:
        """Finish with success."""
        return self._change(key, "complete", lambda row: state.complete(row, sn))

    def fail(self, key: CollectorKey, tag: str, reason: str) -> CollectorRow:
        """Finish without success."""
        return self._change(key, "fail", lambda row: state.fail(row, tag, reason), {"reason": reason})

    def _change(
        self,
        key: CollectorKey,
        name: str,
        transition: Callable[[CollectorRow], CollectorRow],
        detail: Mapping[str, Any] | None = None,
    ) -> CollectorRow:
        for _ in range(_RACES):
            changed = self._try(key, name, transition, detail or {})
            if changed is not None:
                return changed
        raise StoreUnavailable(
            f"collector {key.collector_config_id} is being changed by others all the time; this change was"
            " not made, a retry is safe"
        )

    def _try(
        self,
        key: CollectorKey,
        name: str,
        transition: Callable[[CollectorRow], CollectorRow],
        detail: Mapping[str, Any],
    ) -> CollectorRow | None:
        """Make the change; None when somebody else was faster."""
        with self._transaction() as connection:
            stored = _read(connection, key)
            if stored is None and name != "apply":
                raise CollectItsmNotFound(
                    f"collector {key.collector_config_id} of {key.bklog_conn_id} was never applied for"
                )
            before = stored or CollectorRow(key=key)
            after = transition(before)
            if after is before:
                return before
            after = self._stamped(before, after)
            if not _write(connection, stored, after):
                return None
            connection.execute(insert(audit).values(_audit_values(name, before, after, detail)))
        return after

    def _stamped(self, before: CollectorRow, after: CollectorRow) -> CollectorRow:
        now = self._now()
        return replace(after, version=before.version + 1, created_at=before.created_at or now, updated_at=now)

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        """Give a transaction; every failure of the database says that nothing was changed."""
        try:
            if not self._ready:
                create_tables(self._engine)
                self._ready = True
            with self._engine.begin() as connection:
                yield connection
        except IntegrityError as error:
            raise CollectItsmConflict(
                "the store refused the change: another collector already holds this ticket; nothing was"
                " changed"
            ) from error
        except SQLAlchemyError as error:
            # The error's own text may hold the database's address: its kind says enough.
            cause = error.orig if isinstance(error, DBAPIError) else error
            raise StoreUnavailable(
                f"the collectors' store cannot be used ({type(cause).__name__}); nothing was changed there, a"
                " retry is safe"
            ) from None


def _is(table: Any, key: CollectorKey) -> Any:
    return (table.c.bklog_conn_id == key.bklog_conn_id) & (
        table.c.collector_config_id == key.collector_config_id
    )


def _read(connection: Connection, key: CollectorKey) -> CollectorRow | None:
    found = connection.execute(select(collectors).where(_is(collectors, key))).one_or_none()
    return row_from(found) if found else None


def _write(connection: Connection, stored: CollectorRow | None, after: CollectorRow) -> bool:
    if stored is None:
        return _insert_first(connection, after)
    same = _is(collectors, after.key) & (collectors.c.version == stored.version)
    return connection.execute(update(collectors).where(same).values(values_of(after))).rowcount == 1


def _insert_first(connection: Connection, after: CollectorRow) -> bool:
    try:
        with connection.begin_nested():
            connection.execute(insert(collectors).values(values_of(after)))
    except IntegrityError:
        return False
    return True


def _audit_values(
    name: str, before: CollectorRow, after: CollectorRow, detail: Mapping[str, Any]
) -> dict[str, Any]:
    owner = after.owner
    return {
        "bklog_conn_id": after.key.bklog_conn_id,
        "collector_config_id": after.key.collector_config_id,
        "at": after.updated_at,
        "event": name,
        "application": after.application,
        "from_state": str(before.state),
        "to_state": str(after.state),
        "ticket_sn": after.ticket_sn,
        "dag_id": owner.dag_id if owner else None,
        "run_id": owner.run_id if owner else None,
        "task_id": owner.task_id if owner else None,
        "detail": {key: value for key, value in detail.items() if value is not None},
    }


def _audit_entry(line: Any) -> AuditEntry:
    values = dict(line._mapping)
    return AuditEntry(**{name: values[name] for name in AuditEntry.__dataclass_fields__})


__all__ = ["AuditEntry", "CollectorState", "CollectorStore", "sqlite_engine"]
