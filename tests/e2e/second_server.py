# SPDX-License-Identifier: Apache-2.0
"""A second API server on the same Airflow, with all that can be configured for the pages, below a path of its own.

Starting one takes long on a busy machine: every test that wants something configured shares it.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.pool import NullPool

from airflow_provider_bkitsm.collectors.store import CollectorStore
from tests.collectors.servers import postgres

_CONN_ID = "bkitsm_store"


@pytest.fixture(scope="session")
def stored(airflow) -> Iterator[CollectorStore]:
    """Run a PostgreSQL for the collectors, which a connection in Airflow's own database names."""
    with postgres() as url:
        parts = make_url(url)
        fields = {"host": parts.host, "port": parts.port, "login": parts.username, "schema": parts.database}
        connection = {"connection_id": _CONN_ID, "conn_type": "postgres", **fields}
        airflow.api.call("POST", "connections", json=connection)
        yield CollectorStore(create_engine(url, poolclass=NullPool))
        airflow.api.call("DELETE", f"connections/{_CONN_ID}")


@pytest.fixture(scope="session")
def second(airflow, itsm, stored) -> Iterator[str]:
    """Give its address."""
    env = {
        "AIRFLOW__CORE__AUTH_MANAGER": "tests.e2e.per_dag.PerDagAuthManager",
        "AIRFLOW__BKITSM__REMIND": "tests.e2e.reminding.note",
        "AIRFLOW__BKITSM__ITSM_FRAME_ORIGIN": itsm.url,
        "AIRFLOW__BKITSM__STORE_CONN_ID": _CONN_ID,
    }
    with airflow.another_api_server(prefix="/airflow", env=env) as url:
        yield url
