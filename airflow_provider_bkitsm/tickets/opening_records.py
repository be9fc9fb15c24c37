# SPDX-License-Identifier: Apache-2.0
"""Reading from the store what is known of tickets that were opened: when, by whom asked for, with which title."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, func, select

from airflow_provider_bkitsm.collectors.database import Transactions
from airflow_provider_bkitsm.collectors.errors import StoreUnavailable
from airflow_provider_bkitsm.collectors.tables import approval_table, collector_table
from airflow_provider_bkitsm.hooks.connection import DIALECTS
from airflow_provider_bkitsm.itsm.dialect import FIRST, stored_dialect
from airflow_provider_bkitsm.itsm.duties import REQUESTER
from airflow_provider_bkitsm.itsm.errors import ItsmError

_APPROVAL, _COLLECTOR = approval_table.c, collector_table.c
# How many of the latest records are looked through.
_LATEST = 50
# Numbers in one query: databases limit its parameters.
_AT_A_TIME = 500


@contextmanager
def reading(sn: str) -> Iterator[Connection]:
    """Open the store for reading; whatever goes wrong in it is an error of ours.

    :raises ItsmError: the store cannot be read. The ticket is untouched, and a retry is safe.
    """
    from airflow_provider_bkitsm.hooks.store import store_engine

    with translated(sn), Transactions(store_engine()).read() as connection:
        yield connection


@contextmanager
def translated(sn: str) -> Iterator[None]:
    """Make every failure of the store an error of ours."""
    try:
        yield
    except ItsmError:
        raise
    except Exception as error:
        # Its text is left out: it may hold the database's URL.
        raise StoreUnavailable(
            f"Whose ITSM ticket {sn} is cannot be read from the store ({type(error).__name__}). The ticket"
            " is untouched; a retry is safe."
        ) from None


def is_opener(sn: Any, conn_id: Any) -> tuple[ColumnElement[bool], ...]:
    """Return the conditions of the approval round that opened a ticket."""
    return _APPROVAL.sn == sn, _APPROVAL.bkitsm_conn_id == conn_id, _APPROVAL.ticket_of.is_(None)


def read_opened_at(sn: str, bkitsm_conn_id: str) -> datetime | None:
    """Return when a ticket was opened, by its worker's clock (aware); None where no record says. Blocks.

    :raises ItsmError: as ``reading``.
    """
    query = select(_APPROVAL.create_started_at, _APPROVAL.opened_at)
    query = query.where(*is_opener(sn, bkitsm_conn_id)).order_by(_APPROVAL.created_at.desc()).limit(1)
    with reading(sn) as connection:
        row = connection.execute(query).first()
        return None if row is None else row.opened_at or row.create_started_at


@dataclass(frozen=True, kw_only=True)
class LastOpening:
    """A ticket, and when its worker learnt its number, by that worker's clock (aware)."""

    sn: str
    opened_at: datetime


def read_last_opening(bkitsm_conn_id: str) -> LastOpening | None:
    """Return the last ticket that a record of a connection opened; None where there is none. Blocks.

    :raises ItsmError: as ``reading``.
    """
    same = (_APPROVAL.bkitsm_conn_id == bkitsm_conn_id, _APPROVAL.create_started_at.is_not(None))
    query = select(_APPROVAL.sn, _APPROVAL.opened_at).where(*same, _APPROVAL.opened_at.is_not(None))
    with reading("of an earlier version") as connection:
        row = connection.execute(query.order_by(_APPROVAL.opened_at.desc()).limit(1)).first()
        return None if row is None else LastOpening(**row._asdict())


@dataclass(frozen=True, kw_only=True)
class KnownTicket:
    """A ticket that a connection has opened: its number is known, and so it exists.

    :param creator: in whose name it was asked for.
    :param since: when its opening was begun, by its worker's clock (aware).
    """

    sn: str
    tag: str
    creator: str
    since: datetime


def read_known_tickets(bkitsm_conn_id: str, *, dialect: str, creator: str) -> list[KnownTicket]:
    """Return tickets that a connection has opened in somebody's name, the latest of them first. Blocks.

    :param dialect: name of the one that they were opened in.
    :raises ItsmError: as ``reading``.
    """
    began = func.coalesce(_APPROVAL.create_started_at, _APPROVAL.created_at).label("since")
    opened = (_APPROVAL.sn.is_not(None), _APPROVAL.ticket_of.is_(None), _APPROVAL.dialect == dialect)
    rounds = select(_APPROVAL.sn, _APPROVAL.tag, _APPROVAL.request, began).where(
        _APPROVAL.bkitsm_conn_id == bkitsm_conn_id, *opened
    )
    began = func.coalesce(_COLLECTOR.create_started_at, _COLLECTOR.created_at).label("since")
    applied = select(_COLLECTOR.ticket_sn.label("sn"), _COLLECTOR.tag, _COLLECTOR.request, began).where(
        _COLLECTOR.bkitsm_conn_id == bkitsm_conn_id, _COLLECTOR.ticket_sn.is_not(None)
    )
    queries = (rounds.order_by(_APPROVAL.created_at.desc()), applied.order_by(_COLLECTOR.updated_at.desc()))
    with reading("that another one is searched by") as connection:
        rows = [row for query in queries for row in connection.execute(query.limit(_LATEST))]
    wanted = (dialect, creator)
    found = [
        KnownTicket(sn=row.sn, tag=row.tag, creator=creator, since=row.since)
        for row in rows
        if row.tag and row.request and (stored_dialect(row.request), row.request.get("creator")) == wanted
    ]
    return sorted(found, key=lambda one: one.since, reverse=True)


@dataclass(frozen=True, kw_only=True)
class SentTicket:
    """What the record of a ticket's opening says of it; that never changes.

    :param title: as ITSM shows what was sent.
    :param opened_at: by its worker's clock (aware).
    :param dialect: the one that it was opened in.
    :param requester: who asks, names in ITSM with commas between them; empty where nobody has said.
    """

    title: str
    opened_at: datetime | None
    dialect: str = FIRST
    requester: str = ""


def read_sent_tickets(tickets: Collection[tuple[str, str]]) -> dict[tuple[str, str], SentTicket]:
    """Return what the records say of tickets (connection and number), of those that have a record. Blocks.

    :raises ItsmError: as ``reading``.
    """
    asked, found = sorted(set(tickets)), {}
    with reading("of a page") as connection:
        for first in range(0, len(asked), _AT_A_TIME):
            sns = {sn for _, sn in asked[first : first + _AT_A_TIME]}
            for query in _sent(sns):
                for row in connection.execute(query):
                    found[row.bkitsm_conn_id or "", row.sn] = _sent_ticket(row)
    return {key: sent for key in asked if (sent := found.get(key) or found.get(("", key[1])))}


def _sent(sns: Collection[str]) -> list[Select[Any]]:
    """Return the queries for what opened tickets, the latest of a number last: applications, then rounds."""
    applied = select(
        _COLLECTOR.bkitsm_conn_id,
        _COLLECTOR.ticket_sn.label("sn"),
        _COLLECTOR.request,
        _COLLECTOR.create_started_at.label("opened_at"),
    ).where(_COLLECTOR.ticket_sn.in_(sns))
    opened_at = func.coalesce(_APPROVAL.opened_at, _APPROVAL.create_started_at).label("opened_at")
    rounds = select(_APPROVAL.bkitsm_conn_id, _APPROVAL.sn, _APPROVAL.request, opened_at)
    rounds = rounds.where(_APPROVAL.sn.in_(sns), _APPROVAL.ticket_of.is_(None))
    return [applied.order_by(_COLLECTOR.created_at), rounds.order_by(_APPROVAL.created_at)]


def _sent_ticket(row: Any) -> SentTicket:
    request = row.request or {}
    fields, stored = request.get("fields"), stored_dialect(request)
    dialect = DIALECTS.get(stored)
    title = fields.get("title") if isinstance(fields, Mapping) else None
    shown = dialect.title_as_shown(title) if dialect and isinstance(title, str) else ""
    requester = str(request.get(REQUESTER) or "")
    return SentTicket(title=shown, opened_at=row.opened_at, dialect=stored, requester=requester)
