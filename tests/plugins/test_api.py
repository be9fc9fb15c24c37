# SPDX-License-Identifier: Apache-2.0
"""What the routes that read take, and refuse."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from airflow_provider_bkitsm.approvals.list_page import Sort, View, Wanted
from airflow_provider_bkitsm.plugins import api
from tests.plugins.people import Person, auth_manager


class ApprovalViews:
    """Remembers what was wanted."""

    wanted: Wanted | None = None

    async def listed(self, _user: Any, wanted: Wanted) -> dict[str, Any]:
        self.wanted = wanted
        return {}


@pytest.fixture
def views() -> ApprovalViews:
    return ApprovalViews()


@pytest.fixture
def client(views) -> Iterator[TestClient]:
    app = FastAPI()
    app.include_router(api.read_routes(views))
    with auth_manager() as manager:
        token = manager.sign_in(Person(reads=frozenset({"dag"})))
        yield TestClient(app, headers={"Authorization": f"Bearer {token}"})


def test_every_filter_reaches_the_list(client, views):
    asked = {"view": "all", "sort": "title", "descending": "false", "page": "2", "size": "10", "mine": "true"}
    texts = {"search": "s", "dag_id": "d", "run_id": "r", "collector": "c"}
    assert client.get("/api/approvals", params=asked | texts).status_code == 200
    chosen = {"view": View.ALL, "sort": Sort.TITLE, "descending": False, "page": 2, "size": 10, "mine": True}
    assert views.wanted == Wanted(**chosen, **texts)


def test_without_filters_all_that_waits_is_listed(client, views):
    client.get("/api/approvals")
    assert views.wanted == Wanted()


@pytest.mark.parametrize(
    "nonsense",
    [{"view": "x"}, {"sort": "password"}, {"page": 0}, {"size": 1000}, {"search": "x" * 201}, {"mine": "perhaps"}],
)
def test_nonsense_is_refused(client, views, nonsense):
    assert client.get("/api/approvals", params=nonsense).status_code == 422
    assert views.wanted is None


UNSTORABLE = ["\x00", "run\x00", "\x00" * 300]


@pytest.mark.parametrize("text", UNSTORABLE)
@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("/api/approvals", ["search", "dag_id", "run_id", "collector", "another"]),
        ("/api/ticket", ["dag_id", "run_id", "task_id"]),
        ("/api/collector", ["bklog_conn_id"]),
        ("/api/collectors", ["another"]),
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
        assert client.get("/api/collector", params=params).status_code == 422


def test_who_is_not_signed_in_learns_no_more_from_it(client):
    client.headers.pop("Authorization")
    assert client.get("/api/approvals", params={"run_id": "\x00"}).status_code == 401
