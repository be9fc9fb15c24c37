# SPDX-License-Identifier: Apache-2.0
"""The parameters of the JSON API: which rows a request wants, in which order, and which page of them.

They are the source of ``docs/openapi.json``, as the models of the answers are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, Any

from fastapi import Depends, Query
from pydantic import AwareDatetime

from airflow_provider_bkitsm.approvals.list_query import LARGEST_PAGE, PAGE_SIZE, Period, Sort, View, Wanted
from airflow_provider_bkitsm.approvals.rows import TaskKey
from airflow_provider_bkitsm.collectors.row import CollectorState
from airflow_provider_bkitsm.plugins.api_models import ApprovalStatus
from airflow_provider_bkitsm.plugins.store_reader import MOST_COLLECTORS

_Text = Annotated[str, Query(description="Exactly this one; empty for any.")]
_PageNumber = Annotated[int, Query(ge=1, description="From 1. Beyond the end, the last page is returned.")]


def _filters(
    *,
    view: Annotated[View, Query(description="Open ones, the others, or all.")] = View.WAITING,
    search: Annotated[
        str,
        Query(
            max_length=200,
            description="A text in number, title, DAG, run, task, step, collector or a name, in any case.",
        ),
    ] = "",
    dag_id: _Text = "",
    run_id: _Text = "",
    conn_id: _Text = "",
    collector: _Text = "",
    mine: Annotated[
        bool, Query(description="Only what waits for the caller, or was opened, decided or started by them.")
    ] = False,
    person: Annotated[
        str,
        Query(
            max_length=200,
            description="The name of somebody it waits for, or who answered it, asked for it or opened it.",
        ),
    ] = "",
    status: Annotated[
        list[ApprovalStatus],
        Query(default_factory=list, description="Any of these, of the rows that `view` leaves."),
    ],
    since_gte: Annotated[AwareDatetime | None, Query(description="`since` is this time or later.")] = None,
    since_lt: Annotated[AwareDatetime | None, Query(description="`since` is earlier.")] = None,
    decided_at_gte: Annotated[
        AwareDatetime | None, Query(description="`decided_at` is this time or later.")
    ] = None,
    decided_at_lt: Annotated[AwareDatetime | None, Query(description="`decided_at` is earlier.")] = None,
) -> Wanted:
    return Wanted(
        view=view,
        search=search,
        dag_id=dag_id,
        run_id=run_id,
        conn_id=conn_id,
        collector=collector,
        mine=mine,
        person=person,
        statuses=frozenset(status),
        since=Period(start=since_gte, end=since_lt),
        decided=Period(start=decided_at_gte, end=decided_at_lt),
    )


_Filters = Annotated[Wanted, Depends(_filters)]
_SortBy = Annotated[Sort, Query(description="Rows without this value come last.")]
_Descending = Annotated[bool, Query(description="The latest, or the end of the alphabet, first.")]
_Size = Annotated[int, Query(ge=1, le=LARGEST_PAGE, description="How many rows a page has.")]


def _page_by(sort: Sort, *, descending: bool) -> Callable[..., Wanted]:
    """Return what reads filters, order and page; without an order, the list is in this one."""

    def wanted(
        *,
        filters: _Filters,
        sort: _SortBy = sort,
        descending: _Descending = descending,
        page: _PageNumber = 1,
        size: _Size = PAGE_SIZE,
    ) -> Wanted:
        return replace(filters, sort=sort, descending=descending, page=page, size=size)

    return wanted


ApprovalsPage = Annotated[Wanted, Depends(_page_by(Sort.SINCE, descending=True))]
TicketsPage = Annotated[Wanted, Depends(_page_by(Sort.DEADLINE, descending=False))]


def _exported(*, filters: _Filters, sort: _SortBy = Sort.DEADLINE, descending: _Descending = False) -> Wanted:
    return replace(filters, sort=sort, descending=descending)


ExportedTickets = Annotated[Wanted, Depends(_exported)]


@dataclass(frozen=True, kw_only=True)
class WantedCollectors:
    """The filters of the list of collectors; an empty filter filters nothing."""

    exact: dict[str, str]
    states: frozenset[CollectorState]
    page: int
    size: int

    def matches(self, row: dict[str, Any]) -> bool:
        """Whether a collector is wanted."""
        is_exact = all(not value or row[name] == value for name, value in self.exact.items())
        return is_exact and (not self.states or row["state"] in self.states)


def _wanted_collectors(
    *,
    dag_id: _Text = "",
    bklog_conn_id: _Text = "",
    state: Annotated[list[CollectorState], Query(default_factory=list, description="Any of these.")],
    page: _PageNumber = 1,
    size: Annotated[int, Query(ge=1, le=MOST_COLLECTORS, description="How many rows a page has.")] = 100,
) -> WantedCollectors:
    exact = {"dag_id": dag_id, "bklog_conn_id": bklog_conn_id}
    return WantedCollectors(exact=exact, states=frozenset(state), page=page, size=size)


CollectorsPage = Annotated[WantedCollectors, Depends(_wanted_collectors)]


def _task(
    dag_id: Annotated[str, Query(description="The DAG of the task instance.")],
    run_id: Annotated[str, Query(description="Its run.")],
    task_id: Annotated[str, Query(description="Its task.")],
    map_index: Annotated[int, Query(ge=-1, lt=2**31, description="-1 for a task that is not mapped.")] = -1,
) -> TaskKey:
    return TaskKey(dag_id=dag_id, run_id=run_id, task_id=task_id, map_index=map_index)


RequestedTask = Annotated[TaskKey, Depends(_task)]
