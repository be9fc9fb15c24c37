# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest
from sqlalchemy import update
from sqlalchemy.dialects import mysql
from sqlalchemy.exc import StatementError
from sqlalchemy.schema import CreateTable

from airflow_provider_bkitsm.collectors.database import sqlite_engine
from airflow_provider_bkitsm.collectors.tables import collector_table, metadata


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
    metadata.create_all(engine)
    naive = update(collector_table).values(created_at=datetime(2026, 1, 2))
    with engine.connect() as connection, pytest.raises(StatementError, match="no time zone"):
        connection.execute(naive)
