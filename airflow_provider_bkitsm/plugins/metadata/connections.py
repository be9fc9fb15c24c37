# SPDX-License-Identifier: Apache-2.0
"""Connections to Airflow's database for callbacks, kept open and trusted while callbacks come.

Airflow tries each connection before each use, which is a third of a callback's round trips.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, ParamSpec, TypeVar

from sqlalchemy import Engine, create_engine
from sqlalchemy.exc import DBAPIError

from airflow_provider_bkitsm.hooks.store import try_after_pauses
from airflow_provider_bkitsm.plugins.callback_route import THREADS
from airflow_provider_bkitsm.plugins.metadata.airflow_models import create_session, run_with_db_retries

P = ParamSpec("P")
T = TypeVar("T")
_POOL = {"pool_size": THREADS, "max_overflow": 0, "pool_recycle": 300}


def callback_engine() -> Engine:
    """Return the engine for callbacks: Airflow's own where the database is a file."""
    with create_session(scoped=False) as session:
        engine: Engine = session.get_bind().engine
    return engine if engine.dialect.name == "sqlite" else _engine_beside(engine)


@lru_cache(maxsize=1)
def _engine_beside(airflow: Engine) -> Engine:
    """Return an engine whose connections are opened as Airflow opens its own.

    A connection is tried after a pause alone. One that broke since fails a callback's step, which is repeated.
    """

    def opened() -> Any:
        connection = airflow.raw_connection()
        connection.detach()
        return connection.dbapi_connection

    engine = create_engine(airflow.url, creator=opened, hide_parameters=True, **_POOL)
    try_after_pauses(engine)
    return engine


def with_db_retries(do: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Do something in a transaction of its own; repeat it as Airflow does where the database fails.

    What Airflow has for that costs each call, so it is asked after a failure alone.
    """
    try:
        return do(*args, **kwargs)
    except DBAPIError:
        repeated: T = run_with_db_retries()(do, *args, **kwargs)
        return repeated
