# SPDX-License-Identifier: Apache-2.0
"""The client of docs/json-api.md reads everything from the real routes, and the page names what there is."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, HTTPException
from fastapi.testclient import TestClient

from airflow_provider_bkitsm.approvals.rows import ApprovalWait, Status, TaskKey
from airflow_provider_bkitsm.itsm.outcome import Outcome
from airflow_provider_bkitsm.plugins import api
from airflow_provider_bkitsm.plugins.metadata import AirflowMetadata
from airflow_provider_bkitsm.plugins.views import ApprovalViews
from tests.docs_examples import json_api
from tests.plugins.people import Person, auth_manager

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "json-api.md").read_text(encoding="utf-8")
DOCUMENT: dict[str, Any] = json.loads((ROOT / "docs" / "openapi.json").read_text(encoding="utf-8"))
NOW = datetime.now(UTC)
READER = Person(name="portal", reads=frozenset({"mine"}))


class Tickets:
    """Airflow's database: more waits than a page has, of two DAGs."""

    def __init__(self) -> None:
        self.found = [self.wait(number, "mine") for number in range(230)]
        self.found += [self.wait(number, "yours") for number in range(230, 240)]
        self.after_a_read: Callable[[], None] = lambda: None

    @staticmethod
    def wait(number: int, dag_id: str) -> ApprovalWait:
        task = TaskKey(dag_id=dag_id, run_id=f"run {number}", task_id="approval")
        return ApprovalWait(task=task, state="deferred", registered_at=NOW - timedelta(minutes=1000 - number))

    def waits(self, dag_ids: Collection[str], **_since: datetime) -> list[ApprovalWait]:
        found = [wait for wait in self.found if wait.task.dag_id in dag_ids]
        self.after_a_read()
        return found

    def polls(self, **_since: datetime) -> dict[str, datetime]:
        return {}


@pytest.fixture
def tickets() -> Tickets:
    return Tickets()


@pytest.fixture
def airflow(tickets, tmp_path, monkeypatch) -> Iterator[TestClient]:
    """An API server: Airflow's sign-in, and the plugin's routes where they are in a real one."""
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    views = ApprovalViews(AirflowMetadata())
    views.tickets = tickets  # type: ignore[assignment]
    server, plugin = FastAPI(), FastAPI()
    plugin.mount(api.PATH, api.create_api(views))
    server.mount("/bkitsm", plugin)
    requests = count()
    with auth_manager() as manager, TestClient(server) as client:
        # People who may read the same share what was read for seconds. Here every request reads anew.
        monkeypatch.setattr(manager, "get_authorized_dag_ids", lambda **_: {"mine", f"other {next(requests)}"})

        @server.post("/auth/token", status_code=201)
        def token(who: dict[str, str]) -> dict[str, str]:
            if who != {"username": "portal", "password": "p"}:
                raise HTTPException(401)
            return {"access_token": manager.sign_in(READER)}

        yield client


def runs(rows: Any) -> list[int]:
    return [int(row["run_id"].removeprefix("run ")) for row in rows]


def test_the_client_reads_every_page_of_what_it_may_see_once(airflow):
    json_api.sign_in(airflow, "portal", "p")
    assert runs(json_api.approvals(airflow, view="waiting")) == list(range(229, -1, -1))
    assert runs(json_api.approvals(airflow, search="run 17")) == [*range(179, 169, -1), 17]
    assert runs(json_api.approvals(airflow, dag_id="yours")) == []


def test_what_is_decided_meanwhile_hides_no_other_approval(airflow, tickets):
    """One approval of each page is decided after each read, and new ones are opened."""
    json_api.sign_in(airflow, "portal", "p")
    gone = iter([5, 105, 205, 6, 106, 206])
    new = iter(range(300, 400))

    def change() -> None:
        leaving = {f"run {next(gone, -1)}" for _ in range(3)}
        tickets.found = [wait for wait in tickets.found if wait.task.run_id not in leaving]
        tickets.found.append(tickets.wait(next(new), "mine"))

    tickets.after_a_read = change
    found = runs(json_api.approvals(airflow, view="waiting"))
    assert len(found) == len(set(found))
    assert set(range(230)) - set(found) <= {5, 105, 205, 6, 106, 206}


def test_what_is_refused_says_why(airflow):
    with pytest.raises(RuntimeError, match="401: Not authenticated"):
        list(json_api.approvals(airflow))
    json_api.sign_in(airflow, "portal", "p")
    with pytest.raises(RuntimeError, match=r"422: query\.status\.0: Input should be one of waiting, suspended"):
        list(json_api.approvals(airflow, status="done"))


def test_the_page_names_every_route_filter_status_and_error():
    named = set(re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```$", "", PAGE, flags=re.DOTALL | re.MULTILINE)))
    routes = {f"{method.upper()} {path}" for path, methods in DOCUMENT["paths"].items() for method in methods}
    assert routes <= named
    listed = ("/approvals", "/collectors")
    filters = {one["name"] for path in listed for one in DOCUMENT["paths"][path]["get"]["parameters"]}
    assert filters <= named
    assert {*Status, *Outcome} - {Outcome.WAITING} <= named
    operations = [operation for methods in DOCUMENT["paths"].values() for operation in methods.values()]
    statuses = {status for operation in operations for status in operation["responses"]} - {"200"}
    assert statuses == set(re.findall(r"^\| (\d{3}) \|", PAGE, re.MULTILINE))
