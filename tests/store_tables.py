# SPDX-License-Identifier: Apache-2.0
"""The store's tables, written into a new file as the migrations leave them: they take longer than most tests."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy import Engine, event

from airflow_provider_bkitsm.collectors.database import sqlite_engine
from airflow_provider_bkitsm.collectors.migrations import migrate
from tests.once import made_once

_HAS_TABLES = "SELECT 1 FROM sqlite_master LIMIT 1"
# What a dump has around its statements.
_AROUND = {"BEGIN TRANSACTION;", "COMMIT;"}
# Each table is as old as its file.
_MADE_NOW = "UPDATE bkitsm_schema SET at = strftime('%Y-%m-%d %H:%M:%f000', 'now')"


@contextmanager
def written_into(file: Path) -> Iterator[None]:
    """Give a SQLite file its tables when the provider first opens it, unless something is in it by then."""

    def write(connection: Any, _record: Any) -> None:
        if isinstance(connection, sqlite3.Connection):
            # Whoever uses a file that is no database finds that out.
            with suppress(sqlite3.Error):
                _write(connection, file)

    file = file.resolve()
    event.listen(Engine, "connect", write)
    try:
        yield
    finally:
        event.remove(Engine, "connect", write)


def _write(connection: sqlite3.Connection, file: Path) -> None:
    *_, path = connection.execute("PRAGMA database_list").fetchone()
    if path != str(file) or connection.execute(_HAS_TABLES).fetchone():
        return
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        # Another process may have been faster.
        if not connection.execute(_HAS_TABLES).fetchone():
            for statement in _statements():
                connection.execute(statement)
            connection.execute(_MADE_NOW)


@cache
def _statements() -> tuple[str, ...]:
    return tuple(made_once("store.sql", _migrated).decode().split("\0"))


def _migrated() -> bytes:
    """Return the statements that make an empty store."""
    with TemporaryDirectory() as home:
        file = Path(home) / "bkitsm.db"
        migrate(sqlite_engine(file))
        with closing(sqlite3.connect(file)) as store:
            return "\0".join(line for line in store.iterdump() if line not in _AROUND).encode()
