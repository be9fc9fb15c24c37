# SPDX-License-Identifier: Apache-2.0
"""A server that is killed comes back on its data."""

from __future__ import annotations

import pytest
import sqlalchemy
from sqlalchemy.exc import OperationalError

from airflow_provider_bkitsm.collectors.database import server_engine
from tests.collectors.servers import postgres_server


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
