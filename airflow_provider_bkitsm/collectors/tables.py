# SPDX-License-Identifier: Apache-2.0
"""The store's tables, alike on SQLite, PostgreSQL and MySQL/MariaDB, and their rows as Python objects."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    DateTime,
    Dialect,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    and_,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.types import TypeDecorator

from airflow_provider_bkitsm.collectors.row import CollectorRow, CollectorState, Owner
from airflow_provider_bkitsm.itsm.outcome import Outcome

_MYSQL = ("mysql", "mariadb")


class UtcDateTime(TypeDecorator[datetime]):
    """Aware UTC in Python, naive UTC with microseconds in the database: MySQL has no zone to keep."""

    impl = DateTime().with_variant(mysql.DATETIME(fsp=6), *_MYSQL)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Convert to naive UTC; refuse a naive time, whose zone is unknown."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value} has no time zone")
        utc = value.astimezone(UTC)
        # A plain datetime: drivers do not recognise subclasses such as pendulum's.
        return datetime(utc.year, utc.month, utc.day, utc.hour, utc.minute, utc.second, utc.microsecond)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Convert to aware UTC."""
        return None if value is None else value.replace(tzinfo=UTC)


class JsonText(TypeDecorator[dict[str, Any]]):
    """JSON as ASCII text: a database's own JSON type may reorder or respell it, which would change its digest."""

    impl = Text().with_variant(mysql.LONGTEXT(), *_MYSQL)
    cache_ok = True

    def process_bind_param(self, value: dict[str, Any] | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """Serialize."""
        return None if value is None else json.dumps(value, allow_nan=False)

    def process_result_value(self, value: str | None, dialect: Dialect) -> dict[str, Any] | None:  # noqa: ARG002
        """Deserialize."""
        return None if value is None else dict(json.loads(value))


def _name(length: int) -> Any:
    """Text compared byte by byte: MySQL would otherwise take two connections that differ in case for one."""
    binary = mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_bin")
    return String(length).with_variant(binary, *_MYSQL)


metadata = MetaData()
_OPTIONS: dict[str, Any] = {
    f"{name}_{option}": value
    for name in _MYSQL
    for option, value in (("engine", "InnoDB"), ("charset", "utf8mb4"))
}

collector_table = Table(
    "bkitsm_collector",
    metadata,
    Column("bklog_conn_id", _name(250), primary_key=True),
    Column("collector_config_id", BigInteger, primary_key=True, autoincrement=False),
    Column("state", String(20), nullable=False),
    Column("ticket_sn", _name(128)),
    Column("ticket_url", Text),
    Column("tag", _name(32)),
    Column("etl_payload", JsonText),
    Column("etl_digest", String(80)),
    Column("etl_result", JsonText),
    Column("dag_id", _name(250)),
    Column("run_id", _name(250)),
    Column("task_id", _name(250)),
    Column("map_index", Integer),
    Column("outcome", String(20)),
    Column("outcome_detail", JsonText),
    Column("bypassed_tag", _name(32)),
    Column("verdict_settings", JsonText),
    Column("request", JsonText),
    Column("bkitsm_conn_id", _name(250)),
    Column("provisioned_at", UtcDateTime),
    Column("last_error", Text),
    Column("application", Integer, nullable=False),
    Column("create_started_at", UtcDateTime),
    Column("version", Integer, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    # No number is unique: two ITSMs, or a counter that began anew, give one number twice.
    **_OPTIONS,
)

# Keyed by the version each entry led to: a change that was stored has exactly one entry, and the key's own
# index serves the history.
audit_table = Table(
    "bkitsm_collector_audit",
    metadata,
    Column("bklog_conn_id", _name(250), primary_key=True),
    Column("collector_config_id", BigInteger, primary_key=True, autoincrement=False),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("application", Integer, nullable=False),
    Column("event", String(40), nullable=False),
    Column("from_state", String(20), nullable=False),
    Column("to_state", String(20), nullable=False),
    Column("ticket_sn", _name(128)),
    Column("dag_id", _name(250)),
    Column("run_id", _name(250)),
    Column("task_id", _name(250)),
    Column("map_index", Integer),
    Column("actor", Text),
    Column("detail", JsonText),
    Column("at", UtcDateTime, nullable=False),
    **_OPTIONS,
)

# One row for each approval round of a task, see :mod:`airflow_provider_bkitsm.tickets.approval`. Two tries that
# begin the same round at once collide on its number, and the second one finds the first one's row.
approval_table = Table(
    "bkitsm_approval",
    metadata,
    Column("nonce", _name(32), primary_key=True),
    Column("subject_key", _name(64), nullable=False),
    Column("round_number", Integer, nullable=False),
    Column("installation", Text, nullable=False),
    Column("bkitsm_conn_id", _name(250), nullable=False),
    Column("dag_id", _name(250), nullable=False),
    Column("run_id", _name(250), nullable=False),
    Column("task_id", _name(250), nullable=False),
    Column("map_index", Integer, nullable=False),
    Column("approval_key", Text),
    Column("attempt", JsonText, nullable=False),
    Column("digest", String(80), nullable=False),
    Column("asked_digest", String(80), nullable=False),
    Column("tag", _name(32), nullable=False),
    Column("request", JsonText, nullable=False),
    Column("dialect", String(20), nullable=False),
    Column("ticket_of", _name(32)),
    Column("create_started_at", UtcDateTime),
    Column("sn", _name(128)),
    Column("ticket_id", BigInteger),
    Column("ticket_url", Text, nullable=False),
    Column("opened_at", UtcDateTime),
    Column("verdict", JsonText),
    Column("ended_at", UtcDateTime),
    Column("version", Integer, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    UniqueConstraint("subject_key", "round_number", name="uq_bkitsm_approval_round"),
    # Not unique: two ITSMs behind one connection, or a counter that began anew, give one number twice.
    Index("ix_bkitsm_approval_ticket", "sn", "bkitsm_conn_id"),
    Index("ix_bkitsm_approval_run", "dag_id", "run_id"),
    **_OPTIONS,
)

# What is kept of the tokens that ITSM is to send back in callbacks: one row for each attempt to open a ticket.
callback_token_table = Table(
    "bkitsm_callback_token",
    metadata,
    Column("tag", _name(32), primary_key=True),
    Column("digest", _name(64), primary_key=True),
    Column("bkitsm_conn_id", _name(250), nullable=False),
    Column("chosen_at", UtcDateTime, nullable=False),
    **_OPTIONS,
)

# One row for each task that waits for a ticket; see ``tickets.waits``. The key is a digest: MySQL indexes no texts
# as long as the names of a task can be.
wait_table = Table(
    "bkitsm_wait",
    metadata,
    Column("wait_key", _name(64), primary_key=True),
    Column("installation", Text, nullable=False),
    Column("bkitsm_conn_id", _name(250), nullable=False),
    Column("dag_id", _name(250), nullable=False),
    Column("run_id", _name(250), nullable=False),
    Column("task_id", _name(250), nullable=False),
    Column("map_index", Integer, nullable=False),
    Column("sn", _name(128), nullable=False),
    Column("opened_by", _name(250)),
    Column("withdraw", Boolean, nullable=False),
    Column("began_at", UtcDateTime, nullable=False),
    Column("ti_id", _name(36)),
    Column("remind_by", Text),
    Index("ix_bkitsm_wait_ticket", "sn", "bkitsm_conn_id"),
    **_OPTIONS,
)

# One row for each message about a ticket that is to be sent once; see ``tickets.reminder_store``. Whoever inserts
# the row, or takes it over with its claim unchanged, sends the message.
reminder_table = Table(
    "bkitsm_reminder",
    metadata,
    Column("reminder_key", _name(64), primary_key=True),
    Column("bkitsm_conn_id", _name(250), nullable=False),
    Column("sn", _name(128), nullable=False),
    Column("kind", String(20), nullable=False),
    Column("after_seconds", BigInteger, nullable=False),
    Column("sender", _name(16), nullable=False),
    Column("opened_at", UtcDateTime, nullable=False),
    Column("state", String(20), nullable=False),
    Column("claim", _name(32), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("free_at", UtcDateTime, nullable=False),
    Column("claimed_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime),
    Column("recipients", Text),
    Index("ix_bkitsm_reminder_ticket", "sn", "bkitsm_conn_id"),
    **_OPTIONS,
)

# One row for each version the database has reached, the highest is its version; see ``schema``.
schema_table = Table(
    "bkitsm_schema",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("at", UtcDateTime, nullable=False),
    **_OPTIONS,
)


@dataclass(frozen=True, kw_only=True)
class AuditEntry:
    """One stored change of a collector's row.

    :param version: of the row after the change; entries count 1, 2, 3 without gaps.
    :param owner: the task that held the application after the change.
    :param actor: who made the change, as given to the store.
    :param detail: the event's arguments that the audit keeps.
    :param at: aware UTC.
    """

    bklog_conn_id: str
    collector_config_id: int
    version: int
    application: int
    event: str
    from_state: CollectorState
    to_state: CollectorState
    ticket_sn: str | None
    owner: Owner | None
    actor: str | None
    detail: dict[str, Any]
    at: datetime


def of_collector(table: Table, bklog_conn_id: str, collector_config_id: int) -> ColumnElement[bool]:
    """Return the condition that a table's row is about this collector."""
    columns = table.c
    return and_(columns.bklog_conn_id == bklog_conn_id, columns.collector_config_id == collector_config_id)


def row_values(row: CollectorRow) -> dict[str, Any]:
    """Return a row's columns."""
    values: dict[str, Any] = {
        field.name: getattr(row, field.name) for field in fields(row) if field.name != "owner"
    }
    outcome = None if row.outcome is None else row.outcome.value
    return values | owner_values(row.owner) | {"state": row.state.value, "outcome": outcome}


def row_from(found: Mapping[str, Any]) -> CollectorRow:
    """Build a row from its columns."""
    values = dict(found)
    owner = _owner(values)
    state, outcome = CollectorState(values.pop("state")), values.pop("outcome")
    return CollectorRow(**values, owner=owner, state=state, outcome=None if outcome is None else Outcome(outcome))


def audit_from(found: Mapping[str, Any]) -> AuditEntry:
    """Build an audit entry from its columns."""
    values = dict(found)
    owner = _owner(values)
    before, after = (CollectorState(values.pop(name)) for name in ("from_state", "to_state"))
    return AuditEntry(**values, from_state=before, to_state=after, owner=owner)


def owner_values(owner: Owner | None) -> dict[str, Any]:
    """Return an owner's columns."""
    return {name: getattr(owner, name, None) for name in _OWNER}


_OWNER = tuple(field.name for field in fields(Owner))


def _owner(values: dict[str, Any]) -> Owner | None:
    """Take an owner's columns out of ``values``."""
    columns = {name: values.pop(name) for name in _OWNER}
    return None if columns["dag_id"] is None else Owner(**columns)
