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
