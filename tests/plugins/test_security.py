# SPDX-License-Identifier: Apache-2.0
"""Who gets through which route: everybody is asked, but for ITSM's callback."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI, HTTPException
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from sqlalchemy import delete, select, update

from airflow_provider_bkitsm.plugins import api, pages, security, views
from airflow_provider_bkitsm.plugins.callback_route import create_app
from airflow_provider_bkitsm.plugins.metadata import AirflowMetadata
from airflow_provider_bkitsm.plugins.security import HEADER, Secured
from tests.plugins.database import airflow_database
from tests.plugins.people import Person, auth_manager
from tests.plugins.rows import DAG, Registered, insert_dag, insert_waits

READER = Person(reads=frozenset({DAG}))
OWNER = Person(reads=frozenset({DAG}), changes=frozenset({DAG}))
STRANGER = Person(reads=frozenset({"another"}), changes=frozenset({"another"}))
NOBODY = Person()
ACTIONS = ("/api/v1/ticket/withdraw", "/api/v1/ticket/remind")
ACTION = {HEADER: "1", "Content-Type": "application/json"}


@pytest.fixture(scope="module")
def wait(tmp_path_factory) -> Iterator[Registered]:
    home = tmp_path_factory.mktemp("doors")
    with airflow_database(home, f"sqlite:///{home / 'airflow.db'}"):
        yield insert_waits(["REQ1"], dag_version=insert_dag())[0]


def parts() -> tuple[FastAPI, APIRouter, FastAPI]:
    """Return the callback's app, and what is added to it: pages and API."""
    metadata = AirflowMetadata()
    return create_app(metadata), pages.router(), api.create_api(views.ApprovalViews(metadata))


def app() -> FastAPI:
    made, rooms, answers = parts()
    made.include_router(rooms)
    made.mount(api.PATH, answers)
    return made


@pytest.fixture(scope="module")
def doors(wait) -> Secured:
    """The plugin as Airflow mounts it."""
    return Secured(app())


@pytest.fixture
def visit(doors) -> Iterator[Any]:
    """Return a maker of browsers that have signed in to Airflow, or have not."""
    with auth_manager() as manager:

        def as_person(person: Person | None) -> TestClient:
            return TestClient(doors, cookies={"_token": manager.sign_in(person)} if person else {})

        yield as_person


ROUTES = [
    ("GET", "/api/v1/approvals"),
    ("GET", "/api/v1/collector"),
    ("GET", "/api/v1/collectors"),
    ("GET", "/api/v1/openapi.json"),
    ("GET", "/api/v1/ticket"),
    ("GET", "/api/v1/tickets"),
    ("GET", "/api/v1/tickets.csv"),
    ("GET", "/approvals"),
    ("GET", "/assets/{name}"),
    ("GET", "/collectors"),
    ("GET", "/ticket"),
    ("POST", "/api/v1/ticket/remind"),
    ("POST", "/api/v1/ticket/withdraw"),
]


def routes() -> list[tuple[str, str]]:
    made, rooms, answers = parts()
    found = [("", one) for room in (made, rooms) for one in room.routes]
    found += [(api.PATH, one) for one in answers.routes]
    return [
        (method, prefix + one.path)
        for prefix, one in found
        if isinstance(one, APIRoute)
        for method in one.methods
        if "/callback/" not in one.path
    ]


def task(wait: Registered, **more: Any) -> dict[str, Any]:
    return {"dag_id": DAG, "run_id": wait.run_id, "task_id": "wait", **more}


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_nobody_gets_in_without_signing_in(visit, method, path):
    client = visit(None)
    bare = client.request(method, path)
    assert bare.status_code == 401
    assert "alice" not in bare.text
    assert client.request(method, path, headers={"Authorization": "Bearer forged"}).status_code in (401, 403)
    client.cookies.set("_token", "forged")
    assert client.request(method, path).status_code in (401, 403)


def test_there_is_no_further_way_in():
    assert sorted(routes()) == ROUTES


def test_a_reader_sees_the_waits_of_the_dags_they_may_read(visit, wait):
    (row,) = visit(READER).get("/api/v1/approvals").json()["rows"]
    assert (row["sn"], row["dag_id"], row["run_id"], row["status"]) == ("REQ1", DAG, wait.run_id, "waiting")
    ticket = visit(READER).get("/api/v1/ticket", params=task(wait)).json()
    assert (ticket["ticket"]["sn"], ticket["may_change"]) == ("REQ1", False)
    assert visit(OWNER).get("/api/v1/ticket", params=task(wait)).json()["may_change"] is True


MALFORMED = [None, 7, "x", [], {"ti_id": "no"}, {"ti_id": 7}, {"conn_id": "\ud800"}, {"approval_seconds": 10**400}]


@pytest.fixture
def forged(wait) -> Iterator[Registered]:
    """A second wait of the same DAG, gone afterwards."""
    from airflow.models.dag_version import DagVersion
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session

    with create_session(scoped=False) as session:
        version = session.scalars(select(DagVersion.id)).first()
    made = insert_waits(["REQ2"], dag_version=version)[0]
    yield made
    with create_session(scoped=False) as session:
        session.execute(delete(TaskInstance).where(TaskInstance.run_id == made.run_id))


@pytest.mark.parametrize("value", MALFORMED, ids=ascii)
def test_p1_a_registration_that_anybody_wrote_breaks_no_page(visit, wait, forged, value):
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session

    written = forged.waiter.as_dict() | value if isinstance(value, dict) else value
    with create_session(scoped=False) as session:
        session.execute(update(XComModel).where(XComModel.run_id == forged.run_id).values(value=written))
    rows = visit(READER).get("/api/v1/approvals").json()["rows"]
    assert "REQ1" in {row["sn"] for row in rows}
    for params in (task(wait), task(forged)):
        assert visit(READER).get("/api/v1/ticket", params=params).status_code == 200


def test_a_stranger_sees_nothing_of_it(visit, wait):
    client = visit(STRANGER)
    listed = client.get("/api/v1/approvals", params={"view": "all"})
    assert (listed.status_code, listed.json()["rows"], listed.json()["dags"]) == (200, [], [])
    assert "REQ1" not in listed.text
    assert client.get("/api/v1/approvals", params={"dag_id": DAG, "view": "all"}).json()["total"] == 0
    assert client.get("/api/v1/ticket", params=task(wait)).status_code == 403


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_who_may_read_no_dag_gets_403_everywhere(visit, method, path):
    assert visit(NOBODY).request(method, path, headers=ACTION).status_code == 403


@pytest.mark.parametrize(("dag_id", "status"), [("", 404), ("~", 403), ("nowhere", 403)])
def test_no_dag_id_opens_more_than_that_dag(visit, wait, dag_id, status):
    answer = visit(STRANGER).get("/api/v1/ticket", params=task(wait) | {"dag_id": dag_id})
    assert answer.status_code == status


@pytest.mark.parametrize("action", ACTIONS)
def test_another_dags_id_in_the_address_does_not_help(visit, wait, action):
    body = task(wait, sn="REQ1", reason="no")
    assert visit(STRANGER).post(f"{action}?dag_id=another", json=body, headers=ACTION).status_code == 403


@pytest.mark.parametrize("action", ACTIONS)
def test_a_reader_may_change_nothing(visit, wait, action):
    body = task(wait, sn="REQ1", reason="no")
    assert visit(READER).post(action, json=body, headers=ACTION).status_code == 403


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Type": "application/json"}, 403),
        ({HEADER: "1", "Content-Type": "text/plain"}, 415),
        ({HEADER: "1", "Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({**ACTION, "Origin": "https://evil.example.com"}, 403),
        ({**ACTION, "Origin": "null"}, 403),
        ({**ACTION, "Sec-Fetch-Site": "cross-site"}, 403),
        ({**ACTION, "Sec-Fetch-Site": "same-site"}, 403),
    ],
)
@pytest.mark.parametrize("action", ACTIONS)
def test_another_sites_page_can_change_nothing(visit, wait, headers, status, action):
    body = task(wait, sn="REQ1", reason="no")
    answer = visit(OWNER).post(action, json=body, headers=headers)
    assert answer.status_code == status
    assert (HEADER in answer.json()["detail"]) is (HEADER not in headers)


@pytest.mark.parametrize("origin", ["http://testserver", None])
def test_the_pages_own_request_passes(visit, wait, origin):
    headers = {**ACTION, **({"Origin": origin, "Sec-Fetch-Site": "same-origin"} if origin else {})}
    body = task(wait, sn="REQ1", reason="no")
    # The connection does not exist here: everything before it let the request pass.
    assert visit(OWNER).post("/api/v1/ticket/withdraw", json=body, headers=headers).status_code == 503


@pytest.mark.parametrize("change", [{"sn": "REQ2"}, {"run_id": "other"}, {"task_id": "other"}, {"map_index": 0}])
@pytest.mark.parametrize("action", ACTIONS)
def test_only_the_ticket_that_was_shown_is_meant(visit, wait, change, action):
    body = task(wait, sn="REQ1", reason="no") | change
    answer = visit(OWNER).post(action, json=body, headers=ACTION)
    assert (answer.status_code, answer.json()["detail"]) == (404, "The task has no such ticket")


@pytest.mark.parametrize("reason", ["", "   ", "x" * 256])
def test_a_withdrawal_needs_a_reason(visit, wait, reason):
    body = task(wait, sn="REQ1", reason=reason)
    assert visit(OWNER).post("/api/v1/ticket/withdraw", json=body, headers=ACTION).status_code == 422


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize("person", [None, NOBODY, READER])
def test_every_answer_says_what_it_may_load(visit, method, path, person):
    headers = visit(person).request(method, path, headers=ACTION).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-src" not in policy
    assert headers["x-content-type-options"] == "nosniff"


def test_itsms_callback_is_answered_with_them_too(visit):
    assert "content-security-policy" in visit(None).post("/callback/a/b/1", content=b"{}").headers


def test_only_a_tickets_page_may_frame_itsm(visit, monkeypatch):
    monkeypatch.setenv("AIRFLOW__BKITSM__ITSM_FRAME_ORIGIN", "https://itsm.example.com")
    answers = [visit(READER).get(path) for path in ("/ticket", "/approvals", "/collectors", "/api/v1/approvals")]
    framing = ["frame-src https://itsm.example.com" in one.headers["content-security-policy"] for one in answers]
    assert framing == [True, False, False, False]


@pytest.mark.parametrize("name", ["shell.html", "..%2Fpages.py", "x.js"])
def test_nothing_else_of_the_package_is_served(visit, name):
    assert visit(READER).get(f"/assets/{name}").status_code == 404


@pytest.mark.parametrize(
    ("mapping", "name"), [("", "alice"), ("{}", "alice"), ('{"bob": "b"}', "alice"), ('{"alice": "a"}', "a")]
)
def test_a_person_is_called_as_the_mapping_says(monkeypatch, mapping, name):
    monkeypatch.setenv("AIRFLOW__BKITSM__USER_MAPPING", mapping)
    assert security.itsm_name(Person(name="alice")) == name


def test_a_person_is_found_in_the_mapping_in_any_spelling(monkeypatch):
    monkeypatch.setenv("AIRFLOW__BKITSM__USER_MAPPING", '{"alice@example.com": "asmith"}')
    assert security.itsm_name(Person(name="Alice@Example.com")) == "asmith"


@pytest.mark.parametrize("mapping", ['{"alice": ""}', '{"alice": " "}', '{"Alice": "a", "ALICE": "b"}'])
def test_nobody_acts_in_a_name_that_the_mapping_leaves_open(monkeypatch, mapping):
    monkeypatch.setenv("AIRFLOW__BKITSM__USER_MAPPING", mapping)
    with pytest.raises(HTTPException, match="alice"):
        security.itsm_name(Person(name="alice"))


def test_a_login_goes_before_a_display_name(monkeypatch):
    monkeypatch.delenv("AIRFLOW__BKITSM__USER_MAPPING", raising=False)
    assert security.itsm_name(SimpleNamespace(username="alice", get_name=lambda: "Alice Doe")) == "alice"


@pytest.mark.parametrize("mapping", ["[", "[]", "7", '"x"'])
def test_a_mapping_has_to_be_an_object(monkeypatch, mapping):
    monkeypatch.setenv("AIRFLOW__BKITSM__USER_MAPPING", mapping)
    with pytest.raises(HTTPException, match="user_mapping"):
        security.itsm_name(Person(name="alice"))
