# SPDX-License-Identifier: Apache-2.0
"""Reading whose a ticket is from the store: approval rounds and collectors' applications, in one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Connection, Select, bindparam, func, or_, select

from airflow_provider_bkitsm.collectors.migrations import APPROVALS_VERSION, reached_at
from airflow_provider_bkitsm.collectors.tables import approval_table, collector_table
from airflow_provider_bkitsm.itsm.dialect import another_dialect, stored_dialect
from airflow_provider_bkitsm.itsm.duties import JOINED_BY, REQUESTER
from airflow_provider_bkitsm.itsm.errors import ItsmAnotherDialectError
from airflow_provider_bkitsm.itsm.idempotency import TicketIdentity
from airflow_provider_bkitsm.tickets.approval_store import executors_elsewhere, installation, open_approval_store
from airflow_provider_bkitsm.tickets.opening_records import is_opener, reading, translated
from airflow_provider_bkitsm.tickets.ownership import (
    AwaitedTicket,
    Ownership,
    TicketOwner,
    TicketRecords,
    likeliest,
    opened_tickets,
    ownership_of,
)

if TYPE_CHECKING:
    from airflow_provider_bkitsm.tickets.approval import ApprovalRecord

_APPROVAL, _COLLECTOR = approval_table.c, collector_table.c


@dataclass(frozen=True, kw_only=True)
class TicketOpening:
    """What the store says of a ticket's opening.

    :param owner: who opened it; None where no record says.
    :param request: what was sent to open it; None where no record says.
    :param record: of the approval round that opened it.
    """

    owner: TicketOwner | None = None
    request: Mapping[str, Any] | None = field(default=None, repr=False)
    record: ApprovalRecord | None = field(default=None, repr=False)


def read_opening(sn: str, bkitsm_conn_id: str) -> TicketOpening:
    """Read what the store says of a ticket's opening. Blocks.

    :raises ItsmError: as ``read_ownership``.
    """
    with translated(sn):
        record = open_approval_store().by_ticket(bkitsm_conn_id, sn)
    if record is None:
        with reading(sn) as connection:
            owner, request = _first(connection, _openers(), {"sn": sn, "conn_id": bkitsm_conn_id})
        return TicketOpening(owner=owner, request=request)
    asked = record.subject
    owner = TicketOwner(
        dag_id=asked.dag_id,
        run_id=asked.run_id,
        task_id=asked.task_id,
        elsewhere=_is_elsewhere(asked.installation),
    )
    return TicketOpening(owner=owner, request=record.request or None, record=record)


def read_ownership(ticket: AwaitedTicket, opening: TicketOpening | None = None) -> Ownership:
    """Read from the store whose an awaited ticket is. Blocks.

    :param opening: of that ticket, where it was read a moment ago: whoever opened it stays the one.
    :raises ItsmError: the store cannot be read. The ticket is untouched, and a retry is safe.
    """
    with reading(ticket.sn) as connection:
        each = [ownership_of(one, _records(connection, one, opening)) for one in ticket.of_each_opener]
        return likeliest(each)


def read_opened_ticket(ticket: AwaitedTicket) -> str | None:
    """Return the number of the one ticket that a wait may be for; None where there is none, or several. Blocks.

    Airflow's clean-ups delete XComs, and with them the number that a task was given.

    :param ticket: as far as it is known; ``sn`` is empty.
    :raises ItsmError: as ``read_ownership``.
    """
    with reading("of this run") as connection:
        each = [opened_tickets(one, _records(connection, one)) for one in ticket.of_each_opener]
    found = {sn for numbers in each for sn in numbers}
    return found.pop() if len(found) == 1 else None


def read_request(sn: str, bkitsm_conn_id: str) -> Mapping[str, Any] | None:
    """Return what was sent to open a ticket; None where no record says. Blocks.

    :raises ItsmError: as ``read_ownership``.
    """
    with reading(sn) as connection:
        return _first(connection, _openers(), {"sn": sn, "conn_id": bkitsm_conn_id})[1]


def read_stored_dialect(sn: str, bkitsm_conn_id: str) -> str | None:
    """Return the name of the dialect that a ticket was opened in; None where no record says. Blocks.

    :raises ItsmError: as ``read_ownership``.
    """
    request = read_request(sn, bkitsm_conn_id)
    return None if request is None else stored_dialect(request)


def read_another_dialect(sn: str, bkitsm_conn_id: str, *, spoken: str) -> ItsmAnotherDialectError | None:
    """Return the error of a ticket that was opened in another dialect than its connection speaks. Blocks.

    :param spoken: name of the connection's dialect.
    :raises ItsmError: as ``read_ownership``.
    """
    stored = read_stored_dialect(sn, bkitsm_conn_id)
    if stored in (None, spoken):
        return None
    return another_dialect(f"ITSM ticket {sn}", bkitsm_conn_id, stored=str(stored), spoken=spoken)


def read_identity(sn: str, bkitsm_conn_id: str) -> TicketIdentity | None:
    """Return what is recorded of a ticket's opening, by which another of its number is known. Blocks.

    None where no record says, and of a ticket that a version without records has opened.

    :raises ItsmError: as ``read_ownership``.
    """
    values = {"sn": sn, "conn_id": bkitsm_conn_id, "installation": installation()}
    with reading(sn) as connection:
        for query in _identities():
            row = connection.execute(query, values).first()
            if row is not None:
                return TicketIdentity.of(row.tag, row.create_started_at, row.request)
    return None


def _records(connection: Connection, ticket: AwaitedTicket, opening: TicketOpening | None = None) -> TicketRecords:
    rounds, elsewhere, joined_by = _rounds(connection, ticket) if ticket.opened_by else ({}, False, ())
    if opening is None or opening.owner is None:
        owner, request = _owner(connection, ticket)
    else:
        owner, request = opening.owner, opening.request
    if owner is not None and not owner.run_id:
        joined_by = joined_by or _joined_by(connection, ticket)
    if request is not None and joined_by:
        request = {**request, JOINED_BY: joined_by}
    since = None if rounds else reached_at(connection, APPROVALS_VERSION)
    return TicketRecords(
        rounds=rounds,
        elsewhere=elsewhere,
        owner=owner,
        request=request,
        since=since,
        complete=connection.dialect.name != "sqlite" or not executors_elsewhere(),
    )


def _rounds(connection: Connection, ticket: AwaitedTicket) -> tuple[dict[int, str | None], bool, Sequence[str]]:
    """Return the ticket of the latest round of ``opened_by`` by map index, or of its application.

    With it: whether they are rounds of another installation, or of this one by processes that do not agree on its
    address (a worker tells the two apart, since a worker has opened the ticket); and who asks in those rounds that
    have joined another one's ticket.
    """
    found_rows = connection.execute(_rounds_of_task(), _task(ticket))
    # MySQL overlooks spaces at a text's end, and whoever starts a run may choose its id.
    rows = [row for row in found_rows if (row.dag_id, row.run_id, row.task_id) == tuple(_task(ticket).values())]
    # Another installation may have the same runs.
    here = [row for row in rows if row.installation == installation()]
    elsewhere, rows = not here and bool(rows), here or rows
    # A subject is of one connection and installation: the rounds of another one are counted anew.
    by_subject = {row.subject_key: row for row in sorted(rows, key=lambda row: row.round_number)}
    latest = {row.map_index: row for row in sorted(by_subject.values(), key=lambda row: row.created_at)}
    others = _tickets_of(connection, {row.ticket_of for row in latest.values() if row.ticket_of})
    found = {index: others.get(row.ticket_of) if row.ticket_of else row.sn for index, row in latest.items()}
    if not found:
        return *_applications(connection, ticket), ()
    asked = {str((row.request or {}).get(REQUESTER) or "") for row in latest.values() if row.ticket_of}
    return found, elsewhere, sorted(asked - {""})


def _joined_by(connection: Connection, ticket: AwaitedTicket) -> Sequence[str]:
    """Return who asks in the run that waits, of tasks that have joined the ticket, whichever task opened it."""
    values = {"sn": ticket.sn, "conn_id": ticket.bkitsm_conn_id, "dag_id": ticket.dag_id, "run_id": ticket.run_id}
    requests = (row.request or {} for row in connection.execute(_joined_in_run(), values))
    return sorted({str(request.get(REQUESTER) or "") for request in requests} - {""})


@cache
def _joined_in_run() -> Select[Any]:
    """Select the rounds of a run that have joined a ticket."""
    ticket = approval_table.alias("ticket").c
    is_ticket = (ticket.sn == bindparam("sn"), ticket.bkitsm_conn_id == bindparam("conn_id"))
    joined = (_APPROVAL.dag_id == bindparam("dag_id"), _APPROVAL.run_id == bindparam("run_id"))
    return select(_APPROVAL.request).where(*joined, _APPROVAL.ticket_of == ticket.nonce, *is_ticket)


@cache
def _rounds_of_task() -> Select[Any]:
    """Select the rounds of the task ``task_id``."""
    same = [getattr(_APPROVAL, name) == bindparam(name) for name in ("dag_id", "run_id", "task_id")]
    names = (
        "subject_key",
        "installation",
        "map_index",
        "round_number",
        "created_at",
        "sn",
        "ticket_of",
        "request",
    )
    columns = (*(getattr(_APPROVAL, name) for name in names), *_owner_columns(_APPROVAL))
    return select(*columns).where(*same)


def _tickets_of(connection: Connection, nonces: set[str]) -> dict[str, str | None]:
    if not nonces:
        return {}
    query = select(_APPROVAL.nonce, _APPROVAL.sn).where(_APPROVAL.nonce.in_(nonces))
    return {row.nonce: row.sn for row in connection.execute(query)}


def _applications(connection: Connection, ticket: AwaitedTicket) -> tuple[dict[int, str | None], bool]:
    """As the first two of ``_rounds``, of collectors; what was sent for one says of which installation it is."""
    same = [getattr(_COLLECTOR, name) == value for name, value in _task(ticket).items()]
    columns = (_COLLECTOR.map_index, _COLLECTOR.ticket_sn, _COLLECTOR.request, *_owner_columns(_COLLECTOR))
    found_rows = connection.execute(select(*columns).where(*same, _COLLECTOR.ticket_sn.is_not(None)))
    task = tuple(_task(ticket).values())
    rows = [row for row in found_rows if (row.dag_id, row.run_id, row.task_id) == task]
    here = [row for row in rows if not _is_elsewhere((row.request or {}).get("installation"))]
    return {row.map_index: row.ticket_sn for row in here or rows}, not here and bool(rows)


def _is_elsewhere(where: str | None) -> bool:
    """Whether something is of another installation; None: the version before did not say."""
    return where not in (None, installation())


def _owner(connection: Connection, ticket: AwaitedTicket) -> tuple[TicketOwner | None, Mapping[str, Any] | None]:
    """Return who opened the ticket, and with what request.

    Two connections may lead to one ITSM: a ticket that this run has opened on another one is its ticket as well.
    """
    values = {"sn": ticket.sn, "conn_id": ticket.bkitsm_conn_id, "dag_id": ticket.dag_id, "run_id": ticket.run_id}
    return _first(connection, _owners(), values)


# Statements are built once: building one takes as long as the database takes to answer it.
@cache
def _openers() -> tuple[Select[Any], ...]:
    """Return the queries for the record that opened a ticket, an approval round or a collector's application."""
    rounds, applications = _by_number()
    return _round(*rounds), _application(*applications)


@cache
def _identities() -> tuple[Select[Any], ...]:
    """As ``_openers``, for what a ticket is known by."""
    rounds, applications = _by_number()
    names = ("tag", "create_started_at", "request")
    found = select(*(getattr(_APPROVAL, name) for name in names)).where(*rounds)
    applied = select(*(getattr(_COLLECTOR, name) for name in names)).where(*applications)
    return _latest_round(found), _latest_application(applied)


def _by_number() -> tuple[tuple[ColumnElement[bool], ...], tuple[ColumnElement[bool], ...]]:
    """Return the conditions that a round, or an application, has opened the ticket ``sn`` on ``conn_id``."""
    sn: Any = bindparam("sn")
    conn_id: Any = bindparam("conn_id")
    # An earlier version did not store an application's connection.
    here = or_(_COLLECTOR.bkitsm_conn_id == conn_id, _COLLECTOR.bkitsm_conn_id.is_(None))
    return is_opener(sn, conn_id), (_COLLECTOR.ticket_sn == sn, here)


@cache
def _owners() -> tuple[Select[Any], ...]:
    """Return the queries for the record that opened a ticket, on its own connection or in its run."""
    sn: Any = bindparam("sn")
    return (
        *_openers(),
        _round(_APPROVAL.sn == sn, _APPROVAL.ticket_of.is_(None), *_in_run(_APPROVAL)),
        _application(_COLLECTOR.ticket_sn == sn, *_in_run(_COLLECTOR)),
    )


def _round(*conditions: ColumnElement[bool]) -> Select[Any]:
    """Return the query for an approval round; of a number that ITSM gave twice, the later one."""
    columns = (*_owner_columns(_APPROVAL), _APPROVAL.request, _APPROVAL.installation)
    return _latest_round(select(*columns).where(*conditions))


def _latest_round(found: Select[Any]) -> Select[Any]:
    # Two installations may share a store and not an ITSM.
    is_here = _APPROVAL.installation == bindparam("installation")
    return found.order_by(is_here.desc(), _APPROVAL.created_at.desc()).limit(1)


def _application(*conditions: ColumnElement[bool]) -> Select[Any]:
    """Return the query for a collector's application, the one that began last."""
    return _latest_application(select(*_owner_columns(_COLLECTOR), _COLLECTOR.request).where(*conditions))


def _latest_application(found: Select[Any]) -> Select[Any]:
    # A collector's row is the same for each of its applications.
    return found.order_by(func.coalesce(_COLLECTOR.create_started_at, _COLLECTOR.created_at).desc()).limit(1)


def _first(
    connection: Connection, queries: Iterable[Select[Any]], values: Mapping[str, str]
) -> tuple[TicketOwner | None, Mapping[str, Any] | None]:
    """Return who opened a ticket and with what request, by the first query that finds a record."""
    for query in queries:
        row = connection.execute(query, {**values, "installation": installation()}).first()
        if row is not None and row.dag_id is not None:
            values = row._asdict()
            request = values.pop("request")
            where = values.pop("installation", (request or {}).get("installation"))
            return TicketOwner(**values, elsewhere=_is_elsewhere(where)), request or None
    return None, None


def _in_run(columns: Any) -> tuple[ColumnElement[bool], ...]:
    run_id: Any = bindparam("run_id")
    return columns.dag_id == bindparam("dag_id"), or_(columns.run_id == "", columns.run_id == run_id)


def _owner_columns(columns: Any) -> list[Any]:
    return [columns.dag_id, columns.run_id, columns.task_id]


def _task(ticket: AwaitedTicket) -> dict[str, str | None]:
    return {"dag_id": ticket.dag_id, "run_id": ticket.run_id, "task_id": ticket.task_id}
