# SPDX-License-Identifier: Apache-2.0
"""Which of the tickets that are listed anyway ITSM calls a person's own: two searches per connection."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from functools import partial

from airflow_provider_bkitsm.approvals.rows import Ticket
from airflow_provider_bkitsm.callback.itsm import GatewayHook
from airflow_provider_bkitsm.itsm.protocol import Front
from airflow_provider_bkitsm.plugins.asking import Asking
from airflow_provider_bkitsm.plugins.remembering import Remembering

_FRESH_SECONDS = 4.0
# So many of the latest are searched in; ITSM names no limit, but has one.
_MOST = 1000

Numbers = frozenset[str]


class TicketsOf:
    """What one API server process remembers, for each person apart; for one event loop."""

    def __init__(self, itsm: Asking) -> None:
        self._itsm = itsm
        self._known: Remembering[Numbers] = Remembering(_FRESH_SECONDS)

    async def find(self, person: str, tickets: Iterable[tuple[Ticket, bool]]) -> tuple[frozenset[Ticket], bool]:
        """Return which of these wait for a person or were opened in their name, and whether all ITSMs answered.

        :param person: as ITSM knows them.
        :param tickets: each with whether it waits; latest first.
        """
        wanted: defaultdict[str, dict[str, bool]] = defaultdict(dict)
        for (conn_id, sn), waits in tickets:
            if conn_id and sn:
                wanted[conn_id].setdefault(sn, waits)
        answers = await asyncio.gather(*(self._of(person, conn_id, sns) for conn_id, sns in wanted.items()))
        pairs = zip(wanted, answers, strict=True)
        found = frozenset((conn_id, sn) for conn_id, (numbers, _) in pairs for sn in numbers)
        return found, all(answered for _, answered in answers)

    async def _of(self, person: str, conn_id: str, sns: dict[str, bool]) -> tuple[Numbers, bool]:
        key = (person, conn_id)
        try:
            return await self._known.get(key, partial(self._ask, person, conn_id, sns)), True
        except _NoAnswerError:
            return self._known.last(key) or frozenset(), False

    async def _ask(self, person: str, conn_id: str, sns: dict[str, bool]) -> Numbers:
        found = await self._itsm.ask(conn_id, lambda hook: _search(hook, person, sns))
        if found is None:
            raise _NoAnswerError
        return found


class _NoAnswerError(Exception):
    pass


async def _search(hook: GatewayHook, person: str, sns: dict[str, bool]) -> Numbers:
    """Search in our own tickets only (P6). The ESB loses ``username``: its answer would be all of them."""
    latest = list(sns)[:_MOST]
    waiting = [sn for sn, waits in sns.items() if waits][:_MOST]
    searches = [hook.get_tickets(sns=latest, creator=person, page_size=2 * len(latest))]
    if waiting and (await hook.aget_conn()).gateway.front is not Front.ESB:
        searches.append(hook.get_tickets(sns=waiting, username=person, page_size=2 * len(waiting)))
    pages = await asyncio.gather(*searches)
    return frozenset(row.sn for page in pages for row in page.items if row.sn in sns)
