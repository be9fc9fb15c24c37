# SPDX-License-Identifier: Apache-2.0
"""What a task remembers of the ticket it opens, past a crash of its worker (promises P2 and P7)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from airflow_provider_bkitsm.hooks.opening import Opened
    from airflow_provider_bkitsm.itsm.models import CreatedTicket

_KEY = "bkitsm_ticket"
_TICKET = ("sn", "id", "ticket_url")


class States(Protocol):
    """Airflow's task state store, which outlives a task's tries (3.3 and later)."""

    def get(self, key: str, default: Any = None) -> Any:
        """Return what was stored."""

    def set(self, key: str, value: Any) -> None:
        """Store a JSON value."""


class CreationMemory:
    """The second memory beside the ticket's tag; where Airflow has none, every retry has to expect the worst.

    :param states: None on an Airflow without task state store.
    :param asking: names the approval round; what is known of another one is of little use.
    :param retried: whether the task was tried before.
    """

    def __init__(self, states: States | None, *, asking: str, retried: bool) -> None:
        self._states = states
        self._retried = retried
        stored = states.get(_KEY) if states is not None else None
        before: dict[str, Any] = stored if isinstance(stored, dict) else {}
        fresh: dict[str, Any] = {"asking": asking, "since": datetime.now(UTC).isoformat()}
        self._known = before if before.get("asking") == asking else fresh
        # A ticket of an earlier round may be on its way as well: a person may clear at any moment.
        self._lost_since = None if "sn" in before else before.get("began")

    @property
    def since(self) -> datetime:
        """When this round began, so far as it is known."""
        return datetime.fromisoformat(self._known["since"])

    @property
    def ticket(self) -> CreatedTicket | None:
        """This round's ticket, if its number came to be known."""
        from airflow_provider_bkitsm.itsm.models import CreatedTicket

        if "sn" not in self._known:
            return None
        return CreatedTicket(**{name: self._known[name] for name in _TICKET})

    @property
    def title(self) -> str:
        """This round's ticket's title, if it is known."""
        return str(self._known.get("title", ""))

    def may_appear_for(self, settle: float, *, now: datetime | None = None) -> float:
        """Return for how many seconds a ticket that an earlier try asked for, in any round, may still appear.

        :param settle: how long a lost ``create_ticket`` may take.
        """
        if self._states is None:
            return settle if self._retried else 0.0
        if self._lost_since is None:
            return 0.0
        since = (now or datetime.now(UTC)) - datetime.fromisoformat(self._lost_since)
        return max(0.0, settle - since.total_seconds())

    def begins(self, title: str) -> None:
        """Store the intent; to be called before the ticket is asked for, and if it fails none may be."""
        # Whoever shares a key may ask again though a number is known: that one's decision came too early to count.
        self._known = {name: value for name, value in self._known.items() if name not in _TICKET}
        self._store(began=datetime.now(UTC).isoformat(), title=title)

    def knows(self, ticket: Opened) -> None:
        """Store the ticket's number."""
        found = {name: getattr(ticket, name) for name in _TICKET}
        title = getattr(ticket, "title", "")
        found |= {"title": title} if title else {}
        if any(self._known.get(name) != value for name, value in found.items()):
            self._store(**found)

    def _store(self, **more: Any) -> None:
        self._known = {**self._known, **more}
        if self._states is not None:
            self._states.set(_KEY, self._known)
