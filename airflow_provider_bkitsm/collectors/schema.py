"""The two tables of the store, and how a row becomes one of theirs.

Portable over SQLite, PostgreSQL and MySQL: keys short enough for utf8mb4 indexes, JSON kept as text, times
kept as naive UTC with microseconds.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    Column,
    DateTime,
    Dialect,
    Engine,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    inspect,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.exc import DatabaseError
from sqlalchemy.types import TypeDecorator

from airflow_provider_bkitsm.collectors.state import CollectorKey, CollectorRow, CollectorState, Owner
from airflow_provider_bkitsm.itsm.outcome import Outcome


class UtcDateTime(TypeDecorator[datetime]):
    """An aware time, kept as naive UTC."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        """Keep microseconds on MySQL too."""
        kind = mysql.DATETIME(fsp=6) if dialect.name in {"mysql", "mariadb"} else DateTime()
        return dialect.type_descriptor(kind)

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Turn an aware time into naive UTC."""
        return value.astimezone(UTC).replace(tzinfo=None) if value else None

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Turn naive UTC into an aware time."""
        return value.replace(tzinfo=UTC) if value else None


class JsonText(TypeDecorator[Any]):
    """A JSON value, kept as text so that every database returns what was given."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        """Leave room beyond MySQL's 64 KiB."""
        kind = mysql.MEDIUMTEXT() if dialect.name in {"mysql", "mariadb"} else Text()
        return dialect.type_descriptor(kind)

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:  # noqa: ARG002
        """Write JSON."""
        return None if value is None else json.dumps(value, ensure_ascii=False)

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:  # noqa: ARG002
        """Read JSON."""
        return None if value is None else json.loads(value)


metadata = MetaData()


def _key_columns(*, primary_key: bool) -> tuple[Column[Any], Column[Any]]:
    return (
        Column("bklog_conn_id", String(191), primary_key=primary_key, nullable=False),
        Column("collector_config_id", Integer, primary_key=primary_key, nullable=False, autoincrement=False),
    )


_MYSQL: dict[str, Any] = {"mysql_charset": "utf8mb4", "mysql_engine": "InnoDB", "mariadb_charset": "utf8mb4"}

collectors = Table(
    "bkitsm_collector",
    metadata,
    *_key_columns(primary_key=True),
    Column("state", String(20), nullable=False),
    Column("application", Integer, nullable=False),
    Column("dag_id", String(250)),
    Column("run_id", String(250)),
    Column("task_id", String(250)),
    Column("map_index", Integer),
    Column("tag", String(32)),
    Column("ticket_sn", String(191), unique=True),
    Column("ticket_url", Text),
    Column("etl_payload", JsonText),
    Column("etl_digest", String(80)),
    Column("create_started_at", UtcDateTime),
    Column("outcome", String(20)),
    Column("outcome_detail", JsonText),
    Column("provisioned_at", UtcDateTime),
    Column("last_error", Text),
    Column("version", Integer, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    **_MYSQL,
)

audit = Table(
    "bkitsm_collector_audit",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    *_key_columns(primary_key=False),
    Column("at", UtcDateTime, nullable=False),
    Column("event", String(40), nullable=False),
    Column("application", Integer, nullable=False),
    Column("from_state", String(20), nullable=False),
    Column("to_state", String(20), nullable=False),
    Column("ticket_sn", String(191)),
    Column("dag_id", String(250)),
    Column("run_id", String(250)),
    Column("task_id", String(250)),
    Column("detail", JsonText, nullable=False),
    Index("ix_bkitsm_collector_audit_key", "bklog_conn_id", "collector_config_id"),
    **_MYSQL,
)

_OWNER = ("dag_id", "run_id", "task_id", "map_index")
_PLAIN = tuple(
    name for name in CollectorRow.__dataclass_fields__ if name not in {"key", "owner", "state", "outcome"}
)


def create_tables(engine: Engine) -> None:
    """Create what is missing; several processes may do so at once."""
    try:
        metadata.create_all(engine)
    except DatabaseError:
        # Somebody else may have been faster between the check and the creation.
        if not set(metadata.tables) <= set(inspect(engine).get_table_names()):
            raise


def values_of(row: CollectorRow) -> dict[str, Any]:
    """Return a row as column values."""
    owner = {name: getattr(row.owner, name) if row.owner else None for name in _OWNER}
    return {
        "bklog_conn_id": row.key.bklog_conn_id,
        "collector_config_id": row.key.collector_config_id,
        "state": str(row.state),
        "outcome": str(row.outcome) if row.outcome else None,
        **owner,
        **{name: getattr(row, name) for name in _PLAIN},
    }


def row_from(line: Any) -> CollectorRow:
    """Build a row from column values."""
    values = line._mapping
    owned = values["dag_id"] is not None
    return CollectorRow(
        key=CollectorKey(
            bklog_conn_id=values["bklog_conn_id"], collector_config_id=values["collector_config_id"]
        ),
        state=CollectorState(values["state"]),
        outcome=Outcome(values["outcome"]) if values["outcome"] else None,
        owner=Owner(**{name: values[name] for name in _OWNER}) if owned else None,
        **{name: values[name] for name in _PLAIN},
    )
