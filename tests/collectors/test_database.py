# SPDX-License-Identifier: Apache-2.0
"""Engines open nothing before their first use and keep secrets to themselves (P8)."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from airflow_provider_bkitsm.collectors.database import reason, server_engine, sqlite_engine


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_sqlite_file_is_created_on_first_use_and_private(tmp_path: Path) -> None:
    path = tmp_path / "new" / "bkitsm.db"
    engine = sqlite_engine(path)
    assert not path.parent.exists()
    before = os.umask(0)
    try:
        with engine.begin() as connection:
            assert connection.execute(text("PRAGMA journal_mode")).scalar_one() == "wal"
            connection.execute(text("CREATE TABLE t (x INTEGER)"))
            assert {_mode(file) for file in path.parent.iterdir()} == {0o600}
    finally:
        os.umask(before)
    assert _mode(path.parent) == 0o700


def test_an_existing_directory_keeps_its_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    with sqlite_engine(tmp_path / "bkitsm.db").connect():
        assert _mode(tmp_path) == 0o755


def test_engines_keep_no_connection_because_workers_fork(tmp_path: Path) -> None:
    for engine in (sqlite_engine(tmp_path / "x"), server_engine("mysql+pymysql://u:p@nowhere.invalid/d")):
        assert isinstance(engine.pool, NullPool)


@pytest.mark.parametrize(
    "said",
    ["invalid dsn near postgresql://bob:s3cret@db/x", "Access denied (using s3cret)", "no\nsuch  host"],
)
def test_reason_hides_url_and_password_p8(said: str) -> None:
    engine = server_engine("postgresql+psycopg2://bob:s3cret@db/x")
    shown = reason(OperationalError("SELECT secret_column", {"a": "b"}, RuntimeError(said)), engine)
    assert shown.startswith("RuntimeError: ")
    for hidden in ("s3cret", "://", "secret_column", "\n"):
        assert hidden not in shown


def test_reason_hides_a_password_that_was_quoted_in_the_url_p8() -> None:
    engine = server_engine("postgresql+psycopg2://bob:p%40ss@db/x")
    shown = reason(OperationalError(None, None, RuntimeError("tried p@ss and p%40ss")), engine)
    assert "ss" not in shown.partition(":")[2]
