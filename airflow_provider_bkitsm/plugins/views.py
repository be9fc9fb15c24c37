# SPDX-License-Identifier: Apache-2.0
"""The content of the pages, limited to the DAGs that a person may read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_bkitsm import settings
from airflow_provider_bkitsm.approvals.asked import RoundRecords, asked_of, asked_of_application, decision_of
from airflow_provider_bkitsm.approvals.csv_export import csv_of
from airflow_provider_bkitsm.approvals.list_query import Wanted, page_of
from airflow_provider_bkitsm.approvals.rows import ApprovalWait, Row, TaskKey, Ticket, Viewer, row_of, wait_of
from airflow_provider_bkitsm.approvals.ticket_detail import ticket_detail
from airflow_provider_bkitsm.approvals.ticket_list import listed_tickets, ticket_of, ticket_page_of
from airflow_provider_bkitsm.collectors.row import CollectorRow
from airflow_provider_bkitsm.hooks.connection import Gateway
from airflow_provider_bkitsm.hooks.itsm import ItsmAsyncHook
from airflow_provider_bkitsm.itsm.actions import read_own_info, read_status
from airflow_provider_bkitsm.itsm.confirmation import differing_fields
from airflow_provider_bkitsm.itsm.dialect import another_dialect, ask
from airflow_provider_bkitsm.itsm.errors import ItsmConfigurationError, ItsmError
from airflow_provider_bkitsm.itsm.idempotency import TicketIdentity
from airflow_provider_bkitsm.plugins.concurrency import SharedCache, in_thread
from airflow_provider_bkitsm.plugins.itsm_reader import ItsmReader, TicketCache
from airflow_provider_bkitsm.plugins.metadata import AirflowMetadata, AirflowTickets
from airflow_provider_bkitsm.plugins.pages import frame_origin
from airflow_provider_bkitsm.plugins.person_tickets import PersonTickets
from airflow_provider_bkitsm.plugins.reminders import page_senders
from airflow_provider_bkitsm.plugins.security import (
    airflow_name,
    check_reads,
    framed,
    itsm_name,
    may_change,
    readable_dags,
)
from airflow_provider_bkitsm.plugins.store_reader import (
    Collectors,
    SentTickets,
    collector_row,
    read_reminders,
    read_rounds,
    stored_identity,
)
from airflow_provider_bkitsm.plugins.ticket_rights import TicketRights
from airflow_provider_bkitsm.translation import Language

if TYPE_CHECKING:
    from fastapi import Request

T = TypeVar("T")

_SECONDS = 5.0


async def read_story(
    gateway: Gateway,
    sn: str,
    *,
    seconds: float = _SECONDS,
    request: Mapping[str, Any] | None = None,
    identity: TicketIdentity | None = None,
) -> tuple[dict[str, Any] | None, str]:
    """Return a ticket's story, or why there is none; exactly one of the two is empty.

    ``differences`` in it are the fields that ITSM does not show as they were sent; None where that is not known.

    :param seconds: how long ITSM may take.
    :param request: what was sent to open the ticket; None: not known.
    :param identity: what is recorded of its opening: another ITSM's ticket of its number is not shown (P6).
    """
    try:
        async with asyncio.timeout(seconds), ItsmAsyncHook.for_gateway(gateway) as hook:
            answers = await asyncio.gather(
                hook.run(read_own_info(sn, identity)),
                hook.run(ask(lambda itsm: itsm.log(sn))),
                hook.run(read_status(sn)),
            )
    except TimeoutError:
        return None, f"no answer in {seconds:g} s"
    except ItsmError as error:
        return None, str(error)
    try:
        differences = None if request is None else differing_fields(request, answers[0], gateway.dialect)
    except ItsmError:
        differences = None
    return {**ticket_detail(*answers).as_dict(), "differences": differences}, ""


_MOST_ROWS = 20_000
_LONG_AGO = datetime.min.replace(tzinfo=UTC)
_RECENT = timedelta(days=30)
SHARED_SECONDS = 3.0
"""For how long people who may read the same DAGs share one read of the database."""
KNOWN_SECONDS = 15.0
"""How old the data behind a click's answer may be; the request that follows the click reads anew."""
# A poller notes at most once a minute that ITSM answered one of its polls.
_POLLED = timedelta(hours=1)


@dataclass(frozen=True, kw_only=True)
class PageContext:
    """What rows show besides their waits.

    :param names: collectors' names by ticket; numbers count within their connection.
    :param polls: last polls by connection.
    :param people: names in ITSM by names in Airflow.
    """

    names: Mapping[Ticket, str] = field(default_factory=dict)
    polls: Mapping[str, datetime] = field(default_factory=dict)
    people: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Listing:
    """What a list is made of: the waits that a person may see, and that person, where the list is theirs alone.

    :param answered: whether every ITSM that was asked for it answered.
    """

    waits: list[ApprovalWait]
    context: PageContext
    viewer: Viewer | None
    answered: bool


class ApprovalViews:
    """Builds what the pages read, from Airflow's database, the collectors' store and ITSM."""

    def __init__(self, metadata: AirflowMetadata) -> None:
        self.metadata = metadata
        self.tickets = AirflowTickets()
        self.collectors = Collectors()
        itsm = ItsmReader(gateway=lambda conn_id: in_thread(metadata.gateway, conn_id))
        self.live, self.mine, self.sent = TicketCache(itsm), PersonTickets(itsm), SentTickets()
        self._rights = TicketRights(self._gateway)
        self._rows: dict[TaskKey, tuple[tuple[Any, ...], Row]] = {}
        self._waits: SharedCache[list[ApprovalWait]] = SharedCache(SHARED_SECONDS)
        self._polls: SharedCache[dict[str, datetime]] = SharedCache(SHARED_SECONDS)
        self._gateways: SharedCache[Gateway | None] = SharedCache(SHARED_SECONDS)
        self._collectors: SharedCache[list[CollectorRow]] = SharedCache(SHARED_SECONDS)
        self._stories: SharedCache[tuple[dict[str, Any] | None, str]] = SharedCache(SHARED_SECONDS)

    async def listed(self, user: Any, wanted: Wanted) -> dict[str, Any]:
        """Return one page of the list by task. Only the open tickets of this page are read anew from ITSM.

        All rows are in the answer, however slow ITSM is: what it answers later is in the next one.
        """
        listing = await self._listing(user, wanted)
        page = await in_thread(self._with_rows, page_of, listing, wanted)
        # The page was chosen by what the cache holds. Its open tickets are read now, and its rows built anew.
        answered = await self._refresh(listing, page.rows)
        by_task = {wait.task: wait for wait in listing.waits}
        fresh = replace(page, rows=tuple(self._row(by_task[row.task], listing.context) for row in page.rows))
        return {**fresh.as_dict(), "itsm_answered": answered, "now": datetime.now(UTC)}

    async def listed_tickets(
        self, request: Request, user: Any, wanted: Wanted, *, waits_for_itsm: bool = True
    ) -> dict[str, Any]:
        """Return one page of the list by ticket, as ``listed`` does, with what the person may do with each.

        :param waits_for_itsm: False returns what is known, and ITSM is asked behind the answer.
        """
        listing = await self._listing(user, wanted, seconds=None if waits_for_itsm else KNOWN_SECONDS)
        page = await in_thread(self._with_rows, ticket_page_of, listing, wanted)
        leads = [ticket.lead for ticket in page.rows]
        answered = await self._refresh(listing, leads, waits=waits_for_itsm)
        by_task = {wait.task: wait for wait in listing.waits}
        fresh = replace(
            page,
            rows=tuple(
                ticket_of(self._row(by_task[row.task], listing.context) for row in ticket.tasks)
                for ticket in page.rows
            ),
        ).as_dict()
        rows = await self._rights.add(request, user, fresh["rows"])
        return {**fresh, "rows": rows, "itsm_answered": answered, "now": datetime.now(UTC)}

    async def exported(self, user: Any, wanted: Wanted, language: Language) -> str:
        """Return all tickets that the filters leave as CSV, as they were last read: ITSM is not asked for it."""
        listing = await self._listing(user, wanted)

        def export() -> str:
            return csv_of(self._with_rows(listed_tickets, listing, wanted), language=language)

        return await in_thread(export)

    async def ticket(self, request: Request, user: Any, task: TaskKey) -> dict[str, Any]:
        """Return the ticket of a task instance, with its story where ITSM answers."""
        wait = await self.wait(request, user, task)
        now = datetime.now(UTC)
        if wait is None:
            return {"ticket": None, "now": now}
        applied = await self._collector(wait, frozenset({task.dag_id}))
        await self.sent.refresh([wait.ticket])
        await self.live.refresh(await self._in_their_itsm([wait.ticket]))
        row = self._row(wait, PageContext(polls=await self._last_polls(), people=_user_mapping()))
        rounds = await in_thread(read_rounds, wait)
        sent = rounds.source.request if rounds else applied.request if applied else None
        story, problem = await self._story(wait, sent)
        differences = (story or {}).get("differences")
        asked = asked_of(rounds, differences) if rounds else applied and asked_of_application(applied, differences)
        changes = await in_thread(may_change, request, user, task.dag_id)
        creator = row.creator or (story or {}).get("creator", "")
        withdraws, withdraw_by = await self._rights.withdrawal(user, wait.conn_id, creator)
        return {
            "ticket": row.as_dict(),
            "story": story,
            "problem": problem,
            "asked": asked and asked.as_dict(),
            "decision": decision_of(_end_of(wait, rounds), opened_at=row.since),
            **await in_thread(read_reminders, wait, row, self._opened_at(wait.ticket), now),
            "collector": applied and collector_row(applied) | {"payload": applied.etl_payload},
            "may_change": changes,
            "may_withdraw": changes and row.is_open and bool(wait.sn) and withdraws,
            "withdraw_by": withdraw_by if row.is_open else (),
            "may_remind": changes and bool(await in_thread(page_senders, wait.task)),
            "frame_url": framed((story or {}).get("iframe_ticket_url", ""), frame_origin()),
            "now": now,
        }

    async def wait(self, request: Request, user: Any, task: TaskKey) -> ApprovalWait | None:
        """Return the wait of a task instance, for a person who may read its DAG."""
        await in_thread(check_reads, request, user, task.dag_id)
        return wait_of(await in_thread(self.tickets.of_run, task.dag_id, task.run_id), task)

    def forget_story(self, ticket: Ticket) -> None:
        """Have a ticket's story read anew: somebody has just changed the ticket."""
        self._stories.forget(ticket)

    async def _story(
        self, wait: ApprovalWait, request: Mapping[str, Any] | None
    ) -> tuple[dict[str, Any] | None, str]:
        """Return a ticket's story, which everybody who looks within seconds shares."""
        if not all(wait.ticket):
            return None, ""
        return await self._stories.get(wait.ticket, lambda: self._read_story(wait, request))

    async def _read_story(
        self, wait: ApprovalWait, request: Mapping[str, Any] | None
    ) -> tuple[dict[str, Any] | None, str]:
        gateway = await self._gateway(wait.conn_id)
        if gateway is None:
            return None, ""
        sent, spoken = self.sent.get(wait.ticket), gateway.dialect.name
        if sent is not None and sent.dialect != spoken:
            name = f"ITSM ticket {wait.sn}"
            return None, str(another_dialect(name, wait.conn_id, stored=sent.dialect, spoken=spoken))
        identity = await in_thread(stored_identity, wait.ticket)
        return await read_story(gateway, wait.sn, request=request, identity=identity)

    def _opened_at(self, ticket: Ticket) -> datetime | None:
        """Return when a ticket was opened, where its record or ITSM has said it."""
        sent, live = self.sent.get(ticket), self.live.snapshot(ticket)
        return (sent.opened_at if sent else None) or (live.created_at if live else None)

    async def _gateway(self, conn_id: str) -> Gateway | None:
        return await self._gateways.get(conn_id, lambda: in_thread(self.metadata.gateway, conn_id))

    async def _in_their_itsm(self, tickets: Iterable[Ticket]) -> list[Ticket]:
        """Return the tickets that were opened in the dialect which their connection speaks now.

        Of any other ticket nobody can be asked: another ITSM may have a ticket of the same number (P6).
        """
        named = list(tickets)
        sent = {ticket: found for ticket in named if (found := self.sent.get(ticket))}
        read = {conn_id: await self._gateway(conn_id) for conn_id in {conn_id for conn_id, _ in sent}}
        spoken = {conn_id: gateway.dialect.name for conn_id, gateway in read.items() if gateway}
        elsewhere = {ticket for ticket, one in sent.items() if spoken.get(ticket[0], one.dialect) != one.dialect}
        return [ticket for ticket in named if ticket not in elsewhere]

    async def _listing(self, user: Any, wanted: Wanted, *, seconds: float | None = None) -> Listing:
        """Read what a list is made of. People who may read the same DAGs share it for some seconds."""
        dags = await in_thread(readable_dags, user)
        read = partial(self.tickets.waits, dags, since=datetime.now(UTC) - _RECENT)
        waits, polls, names = await asyncio.gather(
            self._waits.get(dags, lambda: in_thread(read), seconds=seconds),
            self._last_polls(seconds),
            self._collector_names(dags, seconds),
        )
        context = PageContext(names=names, polls=polls, people=_user_mapping())
        await self.sent.refresh(wait.ticket for wait in waits)
        viewer, answered = await self._viewer(user, waits) if wanted.mine else (None, True)
        return Listing(waits=waits, context=context, viewer=viewer, answered=answered)

    async def _refresh(self, listing: Listing, rows: Iterable[Row], *, waits: bool = True) -> bool:
        """Read the open tickets of these rows anew, and wait a moment; False while an ITSM does not answer."""
        shown = [(row.conn_id, row.sn) for row in rows if row.is_open]
        return await self.live.refresh(await self._in_their_itsm(shown), waits=waits) and listing.answered

    def _with_rows(
        self, make: Callable[[Sequence[Row], Wanted, Viewer | None], T], listing: Listing, wanted: Wanted
    ) -> T:
        """Make something of thousands of rows. Blocks: in the event loop, callbacks would wait for it."""
        if len(self._rows) > _MOST_ROWS:
            self._rows.clear()
        rows = [self._row(wait, listing.context) for wait in listing.waits]
        return make(rows, wanted, listing.viewer)

    def _row(self, wait: ApprovalWait, context: PageContext) -> Row:
        ticket = wait.ticket
        live, polled_at = self.live.snapshot(ticket), context.polls.get(wait.conn_id)
        collector = _of_ticket(context.names, ticket) or ""
        sent = self.sent.get(ticket)
        person = str(context.people.get(wait.triggered_by, ""))
        # Building a row takes longer than seeing that nothing of it has changed.
        key = (wait, live, collector, polled_at, sent, person)
        last = self._rows.get(wait.task)
        if last is None or last[0] != key:
            row = row_of(wait, live, collector=collector, polled_at=polled_at, sent=sent, person=person)
            last = self._rows[wait.task] = key, row
        return last[1]

    async def _viewer(self, user: Any, waits: Iterable[ApprovalWait]) -> tuple[Viewer, bool]:
        """Return the viewer with their tickets, and whether every ITSM answered.

        People who may read the same DAGs share the list of waits; they do not share this.
        """
        name = itsm_name(user)
        latest = sorted(
            waits, key=lambda wait: (wait.verdict is None, wait.registered_at or _LONG_AGO), reverse=True
        )
        here = frozenset(await self._in_their_itsm(wait.ticket for wait in latest))
        tickets, all_answered = await self.mine.find(
            name, ((wait.ticket, wait.verdict is None) for wait in latest if wait.ticket in here)
        )
        return Viewer(airflow_name=airflow_name(user), itsm_name=name, tickets=tickets), all_answered

    async def _last_polls(self, seconds: float | None = None) -> dict[str, datetime]:
        """Return when ITSM last answered a poll, by connection."""
        read = partial(self.tickets.polls, since=datetime.now(UTC) - _POLLED)
        return await self._polls.get("", lambda: in_thread(read), seconds=seconds)

    async def _collector_names(self, dags: frozenset[str], seconds: float | None) -> dict[Ticket, str]:
        """Return the collectors' names by ticket; without a connection where an earlier version opened it."""
        rows = await self._collector_rows(dags, seconds)
        return {_ticket_of(row): _collector_name(row) for row in rows if row.ticket_sn}

    async def _collector(self, wait: ApprovalWait, dags: frozenset[str]) -> CollectorRow | None:
        """Return the collector that this ticket is about."""
        rows = await self._collector_rows(dags) if wait.sn else []
        by_ticket = {_ticket_of(row): row for row in reversed(rows)}
        return _of_ticket(by_ticket, wait.ticket)

    async def _collector_rows(self, dags: frozenset[str], seconds: float | None = None) -> list[CollectorRow]:
        """Return the collectors that these DAGs applied for; none while the store cannot be used."""
        try:
            read = partial(in_thread, self.collectors.listed, dags)
            return await self._collectors.get(dags, read, seconds=seconds)
        except ItsmError:
            return []


def _end_of(wait: ApprovalWait, rounds: RoundRecords | None) -> Mapping[str, Any] | None:
    """Return the verdict that the task ended with; of one that has none, or not any more, its record's."""
    if wait.verdict is not None or rounds is None or wait.state == "deferred":
        return wait.verdict
    return (rounds.own or rounds.source).verdict


def _user_mapping() -> Mapping[str, Any]:
    """Return names in ITSM by names in Airflow; none where the setting cannot be read."""
    try:
        return settings.user_mapping()
    except ItsmConfigurationError:
        return {}


def _of_ticket(found: Mapping[Ticket, T], ticket: Ticket) -> T | None:
    """Return what belongs to a ticket; an earlier version has stored no connection with its number."""
    return found.get(ticket) or found.get(("", ticket[1]))


def _ticket_of(row: CollectorRow) -> Ticket:
    return row.bkitsm_conn_id or "", row.ticket_sn or ""


def _collector_name(row: CollectorRow) -> str:
    return f"{row.collector_config_id} ({row.bklog_conn_id})"
