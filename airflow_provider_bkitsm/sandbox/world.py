# SPDX-License-Identifier: Apache-2.0
"""The state of a sandbox: tickets, the log platform, the lost-callback list, the requests it received.

All access is from one event loop, so nothing is locked. Reads are served from memory, writes go through.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Annotated, Any, cast

from fastapi import Depends, Request

from airflow_provider_bkitsm.sandbox import refusals
from airflow_provider_bkitsm.sandbox.bklog.platform import LogPlatform
from airflow_provider_bkitsm.sandbox.database import Database
from airflow_provider_bkitsm.sandbox.faults import Faults
from airflow_provider_bkitsm.sandbox.itsm import tokens
from airflow_provider_bkitsm.sandbox.itsm.forms import Draft
from airflow_provider_bkitsm.sandbox.itsm.service_catalog import ServiceBook
from airflow_provider_bkitsm.sandbox.itsm.tickets import Ticket
from airflow_provider_bkitsm.sandbox.itsm_v4.installation import InstallationV4
from airflow_provider_bkitsm.sandbox.settings import Settings
from airflow_provider_bkitsm.sandbox.times import shanghai

_REQUESTS_KEPT = 10_000


@dataclass(frozen=True, kw_only=True)
class LoggedRequest:
    """A request the sandbox received, for tests that count calls; its headers hold secrets and are not kept."""

    method: str
    path: str
    query: str
    body: Any


@dataclass(kw_only=True)
class World:
    """The state of one sandbox.

    :param clock: seconds since the epoch; the seam for tests.
    :param lost_callbacks: numbers whose callback was not accepted (a dict for its order).
    :param worker: set while ITSM's background worker runs.
    :param scheduled: the automatic steps the worker has on its list, by ticket and ``state_id``.
    """

    settings: Settings
    clock: Callable[[], float] = time.time
    tickets: dict[int, Ticket] = field(default_factory=dict)
    lost_callbacks: dict[str, None] = field(default_factory=dict)
    requests: deque[LoggedRequest] = field(default_factory=lambda: deque(maxlen=_REQUESTS_KEPT))
    request_counts: Counter[str] = field(default_factory=Counter)
    installation: str = ""
    faults: Faults = field(default_factory=Faults)
    worker: asyncio.Event = field(default_factory=asyncio.Event)
    scheduled: set[tuple[int, int]] = field(default_factory=set)
    _by_sn: dict[str, list[Ticket]] = field(default_factory=dict)
    _background: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._database = Database(file=self.settings.database)
        meta = self._database.load("meta")
        self.services = ServiceBook(database=self._database, log_services=self.settings.log_services)
        for body in self._database.load("ticket").values():
            self._index(Ticket.from_document(self.services[body.pop("service_id")], body))
        self.itsm_v4 = InstallationV4(database=self._database, clock=self.clock, tenants=self.settings.tenants)
        self.bklog = LogPlatform(database=self._database, clock=self.clock)
        self.lost_callbacks = dict.fromkeys(self._database.load("lost_callback"))
        self.installation = meta.get("installation") or tokens.new_installation()
        self._database.save("meta", "installation", self.installation)
        self._counters: dict[str, int] = meta.get("counters") or {}
        self.worker.set()

    def add(self, draft: Draft) -> Ticket:
        """Add a new ticket under the day's next number."""
        now = self.clock()
        ticket = Ticket(
            service=draft.service,
            id=max(self.tickets, default=0) + 1,
            sn=self._next_sn(draft.service.sn_prefix, shanghai(now)[:10].replace("-", "")),
            title=draft.title,
            creator=draft.creator,
            fields=draft.fields,
            create_at=now,
            update_at=now,
            tag=draft.tag,
            meta=draft.meta,
            orphan=draft.doomed,
            stuck=draft.stuck,
            updated_by=[draft.creator],
            followers=[draft.creator] if draft.attention else [],
        )
        self._index(ticket)
        self.save(ticket)
        return ticket

    def forget_counters(self) -> None:
        """Begin the day's numbers again, as a restart of ITSM's Redis does: numbers will be given twice."""
        self._save_counters({})

    def next_comment(self) -> int:
        """Return the number of a finished ticket's comment record."""
        return 1 + max((one.comment for one in self.tickets.values()), default=0)

    def save(self, ticket: Ticket) -> None:
        """Write a ticket through."""
        self._database.save("ticket", ticket.id, ticket.document())

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
            raise refusals.no_such_ticket()
        if len(found) > 1:
            raise LookupError(f"get() returned more than one Ticket -- it returned {len(found)}!")
        return found[0]

    def newest_first(self) -> list[Ticket]:
        """Return all tickets, newest first."""
        return sorted(self.tickets.values(), key=lambda one: one.id, reverse=True)

    def lose_callback(self, sn: str) -> None:
        """Put a number on the lost-callback list."""
        self.lost_callbacks[sn] = None
        self._database.save("lost_callback", sn, None)

    def forget_callback(self, sn: str) -> None:
        """Take a number off the lost-callback list, whoever asks."""
        if sn in self.lost_callbacks:
            del self.lost_callbacks[sn]
            self._database.delete("lost_callback", sn)

    def log_request(self, request: LoggedRequest) -> None:
        """Record a request and count it."""
        self.requests.append(request)
        self.request_counts[f"{request.method} {request.path}"] += 1

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine in the background, until it ends or the sandbox stops."""
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def close(self) -> None:
        """Stop background work and close the file."""
        running = list(self._background)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        self._database.close()

    def _next_sn(self, prefix: str, day: str) -> str:
        number = self._counters.get(day, self.settings.numbers_after) + 1
        self._save_counters({day: number})
        return f"{prefix}{day}{number:06d}"

    def _save_counters(self, counters: dict[str, int]) -> None:
        self._counters = counters
        self._database.save("meta", "counters", counters)

    def _index(self, ticket: Ticket) -> None:
        self.tickets[ticket.id] = ticket
        self._by_sn.setdefault(ticket.sn.lower(), []).append(ticket)


def world_of(request: Request) -> World:
    """Return the state of the sandbox that serves a request."""
    return cast("World", request.app.state.world)


InWorld = Annotated[World, Depends(world_of)]
"""Parameter of a route: routes are made once in a process, and each sandbox in it has a state of its own."""
