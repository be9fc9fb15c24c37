# SPDX-License-Identifier: Apache-2.0
"""Reading every page of a search, one page at a time and only as far as its rows are wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Generic, Unpack

from airflow_provider_bkitsm.itsm import protocol
from airflow_provider_bkitsm.itsm.errors import ItsmError
from airflow_provider_bkitsm.itsm.protocol import Call, Flow
from airflow_provider_bkitsm.itsm.v2 import calls
from airflow_provider_bkitsm.itsm.v2.models import Page, R, TicketOfUser, TicketSummary
from airflow_provider_bkitsm.itsm.v2.validation import TicketFilters, check_sns

# Whatever a server says about its pages, a search ends: after so many without anything new, and so many at all.
_STALE_PAGES = 3
_MOST_PAGES = 10_000
# What get_tickets and get_tickets_by_user answer for a page beyond the end, among many other things.
_NO_SUCH_PAGE = frozenset({"SERVER_500_ERROR", 3900004})

Ask = Callable[..., Call[Any]]


class Pages(Generic[R]):
    """Walks searches page by page; no ticket is given twice.

    ITSM lists the newest ticket first. One opened meanwhile moves all others down, so that the last of a page
    comes again on the next: it is left out. One that leaves the search meanwhile (a running ticket that ends)
    moves them up, and may make one be passed over: search by what does not change where that matters.

    :param asks: for each search, what builds the call for a ``page``, counted from 1.
    """

    def __init__(self, asks: Iterable[Ask]) -> None:
        self._asks = list(asks)
        self._seen: set[int] = set()
        self._number = self._stale = 0

    @property
    def more(self) -> bool:
        """Whether there may be more rows."""
        return bool(self._asks)

    def next(self) -> Flow[tuple[R, ...]]:
        """Read the next page and return its new rows; there may be none although more pages follow."""
        page: Page[R] = yield from _read(self._asks[0], self._number + 1)
        self._number += 1
        fresh = tuple({row.id: row for row in page.items if row.id not in self._seen}.values())
        self._seen.update(row.id for row in fresh)
        self._stale = 0 if fresh else self._stale + 1
        last = min(page.total_page, _MOST_PAGES)
        if not page.items or self._number >= last or self._stale >= _STALE_PAGES:
            self._asks.pop(0)
            self._number = self._stale = 0
        return fresh

    def all(self) -> Flow[tuple[R, ...]]:
        """Read all that is left."""
        rows: list[R] = []
        while self.more:
            rows += yield from self.next()
        return tuple(rows)


def tickets(*, batch_size: int = protocol.DEFAULT_SIZE, **filters: Unpack[TicketFilters]) -> Pages[TicketSummary]:
    """Search tickets, as ``get_tickets`` does; many ``sns`` are searched for in pieces of ``batch_size``."""
    calls.get_tickets(**filters)
    sns = filters.get("sns")
    if sns is None:
        return Pages([partial(calls.get_tickets, **filters)])
    parts: list[TicketFilters] = [{**filters, "sns": part} for part in protocol.chunks(check_sns(sns), batch_size)]
    return Pages(partial(calls.get_tickets, **part) for part in parts)


def tickets_by_user(**filters: Any) -> Pages[TicketOfUser]:
    """Search one person's tickets, as ``get_tickets_by_user`` does."""
    calls.get_tickets_by_user(**filters)
    return Pages([partial(calls.get_tickets_by_user, **filters)])


def _read(ask: Ask, number: int) -> Flow[Page[Any]]:
    """Read a page; the one before it, now the last, when the search has become shorter meanwhile."""
    page: Page[Any]
    try:
        page = yield ask(page=number)
    except ItsmError as error:
        if number == 1 or error.code not in _NO_SUCH_PAGE:
            raise
        page = yield ask(page=number - 1)
        if page.total_page >= number:
            raise
    return page
