# SPDX-License-Identifier: Apache-2.0
"""One wait for a ticket, told what the poll of its connection sees."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from datetime import UTC, datetime
from typing import Any
from weakref import WeakKeyDictionary

from airflow_provider_bkitsm.hooks.itsm import ItsmAsyncHook
from airflow_provider_bkitsm.hooks.poller import Look, Poller, loop_time
from airflow_provider_bkitsm.itsm.errors import ItsmError
from airflow_provider_bkitsm.itsm.models import ApprovalResult, TicketStatus

# A deadline that is computed twice differs by less.
_SAME_MOMENT = 0.01

Note = Callable[[], Coroutine[Any, Any, None]]
OnStall = Callable[[TicketStatus], None]


class TicketWait:
    """One who waits for a ticket; use as ``async with``.

    Thousands of these sleep side by side, so each is small, and nobody is woken to be told what is known already.
    ``known`` is the ticket's status so far as it needs no telling: while ITSM goes on saying so, ``look`` does not
    return. It holds for one look.

    :param interval: seconds between two looks.
    :param dated: ``created_at`` is wanted, which the first look brings.
    :param note: called now and then after an answer of ITSM, of one who waits; raises nothing.
    :param on_stall: called in the context of whoever waits when the ticket is seen to ask nobody; rarely again.
    """

    __slots__ = (
        "_began",
        "_conn_id",
        "_context",
        "_dated",
        "_due",
        "_next",
        "created_at",
        "interval",
        "known",
        "note",
        "on_stall",
        "poller",
        "sn",
        "stalled",
    )

    poller: Poller

    def __init__(
        self,
        conn_id: str,
        *,
        sn: str,
        interval: float,
        dated: bool = False,
        note: Note | None = None,
        on_stall: OnStall | None = None,
    ) -> None:
        self.sn = sn
        self.note = note
        self.on_stall = on_stall
        self.stalled = False
        self.interval = interval
        self.created_at: datetime | None = None
        self.known: str | None = None
        self._began = datetime.now(UTC)
        self._conn_id = conn_id
        # A triggerer's logs know by the context which task a line belongs to.
        self._context: Context = copy_context()
        self._dated = dated
        self._due = math.inf
        self._next: asyncio.Future[ApprovalResult] | None = None

    async def __aenter__(self) -> TicketWait:
        here = _POLLERS.setdefault(asyncio.get_running_loop(), {})
        self.poller = here.get(self._conn_id) or here.setdefault(self._conn_id, Poller(self._conn_id))
        self.poller.add(self)
        return self

    async def __aexit__(self, *_exc: object) -> None:
        if self.poller.is_last(self):
            del _POLLERS[asyncio.get_running_loop()][self._conn_id]
        await self.poller.remove(self)

    def look(self, within: float | None = None) -> asyncio.Future[ApprovalResult]:
        """Return the ticket's state when ITSM is asked about it next and says something else than is ``known``.

        :param within: after so many seconds it is asked about before its turn, and told in any case.
        :raises ItsmError: ITSM was asked, and this came of it.
        """
        self._next = asyncio.get_running_loop().create_future()
        if within is not None:
            self._be_told_by(loop_time() + within)
        return self._next

    @property
    def hook(self) -> ItsmAsyncHook:
        """The client that all who wait here share."""
        return self.poller.hook

    @property
    def since(self) -> datetime:
        """When the ticket was opened, as far as it is known: latest when its wait began."""
        return self.created_at or self._began

    @property
    def wants_creation(self) -> bool:
        """Whether it is still to be learnt when the ticket was opened."""
        return self._dated and self.created_at is None

    def tell(self, look: Look, now: float) -> None:
        """Take in what was seen; of no use to somebody who is busy with what was seen before."""
        if self._next is None or self._next.done():
            return
        if isinstance(look, ItsmError):
            self._next.set_exception(look)
        elif look.current_status != self.known or now >= self._due:
            self._next.set_result(look)
        else:
            return
        self._next = self.known = None

    def learn(self, created_at: datetime | None) -> None:
        """Take in when the ticket was opened, which is news."""
        self.created_at = created_at
        self.known = None

    def see_steps(self, status: TicketStatus, *, stalled: bool) -> None:
        """Take in whether the ticket asks somebody."""
        self.stalled = stalled
        if stalled and self.on_stall is not None:
            self._context.run(self.on_stall, status)

    def _be_told_by(self, due: float) -> None:
        if abs(due - self._due) < _SAME_MOMENT:
            return
        self._due = due
        self.poller.ask_at(self.sn, due)


# Of each event loop, the poller of each connection that somebody waits on.
_POLLERS: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, Poller]] = WeakKeyDictionary()
