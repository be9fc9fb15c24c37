# SPDX-License-Identifier: Apache-2.0
"""The JSON API refuses in one shape, whoever refuses: Airflow, FastAPI, this package, or a bug."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI, HTTPException
from fastapi.testclient import TestClient

from airflow_provider_bkitsm.plugins import api
from airflow_provider_bkitsm.plugins.metadata import AirflowMetadata
from airflow_provider_bkitsm.plugins.security import HEADER
from airflow_provider_bkitsm.plugins.views import ApprovalViews
from tests.plugins.people import Person, auth_manager

TASK = {"dag_id": "dag", "run_id": "run", "task_id": "wait"}
ACTION = {HEADER: "1", "Content-Type": "application/json"}


class Views(ApprovalViews):
    """Fails as it is told."""

    error: Exception = RuntimeError("password=secret")

    async def listed(self, *_: Any) -> dict[str, Any]:
        raise self.error


@pytest.fixture
def views() -> Views:
    return Views(AirflowMetadata())


@pytest.fixture
def client(views) -> Iterator[TestClient]:
    app = FastAPI()
    app.mount(api.PATH, api.create_api(views))
    with auth_manager() as manager:
        token = manager.sign_in(Person(reads=frozenset({"dag"}), changes=frozenset({"dag"})))
        headers = {"Authorization": f"Bearer {token}"}
        yield TestClient(app, headers=headers, base_url="http://testserver", raise_server_exceptions=False)


def refused(client: TestClient, method: str, path: str, **more: Any) -> tuple[int, dict[str, Any]]:
    answer = client.request(method, f"{api.PATH}{path}", **more)
    body = answer.json()
    assert body.keys() == {"detail", "errors"}
    assert isinstance(body["detail"], str)
    assert body["detail"]
    return answer.status_code, body


@pytest.mark.parametrize(
    ("status", "method", "path", "more"),
    [
        (401, "GET", "/approvals", {"headers": {"Authorization": ""}}),
        (401, "GET", "/openapi.json", {"headers": {"Authorization": ""}}),
        (403, "GET", "/approvals", {"headers": {"Authorization": "Bearer forged"}}),
        (403, "GET", "/ticket", {"params": TASK | {"dag_id": "another"}}),
        (403, "POST", "/ticket/withdraw", {"json": TASK}),
        (404, "GET", "/nowhere", {}),
        (404, "GET", "/ticket", {"params": TASK | {"dag_id": ""}}),
        (404, "GET", "/approvals", {"params": {"search": "\x00"}}),
        (405, "POST", "/approvals", {}),
        (415, "POST", "/ticket/remind", {"content": "x", "headers": {HEADER: "1", "Content-Type": "text/plain"}}),
        (422, "GET", "/approvals", {"params": {"size": 101}}),
        (422, "GET", "/ticket", {}),
        (422, "POST", "/ticket/withdraw", {"content": "{", "headers": ACTION}),
        (500, "GET", "/approvals", {}),
    ],
)
def test_every_refusal_has_the_one_shape(client, monkeypatch, status, method, path, more):
    monkeypatch.setattr("airflow.models.dag.DagModel.get_team_name", lambda *_: None)
    found, body = refused(client, method, path, **more)
    assert found == status
    assert bool(body["errors"]) is (status == 422)


@pytest.mark.parametrize(
    ("params", "locations"),
    [
        ({"size": "many"}, ["query.size"]),
        ({"page": 0, "view": "x"}, ["query.page", "query.view"]),
        ({"status": "waiting,approved"}, ["query.status.0"]),
        ({"since_gte": "2026-11-29T08:00:00"}, ["query.since_gte"]),
        ({"decided_at_lt": "yesterday"}, ["query.decided_at_lt"]),
    ],
)
def test_a_value_that_cannot_be_used_is_named(client, params, locations):
    _, body = refused(client, "GET", "/approvals", params=params)
    assert sorted(one["location"] for one in body["errors"]) == locations
    assert all(one["message"] in body["detail"] for one in body["errors"])


def test_p8_neither_a_bug_nor_a_refused_body_is_repeated(client):
    _, failed = refused(client, "GET", "/approvals")
    reason = "s3cret" * 100
    _, invalid = refused(
        client, "POST", "/ticket/withdraw", json={**TASK, "sn": "x", "reason": reason}, headers=ACTION
    )
    assert "secret" not in str(failed)
    assert "s3cret" not in str(invalid)


@pytest.mark.parametrize("detail", [None, {"why": "x"}, ["x"]])
def test_a_refusal_without_a_text_has_the_statuss_own(client, views, detail):
    views.error = HTTPException(503, detail)
    assert refused(client, "GET", "/approvals") == (503, {"detail": "Service Unavailable", "errors": []})


def test_what_a_refusal_asks_for_stays_in_its_headers(client, views):
    views.error = HTTPException(429, "later", headers={"Retry-After": "60"})
    answer = client.get(f"{api.PATH}/approvals")
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "60")
