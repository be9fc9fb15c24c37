# SPDX-License-Identifier: Apache-2.0
"""A server that is killed comes back on its data."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from uuid import uuid4

import pytest
import sqlalchemy
from sqlalchemy.exc import OperationalError

from airflow_provider_bkitsm.collectors.database import server_engine
from tests.collectors.servers import postgres_server, shared


def run(url: str, statement: str) -> list:
    with server_engine(url).begin() as connection:
        result = connection.execute(sqlalchemy.text(statement))
        return [tuple(row) for row in result] if result.returns_rows else []


def test_postgresql_killed_and_started_again_has_what_was_committed():
    with postgres_server() as server:
        run(server.url, "CREATE TABLE kept AS SELECT 1 AS one")
        server.kill()
        with pytest.raises(OperationalError):
            run(server.url, "SELECT one FROM kept")
        server.start()
        assert run(server.url, "SELECT one FROM kept") == [(1,)]


def test_postgresql_has_the_settings_it_is_given():
    with postgres_server(idle_in_transaction_session_timeout="20s") as server:
        assert run(server.url, "SHOW idle_in_transaction_session_timeout") == [("20s",)]


def test_a_shared_server_is_started_by_the_first_who_uses_it_and_ended_after_the_last():
    name, events = f"test-{uuid4().hex}", []

    @contextmanager
    def serve():
        events.append("started")
        yield "url"
        events.append("ended")

    with ExitStack() as first, ThreadPoolExecutor(1) as pool:
        assert first.enter_context(shared(name, serve)) == "url"
        with shared(name, serve) as url:
            leaving = pool.submit(first.close)
            with pytest.raises(TimeoutError):
                leaving.result(0.2)
            assert (url, events) == ("url", ["started"])
        leaving.result(60)
    with shared(name, serve):
        assert events == ["started", "ended", "started"]
