# SPDX-License-Identifier: Apache-2.0
"""Where the collectors' state is kept."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import pytest
from sqlalchemy import create_engine, event, make_url, text
from sqlalchemy.pool import NullPool, QueuePool

from airflow_provider_bkitsm.collectors.errors import StoreUnavailable
from airflow_provider_bkitsm.hooks.store import (
    call_store,
    keep_connections_open,
    open_store,
    store_engine,
    store_path,
)
from airflow_provider_bkitsm.itsm.errors import ItsmConfigurationError, ItsmUnavailableError
from airflow_provider_bkitsm.plugins.callback_route import THREADS as CALLBACK_THREADS
from airflow_provider_bkitsm.plugins.concurrency import THREADS as PAGE_THREADS


def test_without_a_connection_a_file_below_airflow_home(monkeypatch, tmp_path):
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    assert store_path() == tmp_path / "bkitsm.db"
    open_store().get("bklog_default", 1)
    assert store_path().stat().st_mode & 0o077 == 0


def test_nothing_is_opened_before_the_first_use(monkeypatch, tmp_path):
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path / "none"))
    open_store()
    assert not Path(tmp_path / "none").exists()


def test_an_airflow_connection_becomes_an_engine_that_survives_forks(connect):
    connect("db", conn_type="postgres", host="127.0.0.1", port=5, login="u", password="p4ss", schema="s")
    engine = open_store("db")._transactions.engine
    assert (engine.dialect.name, type(engine.pool)) == ("postgresql", NullPool)


def test_an_engine_is_kept_until_its_connection_is_changed(connect):
    database = {"conn_type": "postgres", "host": "127.0.0.1", "port": 5, "login": "u", "schema": "s"}
    connect("db", password="p4ss", **database)
    first = store_engine("db")
    assert store_engine("db") is first
    connect("db", password="0ther-s3cret", **database)
    assert store_engine("db") is not first
    assert store_engine("db").url.password == "0ther-s3cret"


def test_the_configured_connection_is_the_default(connect, monkeypatch):
    connect("configured", conn_type="postgres", host="127.0.0.1", login="u", password="p", schema="s")
    monkeypatch.setenv("AIRFLOW__BKITSM__STORE_CONN_ID", "configured")
    assert open_store()._transactions.engine.dialect.name == "postgresql"


def test_a_connection_that_is_no_database_is_named(connect):
    connect("web", conn_type="bklog", host="http://x", login="u", password="p")
    with pytest.raises(ItsmConfigurationError, match="web"):
        open_store("web")


def test_a_database_whose_provider_is_not_installed_names_the_extra(connect):
    connect("store", conn_type="postgres_of_nobody", host="127.0.0.1")
    with pytest.raises(ItsmConfigurationError, match=r"airflow-provider-bkitsm\[postgres\]"):
        store_engine("store")


def test_p8_a_store_that_cannot_be_reached_does_not_show_its_password(connect):
    connect("down", conn_type="postgres", host="127.0.0.1", port=9, login="u", password="p4ss", schema="s")
    with pytest.raises(StoreUnavailable) as caught:
        open_store("down").get("bklog_default", 1)
    assert "p4ss" not in str(caught.value)
    assert caught.value.retry_safe


def test_a_collector_is_applied_for_through_an_airflow_connection(connect, own_postgres_url):
    from sqlalchemy.engine import make_url

    from airflow_provider_bkitsm.collectors.row import Owner

    owner = Owner(dag_id="dag", run_id="run", task_id="apply")
    url = make_url(own_postgres_url)
    connect("store", conn_type="postgres", host=url.host, port=url.port, login=url.username, schema=url.database)
    applied = open_store("store").apply("bklog_default", 1, payload={"a": 1}, tag="t", owner=owner)
    assert open_store("store").get("bklog_default", 1) == applied
    assert (applied.state, applied.owner) == ("applying", owner)


def test_connections_are_kept_open_in_the_process_that_says_so_alone(connect, monkeypatch):
    monkeypatch.setattr("os.getpid", lambda: 2)
    connect("db", conn_type="postgres", host="127.0.0.1", port=5, login="u", password="p4ss", schema="s")
    keep_connections_open()
    assert type(store_engine("db").pool) is QueuePool
    monkeypatch.setattr("os.getpid", lambda: 1)
    assert type(store_engine("db").pool) is NullPool


def test_threads_that_take_turns_open_no_connection_anew(connect, own_postgres_url):
    url = make_url(own_postgres_url)
    fields = {"host": url.host, "port": url.port, "login": url.username, "password": url.password or ""}
    connect("db_of_threads", conn_type="postgres", schema=url.database, **fields)
    keep_connections_open()
    engine, opened = store_engine("db_of_threads"), []
    event.listen(engine, "connect", lambda *_: opened.append(1))
    for _ in range(3):
        with ExitStack() as stack:
            for _thread in range(CALLBACK_THREADS + PAGE_THREADS):
                stack.enter_context(engine.connect())
    assert len(opened) == CALLBACK_THREADS + PAGE_THREADS
    engine.dispose()


def test_p1_a_connection_that_the_database_has_closed_is_noticed_before_its_next_use(connect, own_postgres_url):
    url = make_url(own_postgres_url)
    fields = {"host": url.host, "port": url.port, "login": url.username, "password": url.password or ""}
    connect("db_of_its_own", conn_type="postgres", schema=url.database, **fields)
    keep_connections_open()
    others = "FROM pg_stat_activity WHERE datname = :name AND pid <> pg_backend_pid()"
    engine = store_engine("db_of_its_own")
    with engine.connect() as connection:
        first = connection.execute(text("SELECT pg_backend_pid()")).scalar()
    with create_engine(own_postgres_url).connect() as other:
        other.execute(text(f"SELECT pg_terminate_backend(pid) {others}"), {"name": url.database})
    time.sleep(1.1)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT pg_backend_pid()")).scalar() != first
    engine.dispose()


def test_a_file_that_is_gone_is_made_anew(monkeypatch, tmp_path):
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    open_store().get("bklog_default", 1)
    for file in tmp_path.glob("bkitsm.db*"):
        file.unlink()
    assert open_store().get("bklog_default", 1).state == "not_apply"


async def test_an_event_loop_gets_a_blocking_functions_result_or_error():
    assert await call_store(lambda: 7) == 7
    with pytest.raises(StoreUnavailable):
        await call_store(_refuse)


async def test_an_event_loop_waits_for_no_store_for_ever(monkeypatch):
    monkeypatch.setattr("airflow_provider_bkitsm.hooks.store.CALL_SECONDS", 0.05)
    with pytest.raises(ItsmUnavailableError, match=r"did not answer in 0\.05 s.*a retry is safe"):
        await call_store(lambda: time.sleep(0.3))


@pytest.mark.parametrize("goes_on", [True, False])
async def test_p5_a_call_that_queues_is_not_given_up_while_the_store_answers_others(monkeypatch, goes_on):
    """After a restart thousands of waits call at once, and each has to be stored."""
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr("airflow_provider_bkitsm.hooks.store.CALL_SECONDS", 0.01)
    monkeypatch.setattr("airflow_provider_bkitsm.hooks.store.time", SimpleNamespace(monotonic=lambda: clock.now))
    free = threading.Event()
    with ThreadPoolExecutor(1) as one_thread:
        asyncio.get_running_loop().set_default_executor(one_thread)
        await call_store(lambda: setattr(clock, "now", 100.0))
        one_thread.submit(free.wait)
        clock.now = 99.0
        queued = asyncio.ensure_future(call_store(lambda: "answered"))
        await asyncio.sleep(0)
        # Beyond its time since it was called, within its time since another was answered, or beyond both.
        clock.now = 100.005 if goes_on else 100.02
        outcome = asyncio.gather(queued, return_exceptions=True)
        if not goes_on:
            assert isinstance((await outcome)[0], ItsmUnavailableError)
        await asyncio.sleep(0.05)
        free.set()
        assert not goes_on or await outcome == ["answered"]


def _refuse() -> None:
    raise StoreUnavailable("no")
