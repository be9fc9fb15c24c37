# SPDX-License-Identifier: Apache-2.0
"""The callback's fixtures, one floor up; and Airflow's real database."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.callback.conftest import arrive, metadata, sn, token  # noqa: F401
from tests.collectors.servers import own_database
from tests.plugins.database import airflow_database


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def database(request, tmp_path_factory) -> Iterator[str]:
    """Give Airflow a fresh database."""
    home = tmp_path_factory.mktemp(request.param)
    if request.param == "sqlite":
        with airflow_database(home, f"sqlite:///{home / 'airflow.db'}"):
            yield request.param
    else:
        shared = request.getfixturevalue("postgres_url")
        with own_database(shared) as url, airflow_database(home, url):
            yield request.param
