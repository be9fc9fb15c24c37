# SPDX-License-Identifier: Apache-2.0
"""What the routes that read take, and refuse."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from airflow_provider_bkitsm.approvals.csv_export import csv_of
from airflow_provider_bkitsm.approvals.list_query import Period, Sort, View, Wanted, page_of
from airflow_provider_bkitsm.approvals.ticket_list import ticket_page_of
from airflow_provider_bkitsm.collectors.row import CollectorRow, CollectorState, Owner
from airflow_provider_bkitsm.plugins import api
from tests.plugins.people import Person, auth_manager

NOW = datetime(2026, 11, 29, 8, tzinfo=UTC)


class Collectors:
    """Holds five collectors of the DAG, on two log platforms."""

    def listed(self, dags: frozenset[str]) -> list[CollectorRow]:
        owner = Owner(dag_id="dag", run_id="run", task_id="apply")
        states = dict(enumerate(CollectorState))
        rows = (
            CollectorRow(
                bklog_conn_id=f"bklog{number % 2}",
                collector_config_id=number,
                state=states.get(number, CollectorState.APPLYING),
                owner=owner,
                created_at=NOW,
                updated_at=NOW,
            )
            for number in range(5)
        )
        return [row for row in rows if row.owner and row.owner.dag_id in dags]


class ApprovalViews:
    """Remembers what was wanted."""

    wanted: Wanted | None = None
    language = ""
    waits_for_itsm = True
    collectors = Collectors()

    async def listed(self, _user: Any, wanted: Wanted) -> dict[str, Any]:
        self.wanted = wanted
        return {**page_of([], wanted).as_dict(), "itsm_answered": True, "now": NOW}

    async def listed_tickets(
        self, _request: Any, _user: Any, wanted: Wanted, *, waits_for_itsm: bool
    ) -> dict[str, Any]:
        self.wanted, self.waits_for_itsm = wanted, waits_for_itsm
        return {**ticket_page_of([], wanted).as_dict(), "itsm_answered": True, "now": NOW}

    async def exported(self, _user: Any, wanted: Wanted, language: str) -> str:
        self.wanted, self.language = wanted, language
        return csv_of([])


@pytest.fixture
def views() -> ApprovalViews:
    return ApprovalViews()


@pytest.fixture
def client(views) -> Iterator[TestClient]:
    app = FastAPI()
    app.mount(api.PATH, api.create_api(views))
    with auth_manager() as manager:
        token = manager.sign_in(Person(reads=frozenset({"dag"})))
        yield TestClient(app, headers={"Authorization": f"Bearer {token}"})


LISTS = ["approvals", "tickets"]


@pytest.mark.parametrize("path", [*LISTS, "tickets.csv"])
def test_every_filter_reaches_the_list(client, views, path):
    asked = {"view": "all", "sort": "title", "descending": "false", "mine": "true"}
    texts = {"search": "s", "dag_id": "d", "run_id": "r", "collector": "c", "conn_id": "itsm", "person": "p"}
    statuses = {"status": ["rejected", "ended"]}
    periods = {
        "since_gte": "2026-11-01T00:00:00Z",
        "since_lt": "2026-11-02T08:00:00+08:00",
        "decided_at_gte": "2026-11-03T00:00:00Z",
        "decided_at_lt": "2026-11-04T00:00:00Z",
    }
    one_page = {"page": 2, "size": 10} if path in LISTS else {}
    params = asked | texts | statuses | periods | one_page
    assert client.get(f"/api/v1/{path}", params=params).status_code == 200
    chosen = {"view": View.ALL, "sort": Sort.TITLE, "descending": False, "mine": True, **one_page}
    first, second, third, fourth = (datetime(2026, 11, day, tzinfo=UTC) for day in (1, 2, 3, 4))
    since, decided = Period(start=first, end=second), Period(start=third, end=fourth)
    wanted = Wanted(**chosen, **texts, statuses=frozenset(statuses["status"]), since=since, decided=decided)
    assert views.wanted == wanted


def test_without_filters_all_that_waits_is_listed(client, views):
    client.get("/api/v1/approvals")
    assert views.wanted == Wanted()


@pytest.mark.parametrize("path", ["tickets", "tickets.csv"])
def test_without_an_order_the_nearest_deadline_comes_first(client, views, path):
    client.get(f"/api/v1/{path}")
    assert views.wanted == Wanted(sort=Sort.DEADLINE, descending=False)


@pytest.mark.parametrize(("params", "waits"), [({}, True), ({"wait": "true"}, True), ({"wait": "false"}, False)])
def test_who_needs_no_news_of_itsm_is_not_kept_waiting(client, views, params, waits):
    client.get("/api/v1/tickets", params=params)
    assert views.waits_for_itsm is waits


@pytest.mark.parametrize(("params", "language"), [({}, "en"), ({"language": "zh"}, "zh")])
def test_the_export_is_a_file_that_excel_reads(client, views, params, language):
    answer = client.get("/api/v1/tickets.csv", params=params)
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert re.fullmatch(
        r'attachment; filename="approvals-\d{4}-\d\d-\d\d\.csv"', answer.headers["content-disposition"]
    )
    assert answer.content.startswith(b"\xef\xbb\xbf")
    assert views.language == language


@pytest.mark.parametrize("params", [{"language": "fr"}, {"person": "x" * 201}, {"sort": "x"}])
def test_an_export_of_nonsense_is_refused(client, views, params):
    assert client.get("/api/v1/tickets.csv", params=params).status_code == 422
    assert views.wanted is None


@pytest.mark.parametrize(
    "nonsense",
    [
        *({"view": "x"}, {"sort": "password"}, {"status": "x"}, {"status": ["approved", ""]}, {"mine": "perhaps"}),
        *({"page": 0}, {"size": 0}, {"size": 101}, {"search": "x" * 201}),
        *({"since_gte": "2026-11-01"}, {"since_lt": "2026-11-01T00:00:00"}, {"decided_at_gte": ""}),
    ],
)
@pytest.mark.parametrize("path", LISTS)
def test_nonsense_is_refused(client, views, nonsense, path):
    assert client.get(f"/api/v1/{path}", params=nonsense).status_code == 422
    assert views.wanted is None


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({}, [0, 1, 2, 3, 4]),
        ({"bklog_conn_id": "bklog1"}, [1, 3]),
        ({"dag_id": "dag", "bklog_conn_id": ""}, [0, 1, 2, 3, 4]),
        ({"dag_id": "another"}, []),
        ({"state": "applying"}, [1, 4]),
        ({"state": ["applying", "fail_apply"], "bklog_conn_id": "bklog0"}, [2, 4]),
    ],
)
def test_the_filters_of_collectors_leave_what_they_say(client, filters, found):
    answer = client.get("/api/v1/collectors", params=filters).json()
    assert [row["collector_config_id"] for row in answer["rows"]] == found
    assert (answer["page"], answer["pages"], answer["total"]) == (1, 1, len(found))


def test_collectors_come_in_pages(client):
    pages = [client.get("/api/v1/collectors", params={"size": 2, "page": page}).json() for page in (1, 2, 3, 9)]
    assert [[row["collector_config_id"] for row in page["rows"]] for page in pages] == [[0, 1], [2, 3], [4], [4]]
    assert [(page["page"], page["pages"], page["total"]) for page in pages] == [
        *((1, 3, 5), (2, 3, 5), (3, 3, 5), (3, 3, 5)),
    ]


@pytest.mark.parametrize("nonsense", [{"state": "done"}, {"size": 2001}, {"size": 0}, {"page": 0}])
def test_nonsense_about_collectors_is_refused(client, nonsense):
    assert client.get("/api/v1/collectors", params=nonsense).status_code == 422


UNSTORABLE = ["\x00", "run\x00", "\x00" * 300]


@pytest.mark.parametrize("text", UNSTORABLE)
@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("/api/v1/approvals", ["search", "dag_id", "run_id", "collector", "another"]),
        ("/api/v1/tickets", ["search", "person", "another"]),
        ("/api/v1/tickets.csv", ["search", "person", "another"]),
        ("/api/v1/ticket", ["dag_id", "run_id", "task_id"]),
        ("/api/v1/collector", ["bklog_conn_id"]),
        ("/api/v1/collectors", ["another"]),
    ],
)
def test_what_no_database_can_hold_is_not_there(client, views, path, names, text):
    known = {"dag_id": "dag", "run_id": "run", "task_id": "wait", "bklog_conn_id": "c", "collector_config_id": "1"}
    for name in names:
        assert client.get(path, params={**known, name: text}).status_code == 404
    assert views.wanted is None


def test_nor_is_a_collector_with_a_number_that_no_database_can_hold(client):
    for number in (-1, 2**63, 10**30):
        params = {"bklog_conn_id": "c", "collector_config_id": str(number)}
        assert client.get("/api/v1/collector", params=params).status_code == 422


def test_nor_is_a_task_with_such_an_index(client):
    for index in (-2, 2**31, 2**63, 10**30):
        params = {"dag_id": "dag", "run_id": "run", "task_id": "wait", "map_index": str(index)}
        assert client.get("/api/v1/ticket", params=params).status_code == 422


def test_who_is_not_signed_in_learns_no_more_from_it(client):
    client.headers.pop("Authorization")
    assert client.get("/api/v1/approvals", params={"run_id": "\x00"}).status_code == 401
