# SPDX-License-Identifier: Apache-2.0
"""Which of the listed tickets concern a person: that wait for them, or were opened in their name."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from functools import partial

from airflow_provider_bkitsm.approvals.rows import Ticket
from airflow_provider_bkitsm.hooks.itsm import ItsmAsyncHook
from airflow_provider_bkitsm.itsm.dialect import ask
from airflow_provider_bkitsm.plugins.concurrency import Background, SharedCache
from airflow_provider_bkitsm.plugins.itsm_reader import PAGE_SECONDS, UNKNOWN_SECONDS, ItsmReader

# How many of the latest tickets are searched. ITSM documents no limit, but has one.
_MOST = 1000
_FRESH_SECONDS = 4.0

Numbers = frozenset[str]


class PersonTickets:
    """Finds the tickets that concern a person; cached for each person. For one event loop.

    :param fresh_seconds: how long a result is used before ITSM is searched again.
    """

    def __init__(self, itsm: ItsmReader, *, fresh_seconds: float = _FRESH_SECONDS) -> None:
        self._itsm = itsm
        self._background = Background()
        self._found: SharedCache[Numbers] = SharedCache(fresh_seconds)

    async def find(self, person: str, tickets: Iterable[tuple[Ticket, bool]]) -> tuple[frozenset[Ticket], bool]:
        """Return which tickets wait for a person or were opened in their name, and whether every ITSM answers.

        :param person: the person's name in ITSM.
        :param tickets: each with whether it is open; latest first.
        """
        wanted: defaultdict[str, dict[str, bool]] = defaultdict(dict)
        for (conn_id, sn), waits in tickets:
            if conn_id and sn:
                wanted[conn_id].setdefault(sn, waits)
        for conn_id, sns in wanted.items():
            if not self._background.running((person, conn_id)):
                self._background.start((person, conn_id), self._search(person, conn_id, sns))
        keys = [(person, conn_id) for conn_id in wanted]
        is_known = all(self._found.last(key) is not None for key in keys)
        await self._background.settle(keys, seconds=PAGE_SECONDS if is_known else UNKNOWN_SECONDS)
        numbers = {conn_id: self._found.last((person, conn_id)) or frozenset() for conn_id in wanted}
        found = frozenset((conn_id, sn) for conn_id, sns in wanted.items() for sn in numbers[conn_id] & sns.keys())
        return found, not any(map(self._itsm.is_down, wanted))

    async def _search(self, person: str, conn_id: str, sns: dict[str, bool]) -> None:
        with suppress(_NoAnswerError):
            await self._found.get((person, conn_id), partial(self._ask, person, conn_id, sns))

    async def _ask(self, person: str, conn_id: str, sns: dict[str, bool]) -> Numbers:
        found = await self._itsm.ask(conn_id, lambda hook: _search(hook, person, sns))
        if found is None:
            raise _NoAnswerError
        return found


class _NoAnswerError(Exception):
    pass


async def _search(hook: ItsmAsyncHook, person: str, sns: dict[str, bool]) -> Numbers:
    """Search among our own tickets only (P6)."""
    latest = list(sns)[:_MOST]
    waiting = [sn for sn, waits in sns.items() if waits][:_MOST]
    searches = [hook.run(ask(lambda itsm: itsm.opened_by(person, latest)))]
    if waiting:
        searches.append(hook.run(ask(lambda itsm: itsm.waiting_for(person, waiting))))
    found = await asyncio.gather(*searches)
    return frozenset(sn for numbers in found for sn in numbers if sn in sns)
