# SPDX-License-Identifier: Apache-2.0
"""The collectors' states in a SQL database: every change is one transaction, decided by compare-and-set.

A change reads the row, asks ``state`` what it becomes, and writes it only if the row's version is still the
one that was read, together with its audit entry. Who loses that race reads again and asks again. A row that
does not change is not written, so every step may be repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, Protocol

from sqlalchemy import Connection, Engine, select

from airflow_provider_bkitsm.collectors import state
from airflow_provider_bkitsm.collectors.clean_config import digest
from airflow_provider_bkitsm.collectors.database import UNTOUCHED, Transactions, server_engine, sqlite_engine
from airflow_provider_bkitsm.collectors.errors import StoreRaceLost, StoreUnavailable
from airflow_provider_bkitsm.collectors.row import CollectorRow, CollectorState, Owner, new_row
from airflow_provider_bkitsm.collectors.tables import (
    AuditEntry,
    audit_from,
    audit_table,
    collector_table,
    of_collector,
    row_from,
)
from airflow_provider_bkitsm.collectors.writing import write

__all__ = ["AuditEntry", "CollectorStore", "server_engine", "sqlite_engine"]

Key = tuple[str, int]

_ATTEMPTS = 20


class Transition(Protocol):
    """What becomes of a row; one of ``state``, its arguments given."""

    def __call__(self, row: CollectorRow, *, now: datetime) -> CollectorRow: ...


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
        self._transactions = Transactions(engine)
        self._now = now
        self._actor = actor

    def get(self, bklog_conn_id: str, collector_config_id: int) -> CollectorRow:
        """Return a collector's row; one nobody applied for is ``not_apply`` with version 0."""
        with self._transactions.begin() as connection:
            return self._read(connection, (bklog_conn_id, collector_config_id))

    def by_ticket(self, sn: str) -> CollectorRow | None:
        """Return the row whose current application has this ticket, or None."""
        query = select(collector_table).where(collector_table.c.ticket_sn == sn)
        with self._transactions.begin() as connection:
            found = connection.execute(query).one_or_none()
            return None if found is None else row_from(found._asdict())

    def applying(self, bklog_conn_id: str | None = None) -> list[CollectorRow]:
        """Return every row that is ``applying``, of one log platform connection or of all."""
        columns = collector_table.c
        query = select(collector_table).where(columns.state == CollectorState.APPLYING.value)
        if bklog_conn_id is not None:
            query = query.where(columns.bklog_conn_id == bklog_conn_id)
        with self._transactions.begin() as connection:
            found = connection.execute(query.order_by(columns.bklog_conn_id, columns.collector_config_id))
            return [row_from(row._asdict()) for row in found]

    def latest(self, limit: int) -> list[CollectorRow]:
        """Return the rows that changed last, the latest first."""
        query = select(collector_table).order_by(collector_table.c.updated_at.desc()).limit(limit)
        with self._transactions.begin() as connection:
            return [row_from(row._asdict()) for row in connection.execute(query)]

    def history(self, bklog_conn_id: str, collector_config_id: int) -> list[AuditEntry]:
        """Return every stored change of a collector, oldest first."""
        query = select(audit_table).where(of_collector(audit_table, bklog_conn_id, collector_config_id))
        with self._transactions.begin() as connection:
            found = connection.execute(query.order_by(audit_table.c.version))
            return [audit_from(entry._asdict()) for entry in found]

    def apply(
        self,
        bklog_conn_id: str,
        collector_config_id: int,
        *,
        payload: Mapping[str, Any],
        tag: str,
        owner: Owner,
        verdict_settings: Mapping[str, Any] | None = None,
        request: Mapping[str, Any] | None = None,
        service: str | None = None,
    ) -> CollectorRow:
        """Store the intent to open a ticket; see ``state.apply``.

        :param service: which service is asked and why its verdict is read so, for the audit.
        """
        about = {} if service is None else {"service": service}
        kept: dict[str, Any] = {"verdict_settings": verdict_settings, "request": request}
        return self._change(
            (bklog_conn_id, collector_config_id),
            "apply",
            partial(state.apply, payload=payload, tag=tag, owner=owner, **kept),
            tag=tag,
            etl_digest=digest(payload),
            **about,
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
            partial(state.bypass, payload=payload, tag=tag, owner=owner, setting=setting),
            tag=tag,
            etl_digest=digest(payload),
            setting=setting,
        )

    def recreate(
        self,
        bklog_conn_id: str,
        collector_config_id: int,
        *,
        tag: str,
        seen: datetime,
        request: Mapping[str, Any] | None = None,
    ) -> CollectorRow:
        """Claim the right to ask for the ticket once more; see ``state.recreate``."""
        return self._change(
            (bklog_conn_id, collector_config_id),
            "recreate",
            partial(state.recreate, tag=tag, seen=seen, request=request),
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
            partial(state.ticket_opened, tag=tag, sn=sn, url=url),
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
            partial(state.create_refused, tag=tag, reason=reason),
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
            partial(state.decided, sn=sn, outcome=outcome, detail=detail),
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
            partial(state.resume, sn=sn, tag=tag),
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
            partial(state.provisioned, sn=sn, tag=tag, result=result),
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
            partial(state.etl_failed, sn=sn, tag=tag, reason=reason),
            reason=reason,
        )

    def complete(
        self, bklog_conn_id: str, collector_config_id: int, *, sn: str | None = None, tag: str | None = None
    ) -> CollectorRow:
        """Call the collector complete; see ``state.complete``."""
        return self._change(
            (bklog_conn_id, collector_config_id),
            "complete",
            partial(state.complete, sn=sn, tag=tag),
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
            partial(state.fail, sn=sn, tag=tag, reason=reason),
            reason=reason,
        )

    def _change(self, key: Key, event: str, transition: Transition, **detail: Any) -> CollectorRow:
        for _ in range(_ATTEMPTS):
            try:
                return self._attempt(key, event, transition, detail)
            except StoreRaceLost:
                continue
        raise StoreUnavailable(
            f"Collector {key[1]} ({key[0]}) was changed by others {_ATTEMPTS} times while {event} was to be "
            f"stored. {UNTOUCHED}; a retry is safe."
        )

    def _attempt(self, key: Key, event: str, transition: Transition, detail: dict[str, Any]) -> CollectorRow:
        with self._transactions.begin() as connection:
            row = self._read(connection, key)
            changed = transition(row, now=self._now())
            if changed == row:
                return row
            stored = replace(changed, version=row.version + 1)
            write(connection, row, stored, event=event, actor=self._actor, detail=detail)
        return stored

    def _read(self, connection: Connection, key: Key) -> CollectorRow:
        query = select(collector_table).where(of_collector(collector_table, *key))
        found = connection.execute(query).one_or_none()
        return new_row(*key, now=self._now()) if found is None else row_from(found._asdict())
