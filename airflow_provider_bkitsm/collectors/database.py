# SPDX-License-Identifier: Apache-2.0
"""The store's database: its engine, and transactions that are tried again."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from urllib.parse import quote, quote_plus
from weakref import WeakKeyDictionary

from sqlalchemy import URL, Connection, Engine, create_engine
from sqlalchemy import exc as sql
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from airflow_provider_bkitsm.collectors.errors import StoreRaceLost, StoreUnavailable
from airflow_provider_bkitsm.collectors.migrations import migrate

_BUSY_SECONDS = 30.0
# Until a new file is closed, no other thread may have SQLite open it.
_making = Lock()
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
    """Return the database driver's message, without anything that looks like a URL and without the password.

    SQLAlchemy's own text is left out: it holds the statement and a link.
    """
    origin: object = error.orig if isinstance(error, DBAPIError) else error
    message = _URL.sub("(url)", " ".join(str(origin).split()))
    password = str(engine.url.password or "")
    for secret in filter(None, (password, quote(password, safe=""), quote_plus(password))):
        message = message.replace(secret, "***")
    return f"{type(origin).__name__}: {message}"


def _open(file: Path) -> sqlite3.Connection:
    try:
        _make(file)
    except OSError as error:
        raise sqlite3.OperationalError(f"{file} cannot be opened: {error.strerror}") from error
    connection = sqlite3.connect(file, timeout=_BUSY_SECONDS, check_same_thread=False)
    # The first connection switches the file for good; if two collide, the other's switch is enough.
    with contextlib.suppress(sqlite3.OperationalError):
        connection.execute("PRAGMA journal_mode=WAL")
    return connection


def _make(file: Path) -> None:
    """Make the file where there is none.

    SQLite would follow the umask; its side files copy the mode of a file that is there. A file that is there is
    not opened here: where SQLite has it open in the same process, the ``close`` would drop SQLite's own locks, and
    another process that takes itself for the last user would delete the write-ahead log under it.

    :raises OSError: it cannot be made, read or written.
    """
    with _making:
        if not file.exists():
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    if not file.is_file():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not os.access(file, os.R_OK | os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


UNTOUCHED = "Nothing was changed and the ticket is untouched"

_UNSURE = "The change is stored whole or not at all, it is not known which; the ticket is untouched"
_UNAVAILABLE = (sql.DBAPIError, sql.TimeoutError)
# Deadlock, outdated snapshot (MySQL, MariaDB); serialization failure, deadlock (PostgreSQL). Nothing of such
# a transaction is kept: it lost a race, the database is fine.
_MYSQL_RACES = frozenset({1213, 1020})
_POSTGRES_RACES = frozenset({"40001", "40P01"})


# How often a long-lived process looks for tables of a newer provider.
_CHECKED_SECONDS = 60.0
_checked: WeakKeyDictionary[Engine, float] = WeakKeyDictionary()


class Transactions:
    """Opens transactions on an engine; the tables are created or migrated before the first one.

    The tables are checked again after a minute, and after an error of the database; all users of an engine share
    that check.
    """

    def __init__(self, engine: Engine, *, checked_seconds: float = _CHECKED_SECONDS) -> None:
        self.engine = engine
        self._checked_seconds = checked_seconds

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """Open a transaction that is committed at the end of the block, and rolled back by any error.

        :raises StoreRaceLost: the database gave way to another transaction.
        :raises StoreUnavailable: it cannot be used; the message says whether the change may be stored.
        """
        with self._translated(UNTOUCHED):
            self._prepare()
            with self.engine.connect() as connection:
                yield connection
                with self._translated(_UNSURE):
                    connection.commit()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a connection for reading, in one transaction where that makes a difference.

        On PostgreSQL each statement sees what is committed when it begins: a transaction would only be two more
        round trips.

        :raises StoreUnavailable: the database cannot be used.
        """
        with self._translated(UNTOUCHED):
            self._prepare()
            with self.engine.connect() as connection:
                if self.engine.dialect.name == "postgresql":
                    connection.execution_options(isolation_level="AUTOCOMMIT")
                yield connection

    @contextmanager
    def statements(self) -> Iterator[Connection]:
        """Open a connection whose statements are committed each by itself, at once.

        :raises StoreUnavailable: the database cannot be used.
        """
        with self._translated(UNTOUCHED):
            self._prepare()
            single = self.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            with single as connection, self._translated(_UNSURE):
                yield connection

    def _prepare(self) -> None:
        now = time.monotonic()
        is_due = now - _checked.get(self.engine, -self._checked_seconds) >= self._checked_seconds
        if is_due or self._file_is_gone():
            migrate(self.engine)
            _checked[self.engine] = now

    def _file_is_gone(self) -> bool:
        url = self.engine.url
        return url.get_backend_name() == "sqlite" and not Path(str(url.database)).exists()

    @contextmanager
    def _translated(self, consequence: str) -> Iterator[None]:
        """Raise the database's errors as the store's, without the cause, since its text may hold the URL."""
        try:
            yield
        except _UNAVAILABLE as error:
            _checked.pop(self.engine, None)
            raise (StoreRaceLost if is_race(error) else StoreUnavailable)(
                "The database of approval records and collector states cannot be used "
                f"({reason(error, self.engine)}). {consequence}; a retry is safe."
            ) from None


def is_race(error: sql.SQLAlchemyError) -> bool:
    """Whether the database ended a transaction only because of a concurrent one."""
    origin = error.orig if isinstance(error, sql.DBAPIError) else None
    if origin is None:
        return False
    number = origin.args[0] if origin.args else None
    return getattr(origin, "pgcode", None) in _POSTGRES_RACES or number in _MYSQL_RACES


def utc_now() -> datetime:
    """Return the time (aware)."""
    return datetime.now(UTC)


class Store:
    """A table or several of the store's database, and the clock by which their rows are dated.

    :param engine: of the store's database. Tables are created or migrated on first use.
    :param now: the clock; aware.
    """

    def __init__(self, engine: Engine, *, now: Callable[[], datetime] = utc_now) -> None:
        self._transactions = Transactions(engine)
        self.now = now
