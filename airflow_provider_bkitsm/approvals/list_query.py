# SPDX-License-Identifier: Apache-2.0
"""What the approvals list is asked for: rows filtered, searched, sorted, counted and cut into pages.

Its columns are in ``plugins/assets/approvals_columns.js``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Generic, Protocol, TypeVar

from airflow_provider_bkitsm.approvals.rows import Row, Status, Viewer
from airflow_provider_bkitsm.itsm.outcome import Outcome

T = TypeVar("T")
L = TypeVar("L", bound="Listed")

PAGE_SIZE = 25
LARGEST_PAGE = 100


class View(StrEnum):
    """Which rows a person wants to see."""

    WAITING = "waiting"
    DECIDED = "decided"
    ALL = "all"

    def shows(self, one: Listed) -> bool:
        """Whether a row or ticket is in this view."""
        return self is View.ALL or one.is_open is (self is View.WAITING)


class Sort(StrEnum):
    """The columns that rows can be sorted by."""

    SINCE = "since"
    DEADLINE = "deadline"
    DECIDED = "decided_at"
    TITLE = "title"
    DAG = "dag_id"
    STATUS = "status"
    SECONDS = "seconds_to_decide"


@dataclass(frozen=True, kw_only=True)
class Period:
    """A period of time, with its start and without its end; None is no limit. Times are aware."""

    start: datetime | None = None
    end: datetime | None = None

    def holds(self, moment: datetime | None) -> bool:
        """Whether a moment is in it. No moment at all is only in the period without limits."""
        if moment is None:
            return self.start is None and self.end is None
        return (self.start is None or self.start <= moment) and (self.end is None or moment < self.end)


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """The filters and the order of the list; an empty filter filters nothing.

    :param mine: only rows that concern the viewer.
    :param person: the name of somebody whom the ticket waits for, who answered it, asked for it or opened it.
    :param search: a text in number, title, DAG, run, task, step or a name; upper and lower case are equal.
    :param statuses: the row's ``status`` is one of these.
    :param since: the period that ``since`` of a row is in.
    :param decided: the period that ``decided_at`` of a row is in.
    """

    view: View = View.WAITING
    search: str = ""
    statuses: frozenset[str] = frozenset()
    conn_id: str = ""
    since: Period = Period()
    decided: Period = Period()
    dag_id: str = ""
    run_id: str = ""
    mine: bool = False
    person: str = ""
    collector: str = ""
    sort: Sort = Sort.SINCE
    descending: bool = True
    page: int = 1
    size: int = PAGE_SIZE


@dataclass(frozen=True, kw_only=True)
class Page(Generic[L]):
    """One page of rows or tickets, how many there are, and the values that the filters offer."""

    rows: tuple[L, ...]
    page: int
    pages: int
    total: int
    waiting: int
    decided: int
    dags: tuple[str, ...]
    collectors: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {**vars(self), "rows": [row.as_dict() for row in self.rows]}


_BEGINNING = datetime.min.replace(tzinfo=UTC)


def page_of(rows: Sequence[Row], wanted: Wanted, viewer: Viewer | None = None) -> Page[Row]:
    """Return the wanted page; for a page beyond the end, the last page.

    :param viewer: the person who looks; without one, no row is ``mine``.
    """
    matching = [row for row in rows if stands_as(row, wanted) and is_about(row, wanted, viewer)]
    ordered = _sorted([row for row in matching if wanted.view.shows(row)], wanted)
    return Page(**page_values(rows, matching, ordered, wanted))


def page_values(
    rows: Sequence[Row], matching: Sequence[Listed], ordered: Sequence[Listed], wanted: Wanted
) -> dict[str, Any]:
    """Return the fields of a ``Page``.

    :param rows: all rows, by which the filters offer values.
    :param matching: what the filters leave, whatever the view; ``ordered``: of it what the view shows, in order.
    """
    shown, number, pages = cut(ordered, wanted.page, min(wanted.size, LARGEST_PAGE))
    waiting = sum(one.is_open for one in matching)
    return {
        "rows": tuple(shown),
        "page": number,
        "pages": pages,
        "total": len(ordered),
        "waiting": waiting,
        "decided": len(matching) - waiting,
        "dags": values_of(row.task.dag_id for row in rows),
        "collectors": values_of(row.collector for row in rows),
    }


def cut(items: Sequence[T], page: int, size: int) -> tuple[Sequence[T], int, int]:
    """Return one page of the items, its number, and how many pages there are; beyond the end, the last page."""
    size = max(size, 1)
    pages = max(1, -(-len(items) // size))
    number = min(max(page, 1), pages)
    return items[(number - 1) * size : number * size], number, pages


class Listed(Protocol):
    """What a list has: rows, or tickets."""

    @property
    def is_open(self) -> bool:
        """Whether a run does not have the decision yet."""

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""

    @property
    def status(self) -> Status | Outcome:
        """How it stands."""

    @property
    def since(self) -> datetime | None:
        """When it was opened."""

    @property
    def decided_at(self) -> datetime | None:
        """When it was decided."""


def stands_as(one: Listed, wanted: Wanted) -> bool:
    """Whether status and periods are wanted."""
    is_status = not wanted.statuses or one.status in wanted.statuses
    return is_status and wanted.since.holds(one.since) and wanted.decided.holds(one.decided_at)


def is_about(row: Row, wanted: Wanted, viewer: Viewer | None = None) -> bool:
    """Whether a row is about the DAG, run, connection, collector, people and text that are wanted."""
    task = row.task
    return (
        wanted.dag_id in ("", task.dag_id)
        and wanted.run_id in ("", task.run_id)
        and wanted.collector in ("", row.collector)
        and wanted.conn_id in ("", row.conn_id)
        and (not wanted.mine or (viewer is not None and viewer.is_concerned(row)))
        and (not wanted.person or _names(row, wanted.person))
        and (not wanted.search or _is_found(row, wanted.search))
    )


def _names(row: Row, person: str) -> bool:
    looked_for = person.strip().casefold()
    people = (*row.approvers, *row.decided_by, *row.asked_by, row.creator, row.triggered_by)
    return any(looked_for == name.casefold() for name in people)


def _is_found(row: Row, search: str) -> bool:
    looked_for = search.strip().casefold()
    if not looked_for:
        return True
    task = row.task
    names = (*row.approvers, *row.decided_by, *row.asked_by)
    texts = (row.sn, row.title, task.dag_id, task.run_id, task.task_id, row.step, row.collector, *names)
    return any(looked_for in text.casefold() for text in texts)


def _sorted(rows: list[Row], wanted: Wanted) -> list[Row]:
    """Sort rows. Rows without the value come last in both directions; equal rows keep a fixed order."""
    fixed = sorted(rows, key=lambda row: (row.sn, row.task))
    value = _sort_value(wanted.sort)
    has = [row for row in fixed if value(row) not in ("", _BEGINNING)]
    lacks = [row for row in fixed if value(row) in ("", _BEGINNING)]
    return sorted(has, key=value, reverse=wanted.descending) + lacks


# What an answer of ITSM adds to a row must not move it while a person reads the page.
_TIMES: dict[Sort, Callable[[Row], datetime | None]] = {
    Sort.SINCE: lambda row: row.order_since,
    Sort.DEADLINE: lambda row: row.order_deadline,
    Sort.DECIDED: lambda row: row.decided_at,
}


def _sort_value(sort: Sort) -> Callable[[Row], Any]:
    if sort is Sort.DAG:
        return lambda row: row.task.dag_id.casefold()
    if sort is Sort.SECONDS:
        return lambda row: "" if row.seconds_to_decide is None else row.seconds_to_decide
    if sort in _TIMES:
        return lambda row: _TIMES[sort](row) or _BEGINNING
    return lambda row: str(getattr(row, sort.value)).casefold()


def values_of(values: Iterable[str]) -> tuple[str, ...]:
    """Return each value once, sorted; empty ones are none."""
    return tuple(sorted(set(filter(None, values))))
