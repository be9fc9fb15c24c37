# SPDX-License-Identifier: Apache-2.0
"""Engines open nothing before their first use and keep secrets to themselves (P8)."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, func, select, text
from sqlalchemy.exc import OperationalError, TimeoutError
from sqlalchemy.pool import NullPool

from airflow_provider_bkitsm.collectors import database as transactions_module
from airflow_provider_bkitsm.collectors.database import Transactions, is_race, reason, server_engine, sqlite_engine
from airflow_provider_bkitsm.collectors.errors import StoreRaceLost, StoreUnavailable
from airflow_provider_bkitsm.collectors.row import new_row
from airflow_provider_bkitsm.collectors.tables import collector_table, row_values
from tests.collectors.test_store import Clock


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


def test_a_link_to_a_file_that_is_not_there_yet_makes_it(tmp_path: Path) -> None:
    path = tmp_path / "bkitsm.db"
    path.symlink_to(tmp_path / "elsewhere.db")
    with sqlite_engine(path).connect():
        assert _mode(tmp_path / "elsewhere.db") == 0o600


def test_p2_a_thread_that_comes_or_goes_takes_no_lock_from_another(tmp_path: Path) -> None:
    """Without them another process takes itself for the last user, and deletes the write-ahead log under us."""
    path = tmp_path / "bkitsm.db"
    engine, log = sqlite_engine(path), path.with_name("bkitsm.db-wal")
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE t (x INTEGER)"))
    write = (
        f"import sqlite3; sqlite3.connect({str(path)!r}, isolation_level=None).execute('INSERT INTO t VALUES (1)')"
    )
    with engine.connect() as stays:
        assert stays.execute(text("SELECT count(*) FROM t")).scalar_one() == 0
        with engine.connect() as goes:
            goes.execute(text("SELECT count(*) FROM t"))
        subprocess.run([sys.executable, "-c", write], check=True)
        assert log.exists()
    with engine.connect() as later:
        assert later.execute(text("SELECT count(*) FROM t")).scalar_one() == 1


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


# Transactions: kept whole or not at all, and what the database's errors mean.


class _Said(Exception):
    """What a driver raises."""

    def __init__(self, *args: Any, pgcode: str | None = None) -> None:
        super().__init__(*args)
        self.pgcode = pgcode


@pytest.fixture
def file_engine(tmp_path: Path) -> Engine:
    return sqlite_engine(tmp_path / "bkitsm.db")


def _rows(transactions: Transactions) -> int:
    with transactions.begin() as connection:
        return int(connection.execute(select(func.count()).select_from(collector_table)).scalar_one())


def test_the_tables_are_there_in_the_first_transaction(file_engine: Engine) -> None:
    assert _rows(Transactions(file_engine)) == 0


def _looked_at(monkeypatch: pytest.MonkeyPatch) -> list[Engine]:
    looked: list[Engine] = []
    monkeypatch.setattr(transactions_module, "migrate", looked.append)
    return looked


def test_tables_are_looked_at_once_a_minute_whoever_uses_the_engine(
    file_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = _looked_at(monkeypatch)
    for seconds in (60.0, 60.0, 0.0):
        with Transactions(file_engine, checked_seconds=seconds).begin():
            pass
    assert looked == [file_engine] * 2


def test_tables_are_looked_at_again_after_an_error(file_engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that was restored from a back-up meanwhile may be older."""
    looked, transactions = _looked_at(monkeypatch), Transactions(file_engine)
    with pytest.raises(StoreUnavailable), transactions.begin():
        raise OperationalError("SELECT", None, _Said("no such table"))
    with transactions.begin():
        pass
    assert looked == [file_engine] * 2


@pytest.mark.parametrize("fails", [False, True])
def test_a_block_is_kept_whole_or_not_at_all(file_engine: Engine, fails: bool) -> None:
    transactions, values = Transactions(file_engine), row_values(new_row("bklog", 7, now=Clock()()))
    try:
        with transactions.begin() as connection:
            connection.execute(collector_table.insert().values(**values))
            if fails:
                raise LookupError
    except LookupError:
        pass
    assert _rows(transactions) == (0 if fails else 1)


@pytest.mark.parametrize(
    "said", [_Said(1213, "Deadlock"), _Said(1020), _Said("x", pgcode="40001"), _Said(pgcode="40P01")]
)
def test_what_gave_way_to_another_is_a_lost_race(file_engine: Engine, said: _Said) -> None:
    with pytest.raises(StoreRaceLost), Transactions(file_engine).begin():
        raise OperationalError("UPDATE", None, said)


@pytest.mark.parametrize("said", [_Said(), _Said(2006, "gone away"), _Said("40001"), _Said(pgcode="57P01")])
def test_anything_else_is_an_outage(file_engine: Engine, said: _Said) -> None:
    safe = pytest.raises(StoreUnavailable, match=r"Nothing was changed.*a retry is safe")
    with safe as caught, Transactions(file_engine).begin():
        raise OperationalError("UPDATE", None, said)
    assert not isinstance(caught.value, StoreRaceLost)


def test_who_waited_too_long_for_a_connection_lost_no_race() -> None:
    assert not is_race(TimeoutError("pool"))
