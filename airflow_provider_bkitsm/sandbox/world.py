"""Everything a sandbox knows: tickets, collectors, the lost-callback list, and the file they survive in.

All access is from one event loop, so nothing is locked.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import os
import sqlite3
import time
from collections.abc import Callable, Coroutine
from dataclasses import asdict, dataclass, field
from typing import Any

from airflow_provider_bkitsm.sandbox import tickets
from airflow_provider_bkitsm.sandbox.seed import COLLECTORS
from airflow_provider_bkitsm.sandbox.settings import Settings
from airflow_provider_bkitsm.sandbox.tickets import Refusal, Ticket

_IV, _TOKEN_BYTES = 16, 64


@dataclass(kw_only=True)
class LoggedRequest:
    """A request the sandbox received, for tests that count calls."""

    method: str
    path: str
    body: Any


class Database:
    """A table of JSON documents, written through."""

    def __init__(self, settings: Settings) -> None:
        self._file = sqlite3.connect(
            settings.database or ":memory:", isolation_level=None, check_same_thread=False
        )
        self._file.execute("PRAGMA journal_mode=WAL")
        self._file.execute(
            "CREATE TABLE IF NOT EXISTS document (kind TEXT, id TEXT, body TEXT, PRIMARY KEY (kind, id))"
        )

    def load(self, kind: str) -> dict[str, Any]:
        """Return all documents of a kind, by id."""
        rows = self._file.execute("SELECT id, body FROM document WHERE kind = ?", (kind,))
        return {key: json.loads(body) for key, body in rows}

    def save(self, kind: str, key: object, body: Any) -> None:
        """Write one document."""
        self._file.execute("INSERT OR REPLACE INTO document VALUES (?, ?, ?)", (kind, str(key), json.dumps(body)))

    def close(self) -> None:
        """Close the file."""
        self._file.close()


@dataclass(kw_only=True)
class World:
    """The state of one sandbox.

    :param clock: seconds since the epoch; the seam for tests.
    """

    settings: Settings
    clock: Callable[[], float] = time.time
    tickets: dict[int, Ticket] = field(default_factory=dict)
    collectors: dict[int, dict[str, Any]] = field(default_factory=dict)
    lost_callbacks: dict[str, bool] = field(default_factory=dict)
    requests: list[LoggedRequest] = field(default_factory=list)
    installation: str = ""
    _by_sn: dict[str, list[Ticket]] = field(default_factory=dict)
    _background: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.database = Database(self.settings)
        self._load()

    def _load(self) -> None:
        for body in self.database.load("ticket").values():
            self._index(Ticket(**body))
        stored = {int(key): row for key, row in self.database.load("collector").items()}
        self.collectors = {row["collector_config_id"]: dict(row) for row in COLLECTORS} | stored
        self.lost_callbacks = dict(self.database.load("lost_callback"))
        self.installation = self.database.load("meta").get("installation") or os.urandom(16).hex()
        self.database.save("meta", "installation", self.installation)

    def _index(self, ticket: Ticket) -> None:
        self.tickets[ticket.id] = ticket
        self._by_sn.setdefault(ticket.sn.lower(), []).append(ticket)

    def open(self, ticket: Ticket) -> None:
        """Take in a new ticket and let its flow start a moment later."""
        self._index(ticket)
        self.save(ticket)
        self.spawn(self._start(ticket))

    def start_all(self) -> None:
        """Start what was waiting to start when the sandbox was last stopped."""
        for ticket in self.tickets.values():
            if ticket.node < 0 and ticket.status not in tickets.ENDED:
                self.spawn(self._start(ticket))

    async def _start(self, ticket: Ticket) -> None:
        await asyncio.sleep(self.settings.start_delay / 2)
        if ticket.node == -1:
            ticket.node = 0
        await asyncio.sleep(self.settings.start_delay / 2)
        if ticket.node == 0 and ticket.status not in tickets.ENDED:
            ticket.node = -1
            await self.change(ticket, lambda: tickets.start(ticket, self.clock()))

    def new_number(self) -> tuple[int, str]:
        """Return the next id and sn."""
        number = max(self.tickets, default=0) + 1
        day = (tickets.shanghai(self.clock()) or "")[:10].replace("-", "")
        return number, f"REQ{day}{number:06d}"

    def save(self, ticket: Ticket) -> None:
        """Write a ticket through."""
        self.database.save("ticket", ticket.id, asdict(ticket))

    def save_collector(self, row: dict[str, Any]) -> None:
        """Take in a collector and write it through."""
        self.collectors[int(row["collector_config_id"])] = row
        self.database.save("collector", row["collector_config_id"], row)

    def by_sn(self, sn: object) -> list[Ticket]:
        """Return the tickets of a number: compared as MySQL does, without case or trailing blanks."""
        return self._by_sn.get(sn.rstrip(" ").lower(), []) if isinstance(sn, str) else []

    def one(self, sn: object) -> Ticket:
        """Return the ticket of a number.

        :raises Refusal: there is none.
        :raises LookupError: there are several; the server crashes on those.
        """
        found = self.by_sn(sn)
        if not found:
            raise Refusal(tickets.TICKET_NOT_FOUND, "没有找到对应的单据")
        if len(found) > 1:
            raise LookupError(f"get() returned more than one Ticket -- it returned {len(found)}!")
        return found[0]

    async def change(self, ticket: Ticket, event: Callable[[], None], *, wait: bool = False) -> None:
        """Apply an event to a ticket; when it ends the ticket, post the callback once.

        :param wait: post it before returning, as ITSM does for a withdrawal.
        """
        from airflow_provider_bkitsm.sandbox.callbacks import post_callback

        before = ticket.status
        event()
        self.save(ticket)
        if before in tickets.ENDED or ticket.status not in tickets.ENDED:
            return
        if wait:
            await post_callback(self, ticket)
        else:
            self.spawn(post_callback(self, ticket))

    def lose_callback(self, sn: str) -> None:
        """Put a number on the lost-callback list."""
        self.lost_callbacks[sn] = True
        self.database.save("lost_callback", sn, True)

    def forget_callback(self, sn: str) -> None:
        """Take a number off the lost-callback list."""
        if self.lost_callbacks.pop(sn, None):
            self.database.save("lost_callback", sn, False)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something in the background."""
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    def close(self) -> None:
        """Stop background work and close the file."""
        for task in self._background:
            task.cancel()
        self.database.close()

    def token(self) -> str:
        """Return a callback token: different each time, but bound to nothing except this installation."""
        start = os.urandom(_IV)
        return base64.b64encode(start + self._seal(start)).decode()

    def token_passes(self, text: str) -> bool:
        """Whether a token is this installation's (reference 4.5)."""
        try:
            raw = base64.b64decode(text.rstrip("\n "), validate=True)
        except ValueError:
            return False
        return len(raw) == _TOKEN_BYTES and hmac.compare_digest(raw[_IV:], self._seal(raw[:_IV]))

    def _seal(self, start: bytes) -> bytes:
        return hmac.new(self.installation.encode(), start, hashlib.sha384).digest()
