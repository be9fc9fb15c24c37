# SPDX-License-Identifier: Apache-2.0
"""The collectors' states in a SQL database: every change is one transaction, decided by compare-and-set.

A change reads the row, asks ``state`` for the next row, and writes that only if the stored version is still the
one that was read, together with its audit entry. A writer that loses the race reads the row again and starts
over. A row that does not change is not written, so every step may be repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import Connection, Engine, select
from sqlalchemy import exc as sql

from airflow_provider_bkitsm.collectors import state
from airflow_provider_bkitsm.collectors.clean_config import digest
from airflow_provider_bkitsm.collectors.database import UNTOUCHED, Store, server_engine, sqlite_engine, utc_now
from airflow_provider_bkitsm.collectors.errors import StoreRaceLost, StoreUnavailable
from airflow_provider_bkitsm.collectors.row import CollectorRow, CollectorState, Owner, new_row
from airflow_provider_bkitsm.collectors.tables import (
    AuditEntry,
    audit_from,
    audit_table,
    collector_table,
    of_collector,
    owner_values,
    row_from,
    row_values,
)
from airflow_provider_bkitsm.itsm.duties import REQUESTER

__all__ = ["AuditEntry", "CollectorStore", "server_engine", "sqlite_engine"]

Key = tuple[str, int]

_ATTEMPTS = 20


# Of each transition of ``state``: what the audit calls the event, and which of its arguments it keeps.
_AUDIT: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "apply": ("apply", ("tag",)),
    "bypass": ("bypassed", ("tag", "setting")),
    "recreate": ("recreate", ("tag",)),
    "ticket_opened": ("ticket_opened", ("tag", "url")),
    "create_refused": ("create_refused", ("tag", "reason")),
    "decided": ("decided", ("outcome", "detail")),
    "resume": ("resume", ()),
    "provisioned": ("provisioned", ("result",)),
    "etl_failed": ("etl_failed", ("reason",)),
    "complete": ("complete", ()),
    "fail": ("fail", ("reason",)),
}


# Of what was sent: who asked, in which service, and where. The form is left out but for its title.
_AUDITED = ("installation", "dialect", "service_id", "creator", REQUESTER)


class CollectorStore(Store):
    """Keeps one row per log platform connection and collector. No connection is opened here.

    Every method raises ``StoreUnavailable`` where the database cannot be used, and ``StoreTooNew`` where a newer
    provider made its tables; the changing ones raise what the transition of the same name in ``state`` raises.

    :param engine: see ``sqlite_engine`` and ``server_engine``. Tables are created or migrated on first use.
    :param now: the clock; aware.
    :param actor: who makes the changes, for the audit entries.
    """

    def __init__(self, engine: Engine, *, now: Callable[[], datetime] = utc_now, actor: str | None = None) -> None:
        super().__init__(engine, now=now)
        self._actor = actor

    def get(self, bklog_conn_id: str, collector_config_id: int) -> CollectorRow:
        """Return a collector's row; one nobody applied for is ``not_apply`` with version 0."""
        with self._transactions.begin() as connection:
            return self._read(connection, (bklog_conn_id, collector_config_id))

    def by_ticket(self, sn: str, *, bkitsm_conn_id: str | None = None) -> CollectorRow | None:
        """Return the row whose current application has this ticket, or None; of several the latest changed.

        :param bkitsm_conn_id: the ITSM connection in which this is the ticket's number; None: any.
        """
        columns = collector_table.c
        query = select(collector_table).where(columns.ticket_sn == sn)
        if bkitsm_conn_id is not None:
            query = query.where(columns.bkitsm_conn_id == bkitsm_conn_id)
        with self._transactions.begin() as connection:
            found = connection.execute(query.order_by(columns.updated_at.desc()).limit(1)).one_or_none()
            return None if found is None else row_from(found._asdict())

    def lost(self, bkitsm_conn_id: str, tag: str) -> CollectorRow | None:
        """Return the row whose application has begun to open the ticket of a tag and has not learnt its number."""
        columns = collector_table.c
        wanted = (columns.tag == tag, columns.bkitsm_conn_id == bkitsm_conn_id, columns.ticket_sn.is_(None))
        query = select(collector_table).where(*wanted, columns.create_started_at.is_not(None))
        with self._transactions.begin() as connection:
            rows = [row_from(row._asdict()) for row in connection.execute(query)]
        # MySQL overlooks spaces at a text's end.
        exact = (row for row in rows if (row.tag, row.bkitsm_conn_id) == (tag, bkitsm_conn_id))
        return next((row for row in exact if row.is_applying and not row.is_bypassed), None)

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
        bkitsm_conn_id: str | None = None,
        service: str | None = None,
    ) -> CollectorRow:
        """Store the intent to open a ticket; see ``state.apply``.

        :param service: which service is asked and why its verdict is read so, for the audit.
        """
        about = _about(request, bkitsm_conn_id) | ({} if service is None else {"service": service})
        kept: dict[str, Any] = {
            "verdict_settings": verdict_settings,
            "request": request,
            "bkitsm_conn_id": bkitsm_conn_id,
        }
        change = partial(state.apply, payload=payload, tag=tag, owner=owner, **kept)
        return self._change((bklog_conn_id, collector_config_id), change, etl_digest=digest(payload), **about)

    def bypass(
        self,
        bklog_conn_id: str,
        collector_config_id: int,
        *,
        payload: Mapping[str, Any],
        tag: str,
        owner: Owner,
        setting: str,
        request: Mapping[str, Any] | None = None,
        bkitsm_conn_id: str | None = None,
    ) -> CollectorRow:
        """Store the intent to go on without a ticket, and which setting allows it; see ``state.bypass``."""
        kept: dict[str, Any] = {"setting": setting, "request": request, "bkitsm_conn_id": bkitsm_conn_id}
        change = partial(state.bypass, payload=payload, tag=tag, owner=owner, **kept)
        about = _about(request, bkitsm_conn_id)
        return self._change((bklog_conn_id, collector_config_id), change, etl_digest=digest(payload), **about)

    def recreate(
        self,
        bklog_conn_id: str,
        collector_config_id: int,
        *,
        tag: str,
        seen: datetime,
        request: Mapping[str, Any] | None = None,
    ) -> CollectorRow:
        """Claim the right to open the ticket once more; see ``state.recreate``."""
        change = partial(state.recreate, tag=tag, seen=seen, request=request)
        return self._change((bklog_conn_id, collector_config_id), change)

    def ticket_opened(
        self, bklog_conn_id: str, collector_config_id: int, *, tag: str, sn: str, url: str | None = None
    ) -> CollectorRow:
        """Store the ticket's number; see ``state.ticket_opened``."""
        change = partial(state.ticket_opened, tag=tag, sn=sn, url=url)
        return self._change((bklog_conn_id, collector_config_id), change)

    def create_refused(
        self, bklog_conn_id: str, collector_config_id: int, *, tag: str, reason: str
    ) -> CollectorRow:
        """End an application whose ticket ITSM did not open; see ``state.create_refused``."""
        change = partial(state.create_refused, tag=tag, reason=reason)
        return self._change((bklog_conn_id, collector_config_id), change)

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
        change = partial(state.decided, sn=sn, outcome=outcome, detail=dict(detail or {}))
        return self._change((bklog_conn_id, collector_config_id), change)

    def resume(
        self, bklog_conn_id: str, collector_config_id: int, *, sn: str | None = None, tag: str | None = None
    ) -> CollectorRow:
        """Take up an approved application whose ETL failed; see ``state.resume``."""
        change = partial(state.resume, sn=sn, tag=tag)
        return self._change((bklog_conn_id, collector_config_id), change)

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
        change = partial(state.provisioned, sn=sn, tag=tag, result=dict(result or {}))
        return self._change((bklog_conn_id, collector_config_id), change)

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
        change = partial(state.etl_failed, sn=sn, tag=tag, reason=reason)
        return self._change((bklog_conn_id, collector_config_id), change)

    def complete(
        self, bklog_conn_id: str, collector_config_id: int, *, sn: str | None = None, tag: str | None = None
    ) -> CollectorRow:
        """Call the collector complete; see ``state.complete``."""
        change = partial(state.complete, sn=sn, tag=tag)
        return self._change((bklog_conn_id, collector_config_id), change)

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
        change = partial(state.fail, sn=sn, tag=tag, reason=reason)
        return self._change((bklog_conn_id, collector_config_id), change)

    def _change(self, key: Key, change: partial[CollectorRow], **about: Any) -> CollectorRow:
        """Store what a transition of ``state`` makes of a row, with its audit entry.

        :param change: the transition with its arguments, all by keyword, but for ``now``.
        :param about: what the audit keeps besides those arguments.
        """
        event, names = _AUDIT[change.func.__name__]
        detail = {name: change.keywords[name] for name in names} | about
        for _ in range(_ATTEMPTS):
            try:
                return self._attempt(key, event, change, detail)
            except StoreRaceLost:
                continue
        raise StoreUnavailable(
            f"Collector {key[1]} ({key[0]}) was changed by others {_ATTEMPTS} times while {event} was to be "
            f"stored. {UNTOUCHED}; a retry is safe."
        )

    def _attempt(
        self, key: Key, event: str, change: partial[CollectorRow], detail: Mapping[str, Any]
    ) -> CollectorRow:
        with self._transactions.begin() as connection:
            row = self._read(connection, key)
            changed = change(row, now=self.now())
            if changed == row:
                return row
            stored = replace(changed, version=row.version + 1)
            write(connection, row, stored, event=event, actor=self._actor, detail=detail)
        return stored

    def _read(self, connection: Connection, key: Key) -> CollectorRow:
        query = select(collector_table).where(of_collector(collector_table, *key))
        found = connection.execute(query).one_or_none()
        return new_row(*key, now=self.now()) if found is None else row_from(found._asdict())


def _about(request: Mapping[str, Any] | None, bkitsm_conn_id: str | None) -> dict[str, Any]:
    """Return what the audit keeps of a request: the collector's row has it until the next application begins."""
    if request is None:
        return {}
    kept = {name: request[name] for name in _AUDITED if name in request}
    title = (request.get("fields") or {}).get("title")
    fields = {} if title is None else {"fields": {"title": title}}
    return {"request": kept | fields, "bkitsm_conn_id": bkitsm_conn_id}


def write(
    connection: Connection,
    row: CollectorRow,
    stored: CollectorRow,
    *,
    event: str,
    actor: str | None,
    detail: Mapping[str, Any],
) -> None:
    """Write ``stored`` over ``row`` and add the audit entry, in the caller's transaction.

    :raises StoreRaceLost: ``row`` is not the stored one any more.
    """
    (_insert if row.version == 0 else _update)(connection, row, stored)
    entry = _audit_values(row, stored) | {"event": event, "actor": actor, "detail": detail}
    connection.execute(audit_table.insert().values(**entry))


def _insert(connection: Connection, row: CollectorRow, stored: CollectorRow) -> None:
    try:
        connection.execute(collector_table.insert().values(**row_values(stored)))
    except sql.IntegrityError:
        raise _lost(row) from None


def _update(connection: Connection, row: CollectorRow, stored: CollectorRow) -> None:
    key = of_collector(collector_table, row.bklog_conn_id, row.collector_config_id)
    unchanged = collector_table.c.version == row.version
    change = collector_table.update().where(key, unchanged).values(**row_values(stored))
    if connection.execute(change).rowcount != 1:
        raise _lost(row)


def _lost(row: CollectorRow) -> StoreRaceLost:
    return StoreRaceLost(f"{row.name} was changed by another. {UNTOUCHED}; a retry is safe.")


def _audit_values(row: CollectorRow, stored: CollectorRow) -> dict[str, Any]:
    return {
        "bklog_conn_id": stored.bklog_conn_id,
        "collector_config_id": stored.collector_config_id,
        "version": stored.version,
        "application": stored.application,
        "from_state": row.state.value,
        "to_state": stored.state.value,
        "ticket_sn": stored.ticket_sn,
        **owner_values(stored.owner),
        "at": stored.updated_at,
    }
