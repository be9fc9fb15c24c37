# SPDX-License-Identifier: Apache-2.0
"""What the approvals list is asked for: filters, order and pages."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_bkitsm.approvals.list_query import LARGEST_PAGE, Period, Sort, View, Wanted, page_of
from airflow_provider_bkitsm.approvals.rows import ApprovalWait, Row, TaskKey, TicketSnapshot, Viewer, row_of
from airflow_provider_bkitsm.itsm.models import Progress

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def row(
    number: int, *, dag: str = "d", state: str = "deferred", collector: str = "", conn: str = "", **of_live: Any
) -> Row:
    task = TaskKey(dag_id=dag, run_id=f"run{number}", task_id="wait")
    since = NOW - timedelta(hours=number)
    ticket = {"sn": f"REQ{number:04}", "conn_id": conn}
    found = ApprovalWait(task=task, state=state, **ticket, registered_at=since, ended_at=since)
    of_live = {"progress": Progress.RUNNING, "read_at": NOW, "title": f"Title {number % 3}"} | of_live
    return row_of(found, TicketSnapshot(**of_live), collector=collector)


WAITING = [row(number) for number in range(60)]
DECIDED = [row(number, state="success", dag="e") for number in range(60, 90)]
ALL = [*WAITING, *DECIDED]


def numbers(rows: Any) -> list[int]:
    return [int(one.sn.removeprefix("REQ")) for one in rows]


@pytest.mark.parametrize(("view", "total"), [(View.WAITING, 60), (View.DECIDED, 30), (View.ALL, 90)])
def test_a_view_shows_its_rows_and_counts_both(view, total):
    page = page_of(ALL, Wanted(view=view, size=10))
    assert (page.total, page.pages, page.waiting, page.decided) == (total, total // 10, 60, 30)


def test_pages_hold_every_row_once():
    pages = [page_of(ALL, Wanted(view=View.ALL, page=number, size=20)) for number in range(1, 6)]
    assert sorted(number for page in pages for number in numbers(page.rows)) == list(range(90))


@pytest.mark.parametrize(("asked", "given"), [(0, 1), (-5, 1), (2, 2), (99, 3)])
def test_a_page_beyond_the_end_is_the_last(asked, given):
    assert page_of(WAITING, Wanted(page=asked, size=25)).page == given


@pytest.mark.parametrize(("asked", "given"), [(0, 1), (10, 10), (100_000, LARGEST_PAGE)])
def test_no_page_is_larger_than_itsm_is_asked_about_at_once(asked, given):
    rows = [row(number) for number in range(150)]
    assert len(page_of(rows, Wanted(size=asked)).rows) == given


@pytest.mark.parametrize(
    ("sort", "ordered"), [(Sort.TITLE, [2, 3, 1]), (Sort.DAG, [3, 1, 2]), (Sort.STATUS, [1, 3, 2])]
)
def test_texts_are_sorted_whatever_their_case(sort, ordered):
    rows = [
        row(1, title="c", dag="B", progress=Progress.FINISHED),
        row(2, title="a", dag="c"),
        row(3, title="B", dag="a", progress=Progress.SUSPENDED),
    ]
    assert numbers(page_of(rows, Wanted(sort=sort, descending=False)).rows) == ordered


def test_a_page_is_plain_json():
    page = json.loads(json.dumps(page_of([row(1)], Wanted()).as_dict()))
    assert (page["page"], page["pages"], page["total"], page["waiting"], page["decided"]) == (1, 1, 1, 1, 0)
    assert [one["sn"] for one in page["rows"]] == ["REQ0001"]


def test_nothing_is_one_empty_page():
    page = page_of([], Wanted())
    assert (page.rows, page.page, page.pages, page.total) == ((), 1, 1, 0)


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("REQ0007", [7]),
        ("req0007", [7]),
        (" run8 ", [8]),
        ("ALICE", [99]),
        ("接入", [99]),
        ("nobody", []),
        ("%", []),
    ],
)
def test_search_finds_numbers_runs_people_and_steps(search, found):
    rows = [*WAITING, row(99, step="接入审批", approvers=("Alice",))]
    assert sorted(numbers(page_of(rows, Wanted(search=search)).rows)) == found


def test_the_dag_and_collector_filters_are_exact_and_list_what_there_is():
    rows = [row(1, dag="a", collector="7 (x)"), row(2, dag="ab"), row(3, dag="a")]
    assert numbers(page_of(rows, Wanted(dag_id="a")).rows) == [1, 3]
    assert numbers(page_of(rows, Wanted(collector="7 (x)")).rows) == [1]
    assert numbers(page_of(rows, Wanted(run_id="run2")).rows) == [2]
    page = page_of(rows, Wanted(dag_id="nowhere"))
    assert (page.total, page.dags, page.collectors) == (0, ("a", "ab"), ("7 (x)",))


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"conn_id": "a"}, [1, 3]),
        ({"conn_id": "nowhere"}, []),
        ({"statuses": {"suspended"}}, [3]),
        ({"statuses": {"suspended", "ended"}}, [3, 4]),
        ({"statuses": {"approved"}}, []),
        ({"since": Period(start=NOW - timedelta(hours=2))}, [1, 2]),
        ({"since": Period(end=NOW - timedelta(hours=2))}, [3, 4]),
        ({"since": Period(start=NOW - timedelta(hours=3), end=NOW - timedelta(hours=1))}, [2, 3]),
        ({"decided": Period(start=NOW - timedelta(days=1))}, [4]),
        ({"decided": Period(end=NOW)}, [4]),
        ({"decided": Period(end=NOW - timedelta(hours=4))}, []),
        ({"conn_id": "a", "statuses": {"waiting"}}, [1]),
    ],
)
def test_connection_status_and_periods_leave_what_they_say(wanted, found):
    rows = [row(1, conn="a"), row(2, conn="b"), row(3, conn="a", progress=Progress.SUSPENDED)]
    page = page_of([*rows, row(4, state="success")], Wanted(view=View.ALL, **wanted))
    assert sorted(numbers(page.rows)) == found
    assert page.waiting + page.decided == len(found)


def test_the_tickets_of_a_mapped_task_keep_their_order():
    rows = [replace(row(1), task=TaskKey(dag_id="d", run_id="r", task_id="t", map_index=n)) for n in range(12)]
    wanted = Wanted(sort=Sort.TITLE)
    assert page_of(rows, wanted).rows == page_of(rows[::-1], wanted).rows == tuple(rows)


@pytest.mark.parametrize("descending", [True, False])
@pytest.mark.parametrize("sort", Sort)
def test_every_sort_orders_and_keeps_every_row(sort, descending):
    rows = page_of(ALL, Wanted(view=View.ALL, sort=sort, descending=descending, size=100)).rows
    assert sorted(numbers(rows)) == list(range(90))


def test_the_newest_comes_first_or_last():
    assert numbers(page_of(WAITING, Wanted(size=2)).rows) == [0, 1]
    assert numbers(page_of(WAITING, Wanted(size=2, descending=False)).rows) == [59, 58]


@pytest.mark.parametrize("descending", [True, False])
def test_rows_without_the_value_come_last(descending):
    rows = [row(1, title=""), row(2, title="b"), row(3, title="a")]
    ordered = numbers(page_of(rows, Wanted(sort=Sort.TITLE, descending=descending)).rows)
    assert ordered == ([2, 3, 1] if descending else [3, 2, 1])


def test_equal_rows_keep_their_order_from_one_look_to_the_next():
    rows = [row(number, title="same") for number in range(9)]
    wanted = Wanted(sort=Sort.TITLE)
    assert page_of(rows, wanted).rows == page_of(rows[::-1], wanted).rows


def test_mine_leaves_only_what_has_to_do_with_me():
    me = Viewer(airflow_name="Alice Doe", itsm_name="alice", tickets=frozenset({("", "REQ0003")}))
    rows = [*WAITING, row(60, creator="alice"), row(61, approvers=("bob",))]
    page = page_of(rows, Wanted(mine=True), me)
    assert sorted(numbers(page.rows)) == [3, 60]
    assert (page.waiting, page.total) == (2, 2)
    assert page_of(rows, Wanted(), me).total == 62


def test_nothing_is_a_strangers():
    assert page_of(ALL, Wanted(view=View.ALL, mine=True)).total == 0
