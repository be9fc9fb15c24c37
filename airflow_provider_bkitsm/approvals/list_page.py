# SPDX-License-Identifier: Apache-2.0
"""One page of the list: filtered, searched, sorted, counted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from airflow_provider_bkitsm.approvals.rows import Row, Viewer

PAGE_SIZE = 25
LARGEST_PAGE = 100


class View(StrEnum):
    """Which rows are wanted."""

    WAITING = "waiting"
    DECIDED = "decided"
    ALL = "all"


class Sort(StrEnum):
    """What rows can be sorted by."""

    SINCE = "since"
    DEADLINE = "deadline"
    DECIDED = "decided_at"
    TITLE = "title"
    DAG = "dag_id"
    STATUS = "status"


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a person asked to see; an empty filter filters nothing.

    :param mine: only rows that have to do with the person who looks.
    :param search: found in number, title, DAG, run, task, step or a name, whatever its case.
    """

    view: View = View.WAITING
    search: str = ""
    dag_id: str = ""
    run_id: str = ""
    mine: bool = False
    collector: str = ""
    sort: Sort = Sort.SINCE
    descending: bool = True
    page: int = 1
    size: int = PAGE_SIZE


@dataclass(frozen=True, kw_only=True)
class Page:
    """One page, how many there are, and what the filters can be set to."""

    rows: tuple[Row, ...]
    page: int
    pages: int
    total: int
    waiting: int
    decided: int
    dags: tuple[str, ...]
    collectors: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {**vars(self), "rows": [one.as_dict() for one in self.rows]}


_VIEWS: dict[View, Callable[[Row], bool]] = {
    View.WAITING: lambda row: row.is_open,
    View.DECIDED: lambda row: not row.is_open,
    View.ALL: lambda _row: True,
}
_BEGINNING = datetime.min.replace(tzinfo=UTC)


def page_of(rows: Sequence[Row], wanted: Wanted, me: Viewer | None = None) -> Page:
    """Return the page that was asked for; one beyond the end is the last one.

    :param me: who looks; without, nothing is theirs.
    """
    matching = [row for row in rows if _matches(row, wanted) and (not wanted.mine or _is_of(me, row))]
    shown = [row for row in matching if _VIEWS[wanted.view](row)]
    size = min(max(wanted.size, 1), LARGEST_PAGE)
    pages = max(1, -(-len(shown) // size))
    number = min(max(wanted.page, 1), pages)
    waiting = sum(row.is_open for row in matching)
    return Page(
        rows=tuple(_sorted(shown, wanted)[(number - 1) * size : number * size]),
        page=number,
        pages=pages,
        total=len(shown),
        waiting=waiting,
        decided=len(matching) - waiting,
        dags=_values(row.task.dag_id for row in rows),
        collectors=_values(row.collector for row in rows),
    )


def _matches(row: Row, wanted: Wanted) -> bool:
    task = row.task
    exact = ((wanted.dag_id, task.dag_id), (wanted.run_id, task.run_id), (wanted.collector, row.collector))
    return all(not asked or asked == has for asked, has in exact) and _is_found(row, wanted.search)


def _is_of(me: Viewer | None, row: Row) -> bool:
    return me is not None and me.is_concerned(row)


def _is_found(row: Row, search: str) -> bool:
    looked_for = search.strip().casefold()
    if not looked_for:
        return True
    task = row.task
    names = (*row.approvers, *row.decided_by)
    texts = (row.sn, row.title, task.dag_id, task.run_id, task.task_id, row.step, row.collector, *names)
    return any(looked_for in one.casefold() for one in texts)


def _sorted(rows: list[Row], wanted: Wanted) -> list[Row]:
    """Sort; rows without the value come last either way, and equal ones stay in a fixed order."""
    fixed = sorted(rows, key=lambda row: (row.sn, row.task.dag_id, row.task.run_id, row.task.task_id))
    value = _sort_value(wanted.sort)
    has = [row for row in fixed if value(row) not in ("", _BEGINNING)]
    lacks = [row for row in fixed if value(row) in ("", _BEGINNING)]
    return sorted(has, key=value, reverse=wanted.descending) + lacks


def _sort_value(sort: Sort) -> Callable[[Row], Any]:
    if sort is Sort.DAG:
        return lambda row: row.task.dag_id.casefold()
    if sort in (Sort.TITLE, Sort.STATUS):
        return lambda row: str(getattr(row, sort.value)).casefold()
    return lambda row: getattr(row, sort.value) or _BEGINNING


def _values(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted({one for one in values if one}))
