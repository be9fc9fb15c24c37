# SPDX-License-Identifier: Apache-2.0
"""Transactions in the store's database, and what its errors mean: an outage, or a race that another won."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Engine
from sqlalchemy import exc as sql

from airflow_provider_bkitsm.collectors.engine import reason as driver_reason
from airflow_provider_bkitsm.collectors.errors import StoreRaceLost, StoreUnavailable
from airflow_provider_bkitsm.collectors.schema import bring_up_to_date

UNTOUCHED = "Nothing was changed and the ticket is untouched"

_UNSURE = "The change is stored whole or not at all, it is not known which; the ticket is untouched"
_UNAVAILABLE = (sql.DBAPIError, sql.TimeoutError)
# Deadlock, outdated snapshot (MySQL, MariaDB); serialization failure, deadlock (PostgreSQL). Nothing of such
# a transaction is kept: it lost a race, the database is fine.
_MYSQL_RACES = frozenset({1213, 1020})
_POSTGRES_RACES = frozenset({"40001", "40P01"})


# A process that lives long hears of a newer provider's tables so soon.
_CHECKED_SECONDS = 60.0
_checked: WeakKeyDictionary[Engine, float] = WeakKeyDictionary()


class Transactions:
    """Opens transactions on an engine; the tables are created or migrated before the first one.

    They are looked at again a minute later, and after an error of the database, whoever uses the engine.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

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

    def _prepare(self) -> None:
        now = time.monotonic()
        if now - _checked.get(self.engine, -_CHECKED_SECONDS) >= _CHECKED_SECONDS or self._file_is_gone():
            bring_up_to_date(self.engine)
            _checked[self.engine] = now

    def _file_is_gone(self) -> bool:
        url = self.engine.url
        return url.get_backend_name() == "sqlite" and not Path(str(url.database)).exists()

    @contextmanager
    def _translated(self, consequence: str) -> Iterator[None]:
        """Turn the database's errors into ours; the cause is dropped, since its text may hold the URL."""
        try:
            yield
        except _UNAVAILABLE as error:
            _checked.pop(self.engine, None)
            raise (StoreRaceLost if is_race(error) else StoreUnavailable)(
                "The database of approval records and collector states cannot be used "
                f"({driver_reason(error, self.engine)}). {consequence}; a retry is safe."
            ) from None


def is_race(error: sql.SQLAlchemyError) -> bool:
    """Whether the database ended a transaction only because another was in its way."""
    origin = error.orig if isinstance(error, sql.DBAPIError) else None
    if origin is None:
        return False
    number = origin.args[0] if origin.args else None
    return getattr(origin, "pgcode", None) in _POSTGRES_RACES or number in _MYSQL_RACES
