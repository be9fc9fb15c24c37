# SPDX-License-Identifier: Apache-2.0
"""Transactions: kept whole or not at all, and what the database's errors mean."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, func, select
from sqlalchemy.exc import OperationalError, TimeoutError

from airflow_provider_bkitsm.collectors import database as transactions_module
from airflow_provider_bkitsm.collectors.database import Transactions, is_race, sqlite_engine
from airflow_provider_bkitsm.collectors.errors import StoreRaceLost, StoreUnavailable
from airflow_provider_bkitsm.collectors.row import new_row
from airflow_provider_bkitsm.collectors.tables import collector_table, row_values
from tests.collectors.test_store import Clock


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
        monkeypatch.setattr(transactions_module, "_CHECKED_SECONDS", seconds)
        with Transactions(file_engine).begin():
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
