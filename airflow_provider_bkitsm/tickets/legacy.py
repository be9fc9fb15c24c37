# SPDX-License-Identifier: Apache-2.0
"""The ticket that a version without approval records has opened: after an upgrade a retry goes on with it.

Only Airflow's own state of the task (3.3 and later) names it. It is not searched for: anybody can compute the tag
that such a version gave it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Protocol

from airflow_provider_bkitsm.itsm.opening import asks_for

_KEY = "bkitsm_ticket"


class TaskStates(Protocol):
    """Airflow's task state store."""

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

    def asks_for(self, digests: Collection[str]) -> bool:
        """Whether the ticket asks what has one of these digests, so far as its title shows one."""
        return not digests or any(asks_for(self.title, digest) for digest in digests)


def legacy_ticket(states: TaskStates | None, *, round_number: int) -> LegacyTicket | None:
    """Return the ticket that a task's state names.

    :param states: None on an Airflow without them.
    :param round_number: ``max_tries`` of this try, which was the number of a round then.
    """
    stored = None if states is None else states.get(_KEY)
    if not isinstance(stored, dict) or not stored.get("sn"):
        return None
    tag, _, number = str(stored.get("asking", "")).rpartition(":")
    return LegacyTicket(
        sn=str(stored["sn"]),
        id=stored.get("id"),
        ticket_url=str(stored.get("ticket_url") or ""),
        title=str(stored.get("title") or ""),
        tag=tag,
        same_round=number == str(round_number),
    )
