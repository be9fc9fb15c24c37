from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine, inspect, update
from sqlalchemy.dialects import mysql
from sqlalchemy.exc import OperationalError, StatementError
from sqlalchemy.schema import CreateTable

from airflow_provider_bkitsm.collectors.engine import sqlite_engine
from airflow_provider_bkitsm.collectors.tables import audit_table, collector_table, create_tables, metadata


def test_tables_are_created_once_and_then_found(engine: Engine) -> None:
    for _ in range(2):
        create_tables(engine)
    assert set(metadata.tables) <= set(inspect(engine).get_table_names())


def test_a_missing_table_is_added(engine: Engine) -> None:
    collector_table.create(engine)
    create_tables(engine)
    assert inspect(engine).has_table(audit_table.name)


def test_one_that_fails_for_good_says_why(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OperationalError, match="cannot be opened: "):
        create_tables(sqlite_engine(tmp_path / "file" / "bkitsm.db"))


def test_mysql_keeps_microseconds_case_long_payloads_and_any_character() -> None:
    dialect = mysql.dialect()
    ddl = str(CreateTable(collector_table).compile(dialect=dialect))
    assert "updated_at DATETIME(6) NOT NULL" in ddl
    assert "bklog_conn_id VARCHAR(250) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin" in ddl
    assert "etl_payload LONGTEXT" in ddl
    assert "ENGINE=InnoDB" in ddl
    assert "CHARSET=utf8mb4" in ddl


def test_a_time_without_zone_is_refused(tmp_path: Path) -> None:
    engine = sqlite_engine(tmp_path / "bkitsm.db")
    create_tables(engine)
    naive = update(collector_table).values(created_at=datetime(2026, 1, 2))
    with engine.connect() as connection, pytest.raises(StatementError, match="no time zone"):
        connection.execute(naive)
