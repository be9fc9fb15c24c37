# SPDX-License-Identifier: Apache-2.0
"""The answers the pages get, with the sandbox as ITSM."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import jsonschema
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from airflow_provider_bkitsm.approvals.rows import ApprovalWait, TaskKey
from airflow_provider_bkitsm.collectors.clean_config import digest
from airflow_provider_bkitsm.collectors.errors import StoreUnavailable
from airflow_provider_bkitsm.collectors.row import CollectorRow, Owner
from airflow_provider_bkitsm.hooks.itsm import ItsmHook
from airflow_provider_bkitsm.itsm.errors import ItsmConfigurationError
from airflow_provider_bkitsm.itsm.reminders import read_plan
from airflow_provider_bkitsm.itsm.verdict import moment
from airflow_provider_bkitsm.plugins import api, views
from airflow_provider_bkitsm.tickets.approval import ApprovalRecord, Attempt, Subject
from airflow_provider_bkitsm.tickets.approval_store import open_approval_store
from tests.callback.conftest import FORM
from tests.plugins.people import AuthManager, Person, auth_manager
from tests.tickets.records import record_reminder, record_round
from tools import openapi

CONN, NOW = "bkitsm_default", datetime.now(UTC)
READER = Person(reads=frozenset({"dag"}))
SIGNED = {
    "callback_url": "http://127.0.0.1:1/bkitsm/callback/a/b/1",
    "headers": {"X-Bkitsm-Signature": "v1=secret"},
}
DOCUMENT = json.loads(openapi.FILE.read_text(encoding="utf-8"))
PAYLOAD = {"etl_config": "bk_log_json"}


def key(run_id: str, dag_id: str = "dag") -> TaskKey:
    return TaskKey(dag_id=dag_id, run_id=run_id, task_id="wait")


@dataclass
class Tickets:
    """Airflow's database."""

    founds: list[ApprovalWait] = field(default_factory=list)
    polled: dict[str, datetime] = field(default_factory=dict)
    reads: int = 0

    def waits(self, dag_ids: Collection[str], **_since: datetime) -> list[ApprovalWait]:
        self.reads += 1
        return [one for one in self.founds if one.task.dag_id in dag_ids]

    def polls(self, **_since: datetime) -> dict[str, datetime]:
        return self.polled

    def of_run(self, dag_id: str, run_id: str) -> list[ApprovalWait]:
        return [one for one in self.founds if (one.task.dag_id, one.task.run_id) == (dag_id, run_id)]


@dataclass
class Store:
    """The collectors' store."""

    rows: list[CollectorRow] = field(default_factory=list)
    error: Exception | None = None

    def listed(self, dag_ids: Collection[str]) -> list[CollectorRow]:
        if self.error is not None:
            raise self.error
        return [row for row in self.rows if row.owner and row.owner.dag_id in dag_ids]

    def detail(self, *_: Any) -> None:
        assert self.error is not None
        raise self.error


@dataclass
class Pages:
    """What a person asks and what there is to see."""

    client: TestClient
    manager: AuthManager
    seen: views.ApprovalViews
    tickets: Tickets
    store: Store
    token: str = ""

    def as_person(self, person: Person) -> Pages:
        """Return the same pages as somebody else sees them."""
        return replace(self, token=self.manager.sign_in(person))

    def ask(self, path: str, **params: Any) -> Any:
        headers = {"Authorization": f"Bearer {self.token}"}
        return self.client.get(f"{api.PATH}/{path}", params=params, headers=headers)

    def get(self, path: str, **params: Any) -> Any:
        answer = self.ask(path, **params)
        assert answer.status_code == 200, answer.text
        assert "secret" not in answer.text
        assert "/bkitsm/callback/" not in answer.text
        operation = DOCUMENT["paths"][f"/{path}"]["get"]
        schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
        jsonschema.validate(answer.json(), {**schema, "components": DOCUMENT["components"]})
        return answer.json()

    def ticket(self, run_id: str) -> Any:
        return self.get("ticket", dag_id="dag", run_id=run_id, task_id="wait")


@pytest.fixture
def pages(metadata, connections, monkeypatch) -> Iterator[Pages]:
    monkeypatch.setattr("airflow.models.dag.DagModel.get_team_name", lambda *_: None)
    seen, tickets, store = views.ApprovalViews(metadata), Tickets(), Store()
    seen.tickets, seen.collectors = tickets, store  # type: ignore[assignment]
    app = FastAPI()
    app.mount(api.PATH, api.create_api(seen))
    with auth_manager() as manager, TestClient(app) as client:
        asking = Pages(client=client, manager=manager, seen=seen, tickets=tickets, store=store)
        yield asking.as_person(READER)


@pytest.fixture
def wait(pages, sandbox) -> Callable[..., ApprovalWait]:
    """Return a maker of tickets that a task waits for."""

    def make(run_id: str = "run", **changes: Any) -> ApprovalWait:
        sn = ItsmHook().create_ticket(creator="robot", fields=FORM, fast_approval=True, meta=SIGNED).sn
        sandbox.wait_for_step(sn)
        found = ApprovalWait(task=key(run_id), state="deferred", sn=sn, conn_id=CONN, registered_at=NOW)
        pages.tickets.founds.append(replace(found, **changes))
        return pages.tickets.founds[-1]

    return make


def test_a_row_says_what_itsm_says(pages, wait):
    found = wait()
    told = pages.get("approvals")
    (row,) = told["rows"]
    assert (row["sn"], row["title"], row["approvers"]) == (found.sn, "t", ["alice"])
    assert (row["stale"], told["itsm_answered"]) == (False, True)


def recorded(wait: ApprovalWait, *, content: str = FORM["APPROVAL_CONTENT"], **changes: Any) -> ApprovalRecord:
    """Store the record of a wait's own round, as of a ticket that was asked for with this content."""
    request = {"dialect": "v2", "creator": "robot", "fields": FORM | {"APPROVAL_CONTENT": content}}
    where = {"run_id": wait.task.run_id, "task_id": wait.task.task_id}
    return record_round(wait.sn, request=request, **where, **changes)


@pytest.fixture
def store(monkeypatch, tmp_path):
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))


@pytest.mark.usefixtures("store")
def test_p3_the_ticket_tab_says_whether_what_runs_is_what_people_read(pages, wait):
    same, other, unknown = wait("same"), wait("other"), wait("unknown")
    recorded(same)
    recorded(other, content="drop everything")
    asked = {one.task.run_id: pages.ticket(one.task.run_id)["asked"] for one in (same, other, unknown)}
    assert (asked["same"]["match"], asked["same"]["differences"]) == ("same", [])
    assert asked["same"]["title"] == "t"
    (difference,) = asked["other"]["differences"]
    assert (asked["other"]["match"], difference["key"]) == ("differs", "APPROVAL_CONTENT")
    assert asked["unknown"] is None


@pytest.mark.usefixtures("store")
def test_p3_while_itsm_is_silent_nothing_is_said_to_match(pages, wait):
    recorded(wait())
    pages.seen.metadata.gateways.clear()
    assert pages.ticket("run")["asked"]["match"] == "unknown"


@pytest.mark.usefixtures("store")
def test_a_decision_is_shown_from_the_record_once_airflow_has_lost_it(pages, wait):
    verdict = {
        "sn": "REQ1",
        "outcome": "rejected",
        "reason_code": "refused",
        "reason": "refused by an approver",
        "approvers": [{"operator": "bob", "approved": False, "remark": "no", "decided_at": None}],
    }
    found = wait(state="failed")
    recorded(found, verdict=verdict)
    decision = pages.ticket("run")["decision"]
    assert decision["outcome"] == "rejected"
    assert [(one["operator"], one["approved"], one["remark"]) for one in decision["answers"]] == [
        ("bob", False, "no")
    ]
    assert pages.ticket("run")["ticket"]["status"] == "ended"


@pytest.mark.usefixtures("store")
def test_the_ticket_tab_tells_its_reminders_and_the_next(pages, wait):
    plan = read_plan(remind_after=timedelta(hours=2), escalate_after=timedelta(hours=3))
    said = {"plan": plan.as_dict(), "remind_by": [{"path": "company.chat", "kwargs": {"token": "secret"}}]}
    found = wait(reminders=json.dumps(said))
    since = moment(pages.ticket("run")["ticket"]["since"])
    assert since is not None
    record_reminder(found.sn, opened_at=since, recipients=("alice", "bob"))
    record_reminder(found.sn, opened_at=since - timedelta(days=1), hours=5, recipients=("mallory",))
    told = pages.ticket("run")
    ((sent,), following) = told["reminders"], told["next_reminder"]
    assert (sent["kind"], sent["state"], sent["recipients"]) == ("reminder", "sent", ["alice", "bob"])
    assert (following["kind"], moment(following["at"])) == ("reminder", since + timedelta(hours=2))


@pytest.mark.usefixtures("store")
def test_reminders_are_told_while_itsm_is_silent_of_a_ticket_that_is_recorded(pages, wait):
    found = wait()
    recorded(found, opened_at=NOW)
    record_reminder(found.sn, opened_at=NOW, recipients=("alice",))
    pages.seen.metadata.gateways.clear()
    assert [one["recipients"] for one in pages.ticket("run")["reminders"]] == [["alice"]]


@pytest.mark.usefixtures("store")
def test_a_store_that_cannot_be_read_leaves_the_rest_of_the_ticket(pages, wait, tmp_path):
    found = wait(reminders=json.dumps({"plan": read_plan(remind_after=3600.0).as_dict()}))
    (tmp_path / "bkitsm.db").write_bytes(b"no database at all" * 100)
    told = pages.ticket("run")
    assert (told["reminders"], told["next_reminder"]) == ([], None)
    assert (told["ticket"]["sn"], told["story"]["title"]) == (found.sn, "t")


def test_a_ticket_that_waits_has_no_decision(pages, wait):
    wait()
    assert pages.ticket("run")["decision"] is None


def test_a_decision_in_itsm_shows_before_the_task_has_gone_on(pages, wait, sandbox):
    sandbox.approve(wait().sn)
    (row,) = pages.get("approvals")["rows"]
    assert row["status"] == "resuming"


def test_without_itsm_the_list_comes_from_airflow_alone(pages, wait):
    found = wait()
    pages.seen.metadata.gateways.clear()
    told = pages.get("approvals")
    assert (told["itsm_answered"], [(row["sn"], row["stale"]) for row in told["rows"]]) == (
        False,
        [(found.sn, True)],
    )


def test_people_who_may_read_the_same_share_what_was_read(pages, wait):
    wait()
    for _ in range(3):
        pages.get("approvals", search="nothing")
    assert pages.tickets.reads == 1


def test_mine_is_each_persons_own(pages, wait):
    """``alice`` approves everything here; people who may read the same DAGs share the rest."""
    by_alice = wait("a")
    wait("b", triggered_by="carol")
    assert {row["run_id"] for row in pages.get("approvals", mine=True)["rows"]} == {"a", "b"}
    carol = pages.as_person(replace(READER, name="carol"))
    assert [row["run_id"] for row in carol.get("approvals", mine=True)["rows"]] == ["b"]
    dave = pages.as_person(replace(READER, name="dave"))
    told = dave.get("approvals", mine=True)
    assert (told["rows"], told["waiting"]) == ([], 0)
    assert by_alice.sn not in str(told)
    for person in (pages, carol, dave):
        assert person.get("approvals")["total"] == 2
    assert pages.tickets.reads == 1


def test_mine_goes_by_the_name_that_itsm_knows(pages, wait, monkeypatch):
    wait()
    monkeypatch.setenv("AIRFLOW__BKITSM__USER_MAPPING", '{"a@example.com": "alice"}')
    assert pages.as_person(replace(READER, name="a@example.com")).get("approvals", mine=True)["total"] == 1


def test_without_itsm_mine_is_what_is_known(pages, wait):
    wait("a")
    wait("b", triggered_by="alice")
    pages.seen.metadata.gateways.clear()
    told = pages.get("approvals", mine=True)
    assert (told["itsm_answered"], [(row["run_id"], row["stale"]) for row in told["rows"]]) == (
        False,
        [("b", True)],
    )


def test_rows_that_wait_say_when_their_connection_was_polled(pages, wait):
    wait("a", registered_at=NOW - timedelta(minutes=5))
    wait("b", registered_at=NOW - timedelta(minutes=5), conn_id="another")
    pages.tickets.polled = {CONN: NOW}
    polled = {row["run_id"]: moment(row["polled_at"]) for row in pages.get("approvals")["rows"]}
    assert polled == {"a": NOW, "b": None}
    assert moment(pages.ticket("a")["ticket"]["polled_at"]) == NOW


@pytest.mark.parametrize(("origin", "framed"), [("", False), ("https://itsm.example.com", False), (None, True)])
def test_itsms_page_is_framed_only_from_the_configured_origin(pages, wait, sandbox, monkeypatch, origin, framed):
    monkeypatch.setenv("AIRFLOW__BKITSM__ITSM_FRAME_ORIGIN", sandbox.url if origin is None else origin)
    wait()
    url = f"{sandbox.url}/#/ticket/detail-iframe?id=1"
    assert pages.ticket("run")["frame_url"] == (url if framed else "")


@pytest.mark.parametrize("changes", [True, False])
@pytest.mark.parametrize("function", ["", "builtins.print"])
def test_a_reminder_is_offered_to_who_may_send_one(pages, wait, monkeypatch, changes, function):
    monkeypatch.setenv("AIRFLOW__BKITSM__REMIND", function)
    wait()
    person = pages.as_person(replace(READER, changes=READER.reads if changes else frozenset()))
    assert person.ticket("run")["may_remind"] is (changes and bool(function))


def test_a_ticket_tells_its_story(pages, wait):
    found = wait()
    told = pages.ticket("run")
    assert told["ticket"]["sn"] == found.sn
    assert told["problem"] == ""
    assert "c" in {one["text"] for one in told["story"]["form"]}
    assert told["story"]["entries"][-1]["kind"] == "pending"


def test_a_ticket_itsm_does_not_know_shows_what_airflow_knows(pages, wait):
    wait(sn="REQ_nobody")
    told = pages.ticket("run")
    assert (told["ticket"]["sn"], told["story"]) == ("REQ_nobody", None)
    assert told["problem"]


def test_p6_a_ticket_of_another_version_is_not_asked_about(pages, wait, sandbox, monkeypatch, tmp_path):
    """Its connection was switched since it was opened, and another ITSM may have a ticket of its number."""
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    ticket, name = wait(), {"dag_id": "dag", "run_id": "run", "task_id": "wait"}
    record = ApprovalRecord(
        nonce="n" * 32,
        subject=Subject(installation="", bkitsm_conn_id=CONN, **name),
        round_number=1,
        attempt=Attempt(ti_id=None, try_number=1, max_tries=0, retries=0),
        digest="d",
        asked_digest="d",
        tag="t",
        request={"dialect": "v4", "fields": {"title": "Drop?"}},
        sn=ticket.sn,
    )
    open_approval_store().begin(record)
    before = len(sandbox.requests())
    answer = pages.ticket("run")
    assert answer["story"] is None
    assert "was opened in the dialect 'v4', and connection 'bkitsm_default' speaks 'v2' now" in answer["problem"]
    assert pages.get("approvals", mine=True)["rows"] == []
    assert [row["sn"] for row in pages.get("approvals")["rows"]] == [ticket.sn]
    assert len(sandbox.requests()) == before


def test_p6_nor_is_one_of_another_itsm_of_the_same_version_shown(pages, wait, monkeypatch, tmp_path):
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    ticket = wait()
    record_round(ticket.sn, request={"dialect": "v2", "creator": "alice", "fields": {"title": "ours"}})
    answer = pages.ticket("run")
    assert answer["story"] is None
    assert "Does the connection lead to another ITSM than before?" in answer["problem"]


def test_a_wait_without_a_number_is_shown_without_a_story(pages, wait):
    wait(sn="", conn_id="")
    told = pages.ticket("run")
    assert (told["ticket"]["status"], told["story"], told["problem"]) == ("waiting", None, "")


def test_a_task_without_a_ticket_has_none(pages):
    assert pages.ticket("run")["ticket"] is None


def applied(sn: str) -> CollectorRow:
    owner = Owner(dag_id="dag", run_id="run", task_id="apply")
    of_payload = {"etl_payload": PAYLOAD, "etl_digest": digest(PAYLOAD)}
    row = CollectorRow(bklog_conn_id="bklog", collector_config_id=7, created_at=NOW, updated_at=NOW, **of_payload)
    return replace(row, ticket_sn=sn, owner=owner)


def test_a_collectors_payload_is_beside_its_ticket(pages, wait):
    pages.store.rows.append(applied(wait().sn))
    assert pages.ticket("run")["collector"]["payload"] == PAYLOAD
    told = pages.get("approvals", collector="7 (bklog)")
    assert (told["total"], told["collectors"]) == (1, ["7 (bklog)"])


@pytest.mark.parametrize(
    ("connections_of_rows", "shown"),
    [(["other"], None), (["other", CONN], 1), ([CONN, "other"], 0), (["other", None], 1)],
)
def test_the_collector_of_another_itsms_ticket_of_the_same_number_is_not_shown(
    pages, wait, connections_of_rows, shown
):
    """Two ITSMs may give one number; an earlier version did not store which of them a ticket is in."""
    found = applied(wait().sn)
    for number, conn_id in enumerate(connections_of_rows):
        pages.store.rows.append(replace(found, collector_config_id=number, bkitsm_conn_id=conn_id))
    collector = pages.ticket("run")["collector"]
    assert (collector and collector["collector_config_id"]) == shown
    (row,) = pages.get("approvals")["rows"]
    assert row["collector"] == ("" if shown is None else f"{shown} (bklog)")


@pytest.mark.parametrize("kind", [StoreUnavailable, ItsmConfigurationError])
def test_when_the_store_cannot_be_used_only_the_collectors_are_missing(pages, wait, kind):
    """It is down, or ``[bkitsm] store_conn_id`` names a connection that is none to a store."""
    wait()
    pages.store.error = kind("the store is down")
    assert pages.get("approvals")["total"] == 1
    assert pages.ticket("run")["collector"] is None
    for answer in (pages.ask("collectors"), pages.ask("collector", bklog_conn_id="b", collector_config_id=1)):
        assert (answer.status_code, answer.json()["detail"]) == (503, "the store is down")
