# SPDX-License-Identifier: Apache-2.0
"""The store's tables are made, adopted and migrated, whoever else does so at the same time."""

from __future__ import annotations

import multiprocessing
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import (
    Column,
    Connection,
    Engine,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    event,
    inspect,
    select,
)
from sqlalchemy.exc import OperationalError

from airflow_provider_bkitsm.collectors import migrations
from airflow_provider_bkitsm.collectors.clean_config import verify
from airflow_provider_bkitsm.collectors.database import sqlite_engine
from airflow_provider_bkitsm.collectors.errors import StoreTooNew
from airflow_provider_bkitsm.collectors.migrations import MIGRATIONS, migrate
from airflow_provider_bkitsm.collectors.row import Owner
from airflow_provider_bkitsm.collectors.store import CollectorStore
from airflow_provider_bkitsm.collectors.tables import (
    audit_table,
    collector_table,
    metadata,
    schema_table,
    wait_table,
)
from airflow_provider_bkitsm.tickets.waits import WaitStore
from tests.collectors import version1

KEY = ("bklog", 7)
NEWEST = len(MIGRATIONS)
MANY = 8


def _versions(engine: Engine) -> list[int]:
    with engine.connect() as connection:
        return list(connection.scalars(select(schema_table.c.version).order_by(schema_table.c.version)))


def _columns(engine: Engine, table: Table) -> set[str]:
    return {one["name"] for one in inspect(engine).get_columns(table.name)}


def _whole(engine: Engine) -> bool:
    """Whether the database has every table and column the code knows, and says so once for each version."""
    known = all(_columns(engine, table) == set(table.c.keys()) for table in metadata.tables.values())
    return known and _versions(engine) == list(range(1, NEWEST + 1))


def test_an_empty_database_gets_the_newest_tables_and_keeps_them(engine: Engine) -> None:
    for _ in range(2):
        migrate(engine)
        assert _whole(engine)


def test_tables_half_made_are_completed(engine: Engine) -> None:
    collector_table.create(engine)
    migrate(engine)
    assert _whole(engine)


def test_a_database_of_before_there_were_versions_is_adopted_with_all_it_holds(engine: Engine) -> None:
    version1.make(engine)
    store = CollectorStore(engine)
    row = store.get(*KEY)
    assert _whole(engine)
    assert (row.state, row.ticket_sn, row.outcome, row.version) == ("applying", "SN1", "approved", 4)
    assert verify(row.etl_payload, row.etl_digest) == {"retention": 7}
    assert row.request is None
    assert row.bkitsm_conn_id is None
    assert [entry.event for entry in store.history(*KEY)] == ["apply", "ticket_opened", "decided", "etl_failed"]
    store.provisioned(*KEY, sn="SN1")
    assert store.complete(*KEY, sn="SN1").has_success


def test_in_a_database_of_before_a_number_counts_within_its_itsm(engine: Engine) -> None:
    version1.make(engine)
    store = CollectorStore(engine)
    owner = Owner(dag_id="dag", run_id="run_2", task_id="apply")
    store.apply("bklog", 8, payload={"retention": 7}, tag="tag8", owner=owner, bkitsm_conn_id="itsm_two")
    assert store.ticket_opened("bklog", 8, tag="tag8", sn="SN1").ticket_sn == "SN1"
    assert store.get(*KEY).ticket_sn == "SN1"
    assert not [name for name in inspect(engine).get_table_names() if name.endswith("_before")]
    assert inspect(engine).get_pk_constraint(collector_table.name)["constrained_columns"] == list(
        collector_table.primary_key.columns.keys()
    )


def test_a_migration_that_was_interrupted_is_taken_up_again(engine: Engine) -> None:
    """MySQL keeps the half that was done, whatever becomes of the transaction."""
    version1.make(engine)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(migrations, "MIGRATIONS", (*MIGRATIONS[:-1], _then_dies))
        with pytest.raises(RuntimeError, match="killed"):
            migrate(engine)
    assert _versions_or_none(engine) == list(range(1, NEWEST))
    migrate(engine)
    assert _whole(engine)


def _then_dies(connection: Connection) -> None:
    MIGRATIONS[-1](connection)
    raise RuntimeError("killed")


def _versions_or_none(engine: Engine) -> list[int]:
    return _versions(engine) if inspect(engine).has_table(schema_table.name) else []


def _adds_a_column(connection: Connection) -> None:
    later = Table(collector_table.name, MetaData(), Column("later", String(10)))
    migrations.add_column(connection, later.c.later)


def test_a_later_version_is_reached_from_the_first_one(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """And data of every version in between is kept; a version that is there is not made again."""
    version1.make(engine)
    monkeypatch.setattr(migrations, "MIGRATIONS", (*MIGRATIONS, _adds_a_column))
    for _ in range(2):
        migrate(engine)
        assert _columns(engine, collector_table) == {*collector_table.c.keys(), "later"}
        assert _versions(engine) == list(range(1, NEWEST + 2))
    assert CollectorStore(engine).get(*KEY).ticket_sn == "SN1"


def test_a_database_of_a_newer_version_is_refused_and_left_alone(engine: Engine) -> None:
    with engine.begin() as connection:
        schema_table.create(connection)
        connection.execute(schema_table.insert().values(version=99, at=datetime.now(UTC)))
    for step in (lambda store: store.get(*KEY), lambda store: store.applying()):
        with pytest.raises(StoreTooNew, match=rf"version 99.*up to {NEWEST}\. Nothing was changed") as caught:
            step(CollectorStore(engine))
        assert not caught.value.retry_safe
    assert not inspect(engine).has_table(collector_table.name)


def _make_version_7(engine: Engine) -> None:
    """Make the tables of version 7, with the record of a wait."""
    with engine.begin() as connection:
        metadata.create_all(connection)
        wait_table.drop(connection)
        columns = [
            Column(one.name, one.type, nullable=one.nullable) for one in wait_table.c if one.name != "ti_id"
        ]
        older = Table(wait_table.name, MetaData(), *columns, PrimaryKeyConstraint("wait_key"))
        older.create(connection)
        names = {name: name for name in ("installation", "dag_id", "run_id", "task_id", "bkitsm_conn_id")}
        row = {**names, "wait_key": "k" * 64, "map_index": -1, "sn": "REQ1", "withdraw": True}
        connection.execute(older.insert().values(began_at=datetime.now(UTC), **row))
        versions = [{"version": version, "at": datetime.now(UTC)} for version in range(1, 8)]
        connection.execute(schema_table.insert(), versions)


def test_of_many_threads_that_migrate_open_waits_at_once_all_succeed(engine: Engine) -> None:
    """P5: a wait that began before an upgrade still ends its ticket, and a later one of its tries is found."""
    _make_version_7(engine)
    barrier = threading.Barrier(MANY)

    def begin(number: int) -> list[tuple[str, str | None]]:
        store = WaitStore(engine)
        barrier.wait()
        return [(one.sn, one.ti_id) for one in store.waiting("installation")]

    with ThreadPoolExecutor(MANY) as pool:
        assert list(pool.map(begin, range(MANY))) == [[("REQ1", None)]] * MANY
    assert _whole(engine)
    assert {one["name"] for one in inspect(engine).get_indexes(wait_table.name)} == {"ix_bkitsm_wait_ticket"}
    (record,) = WaitStore(engine).waiting("installation")
    WaitStore(engine).begin(replace(record, run_id="later", ti_id="try"))
    assert WaitStore(engine).tries_for("REQ1", bkitsm_conn_id="bkitsm_conn_id") == ["try"]


@pytest.mark.parametrize("old", [True, False])
def test_of_many_threads_that_begin_at_once_all_succeed(engine: Engine, old: bool) -> None:
    if old:
        version1.make(engine)
    barrier = threading.Barrier(MANY)

    def begin(_: int) -> int:
        barrier.wait()
        return CollectorStore(engine).get(*KEY).version

    with ThreadPoolExecutor(MANY) as pool:
        assert set(pool.map(begin, range(MANY))) == {4 if old else 0}
    assert _whole(engine)


def test_of_many_processes_that_migrate_at_once_all_succeed(engine: Engine) -> None:
    version1.make(engine)
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(MANY)

    def begin() -> None:
        barrier.wait()
        assert CollectorStore(engine).get(*KEY).version == 4

    workers = [context.Process(target=begin) for _ in range(MANY)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * MANY
    assert _whole(engine)


def test_one_that_fails_for_good_says_why(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OperationalError, match="cannot be opened: "):
        migrate(sqlite_engine(tmp_path / "file" / "bkitsm.db"))


def test_where_all_is_there_no_right_to_make_tables_is_needed(engine: Engine) -> None:
    """An administrator may have made them: a second start changes nothing at all."""
    migrate(engine)
    said: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *given: said.append(given[2].split()[0].upper()))
    migrate(engine)
    assert not {"CREATE", "ALTER", "INSERT"} & set(said)
    assert inspect(engine).has_table(audit_table.name)
