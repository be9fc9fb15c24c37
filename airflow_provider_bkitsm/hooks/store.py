# SPDX-License-Identifier: Apache-2.0
"""Where the collectors' approval state is kept: an Airflow connection, or a file below ``AIRFLOW_HOME``."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_provider_bkitsm.version_compat import airflow_conf

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from airflow_provider_bkitsm.collectors.store import CollectorStore

_FILE = "bkitsm.db"


def open_store(store_conn_id: str | None = None, *, actor: str | None = None) -> CollectorStore:
    """Return the store; nothing is connected before its first use.

    :param store_conn_id: connection of a PostgreSQL or MySQL database. None: ``[bkitsm] store_conn_id``, and
        if that is empty too, a SQLite file, which every worker must see.
    :param actor: who will make changes, for the audit.
    """
    from airflow_provider_bkitsm.collectors.store import CollectorStore

    return CollectorStore(store_engine(store_conn_id), actor=actor)


def store_engine(store_conn_id: str | None = None) -> Engine:
    """Return the engine of the store's database; nothing is connected before its first use.

    :param store_conn_id: see ``open_store``.
    """
    from airflow_provider_bkitsm.collectors.engine import sqlite_engine

    conn_id = store_conn_id or airflow_conf().get("bkitsm", "store_conn_id", fallback="")
    return _engine_of(conn_id) if conn_id else sqlite_engine(store_path())


def store_path() -> Path:
    """Return the SQLite file used when no database connection is named."""
    home = os.environ.get("AIRFLOW_HOME", "~/airflow")
    return Path(os.path.expandvars(home)).expanduser() / _FILE


def _engine_of(conn_id: str) -> Engine:
    """Return the engine of a connection: the same one in a process, until the connection is changed.

    What an engine asks a database first takes longer than a read of the store. It keeps nothing open.
    """
    from airflow.sdk import BaseHook

    return _engine_at(conn_id, BaseHook.get_connection(conn_id).get_uri())


@lru_cache(maxsize=8)
def _engine_at(conn_id: str, _uri: str) -> Engine:
    from airflow.sdk import BaseHook
    from sqlalchemy.pool import NullPool

    from airflow_provider_bkitsm.itsm.errors import ItsmConfigurationError

    hook = BaseHook.get_hook(conn_id)
    if not hasattr(hook, "get_sqlalchemy_engine"):
        raise ItsmConfigurationError(
            f"connection {conn_id!r} is not an SQL database; the collectors' state needs PostgreSQL or MySQL"
        )
    # Airflow forks its workers: a pool would be shared between processes.
    engine: Engine = hook.get_sqlalchemy_engine(engine_kwargs={"poolclass": NullPool})
    return engine
