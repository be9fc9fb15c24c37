# SPDX-License-Identifier: Apache-2.0
"""The version of the store's tables, and the steps from each version to the next.

No alembic: it would bring an environment of scripts for what is a list of functions here, it takes no lock of its
own against a second process, and on MySQL, which commits every DDL statement by itself, its steps would have to be
repeatable just as ours. So nothing is locked: steps may be interrupted anywhere, repeated, and done by several
processes at once, and who fails looks again.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Column, Connection, Engine, column, func, inspect, select, table
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.schema import CreateColumn

from airflow_provider_bkitsm.collectors.errors import StoreTooNew
from airflow_provider_bkitsm.collectors.tables import (
    approval_table,
    callback_token_table,
    collector_table,
    metadata,
    reminder_table,
    schema_table,
    wait_table,
)

Migration = Callable[[Connection], None]

_ATTEMPTS = 10
# Up to version 5 a number was one collector's ticket in the whole store.
_UNIQUE_NUMBER = "uq_bkitsm_collector_ticket_sn"


def _tables(connection: Connection) -> None:
    """Version 1. A database of before there were versions has these tables already, and is adopted."""
    metadata.create_all(connection)


def _bypass(connection: Connection) -> None:
    """Version 2. What says that an application needed no approval; no older application did without."""
    add_column(connection, collector_table.c.bypassed_tag)


def _verdict_source(connection: Connection) -> None:
    """Version 3. Where a ticket's verdict is read; older applications go on as connection and task say."""
    add_column(connection, collector_table.c.verdict_settings)


def _approvals(connection: Connection) -> None:
    """Version 4. The record of each approval round; what was asked before has none."""
    approval_table.create(connection, checkfirst=True)


def _requests(connection: Connection) -> None:
    """Version 5. What was sent to open a collector's ticket; older tickets have their digest alone."""
    add_column(connection, collector_table.c.request)


def _numbers(connection: Connection) -> None:
    """Version 6. A ticket's number counts within its ITSM connection; which that is, older tickets do not say."""
    if connection.dialect.name == "sqlite":
        _rebuild_without_constraint(connection)
    elif _is_unique(connection):
        kind = "CONSTRAINT" if connection.dialect.name == "postgresql" else "INDEX"
        connection.exec_driver_sql(f"ALTER TABLE {collector_table.name} DROP {kind} {_UNIQUE_NUMBER}")
    add_column(connection, collector_table.c.bkitsm_conn_id)


def _rebuild_without_constraint(connection: Connection) -> None:
    """SQLite drops no constraint: copy the rows into a new table, in one transaction that keeps others out."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")
    if not _is_unique(connection):
        return
    name, before = collector_table.name, f"{collector_table.name}_before"
    kept = [one["name"] for one in inspect(connection).get_columns(name)]
    connection.exec_driver_sql(f"ALTER TABLE {name} RENAME TO {before}")
    collector_table.create(connection)
    rows = select(table(before, *(column(one) for one in kept)))
    connection.execute(collector_table.insert().from_select(kept, rows))
    connection.exec_driver_sql(f"DROP TABLE {before}")


def _is_unique(connection: Connection) -> bool:
    found = inspect(connection).get_unique_constraints(collector_table.name)
    return _UNIQUE_NUMBER in {one["name"] for one in found}


def _waits(connection: Connection) -> None:
    """Version 7. The record of each task that waits; a wait that began before has none."""
    wait_table.create(connection, checkfirst=True)


def _tries(connection: Connection) -> None:
    """Version 8. Which try of a task waits, and the index by which a callback finds it."""
    add_column(connection, wait_table.c.ti_id)
    for index in wait_table.indexes:
        index.create(connection, checkfirst=True)


def _callback_tokens(connection: Connection) -> None:
    """Version 9. The digests of callbacks' tokens; those of earlier tickets are computed, and kept nowhere."""
    callback_token_table.create(connection, checkfirst=True)


def _reminders(connection: Connection) -> None:
    """Version 10. The record of each reminder, and what a waiting task sends them with."""
    reminder_table.create(connection, checkfirst=True)
    add_column(connection, wait_table.c.remind_by)


MIGRATIONS: tuple[Migration, ...] = (
    _tables,
    _bypass,
    _verdict_source,
    _approvals,
    _requests,
    _numbers,
    _waits,
    _tries,
    _callback_tokens,
    _reminders,
)
"""What leads to version 1, 2, 3, ... . Only ever added to.

Each looks at what is there before it changes anything: a database that is new got the newest tables at once, and
one whose migration was interrupted may have half of it.
"""

APPROVALS_VERSION = MIGRATIONS.index(_approvals) + 1
"""Since this version each approval round has a record."""


def reached_at(connection: Connection, version: int) -> datetime | None:
    """Return when the database reached a version (aware UTC); None where it has not."""
    query = select(func.min(schema_table.c.at)).where(schema_table.c.version >= version)
    at: datetime | None = connection.execute(query).scalar()
    return at


def migrate(engine: Engine) -> None:
    """Create what is missing and migrate what is older. Several processes may do so at once.

    There is no portable "create unless another is just creating it": even ``IF NOT EXISTS`` collides inside
    PostgreSQL. So one that fails looks again, and finds what the faster one made.

    :raises StoreTooNew: a newer provider made these tables. Nothing was changed.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            _migrate(engine)
        except SQLAlchemyError:
            if attempt == _ATTEMPTS or not _reachable(engine):
                raise
        else:
            return


def add_column(connection: Connection, column: Column[Any]) -> None:
    """Add a column that may be empty, unless it is there: what migrations are mostly made of."""
    name = column.table.name
    if column.name in {one["name"] for one in inspect(connection).get_columns(name)}:
        return
    spelled = CreateColumn(column).compile(dialect=connection.dialect)
    connection.exec_driver_sql(f"ALTER TABLE {name} ADD COLUMN {spelled}")


def _migrate(engine: Engine) -> None:
    found, newest = schema_version(engine), len(MIGRATIONS)
    if found > newest:
        raise StoreTooNew(
            f"The database of approval records and collector states has schema version {found}, and this "
            f"airflow-provider-bkitsm knows versions up to {newest}. Nothing was changed and the ticket is "
            "untouched; a retry is refused until the provider is upgraded on this machine."
        )
    for version in range(found + 1, newest + 1):
        with engine.begin() as connection:
            MIGRATIONS[version - 1](connection)
            connection.execute(schema_table.insert().values(version=version, at=datetime.now(UTC)))


def schema_version(engine: Engine) -> int:
    """Return the database's version; 0 for one that is empty or of before there were versions. Changes nothing."""
    with engine.connect() as connection:
        if not inspect(connection).has_table(schema_table.name):
            return 0
        return connection.execute(select(func.max(schema_table.c.version))).scalar() or 0


def _reachable(engine: Engine) -> bool:
    try:
        return inspect(engine).has_table(collector_table.name)
    except SQLAlchemyError:
        return False
