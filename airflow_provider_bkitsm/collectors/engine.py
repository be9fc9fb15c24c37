# SPDX-License-Identifier: Apache-2.0
"""Engines for the store: opened late, safe across forks, silent about passwords.

Airflow forks its workers, so no connection is kept between two uses (``NullPool``): a pooled one would be
shared by parent and child and garble both.
"""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
from pathlib import Path
from urllib.parse import quote, quote_plus

from sqlalchemy import URL, Engine, create_engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import NullPool

_BUSY_SECONDS = 30.0
_URL = re.compile(r"\w[\w+.-]*://\S+")


def sqlite_engine(path: str | os.PathLike[str]) -> Engine:
    """Return an engine on a SQLite file, for installations whose workers share one machine.

    The file (mode 0600) and its directory (0700) are created on first use, not here. Not for network file
    systems: the write-ahead log needs shared memory.
    """
    file = Path(path)
    return create_engine(
        f"sqlite:///{file}", creator=lambda: _open(file), poolclass=NullPool, hide_parameters=True
    )


def server_engine(url: str | URL) -> Engine:
    """Return an engine on a PostgreSQL or MySQL database. Nothing is connected yet."""
    return create_engine(url, poolclass=NullPool, hide_parameters=True)


def reason(error: SQLAlchemyError, engine: Engine) -> str:
    """Say what the database driver said, without anything that looks like a URL and without the password.

    SQLAlchemy's own text is left out: it holds the statement and a link.
    """
    origin: object = error.orig if isinstance(error, DBAPIError) else error
    said = _URL.sub("(url)", " ".join(str(origin).split()))
    password = str(engine.url.password or "")
    for secret in filter(None, (password, quote(password, safe=""), quote_plus(password))):
        said = said.replace(secret, "***")
    return f"{type(origin).__name__}: {said}"


def _open(file: Path) -> sqlite3.Connection:
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Created by us and not by SQLite, which would follow the umask; its side files copy this file's mode.
        os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise sqlite3.OperationalError(f"{file} cannot be opened: {error.strerror}") from error
    connection = sqlite3.connect(file, timeout=_BUSY_SECONDS, check_same_thread=False)
    # Only the first connection ever has to switch; one that meets another switching goes on as it is.
    with contextlib.suppress(sqlite3.OperationalError):
        connection.execute("PRAGMA journal_mode=WAL")
    return connection
