# SPDX-License-Identifier: Apache-2.0
"""The approvals list by ticket: a row for each ticket, with the tasks that wait or waited for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from airflow_provider_bkitsm.approvals.list_query import (
    Page,
    Sort,
    Wanted,
    is_about,
    page_values,
    stands_as,
    values_of,
)
from airflow_provider_bkitsm.approvals.rows import OPEN, Remark, Row, Status, Viewer
from airflow_provider_bkitsm.itsm.outcome import Outcome
from airflow_provider_bkitsm.itsm.verdict import iso

MOST_TASKS = 100
"""How many tasks are listed below one ticket."""
_MOST_PEOPLE = 500
"""How many names the filter by person offers."""

# The status of a ticket whose tasks differ is the first of these: what is open, then what may be relied on least.
_ORDER: Sequence[Status | Outcome] = (
    Status.WAITING,
    Status.SUSPENDED,
    Status.RESUMING,
    Outcome.REJECTED,
    Outcome.TERMINATED,
    Outcome.WITHDRAWN,
    Outcome.APPROVED,
    Outcome.TIMED_OUT,
    Status.ENDED,
)
_RANK: Mapping[str, int] = {status: rank for rank, status in enumerate(_ORDER)}


@dataclass(frozen=True, kw_only=True)
class TicketRow:
    """One ticket, with the rows of its tasks: those of the DAGs that the reader may read.

    :param tasks: the rows of all its tasks; the first says how the ticket stands.
    """

    tasks: tuple[Row, ...]

    @property
    def lead(self) -> Row:
        """The task whose row says how the ticket stands."""
        return self.tasks[0]

    @property
    def since(self) -> datetime | None:
        """When it was opened."""
        return _first([row.since for row in self.tasks])

    @property
    def deadline(self) -> datetime | None:
        """When the first of the waiting tasks gives up."""
        return _first([row.deadline for row in self.tasks])

    @property
    def order_since(self) -> datetime | None:
        """As ``since``, by Airflow's own times: what an answer of ITSM adds does not move a row."""
        return _first([row.order_since for row in self.tasks])

    @property
    def order_deadline(self) -> datetime | None:
        """As ``deadline``, likewise."""
        return _first([row.order_deadline for row in self.tasks])

    @property
    def sn(self) -> str:
        """The ticket's number."""
        return self.lead.sn

    @property
    def status(self) -> Status | Outcome:
        """How it stands."""
        return self.lead.status

    @property
    def is_open(self) -> bool:
        """Whether a run does not have the decision yet."""
        return self.tasks[0].status in OPEN

    @property
    def decided_at(self) -> datetime | None:
        """When it was decided, or its task ended; None while it is open."""
        return self.tasks[0].decided_at

    @property
    def title(self) -> str:
        """The first title that any of its tasks has."""
        return next((row.title for row in self.tasks if row.title), "")

    @property
    def task_count(self) -> int:
        """How many tasks it has that the reader may read."""
        return len(self.tasks)

    @property
    def decided_by(self) -> tuple[str, ...]:
        """Who answered."""
        return _each_once(row.decided_by for row in self.tasks)

    @property
    def asked_by(self) -> tuple[str, ...]:
        """The people who asked, of all its tasks."""
        return _each_once(row.asked_by for row in self.tasks)

    @property
    def remarks(self) -> tuple[Remark, ...]:
        """What the approvers wrote."""
        return _each_once(row.remarks for row in self.tasks)

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values; times in ISO 8601."""
        values = self.lead.as_dict()
        tasks = [_task_of(row) for row in self.tasks[:MOST_TASKS]]
        for name in (*vars(self.lead.task), "triggered_by", "registered_at"):
            del values[name]
        return {
            **values,
            "title": self.title,
            "since": iso(self.since),
            "deadline": iso(self.deadline),
            "decided_by": self.decided_by,
            "asked_by": self.asked_by,
            "remarks": [asdict(remark) for remark in self.remarks],
            "tasks": tasks,
            "task_count": self.task_count,
        }


def _task_of(row: Row) -> dict[str, Any]:
    """Return what stands below a ticket of one of its tasks."""
    return {
        **vars(row.task),
        "status": str(row.status),
        "open": row.is_open,
        "deadline": iso(row.deadline),
        "reason_code": row.reason_code,
        "reason": row.reason,
    }


@dataclass(frozen=True, kw_only=True)
class TicketPage(Page[TicketRow]):
    """One page of tickets, with what further filters offer."""

    connections: tuple[str, ...]
    people: tuple[str, ...]


def tickets_of(rows: Iterable[Row]) -> list[TicketRow]:
    """Join the rows of tasks that have the same ticket. A task whose ticket has no number yet stands alone."""
    groups: dict[Any, list[Row]] = {}
    for row in rows:
        groups.setdefault(_key(row), []).append(row)
    return [ticket_of(group) for group in groups.values()]


def _key(row: Row) -> Any:
    """Return what the rows of one ticket have in common. Numbers are unique within one ITSM only."""
    where = row.conn_id or row.ticket_url
    return (where, row.sn) if where and row.sn else row.task


def ticket_of(rows: Iterable[Row]) -> TicketRow:
    """Join the rows of one ticket's tasks."""
    tasks = list(rows)
    if len(tasks) > 1:
        tasks.sort(key=lambda row: (_RANK[row.status], row.task))
    return TicketRow(tasks=tuple(tasks))


def listed_tickets(rows: Sequence[Row], wanted: Wanted, viewer: Viewer | None = None) -> list[TicketRow]:
    """Return all tickets that the filters leave, in their order, whatever page is wanted."""
    return _ordered(_matching(rows, wanted, viewer), wanted)


def ticket_page_of(rows: Sequence[Row], wanted: Wanted, viewer: Viewer | None = None) -> TicketPage:
    """Return the wanted page; for a page beyond the end, the last page.

    :param viewer: the person who looks; without one, no ticket is ``mine``.
    """
    matching = _matching(rows, wanted, viewer)
    return TicketPage(
        **page_values(rows, matching, _ordered(matching, wanted), wanted),
        connections=values_of(row.conn_id for row in rows),
        people=_people(rows),
    )


def _ordered(matching: Iterable[TicketRow], wanted: Wanted) -> list[TicketRow]:
    """Return the tickets that the view shows, in their order."""
    return _sorted([ticket for ticket in matching if wanted.view.shows(ticket)], wanted)


def _matching(rows: Iterable[Row], wanted: Wanted, viewer: Viewer | None) -> list[TicketRow]:
    """Return the tickets one of whose tasks is what the filters ask for. A ticket keeps its other tasks."""
    return [
        ticket
        for ticket in tickets_of(rows)
        if stands_as(ticket, wanted) and any(is_about(row, wanted, viewer) for row in ticket.tasks)
    ]


def _people(rows: Iterable[Row]) -> tuple[str, ...]:
    names = (name for row in rows for name in (*row.approvers, *row.decided_by, *row.asked_by))
    return values_of(names)[:_MOST_PEOPLE]


_SORTED_BY: Mapping[Sort, Callable[[TicketRow], Any]] = {
    Sort.SINCE: lambda ticket: ticket.order_since,
    Sort.DEADLINE: lambda ticket: ticket.order_deadline,
    Sort.DECIDED: lambda ticket: ticket.decided_at,
    Sort.SECONDS: lambda ticket: ticket.lead.seconds_to_decide,
    Sort.TITLE: lambda ticket: ticket.title.casefold(),
    Sort.DAG: lambda ticket: ticket.lead.task.dag_id.casefold(),
    Sort.STATUS: lambda ticket: str(ticket.status),
}


def _sorted(tickets: Iterable[TicketRow], wanted: Wanted) -> list[TicketRow]:
    """Sort tickets. Those without the value come last: the open ones first, then those that were decided last.

    So "the nearest deadline first" is one order for all views. Equal tickets keep a fixed order.
    """
    value = _SORTED_BY[wanted.sort]
    has: list[TicketRow] = []
    lacks: list[TicketRow] = []
    for ticket in sorted(tickets, key=lambda ticket: (ticket.sn, ticket.lead.task)):
        (lacks if value(ticket) in (None, "") else has).append(ticket)
    has.sort(key=value, reverse=wanted.descending)
    lacks.sort(
        key=lambda ticket: (not ticket.is_open, -ticket.decided_at.timestamp() if ticket.decided_at else 0.0)
    )
    return has + lacks


def _first(moments: Iterable[datetime | None]) -> datetime | None:
    return min(filter(None, moments), default=None)


def _each_once(groups: Iterable[Iterable[Any]]) -> tuple[Any, ...]:
    return tuple(dict.fromkeys(one for group in groups for one in group))
