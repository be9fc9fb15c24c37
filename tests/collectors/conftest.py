# SPDX-License-Identifier: Apache-2.0
"""One store, three databases: every test that asks for ``engine`` runs on each of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from airflow_provider_bkitsm.collectors.database import server_engine, sqlite_engine
from airflow_provider_bkitsm.collectors.tables import metadata


@pytest.fixture(params=["sqlite", "postgres", "mariadb"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """An engine on a database without any of our tables."""
    if request.param == "sqlite":
        yield sqlite_engine(tmp_path / "home" / "bkitsm.db")
        return
    engine = server_engine(request.getfixturevalue(f"{request.param}_url"))
    yield engine
    metadata.drop_all(engine)
