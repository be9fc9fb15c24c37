# SPDX-License-Identifier: Apache-2.0
"""The connections that callbacks name, remembered for a minute, so that callers do not choose what is looked up.

Whether a connection exists is asked of Airflow's secrets backends. Anybody can post a callback with any id.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from time import monotonic

from airflow_provider_bkitsm.callback.signature import signing_keys
from airflow_provider_bkitsm.hooks.connection import Gateway
from airflow_provider_bkitsm.itsm.errors import ItsmConfigurationError

log = logging.getLogger(__name__)

REMEMBERED_SECONDS = 60.0
# A signature that no remembered key has made may be a new key's: the connection is read again, but no sooner.
REREAD_SECONDS = 5.0
# How many ids that turn out to be no connection are looked up in ``REMEMBERED_SECONDS``.
UNKNOWN_LIMIT = 30
_REMEMBERED_LIMIT = 1_000
# A missing connection takes the same steps as an existing one.
_NO_KEYS = (bytes(32),)


class TooManyLookupsError(Exception):
    """No more unknown ids are looked up for the moment."""


@dataclass(frozen=True, kw_only=True)
class RememberedConnection:
    """A connection as it was last read.

    :param gateway: None without a connection of that id that can be used.
    :param keys: keys of its signatures.
    :param read_at: when reading it began, by the clock of ``Connections``.
    :param took: seconds that reading it took.
    :param doubted_at: when the connection was last read again, since none of its keys had made a signature. A
        missing connection is not read again, but answers about it take as long.
    """

    gateway: Gateway | None
    keys: tuple[bytes, ...] = field(repr=False)
    read_at: float
    took: float
    doubted_at: float


class Connections:
    """Reads connections and remembers them, in one event loop.

    :param read: reads a connection; None where there is none.
    :param clock: seconds, never going back.
    """

    def __init__(
        self, read: Callable[[str], Awaitable[Gateway | None]], *, clock: Callable[[], float] = monotonic
    ) -> None:
        self._read = read
        self._clock = clock
        self._found: OrderedDict[str, RememberedConnection] = OrderedDict()
        self._missing: OrderedDict[str, RememberedConnection] = OrderedDict()
        self._reading: dict[str, asyncio.Task[RememberedConnection]] = {}
        self._lookups: deque[float] = deque()

    async def get(self, conn_id: str, *, is_awaited: bool = False) -> RememberedConnection:
        """Return a connection, at most ``REMEMBERED_SECONDS`` old. Callers at the same time share one look-up.

        :param is_awaited: a waiting task has named this connection: it is looked up in any case.
        :raises TooManyLookupsError: nothing is remembered about this id, and too many such ids were looked up.
        """
        kept = self._kept(conn_id)
        if kept is not None and self._clock() - kept.read_at < REMEMBERED_SECONDS:
            return kept
        if conn_id not in self._found and conn_id not in self._reading and not (is_awaited or self._has_room()):
            raise TooManyLookupsError
        return await self._read_anew(conn_id)

    async def get_doubted(self, conn_id: str) -> RememberedConnection:
        """Return a connection whose keys did not make a signature, at most ``REREAD_SECONDS`` old if it exists.

        :raises TooManyLookupsError: as ``get``.
        """
        kept = self._kept(conn_id)
        if kept is None:
            return await self.get(conn_id)
        if self._clock() - kept.doubted_at < REREAD_SECONDS and conn_id not in self._reading:
            return kept
        if kept.gateway is not None:
            return await self._read_anew(conn_id)
        self._missing[conn_id] = kept = replace(kept, doubted_at=self._clock())
        return kept

    async def conceal(self, connection: RememberedConnection, seconds: float) -> None:
        """Wait until so many seconds have passed since a look-up, so that an answer does not show its duration.

        Where a look-up takes longer, an answer about a missing connection takes as long, though nothing is read.
        """
        left = connection.doubted_at + max(seconds, connection.took) - self._clock()
        if left > 0:
            await asyncio.sleep(left)

    def _kept(self, conn_id: str) -> RememberedConnection | None:
        return self._found.get(conn_id) or self._missing.get(conn_id)

    async def _read_anew(self, conn_id: str) -> RememberedConnection:
        if conn_id not in self._reading:
            self._reading[conn_id] = asyncio.create_task(self._remember(conn_id))
        return await asyncio.shield(self._reading[conn_id])

    def _has_room(self) -> bool:
        while self._lookups and self._clock() - self._lookups[0] >= REMEMBERED_SECONDS:
            self._lookups.popleft()
        return len(self._lookups) + len(self._reading) < UNKNOWN_LIMIT

    async def _remember(self, conn_id: str) -> RememberedConnection:
        gateway, began = None, self._clock()
        try:
            gateway = await self._read(conn_id)
        except Exception as error:
            return self._kept_in_an_outage(conn_id, error)
        finally:
            del self._reading[conn_id]
            if gateway is None and conn_id not in self._found:
                self._lookups.append(self._clock())
        connection = _connection(gateway, began, self._clock() - began)
        self._found.pop(conn_id, None)
        self._missing.pop(conn_id, None)
        place = self._missing if connection.gateway is None else self._found
        place[conn_id] = connection
        if len(place) > _REMEMBERED_LIMIT:
            place.popitem(last=False)
        return connection

    def _kept_in_an_outage(self, conn_id: str, error: Exception) -> RememberedConnection:
        """Return a connection as it was read before; raise the error where it never was."""
        kept = self._found.get(conn_id)
        if kept is None:
            raise error
        log.warning("connection %r cannot be read anew (%s)", conn_id, type(error).__name__)
        now = self._clock()
        self._found[conn_id] = kept = replace(
            kept, read_at=now + REREAD_SECONDS - REMEMBERED_SECONDS, doubted_at=now
        )
        return kept


def _connection(gateway: Gateway | None, began: float, took: float) -> RememberedConnection:
    try:
        keys = signing_keys(gateway) if gateway else _NO_KEYS
    except ItsmConfigurationError as error:
        log.error("%s", error)
        keys, gateway = _NO_KEYS, None
    return RememberedConnection(gateway=gateway, keys=keys, read_at=began, took=took, doubted_at=began)
