# SPDX-License-Identifier: Apache-2.0
"""Opens the store, which has the collectors' state and the records of approvals and waits.

The store is the database of an Airflow connection, or a file below ``AIRFLOW_HOME``.
"""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from asgiref.sync import sync_to_async

from airflow_provider_bkitsm import settings
from airflow_provider_bkitsm.hooks.connection_lookup import find_connection
from airflow_provider_bkitsm.itsm.errors import ItsmConfigurationError, ItsmUnavailableError
from airflow_provider_bkitsm.version_compat import AirflowException

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from airflow_provider_bkitsm.collectors.store import CollectorStore

T = TypeVar("T")

_FILE_NAME = "bkitsm.db"
# The longest a call from an event loop may take: the store may wait for its file.
CALL_SECONDS = 30.0
# As many connections as an API server has threads for callbacks and pages: one more would be opened for a single
# query. One that the database or a proxy has closed is noticed before it is used, unless it was used within a
# moment: then a call fails, and its retry opens a new one.
_POOL = {"pool_size": 6, "pool_recycle": 300}
_TRUSTED_SECONDS = 1.0
_keepers: set[int] = set()
# The addresses of stores, and when they were read, in processes that keep connections open.
_uris: dict[str, tuple[str, float]] = {}
_REMEMBERED_SECONDS = 60.0


@dataclass(slots=True)
class _Progress:
    """When the store last answered a call of this process, by the monotonic clock."""

    answered_at: float = -math.inf


_progress = _Progress()


def open_store(store_conn_id: str | None = None, *, actor: str | None = None) -> CollectorStore:
    """Return the store; nothing is connected before its first use.

    :param store_conn_id: connection of a PostgreSQL or MySQL database. None: ``[bkitsm] store_conn_id``, and
        if that is empty too, a SQLite file, which every worker must see.
    :param actor: who makes the changes, for the audit log.
    """
    from airflow_provider_bkitsm.collectors.store import CollectorStore

    return CollectorStore(store_engine(store_conn_id), actor=actor)


def store_engine(store_conn_id: str | None = None) -> Engine:
    """Return the engine of the store's database; nothing is connected before its first use.

    A process keeps one engine until the connection changes: the first queries of a new engine take longer than a
    read of the store.

    :param store_conn_id: see ``open_store``.
    """
    conn_id = store_conn_id or settings.store_conn_id()
    if not conn_id:
        return _file_engine(store_path())
    keeps_open = os.getpid() in _keepers
    kept = _uris.get(conn_id) if keeps_open else None
    if kept is None or time.monotonic() - kept[1] >= _REMEMBERED_SECONDS:
        kept = find_connection(conn_id).get_uri(), time.monotonic()
        if keeps_open:
            _uris[conn_id] = kept
    return _engine_at(conn_id, kept[0], keeps_open)


async def call_store(blocking: Callable[[], T]) -> T:
    """Run a blocking function of the store for an event loop, in a thread of its own, and return its result.

    After a restart thousands of waits call at once, and few threads serve them: how long a call queues does not
    count while the store answers others.

    Not ``asyncio.to_thread``: on Airflow 3.1 only asgiref's threads can ask the triggerer for a connection.

    :raises ItsmUnavailableError: the function took too long, or the store answered nobody while the call queued.
        It goes on, and its result is dropped.
    """
    called_at, begun_at = time.monotonic(), None

    def timed() -> T:
        nonlocal begun_at
        begun_at = time.monotonic()
        result = blocking()
        _progress.answered_at = time.monotonic()
        return result

    running = asyncio.ensure_future(sync_to_async(timed, thread_sensitive=False)())
    while True:
        since = begun_at if begun_at is not None else max(called_at, _progress.answered_at)
        left = since + CALL_SECONDS - time.monotonic()
        if left <= 0:
            break
        # Not cancelled: on Airflow 3.1 a cancelled question to the supervisor spoils the answer to the next one.
        done, _ = await asyncio.wait({running}, timeout=left)
        if done:
            return running.result()
    running.add_done_callback(lambda late: late.cancelled() or late.exception())
    raise ItsmUnavailableError(
        f"The store did not answer in {CALL_SECONDS:g} s. The ticket is untouched; a retry is safe"
    )


def keep_connections_open(*, keep: bool = True) -> None:
    """Let this process keep a few connections to the store's server open, since it reads often.

    A process forked from this one keeps none: the two processes would share a connection.

    :param keep: False: keep none any more.
    """
    (_keepers.add if keep else _keepers.discard)(os.getpid())


def store_path() -> Path:
    """Return the SQLite file used when no database connection is named."""
    home = os.environ.get("AIRFLOW_HOME", "~/airflow")
    return Path(os.path.expandvars(home)).expanduser() / _FILE_NAME


def has_store() -> bool:
    """Whether there is a store, for those who only read: opening the file makes it."""
    return bool(settings.store_conn_id()) or store_path().exists()


@lru_cache(maxsize=8)
def _file_engine(file: Path) -> Engine:
    from airflow_provider_bkitsm.collectors.database import sqlite_engine

    return sqlite_engine(file)


@lru_cache(maxsize=8)
def _engine_at(conn_id: str, _uri: str, keeps_open: bool) -> Engine:
    from sqlalchemy.pool import NullPool

    connection: Any = find_connection(conn_id)
    try:
        is_sql = hasattr(connection.get_hook(), "get_sqlalchemy_engine")
    except (AirflowException, ImportError):
        raise ItsmConfigurationError(
            f"connection {conn_id!r}: Airflow knows no type {connection.conn_type!r} in this environment; the"
            " store needs PostgreSQL or MySQL, with airflow-provider-bkitsm[postgres] or [mysql] installed"
        ) from None
    if not is_sql:
        raise ItsmConfigurationError(
            f"connection {conn_id!r} is not an SQL database; the store needs PostgreSQL or MySQL"
        )
    # Airflow forks its workers: a pool would be shared between processes.
    pool = _POOL if keeps_open else {"poolclass": NullPool}
    # The hook is given its connection: by itself it finds none whose id is not plain.
    hook = connection.get_hook(hook_params={"connection": connection})
    engine: Engine = hook.get_sqlalchemy_engine(engine_kwargs=pool)
    if keeps_open:
        try_after_pauses(engine)
    return engine


def try_after_pauses(engine: Engine) -> None:
    """Have a connection tried before its use after a pause; the pool's own pre-ping tries it before each use."""
    from sqlalchemy import event
    from sqlalchemy.exc import DisconnectionError

    def put_back(_connection: Any, record: Any) -> None:
        record.info["used_at"] = time.monotonic()

    def taken(connection: Any, record: Any, _proxy: Any) -> None:
        if time.monotonic() - record.info.get("used_at", 0.0) < _TRUSTED_SECONDS:
            return
        try:
            engine.dialect.do_ping(connection)
        except engine.dialect.loaded_dbapi.Error as error:
            raise DisconnectionError from error

    event.listen(engine, "checkin", put_back)
    event.listen(engine, "checkout", taken)
