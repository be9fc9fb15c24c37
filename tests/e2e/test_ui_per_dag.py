# SPDX-License-Identifier: Apache-2.0
"""Who may read one DAG and not another, in a real Airflow: nothing of the other one is to be seen anywhere."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import requests

from airflow_provider_bkitsm.collectors.row import Owner
from demo.browser import browser
from tests.docs_examples import json_api
from tests.e2e.browsing import gate, listed, needs_a_browser, row, ticket_tab
from tests.e2e.gates import Gate
from tests.e2e.per_dag import DAG_ID, PERSON

BKLOG, OURS, THEIRS = "bklog_default", 990001, 990002
ACTION = {"X-Bkitsm-Action": "1"}

Ask = Callable[..., requests.Response]


@pytest.fixture(scope="module")
def ask(airflow, second) -> Ask:
    who = {"username": PERSON, "password": airflow.password_of(PERSON)}
    token = requests.post(f"{second}/auth/token", json=who, timeout=30).json()["access_token"]
    headers = {"Authorization": f"Bearer {token}", **ACTION}

    def call(method: str, path: str, **more: Any) -> requests.Response:
        return requests.request(method, f"{second}/{path}", headers=headers, timeout=60, **more)

    return call


@pytest.fixture(scope="module")
def ours(airflow, control) -> Gate:
    return gate(airflow, control, title="Ours")


@pytest.fixture(scope="module")
def theirs(airflow, control) -> Gate:
    return Gate.open(airflow, control, "by_callback")


@pytest.fixture(scope="module")
def collectors(stored, ours, theirs) -> None:
    for one, number in ((ours, OURS), (theirs, THEIRS)):
        one.asks()
        owner = Owner(dag_id=one.dag, run_id=one.run, task_id="apply")
        stored.apply(BKLOG, number, payload={"etl_config": "bk_log_json"}, tag=f"t{number}", owner=owner)
        stored.ticket_opened(BKLOG, number, tag=f"t{number}", sn=one.sn)


def task(one: Gate) -> dict[str, Any]:
    return {"dag_id": one.dag, "run_id": one.run, "task_id": "wait"}


def test_airflow_itself_tells_the_dags_apart(ask):
    assert ask("GET", f"api/v2/dags/{DAG_ID}").status_code == 200
    assert ask("GET", "api/v2/dags/by_callback").status_code == 403


@pytest.mark.parametrize("view", ["waiting", "all"])
@pytest.mark.parametrize("more", [{}, {"dag_id": "by_callback"}, {"mine": "true"}, {"search": "by_callback"}])
def test_the_list_holds_only_the_one(ask, ours, theirs, view, more):
    ours.waits()
    theirs.waits()
    answer = ask("GET", "bkitsm/api/v1/approvals", params={"view": view, "size": 100, **more})
    assert answer.status_code == 200
    assert {one["dag_id"] for one in answer.json()["rows"]} <= {DAG_ID}
    assert set(answer.json()["dags"]) <= {DAG_ID}
    assert not [known for known in (theirs.sn, theirs.run) if known in answer.text]
    assert (ours.sn in answer.text) is (not more)


def test_a_runs_tab_of_the_other_is_empty(ask, ours, theirs):
    runs = {
        one.dag: {"dag_id": one.dag, "run_id": one.run, "view": "all"} for one in (ours.waits(), theirs.waits())
    }
    totals = {dag: ask("GET", "bkitsm/api/v1/approvals", params=run).json()["total"] for dag, run in runs.items()}
    assert totals == {DAG_ID: 1, "by_callback": 0}


def test_a_ticket_of_the_other_is_refused(ask, ours, theirs):
    assert ask("GET", "bkitsm/api/v1/ticket", params=task(ours.waits())).json()["ticket"]["sn"] == ours.sn
    refused = ask("GET", "bkitsm/api/v1/ticket", params=task(theirs.waits()))
    assert refused.status_code == 403
    assert theirs.sn not in refused.text
    mixed = ask("GET", "bkitsm/api/v1/ticket", params={**task(ours), "run_id": theirs.run})
    assert mixed.json()["ticket"] is None


def test_a_portal_reads_the_one_with_a_token_of_airflow(airflow, ask, second, ours, theirs):
    """With the client of docs/json-api.md."""
    ours.waits()
    theirs.waits()
    with httpx.Client(base_url=second, timeout=60) as portal:
        json_api.sign_in(portal, PERSON, airflow.password_of(PERSON))
        rows = list(json_api.approvals(portal, view="all"))
    assert ours.sn in {row["sn"] for row in rows}
    assert {row["dag_id"] for row in rows} == {DAG_ID}
    document = json.loads((Path(__file__).resolve().parents[2] / "docs" / "openapi.json").read_text())
    document["servers"] = [{"url": f"{urlsplit(second).path}/bkitsm/api/v1"}]
    assert ask("GET", "bkitsm/api/v1/openapi.json").json() == document


@pytest.mark.parametrize("action", ["withdraw", "remind"])
def test_nothing_is_done_to_the_other(ask, ours, theirs, control, action):
    theirs.waits()
    wish = {**task(theirs), "sn": theirs.sn, "reason": "r"}
    assert ask("POST", f"bkitsm/api/v1/ticket/{action}", json=wish).status_code == 403
    ours.waits()
    through_ours = {**task(ours), "sn": theirs.sn, "reason": "r"}
    assert ask("POST", f"bkitsm/api/v1/ticket/{action}", json=through_ours).status_code == 404
    assert control.ticket(theirs.sn)["status"] == "RUNNING"


def test_a_collector_of_the_other_is_not_there(ask, collectors, theirs):
    listing = ask("GET", "bkitsm/api/v1/collectors")
    numbers = {one["collector_config_id"] for one in listing.json()["rows"]}
    assert (OURS in numbers, THEIRS in numbers, theirs.sn in listing.text) == (True, False, False)
    one = {
        number: ask("GET", f"bkitsm/api/v1/collector?bklog_conn_id={BKLOG}&collector_config_id={number}")
        for number in (OURS, THEIRS)
    }
    assert {number: answer.status_code for number, answer in one.items()} == {OURS: 200, THEIRS: 404}


@needs_a_browser
def test_the_pages_show_only_the_one(airflow, second, ours, theirs):
    ours.waits()
    theirs.waits()
    with browser() as window:
        window.sign_in(second, PERSON, airflow.password_of(PERSON))
        listed(window, second, "view=all")
        row(window, ours.sn, "waiting")
        assert theirs.sn not in window.text()
        window.open(ticket_tab(second, ours))
        window.into_frame("bkitsm/ticket")
        # Who opened the ticket is somebody else.
        window.one("#may-not", text="Only admin may withdraw it in ITSM")
        window.open(f"{second}/bkitsm/ticket?dag_id={theirs.dag}&run_id={theirs.run}&task_id=wait")
        window.one("[role=alert]", text="You may not see this")
        assert theirs.sn not in window.text()
