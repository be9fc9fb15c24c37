# SPDX-License-Identifier: Apache-2.0
"""Tickets that versions without approval records opened: a retry or a clear after an upgrade goes on with them.

Anybody can compute their tags. So they count only where Airflow's own state of the task names the ticket, or where
ITSM dates it before the store began to keep records: what is prepared after the upgrade is never taken.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from airflow_provider_bkitsm.hooks.opening import TicketOpener
from airflow_provider_bkitsm.itsm.opening import asks_for, find_opened
from airflow_provider_bkitsm.itsm.outcome import ENDED

_KEY = "bkitsm_ticket"
_ROUNDS = 20


class TaskStates(Protocol):
    """Airflow's task state store (3.3 and later)."""

    def get(self, key: str, default: Any = None) -> Any:
        """Return what was stored."""


@dataclass(frozen=True, kw_only=True)
class LegacyTicket:
    """A ticket without a record.

    :param same_round: whether it was opened by an earlier try of this round; else the task was cleared since.
    """

    sn: str
    id: int | None
    ticket_url: str
    title: str
    tag: str
    same_round: bool


@dataclass(frozen=True, kw_only=True)
class LegacyTickets:
    """Where a task's ticket of before the upgrade may be.

    :param states: None on an Airflow without them.
    :param tag_of: the tag of a round of that time, by its number.
    :param round_number: of the round that this try would have been in.
    :param digests: that its title may show, if it asks what the task asks now; empty: any.
    :param run_after: before that the task has asked for nothing (aware).
    """

    opener: TicketOpener
    states: TaskStates | None
    tag_of: Callable[[int], str]
    round_number: int
    creator: str
    digests: Collection[str]
    run_after: datetime

    def find(self, *, records_since: datetime | None) -> LegacyTicket | None:
        """Return the ticket of an earlier try or round.

        :param records_since: see :meth:`~airflow_provider_bkitsm.tickets.approval_store.ApprovalStore.records_since`.
        """
        if self.states is not None:
            return self._remembered(self.states.get(_KEY))
        if records_since is None or self.run_after >= records_since:
            return None
        numbers = range(self.round_number, -1, -1)[:_ROUNDS]
        return next(filter(None, (self._searched(one, records_since) for one in numbers)), None)

    def asks_the_same(self, ticket: LegacyTicket) -> bool:
        """Whether a ticket asks what the task asks now, so far as its title shows that."""
        return not self.digests or any(asks_for(ticket.title, digest) for digest in self.digests)

    def _remembered(self, stored: Any) -> LegacyTicket | None:
        if not isinstance(stored, dict) or not stored.get("sn"):
            return None
        tag, _, number = str(stored.get("asking", "")).rpartition(":")
        return LegacyTicket(
            sn=str(stored["sn"]),
            id=stored.get("id"),
            ticket_url=str(stored.get("ticket_url") or ""),
            title=str(stored.get("title") or ""),
            tag=tag,
            same_round=number == str(self.round_number),
        )

    def _searched(self, number: int, records_since: datetime) -> LegacyTicket | None:
        tag, same_round = self.tag_of(number), number == self.round_number
        for one in self.opener.hook.run(find_opened(tag, creator=self.creator, since=self.run_after)):
            is_older = one.create_at is not None and one.create_at < records_since
            if is_older and (same_round or one.current_status not in ENDED):
                return LegacyTicket(
                    sn=one.sn, id=one.id, ticket_url=one.ticket_url, title=one.title, tag=tag, same_round=same_round
                )
        return None
