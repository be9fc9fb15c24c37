# SPDX-License-Identifier: Apache-2.0
"""Which reminders were sent: a row for each in the store, so that several processes send each once.

The insert of the row is the claim to send it. A claim runs out: a process that was killed with it has sent
nothing, or has not noted that it did. Then another process takes the row over and sends the message. So a message
comes twice where a process dies after it was sent and before that is committed: a matter of a millisecond, however
long the sending takes. The other way round a message would be lost where the process dies during the sending. A
second message costs a glance, and a lost one may cost the deadline.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import exc as sql
from sqlalchemy import select

from airflow_provider_bkitsm.collectors.database import Store
from airflow_provider_bkitsm.collectors.errors import StoreRaceLost
from airflow_provider_bkitsm.collectors.tables import reminder_table
from airflow_provider_bkitsm.itsm.errors import ItsmConflictError

MOST_ATTEMPTS = 3
"""So often one message is tried to be sent."""
LEASE_SECONDS = 180.0
"""So long a claim holds. Sending takes less, or is given up."""
MOST_SHOWN = 100
"""So many rows of a ticket are shown."""

# A ticket opened so much later or earlier is another one: a counter that began anew gives a number twice.
_ANOTHER_TICKET = timedelta(hours=1)
# After a failure the first pause, doubled each time.
_PAUSE = timedelta(seconds=60)
# A database may give way to another transaction, which has then changed another row.
_RACES = 3


class ReminderState(StrEnum):
    """What became of a message."""

    CLAIMED = "claimed"
    SENT = "sent"
    MERGED = "merged"
    REFUSED = "refused"
    GIVEN_UP = "given_up"


@dataclass(frozen=True, kw_only=True)
class ReminderKey:
    """One message about one ticket. Several tasks that wait for a ticket have the same ones.

    :param after_seconds: after the ticket's opening.
    :param sender: key of what sends it; empty for what is done in ITSM itself.
    :param opened_at: when the ticket was opened (aware).
    """

    bkitsm_conn_id: str
    sn: str
    kind: str
    after_seconds: float
    sender: str
    opened_at: datetime

    @property
    def digest(self) -> str:
        """64 hex characters."""
        parts = [self.bkitsm_conn_id, self.sn, self.kind, round(self.after_seconds * 1000), self.sender]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Claim:
    """The right to send a message, until it runs out.

    :param attempts: how often it is tried now, this time included.
    """

    key: ReminderKey
    token: str
    attempts: int


@dataclass(frozen=True, kw_only=True)
class NotNow:
    """Somebody else has a claim, or the last attempt has failed; ``until`` nobody else tries (aware)."""

    until: datetime


@dataclass(frozen=True, kw_only=True)
class StoredReminder:
    """A row as people are shown it: a message about a ticket, or the hand-over of an escalation.

    :param at: when it was ended; of one that is claimed, when it was claimed last (aware).
    """

    kind: str
    after_seconds: int
    is_hand_over: bool
    state: ReminderState
    at: datetime
    recipients: tuple[str, ...]


SETTLED = "settled"
"""The message was sent, or is never sent any more."""


class ReminderStore(Store):
    """Keeps the rows. No connection is opened before the first use.

    Every method blocks, and raises ``StoreUnavailable`` where the database cannot be used.

    The clocks of several machines may differ by less than ``LEASE_SECONDS``.
    """

    def claim(self, key: ReminderKey) -> Claim | NotNow | str:
        """Return the claim to send a message; else who may try when, or ``SETTLED``."""
        token, now = secrets.token_hex(16), self.now()
        row = self._row(key)
        if row is None:
            return self._insert(key, token, now) or self._as_others_see(key)
        if _is_of_another_ticket(row, key):
            return self._take_over(row, key, token, now, attempts=1)
        if row["state"] != ReminderState.CLAIMED:
            return SETTLED
        if row["free_at"] > now:
            return NotNow(until=row["free_at"])
        if row["attempts"] >= MOST_ATTEMPTS:
            self._give_up(row, key, now)
            return SETTLED
        return self._take_over(row, key, token, now, attempts=row["attempts"] + 1)

    def end(self, claim: Claim, state: ReminderState, *, recipients: Iterable[str] = ()) -> bool:
        """Store what became of a message; False where the claim had run out, and another has taken over."""
        names = ",".join(recipients) or None
        return self._change(claim, state=state.value, ended_at=self.now(), recipients=names)

    @contextmanager
    def sending(self, claim: Claim, *, recipients: Iterable[str]) -> Iterator[Callable[[], None]]:
        """Yield what stores that a message was sent; ready at once, over a connection that is open by then.

        Between the sending and the commit a killed process makes a message come twice: so it is one statement.

        :raises ItsmError: the claim has run out, and nothing may be sent; or the store cannot be used.
        """
        mine = [reminder_table.c[name] == value for name, value in _claimed(claim).items()]
        sent = reminder_table.update().where(*mine)
        names = ",".join(recipients) or None
        with self._transactions.statements() as connection:
            if connection.execute(select(reminder_table.c.sn).where(*mine)).first() is None:
                raise ItsmConflictError(f"the claim to send a message about {claim.key.sn} has run out")

            def note() -> None:
                values = {"state": ReminderState.SENT.value, "ended_at": self.now(), "recipients": names}
                connection.execute(sent.values(**values))

            yield note

    def failed(self, claim: Claim) -> datetime | None:
        """Give a claim back after an attempt that has failed; return when the next one may be (aware).

        None: it was the last one, and nobody tries again.
        """
        if claim.attempts >= MOST_ATTEMPTS:
            self.end(claim, ReminderState.GIVEN_UP)
            return None
        until: datetime = self.now() + _PAUSE * 2 ** (claim.attempts - 1)
        self._change(claim, free_at=until)
        return until

    def put_off(self, claim: Claim, until: datetime) -> None:
        """Give a claim back that was not used: it counts as no attempt. Nobody tries before ``until``."""
        self._change(claim, free_at=until, attempts=claim.attempts - 1)

    def merge(self, key: ReminderKey) -> None:
        """Have a message count as sent with another one, unless somebody sends it just now."""
        now = self.now()
        if self._row(key) is None:
            self._insert(key, "", now, state=ReminderState.MERGED.value, ended_at=now)

    def states(self, bkitsm_conn_id: str, sn: str) -> list[tuple[str, float, str]]:
        """Return the messages about a ticket: kind, seconds after its opening, and state; the earliest first."""
        columns = reminder_table.c
        query = select(columns.kind, columns.after_seconds, columns.state)
        query = query.where(columns.sn == sn, columns.bkitsm_conn_id == bkitsm_conn_id)
        with self._transactions.read() as connection:
            rows = connection.execute(query.order_by(columns.after_seconds, columns.kind, columns.sender))
            return [tuple(row) for row in rows]

    def of_ticket(self, bkitsm_conn_id: str, sn: str, *, opened_at: datetime) -> list[StoredReminder]:
        """Return what was stored of a ticket, at most the ``MOST_SHOWN`` rows that were claimed last.

        :param opened_at: when the ticket was opened (aware): rows of an earlier one of this number are left out.
        """
        columns = reminder_table.c
        names = ("kind", "after_seconds", "sender", "state", "claimed_at", "ended_at", "recipients")
        first, last = opened_at - _ANOTHER_TICKET, opened_at + _ANOTHER_TICKET
        query = select(*(columns[name] for name in names)).where(
            *(columns.sn == sn, columns.bkitsm_conn_id == bkitsm_conn_id),
            columns.opened_at.between(first, last),
            # A later version may have written others.
            columns.state.in_([state.value for state in ReminderState]),
        )
        with self._transactions.read() as connection:
            rows = connection.execute(query.order_by(columns.claimed_at.desc()).limit(MOST_SHOWN))
            return [_stored(row._asdict()) for row in rows]

    def _row(self, key: ReminderKey) -> Mapping[str, Any] | None:
        query = select(reminder_table).where(reminder_table.c.reminder_key == key.digest)
        with self._transactions.read() as connection:
            row = connection.execute(query).first()
            return None if row is None else row._asdict()

    def _insert(self, key: ReminderKey, token: str, now: datetime, **more: Any) -> Claim | None:
        values = _values(key, token, now, attempts=1) | more
        try:
            with self._transactions.begin() as connection:
                try:
                    connection.execute(reminder_table.insert().values(reminder_key=key.digest, **values))
                except sql.IntegrityError:
                    connection.rollback()
                    return None
        except StoreRaceLost:
            return None
        return Claim(key=key, token=token, attempts=1)

    def _as_others_see(self, key: ReminderKey) -> NotNow | str:
        """Return how a message stands that another has claimed at the same moment."""
        row = self._row(key)
        if row is None or row["state"] == ReminderState.CLAIMED:
            return NotNow(until=self.now() + _PAUSE if row is None else row["free_at"])
        return SETTLED

    def _take_over(
        self, row: Mapping[str, Any], key: ReminderKey, token: str, now: datetime, *, attempts: int
    ) -> Claim | NotNow | str:
        if self._swap(row, _values(key, token, now, attempts=attempts)):
            return Claim(key=key, token=token, attempts=attempts)
        return self._as_others_see(key)

    def _give_up(self, row: Mapping[str, Any], key: ReminderKey, now: datetime) -> None:
        """End a message whose last attempt nobody has ended: its process was killed."""
        self._swap(row, {"state": ReminderState.GIVEN_UP.value, "ended_at": now, "sn": key.sn})

    def _change(self, claim: Claim, **values: Any) -> bool:
        return self._swap(_claimed(claim), values)

    def _swap(self, row: Mapping[str, Any], values: Mapping[str, Any]) -> bool:
        """Change a row that is as it was read; return whether it was."""
        unchanged = (reminder_table.c[name] == row[name] for name in ("reminder_key", "claim", "state"))
        statement = reminder_table.update().where(*unchanged).values(**values)
        for left in reversed(range(_RACES)):
            try:
                with self._transactions.begin() as connection:
                    return bool(connection.execute(statement).rowcount == 1)
            except StoreRaceLost:
                if not left:
                    raise
        return False


def _claimed(claim: Claim) -> dict[str, str]:
    return {"reminder_key": claim.key.digest, "claim": claim.token, "state": ReminderState.CLAIMED.value}


def _values(key: ReminderKey, token: str, now: datetime, *, attempts: int) -> dict[str, Any]:
    return {
        "bkitsm_conn_id": key.bkitsm_conn_id,
        "sn": key.sn,
        "kind": str(key.kind),
        "after_seconds": round(key.after_seconds),
        "sender": key.sender,
        "opened_at": key.opened_at,
        "state": ReminderState.CLAIMED.value,
        "claim": token,
        "attempts": attempts,
        "free_at": now + timedelta(seconds=LEASE_SECONDS),
        "claimed_at": now,
        "ended_at": None,
        "recipients": None,
    }


def _stored(row: Mapping[str, Any]) -> StoredReminder:
    return StoredReminder(
        kind=row["kind"],
        after_seconds=row["after_seconds"],
        is_hand_over=not row["sender"],
        state=ReminderState(row["state"]),
        at=row["ended_at"] or row["claimed_at"],
        recipients=tuple(row["recipients"].split(",")) if row["recipients"] else (),
    )


def _is_of_another_ticket(row: Mapping[str, Any], key: ReminderKey) -> bool:
    return bool(abs(row["opened_at"] - key.opened_at) > _ANOTHER_TICKET)


def open_reminder_store() -> ReminderStore:
    """Return the store of reminders, beside the approval records; nothing is connected before its first use."""
    from airflow_provider_bkitsm.hooks.store import store_engine

    return ReminderStore(store_engine())
