# SPDX-License-Identifier: Apache-2.0
"""The list by ticket: one row for each, however many tasks have it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any

import pytest

from airflow_provider_bkitsm.approvals.list_query import Period, Sort, View, Wanted
from airflow_provider_bkitsm.approvals.rows import ApprovalWait, Remark, Row, Status, TaskKey, Viewer, row_of
from airflow_provider_bkitsm.approvals.ticket_list import (
    MOST_TASKS,
    TicketRow,
    listed_tickets,
    ticket_of,
    ticket_page_of,
    tickets_of,
)
from airflow_provider_bkitsm.itsm.outcome import Outcome

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
AN_HOUR = timedelta(hours=1)
EVERY_STATUS = [*Status, *(outcome for outcome in Outcome if outcome.is_final)]


def row(number: int, task: str = "wait", **changes: Any) -> Row:
    """Return a waiting task's row of ticket ``number``, opened so many hours ago, with an hour to go each."""
    names = {"dag_id": "d", "run_id": "r", "task_id": task, "map_index": -1}
    key = TaskKey(**{name: changes.pop(name, default) for name, default in names.items()})  # type: ignore[arg-type]
    wait = ApprovalWait(
        task=key, state="deferred", sn=f"REQ{number:04}", conn_id="itsm", registered_at=NOW - number * AN_HOUR
    )
    made = row_of(wait, None)
    due = NOW + number * AN_HOUR
    return replace(made, **{"title": f"Title {number}", "deadline": due, "order_deadline": due} | changes)


def decided(number: int, outcome: Status | Outcome = Outcome.APPROVED, **changes: Any) -> Row:
    ended = {"deadline": None, "order_deadline": None, "decided_at": NOW - number * AN_HOUR}
    return row(number, **{"status": outcome, **ended, **changes})


def numbers(tickets: Iterable[TicketRow]) -> list[int]:
    return [int(ticket.sn.removeprefix("REQ")) for ticket in tickets]


def test_five_tasks_of_one_ticket_are_one_row():
    rows = [row(1, f"wait_{number}") for number in range(5)]
    page = ticket_page_of([*rows, row(2)], Wanted())
    assert numbers(page.rows) == [1, 2]
    assert [len(ticket.tasks) for ticket in page.rows] == [5, 1]
    assert (page.total, page.waiting, page.decided, page.pages) == (2, 2, 0, 1)


def test_pages_are_of_tickets():
    rows = [row(number, f"wait_{task}") for number in range(7) for task in range(3)]
    pages = [
        ticket_page_of(rows, Wanted(sort=Sort.DEADLINE, descending=False, size=3, page=one)) for one in (1, 2, 3)
    ]
    assert [numbers(page.rows) for page in pages] == [[0, 1, 2], [3, 4, 5], [6]]
    assert {(page.pages, page.total) for page in pages} == {(3, 7)}


@pytest.mark.parametrize(
    "changes",
    [{"conn_id": "another"}, {"sn": "REQ0002"}, {"sn": ""}, {"conn_id": ""}],
    ids=["of another ITSM", "another number", "no number yet", "no connection known"],
)
def test_p6_rows_that_may_be_of_two_tickets_stay_two(changes):
    assert len(tickets_of([row(1), row(1, "other", **changes)])) == 2


def test_tasks_whose_tickets_have_no_number_yet_stand_alone():
    assert len(tickets_of([row(1, f"wait_{number}", sn="", conn_id="") for number in range(3)])) == 3


def test_waits_that_registered_nowhere_are_joined_by_their_tickets_address():
    apart = {"conn_id": "", "ticket_url": "https://itsm.example.com/#/1"}
    assert len(tickets_of([decided(1, **apart), decided(1, task="other", **apart)])) == 1


@pytest.mark.parametrize("first", EVERY_STATUS)
def test_p3_a_ticket_with_an_open_task_is_open_and_what_differs_is_never_approved(first):
    """The cautious status stands for the ticket, in whatever order its tasks come."""
    for other in EVERY_STATUS:
        pair = [row(1, "a", status=first), row(1, "b", status=other)]
        statuses = {ticket_of(order).status for order in permutations(pair)}
        assert len(statuses) == 1
        (status,) = statuses
        assert status in (first, other)
        assert ticket_of(pair).is_open is any(one.is_open for one in pair)
        agree = {Outcome.APPROVED, Outcome.TIMED_OUT, Status.ENDED}
        assert status is not Outcome.APPROVED or {first, other} <= agree


def test_a_ticket_has_what_its_tasks_have_together():
    rows = [
        row(1, "a", title="", asked_by=("carol",), since=NOW - AN_HOUR, deadline=NOW + 2 * AN_HOUR),
        row(1, "b", asked_by=("dave", "carol"), since=NOW - 2 * AN_HOUR, deadline=NOW + AN_HOUR),
        row(1, "c", status=Outcome.TIMED_OUT, deadline=None, decided_by=("alice",)),
    ]
    ticket = ticket_of(rows).as_dict()
    assert (ticket["title"], ticket["asked_by"]) == ("Title 1", ("carol", "dave"))
    assert ticket["since"] == (NOW - 2 * AN_HOUR).isoformat()
    assert ticket["deadline"] == (NOW + AN_HOUR).isoformat()
    assert ticket["decided_by"] == ("alice",)
    assert [(task["task_id"], task["status"]) for task in ticket["tasks"]] == [
        *(("a", "waiting"), ("b", "waiting"), ("c", "timed_out")),
    ]


def test_a_remark_is_said_once():
    remark = Remark(person="alice", text="no")
    ticket = ticket_of([decided(1, remarks=(remark,)), decided(1, task="b", remarks=(remark,))])
    assert ticket.as_dict()["remarks"] == [{"person": "alice", "text": "no"}]


def test_a_ticket_is_plain_json_with_a_limit():
    ticket = ticket_of([row(1, map_index=index) for index in range(MOST_TASKS + 20)])
    plain = json.loads(json.dumps(ticket.as_dict()))
    assert (len(plain["tasks"]), plain["task_count"]) == (MOST_TASKS, MOST_TASKS + 20)
    assert [task["map_index"] for task in plain["tasks"]] == [*range(MOST_TASKS)]
    assert not {"dag_id", "run_id", "task_id", "map_index"} & plain.keys()


@pytest.mark.parametrize("view", View)
def test_the_nearest_deadline_comes_first_then_the_latest_decision(view):
    lasting = row(9, deadline=None, order_deadline=None)
    rows = [decided(12), row(3), decided(11), row(1), lasting, row(2)]
    wanted = Wanted(view=view, sort=Sort.DEADLINE, descending=False)
    expected = {View.WAITING: [1, 2, 3, 9], View.DECIDED: [11, 12], View.ALL: [1, 2, 3, 9, 11, 12]}
    assert numbers(listed_tickets(rows, wanted)) == expected[view]


@pytest.mark.parametrize("descending", [True, False])
@pytest.mark.parametrize("sort", Sort)
def test_every_order_keeps_every_ticket_and_is_the_same_again(sort, descending):
    rows = [*map(row, range(9)), *map(decided, range(9, 15)), decided(20, seconds_to_decide=5.0)]
    wanted = Wanted(view=View.ALL, sort=sort, descending=descending)
    ordered = numbers(listed_tickets(rows, wanted))
    assert sorted(ordered) == [*range(15), 20]
    assert ordered == numbers(listed_tickets(rows[::-1], wanted))


def test_the_quickest_decision_is_one_of_no_time():
    rows = [decided(number, seconds_to_decide=float(number)) for number in (2, 0, 1)]
    for descending, expected in ((False, [0, 1, 2]), (True, [2, 1, 0])):
        wanted = Wanted(view=View.DECIDED, sort=Sort.SECONDS, descending=descending)
        assert numbers(listed_tickets(rows, wanted)) == expected


def test_a_filter_that_one_task_meets_leaves_the_ticket_with_all_its_tasks():
    rows = [row(1, "a", run_id="one"), row(1, "b", run_id="two"), row(2, "c", run_id="three")]
    for wanted in (Wanted(run_id="two"), Wanted(search="two"), Wanted(dag_id="d", run_id="one")):
        (ticket,) = listed_tickets(rows, wanted)
        assert [one.task.run_id for one in ticket.tasks] == ["one", "two"]


def test_filters_of_a_task_have_to_meet_in_one_task():
    rows = [row(1, "a", dag_id="x", run_id="one"), row(1, "b", dag_id="y", run_id="two")]
    assert listed_tickets(rows, Wanted(dag_id="x", run_id="two")) == []


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"conn_id": "itsm"}, [1, 2, 3]),
        ({"conn_id": "other"}, [4]),
        ({"statuses": {"rejected"}}, [3]),
        ({"statuses": {"waiting", "rejected"}}, [1, 2, 3, 4]),
        ({"person": "Alice"}, [1]),
        ({"person": "alic"}, []),
        ({"person": "carol"}, [2]),
        ({"person": "bob"}, [3]),
        ({"person": "robot"}, [4]),
        ({"search": "CAROL"}, [2]),
        ({"since": Period(start=NOW - 2 * AN_HOUR)}, [1, 2]),
        ({"decided": Period(start=NOW - 3 * AN_HOUR)}, [3]),
        ({"decided": Period(end=NOW - 3 * AN_HOUR)}, []),
    ],
)
def test_the_filters_leave_what_they_say(wanted, found):
    rows = [
        *(row(1, approvers=("alice",)), row(2, asked_by=("carol",))),
        *(decided(3, Outcome.REJECTED, decided_by=("bob",)), row(4, conn_id="other", creator="robot")),
    ]
    page = ticket_page_of(rows, Wanted(view=View.ALL, **wanted))
    assert sorted(numbers(page.rows)) == found
    assert page.waiting + page.decided == len(found)


def test_the_status_that_is_filtered_by_is_the_tickets():
    rows = [row(1, "a"), row(1, "b", status=Outcome.TIMED_OUT)]
    assert listed_tickets(rows, Wanted(view=View.ALL, statuses=frozenset({"timed_out"}))) == []
    assert numbers(listed_tickets(rows, Wanted(view=View.ALL, statuses=frozenset({"waiting"})))) == [1]


def test_mine_is_a_ticket_of_which_one_task_is():
    me = Viewer(airflow_name="Alice Doe", itsm_name="alice")
    rows = [row(1, "a"), row(1, "b", triggered_by="Alice Doe"), row(2)]
    page = ticket_page_of(rows, Wanted(mine=True), me)
    assert (numbers(page.rows), len(page.rows[0].tasks)) == ([1], 2)
    assert ticket_page_of(rows, Wanted(mine=True)).total == 0


def test_what_the_filters_offer_is_all_there_is():
    rows = [
        *(row(1, approvers=("bob", "alice"), collector="7 (x)"), row(2, dag_id="e", conn_id="z")),
        decided(3, decided_by=("dave",), asked_by=("carol",)),
    ]
    page = ticket_page_of(rows, Wanted(dag_id="nowhere"))
    assert page.total == 0
    assert page.dags == ("d", "e")
    assert page.connections == ("itsm", "z")
    assert page.collectors == ("7 (x)",)
    assert page.people == ("alice", "bob", "carol", "dave")
