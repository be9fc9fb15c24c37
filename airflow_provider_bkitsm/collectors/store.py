# SPDX-License-Identifier: Apache-2.0
"""The collectors' states in a SQL database: every change is one transaction, decided by compare-and-set.

A change reads the row, asks ``state`` what it becomes, and writes it only if the row's version is still the
one that was read, together with its audit entry. Who loses that race reads again and asks again. A row that
does not change is not written, so every step may be repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, and_, select
from sqlalchemy import exc as sql

from airflow_provider_bkitsm.collectors import state
from airflow_provider_bkitsm.collectors.engine import reason as driver_reason
from airflow_provider_bkitsm.collectors.engine import server_engine, sqlite_engine
from airflow_provider_bkitsm.collectors.errors import CollectItsmConflict, StoreUnavailable
from airflow_provider_bkitsm.collectors.payload import digest
from airflow_provider_bkitsm.collectors.row import CollectorRow, CollectorState, Owner, new_row
from airflow_provider_bkitsm.collectors.schema import bring_up_to_date
from airflow_provider_bkitsm.collectors.tables import (
    AuditEntry,
    audit_from,
    audit_table,
    collector_table,
    owner_values,
    row_from,
    row_values,
)

__all__ = ["AuditEntry", "CollectorStore", "server_engine", "sqlite_engine"]

Key = tuple[str, int]
Transition = Callable[[CollectorRow, datetime], CollectorRow]

_ATTEMPTS = 20
_UNAVAILABLE = (sql.DBAPIError, sql.TimeoutError)
# Deadlock, outdated snapshot (MySQL, MariaDB); serialization failure, deadlock (PostgreSQL). Nothing of such
# a transaction is kept: it lost a race, the database is fine.
_MYSQL_RACES = frozenset({1213, 1020})
_POSTGRES_RACES = frozenset({"40001", "40P01"})
_UNTOUCHED = "Nothing was changed and the ticket is untouched"
_UNSURE = "The change is stored whole or not at all, it is not known which; the ticket is untouched"


class _LostRaceError(StoreUnavailable):
    """Another writer was faster; read again."""


def _utc_now() -> datetime:
    return datetime.now(tz=UTC)


class CollectorStore:
    """Keeps one row per log platform connection and collector. No connection is opened here.

    Every method raises ``StoreUnavailable`` where the database cannot be used, and ``StoreTooNew`` where a newer
    provider made its tables; the changing ones raise what the transition of the same name in ``state`` raises.

    :param engine: see ``sqlite_engine`` and ``server_engine``. Tables are created or migrated on first use.
    :param now: the clock; aware.
    :param actor: who makes the changes, for the audit entries.
    """

    def __init__(
        self, engine: Engine, *, now: Callable[[], datetime] = _utc_now, actor: str | None = None
    ) -> None:
        self._engine = engine
        self._now = now
        self._actor = actor
        self._ready = False

    def get(self, bklog_conn_id: str, collector_config_id: int) -> CollectorRow:
        """Return a collector's row; one nobody applied for is ``not_apply`` with version 0."""
        with self._transaction() as connection:
            return self._read(connection, (bklog_conn_id, collector_config_id))

    def by_ticket(self, sn: str) -> CollectorRow | None:
        """Return the row whose current application has this ticket, or None."""
        query = select(collector_table).where(collector_table.c.ticket_sn == sn)
        with self._transaction() as connection:
            found = connection.execute(query).one_or_none()
            return None if found is None else row_from(found._asdict())

    def applying(self, bklog_conn_id: str | None = None) -> list[CollectorRow]:
        """Return every row that is ``applying``, of one log platform connection or of all."""
        columns = collector_table.c
        query = select(collector_table).where(columns.state == CollectorState.APPLYING.value)
        if bklog_conn_id is not None:
            query = query.where(columns.bklog_conn_id == bklog_conn_id)
        with self._transaction() as connection:
            found = connection.execute(query.order_by(columns.bklog_conn_id, columns.collector_config_id))
            return [row_from(row._asdict()) for row in found]

    def latest(self, limit: int) -> list[CollectorRow]:
        """Return the rows that changed last, the latest first."""
        query = select(collector_table).order_by(collector_table.c.updated_at.desc()).limit(limit)
        with self._transaction() as connection:
            return [row_from(row._asdict()) for row in connection.execute(query)]

    def history(self, bklog_conn_id: str, collector_config_id: int) -> list[AuditEntry]:
        """Return every stored change of a collector, oldest first."""
        columns = audit_table.c
        query = select(audit_table).where(
            columns.bklog_conn_id == bklog_conn_id, columns.collector_config_id == collector_config_id
        )
        with self._transaction() as connection:
            found = connection.execute(query.order_by(columns.version))
            return [audit_from(entry._asdict()) for entry in found]

    def apply(
        self,
        bklog_conn_id: str,
        collector_config_id: int,
        *,
        payload: Mapping[str, Any],
        tag: str,
        owner: Owner,
    ) -> CollectorRow:
        """Store the intent to open a ticket; see ``state.apply``."""
        return self._change(
            (bklog_conn_id, collector_config_id),
            "apply",
            lambda row, now: state.apply(row, payload=payload, tag=tag, owner=owner, now=now),
            tag=tag,
            etl_digest=digest(payload),
        )

    def bypass(
        self,
        bklog_conn_id: str,
        collector_config_id: int,
        *,
        payload: Mapping[str, Any],
        tag: str,
        owner: Owner,
        setting: str,
    ) -> CollectorRow:
        """Store the intent to go on without a ticket, and which setting allows it; see ``state.bypass``."""
        return self._change(
            (bklog_conn_id, collector_config_id),
            "bypassed",
            lambda row, now: state.bypass(row, payload=payload, tag=tag, owner=owner, setting=setting, now=now),
            tag=tag,
            etl_digest=digest(payload),
            setting=setting,
        )

    def recreate(self, bklog_conn_id: str, collector_config_id: int, *, tag: str, seen: datetime) -> CollectorRow:
        """Claim the right to send ``create_ticket`` once more; see ``state.recreate``."""
        return self._change(
            (bklog_conn_id, collector_config_id),
            "recreate",
            lambda row, now: state.recreate(row, tag=tag, seen=seen, now=now),
            tag=tag,
        )

    def ticket_opened(
        self, bklog_conn_id: str, collector_config_id: int, *, tag: str, sn: str, url: str | None = None
    ) -> CollectorRow:
        """Store the ticket's number; see ``state.ticket_opened``.

        :raises CollectItsmConflict: also if the number already is another collector's.
        """
        return self._change(
            (bklog_conn_id, collector_config_id),
            "ticket_opened",
            lambda row, now: state.ticket_opened(row, tag=tag, sn=sn, url=url, now=now),
            tag=tag,
            url=url,
        )

    def create_refused(
        self, bklog_conn_id: str, collector_config_id: int, *, tag: str, reason: str
    ) -> CollectorRow:
        """End an application whose ticket ITSM did not open; see ``state.create_refused``."""
        return self._change(
            (bklog_conn_id, collector_config_id),
            "create_refused",
            lambda row, now: state.create_refused(row, tag=tag, reason=reason, now=now),
            tag=tag,
            reason=reason,
        )

    def decided(
        self,
        bklog_conn_id: str,
        collector_config_id: int,
        *,
        sn: str,
        outcome: str,
        detail: Mapping[str, Any] | None = None,
    ) -> CollectorRow:
        """Store the first verdict; see ``state.decided``."""
        return self._change(
            (bklog_conn_id, collector_config_id),
            "decided",
            lambda row, now: state.decided(row, sn=sn, outcome=outcome, detail=detail, now=now),
            outcome=str(outcome),
            detail=dict(detail or {}),
        )

    def resume(
        self, bklog_conn_id: str, collector_config_id: int, *, sn: str | None = None, tag: str | None = None
    ) -> CollectorRow:
        """Take up an approved application whose ETL failed; see ``state.resume``."""
        return self._change(
            (bklog_conn_id, collector_config_id),
            "resume",
            lambda row, now: state.resume(row, sn=sn, tag=tag, now=now),
        )

    def provisioned(
        self,
        bklog_conn_id: str,
        collector_config_id: int,
        *,
        sn: str | None = None,
        tag: str | None = None,
        result: Mapping[str, Any] | None = None,
    ) -> CollectorRow:
        """Note that the ETL payload was applied; see ``state.provisioned``."""
        return self._change(
            (bklog_conn_id, collector_config_id),
            "provisioned",
            lambda row, now: state.provisioned(row, sn=sn, tag=tag, result=result, now=now),
            result=dict(result or {}),
        )

    def etl_failed(
        self,
        bklog_conn_id: str,
        collector_config_id: int,
        *,
        sn: str | None = None,
        tag: str | None = None,
        reason: str,
    ) -> CollectorRow:
        """Note why the ETL payload could not be applied; see ``state.etl_failed``."""
        return self._change(
            (bklog_conn_id, collector_config_id),
            "etl_failed",
            lambda row, now: state.etl_failed(row, sn=sn, tag=tag, reason=reason, now=now),
            reason=reason,
        )

    def complete(
        self, bklog_conn_id: str, collector_config_id: int, *, sn: str | None = None, tag: str | None = None
    ) -> CollectorRow:
        """Call the collector complete; see ``state.complete``."""
        return self._change(
            (bklog_conn_id, collector_config_id),
            "complete",
            lambda row, now: state.complete(row, sn=sn, tag=tag, now=now),
        )

    def fail(
        self,
        bklog_conn_id: str,
        collector_config_id: int,
        *,
        sn: str | None = None,
        tag: str | None = None,
        reason: str,
    ) -> CollectorRow:
        """End the application without success; see ``state.fail``."""
        return self._change(
            (bklog_conn_id, collector_config_id),
            "fail",
            lambda row, now: state.fail(row, sn=sn, tag=tag, reason=reason, now=now),
            reason=reason,
        )

    def _change(self, key: Key, event: str, transition: Transition, **detail: Any) -> CollectorRow:
        for _ in range(_ATTEMPTS):
            try:
                return self._attempt(key, event, transition, detail)
            except _LostRaceError:
                continue
        raise StoreUnavailable(
            f"Collector {key[1]} ({key[0]}) was changed by others {_ATTEMPTS} times while {event} was to be "
            f"stored. {_UNTOUCHED}; a retry is safe."
        )

    def _attempt(self, key: Key, event: str, transition: Transition, detail: dict[str, Any]) -> CollectorRow:
        with self._transaction() as connection:
            row = self._read(connection, key)
            changed = transition(row, self._now())
            if changed == row:
                return row
            stored = replace(changed, version=row.version + 1)
            _write(connection, row, stored)
            entry = _audit_values(row, stored, event=event, actor=self._actor, detail=detail)
            connection.execute(audit_table.insert().values(**entry))
        return stored

    def _read(self, connection: Connection, key: Key) -> CollectorRow:
        found = connection.execute(select(collector_table).where(_is(*key))).one_or_none()
        return new_row(*key, now=self._now()) if found is None else row_from(found._asdict())

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        """Open a transaction that is committed at the end of the block, and rolled back by any error."""
        with self._translated(_UNTOUCHED):
            self._prepare()
            with self._engine.connect() as connection:
                yield connection
                with self._translated(_UNSURE):
                    connection.commit()

    def _prepare(self) -> None:
        if not self._ready:
            bring_up_to_date(self._engine)
            self._ready = True

    @contextmanager
    def _translated(self, consequence: str) -> Iterator[None]:
        """Turn the database's errors into ours; the cause is dropped, since its text may hold the URL."""
        try:
            yield
        except _UNAVAILABLE as error:
            raise (_LostRaceError if _is_race(error) else StoreUnavailable)(
                f"The database of collector states cannot be used ({driver_reason(error, self._engine)}). "
                f"{consequence}; a retry is safe."
            ) from None


def _is(bklog_conn_id: str, collector_config_id: int) -> ColumnElement[bool]:
    columns = collector_table.c
    return and_(columns.bklog_conn_id == bklog_conn_id, columns.collector_config_id == collector_config_id)


def _write(connection: Connection, row: CollectorRow, stored: CollectorRow) -> None:
    """Write ``stored`` over ``row``.

    :raises _LostRaceError: ``row`` is not the stored one any more.
    :raises CollectItsmConflict: the new ticket number already is another collector's.
    """
    if row.version == 0:
        _insert(connection, stored)
        return
    key = _is(row.bklog_conn_id, row.collector_config_id)
    unchanged = and_(key, collector_table.c.version == row.version)
    try:
        result = connection.execute(collector_table.update().where(unchanged).values(**row_values(stored)))
    except sql.IntegrityError:
        raise CollectItsmConflict(
            f"{row.name}: ticket {stored.ticket_sn} already is another collector's. Nothing was changed; a "
            "retry is refused. ITSM does not keep its numbers unique: have this one looked at."
        ) from None
    if result.rowcount != 1:
        raise _LostRaceError(f"{row.name} was changed by another. {_UNTOUCHED}; a retry is safe.")


def _insert(connection: Connection, stored: CollectorRow) -> None:
    try:
        connection.execute(collector_table.insert().values(**row_values(stored)))
    except sql.IntegrityError:
        raise _LostRaceError(f"{stored.name} was changed by another. {_UNTOUCHED}; a retry is safe.") from None


def _audit_values(
    row: CollectorRow, stored: CollectorRow, *, event: str, actor: str | None, detail: dict[str, Any]
) -> dict[str, Any]:
    return {
        "bklog_conn_id": stored.bklog_conn_id,
        "collector_config_id": stored.collector_config_id,
        "version": stored.version,
        "application": stored.application,
        "event": event,
        "from_state": row.state.value,
        "to_state": stored.state.value,
        "ticket_sn": stored.ticket_sn,
        **owner_values(stored.owner),
        "actor": actor,
        "detail": detail,
        "at": stored.updated_at,
    }


def _is_race(error: sql.SQLAlchemyError) -> bool:
    origin = error.orig if isinstance(error, sql.DBAPIError) else None
    if origin is None:
        return False
    number = origin.args[0] if origin.args else None
    return getattr(origin, "pgcode", None) in _POSTGRES_RACES or number in _MYSQL_RACES
