# SPDX-License-Identifier: Apache-2.0
"""The places between two steps of a task, where a test may stop it, kill it or lose what it sent.

A seam is a function that is told the place (``Point``) and either returns, or raises, or returns an ``Order``:
another way to send the request at hand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Literal

from airflow_provider_bkitsm.collectors.row import CollectorRow
from airflow_provider_bkitsm.collectors.store import CollectorStore, Key
from airflow_provider_bkitsm.hooks.bklog import BkLogHook
from airflow_provider_bkitsm.hooks.connection import Gateway
from airflow_provider_bkitsm.hooks.itsm import ItsmHook
from airflow_provider_bkitsm.hooks.transport import NoAnswerError, Reply, Request, SyncTransport
from airflow_provider_bkitsm.tickets.approval import ApprovalRecord
from airflow_provider_bkitsm.tickets.approval_store import ApprovalStore

Kind = Literal["before", "after", "changing", "committing", "stored", "recording", "recorded", "sleeping"]


# The call that opens a ticket, in each version of ITSM.
CREATES = frozenset({"create_ticket", "create"})


class Crash(BaseException):
    """The worker is gone; no ``except Exception`` may hold it up."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """A place between two steps.

    ``before`` and ``after`` a request; a transition computed but not written (``changing``), written but not
    committed (``committing``), and ``stored``; before and after a write of an approval's record (``recording``,
    ``recorded``); ``sleeping``.

    :param name: of the call, of the event, or of what is written.
    """

    kind: Kind
    name: str
    request: Request | None = None
    seconds: float = 0.0

    @property
    def before_create(self) -> bool:
        """Whether the call that opens a ticket is about to be sent."""
        return self.kind == "before" and self.name in CREATES

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


Order = Callable[["SeamedTransport", Request], Reply]
Seam = Callable[[Point], Order | None]


class SeamedTransport(SyncTransport):
    """Sends over HTTP, and stops before and after."""

    def __init__(self, gateway: Gateway, seam: Seam) -> None:
        super().__init__(gateway)
        self.seam = seam

    def _once(self, request: Request) -> Reply:
        name = call_of(request)
        order = self.seam(Point(kind="before", name=name, request=request))
        reply = order(self, request) if order else self.carry(request)
        self.seam(Point(kind="after", name=name, request=request))
        return reply

    def carry(self, request: Request) -> Reply:
        """Send."""
        return super()._once(request)

    def lost(self, *, sent: bool) -> NoAnswerError:
        """Return what a cut connection raises."""
        return NoAnswerError(self.gateway, ConnectionError("cut"), sent=sent, dropped=sent, late=False)


def call_of(request: Request) -> str:
    """Return the name of the call a request makes."""
    return request.url.split("?")[0].rstrip("/").rsplit("/", 1)[-1]


class SeamedStore(CollectorStore):
    """The store, with a stop between reading and writing and one after the commit."""

    def __init__(self, *args: Any, seam: Seam, **more: Any) -> None:
        super().__init__(*args, **more)
        self.seam = seam

    def _attempt(
        self, key: Key, event: str, change: partial[CollectorRow], detail: Mapping[str, Any]
    ) -> CollectorRow:
        def stopped(row: CollectorRow, *, now: datetime) -> CollectorRow:
            changed = change(row, now=now)
            self.seam(Point(kind="changing", name=event))
            return changed

        stored = super()._attempt(key, event, partial(stopped), detail)
        self.seam(Point(kind="stored", name=event))
        return stored


class SeamedApprovals(ApprovalStore):
    """The records of approval rounds, with a stop before and after each write."""

    def __init__(self, *args: Any, seam: Seam, **more: Any) -> None:
        super().__init__(*args, **more)
        self.seam = seam

    def begin(self, record: ApprovalRecord) -> ApprovalRecord:
        """Store an intent."""
        self.seam(Point(kind="recording", name="intent"))
        stored = super().begin(record)
        self.seam(Point(kind="recorded", name="intent"))
        return stored

    def change(self, record: ApprovalRecord, **changes: Any) -> ApprovalRecord:
        """Change a record."""
        name = "asking" if changes.get("create_started_at") else next(iter(changes), "nothing")
        self.seam(Point(kind="recording", name=name))
        stored = super().change(record, **changes)
        self.seam(Point(kind="recorded", name=name))
        return stored


def wired(
    task: Any,
    transport: Callable[[str], SyncTransport],
    store: CollectorStore | None = None,
    approvals: ApprovalStore | None = None,
) -> Any:
    """Give an operator transports and stores of a test's own.

    :param transport: makes one for a connection type.
    """
    vars(task)["hook"] = ItsmHook.over(transport("bkitsm"))
    vars(task)["bklog"] = BkLogHook.over(transport("bklog"))
    if store is not None:
        vars(task)["store"] = store
    if approvals is not None:
        vars(task)["approval_store"] = approvals
    return task
