# SPDX-License-Identifier: Apache-2.0
"""Writing a row over the one that was read: once, with its audit entry, or not at all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, select

from airflow_provider_bkitsm.collectors.database import Transactions, sqlite_engine
from airflow_provider_bkitsm.collectors.errors import StoreRaceLost
from airflow_provider_bkitsm.collectors.row import CollectorRow, new_row
from airflow_provider_bkitsm.collectors.store import write
from airflow_provider_bkitsm.collectors.tables import audit_from, audit_table
from tests.collectors.test_store import Clock

NEW = new_row("bklog", 7, now=Clock()())
FIRST, SECOND = replace(NEW, version=1), replace(NEW, version=2, ticket_sn="SN1")


@pytest.fixture
def connection(tmp_path: Path) -> Any:
    with Transactions(sqlite_engine(tmp_path / "bkitsm.db")).begin() as opened:
        yield opened


def _write(connection: Connection, row: CollectorRow, stored: CollectorRow) -> None:
    write(connection, row, stored, event="told", actor="me", detail={"why": "so"})


def test_each_change_has_its_audit_entry(connection: Connection) -> None:
    _write(connection, NEW, FIRST)
    _write(connection, FIRST, SECOND)
    found = connection.execute(select(audit_table).order_by(audit_table.c.version))
    entries = [audit_from(one._asdict()) for one in found]
    assert [(one.version, one.ticket_sn, one.event, one.actor, one.detail) for one in entries] == [
        (1, None, "told", "me", {"why": "so"}),
        (2, "SN1", "told", "me", {"why": "so"}),
    ]


def test_p2_who_has_read_an_older_row_lost_the_race(connection: Connection) -> None:
    _write(connection, NEW, FIRST)
    _write(connection, FIRST, SECOND)
    for row in (NEW, FIRST):
        with pytest.raises(StoreRaceLost, match="changed by another"):
            _write(connection, row, replace(SECOND, version=row.version + 1))


def test_a_number_that_is_another_collectors_as_well_is_written(connection: Connection) -> None:
    other = replace(FIRST, collector_config_id=8)
    _write(connection, NEW, FIRST)
    _write(connection, FIRST, SECOND)
    _write(connection, replace(other, version=0), other)
    _write(connection, other, replace(other, version=2, ticket_sn="SN1"))
