# SPDX-License-Identifier: Apache-2.0
"""Collectors as the page shows them, limited to the DAGs a person may read."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import make_url

from airflow_provider_bkitsm.approvals.rows import ApprovalWait, TaskKey, row_of
from airflow_provider_bkitsm.collectors.row import Owner
from airflow_provider_bkitsm.collectors.store import CollectorStore, sqlite_engine
from airflow_provider_bkitsm.hooks.store import open_store
from airflow_provider_bkitsm.itsm.reminders import read_plan
from airflow_provider_bkitsm.plugins.api_models import CollectorDetail
from airflow_provider_bkitsm.plugins.store_reader import Collectors, collector_row, read_reminders
from tests.tickets.records import record_reminder

BKLOG, PAYLOAD = "bklog_default", {"etl_config": "bk_log_json"}
OPENED = datetime(2026, 11, 29, 8, tzinfo=UTC)
HOUR = timedelta(hours=1)
MINE, YOURS = frozenset({"mine"}), frozenset({"yours"})


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CollectorStore:
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    monkeypatch.setenv("AIRFLOW__BKITSM__STORE_CONN_ID", "")
    return CollectorStore(sqlite_engine(tmp_path / "bkitsm.db"))


def apply(store: CollectorStore, number: int, dag_id: str, *, tag: str = "t1", sn: str = "REQ1") -> None:
    owner = Owner(dag_id=dag_id, run_id=f"run {sn}", task_id="apply")
    store.apply(BKLOG, number, payload=PAYLOAD, tag=tag, owner=owner)
    store.ticket_opened(BKLOG, number, tag=tag, sn=sn)


def test_a_collector_is_listed_for_who_may_read_the_dag_that_applied(store):
    apply(store, 1, "mine", sn="REQ1")
    apply(store, 2, "yours", sn="REQ2")
    listed = {dags: [row.collector_config_id for row in Collectors().listed(dags)] for dags in (MINE, YOURS)}
    assert listed == {MINE: [1], YOURS: [2]}
    assert Collectors().detail(BKLOG, 1, YOURS) is None
    assert Collectors().detail(BKLOG, 1, frozenset()) is None


def test_the_latest_change_comes_first(store):
    for number in (1, 2, 3):
        apply(store, number, "mine", sn=f"REQ{number}")
    store.decided(BKLOG, 1, sn="REQ1", outcome="rejected")
    assert [row.collector_config_id for row in Collectors().listed(MINE)] == [1, 3, 2]


def test_a_refused_collector_tells_its_way(store):
    apply(store, 1, "mine")
    store.decided(BKLOG, 1, sn="REQ1", outcome="rejected")
    store.fail(BKLOG, 1, sn="REQ1", reason="too <b>large</b>")
    one = Collectors().detail(BKLOG, 1, MINE)
    assert one is not None
    assert (one["state"], one["error"], one["payload"], one["outcome"]) == (
        "fail_apply",
        "too <b>large</b>",
        PAYLOAD,
        "rejected",
    )
    assert [entry["event"] for entry in one["history"]] == ["apply", "ticket_opened", "decided", "fail"]
    assert [(way["start"], way["end"]) for way in one["picture"]["ways"] if way["times"]] == [
        ("not_apply", "applying"),
        ("applying", "fail_apply"),
    ]
    answer = CollectorDetail.model_validate({**one, "now": datetime.now(UTC)}).model_dump()
    assert answer.keys() == one.keys() | {"now"}
    assert answer["history"][0].keys() == one["history"][0].keys()


def drawn(one: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the ways of a collector's picture that it has gone."""
    return [(way["start"], way["end"]) for way in one["picture"]["ways"] if way["times"]]


def test_the_history_of_another_dag_is_not_told(store):
    apply(store, 1, "yours", tag="t1", sn="REQ1")
    store.fail(BKLOG, 1, sn="REQ1", reason="yours")
    apply(store, 1, "mine", tag="t2", sn="REQ2")
    one = Collectors().detail(BKLOG, 1, MINE)
    assert one is not None
    assert {entry["sn"] for entry in one["history"]} <= {"", "REQ2"}
    assert "REQ1" not in json.dumps(one)
    assert ("applying", "fail_apply") not in drawn(one)


def test_the_picture_is_of_the_current_application(store):
    apply(store, 1, "mine", tag="t1", sn="REQ1")
    store.fail(BKLOG, 1, sn="REQ1", reason="no")
    apply(store, 1, "mine", tag="t2", sn="REQ2")
    one = Collectors().detail(BKLOG, 1, MINE)
    assert one is not None
    assert drawn(one) == [("fail_apply", "applying")]


def test_looking_makes_no_file(store, tmp_path):
    assert Collectors().listed(MINE) == []
    assert Collectors().detail(BKLOG, 1, MINE) is None
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_collector_is_none(store):
    apply(store, 1, "mine")
    assert Collectors().detail(BKLOG, 99, MINE) is None


def test_a_line_has_labels_in_both_languages(store):
    apply(store, 1, "mine")
    line = collector_row(store.get(BKLOG, 1))
    assert (line["zh"], line["en"]) == ("采集接入进行中", "Collection access in progress")


def test_a_store_named_by_a_connection_is_read(tmp_path, monkeypatch, own_postgres_url):
    parts = make_url(own_postgres_url)
    fields = {"host": parts.host, "port": parts.port, "login": parts.username, "schema": parts.database}
    connection = json.dumps({"conn_type": "postgres", **fields})
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    monkeypatch.setenv("AIRFLOW_CONN_BKITSM_STORE", connection)
    monkeypatch.setenv("AIRFLOW__BKITSM__STORE_CONN_ID", "bkitsm_store")
    apply(open_store(), 7, "mine", sn="REQ7")
    assert [row.collector_config_id for row in Collectors().listed(MINE)] == [7]
    assert Collectors().listed(YOURS) == []
    one = Collectors().detail(BKLOG, 7, MINE)
    assert one is not None
    assert [entry["event"] for entry in one["history"]] == ["apply", "ticket_opened"]
    assert list(tmp_path.glob("bkitsm.db")) == []


def reminders(opened_at: datetime | None = OPENED, **changes: Any) -> dict[str, Any]:
    """Return what is shown an hour and a half after the opening of a ticket whose task reminds twice."""
    text = json.dumps({"plan": read_plan(remind_after=[HOUR, 2 * HOUR]).as_dict(), "remind_by": [{"path": "x.y"}]})
    task = TaskKey(dag_id="dag", run_id="run", task_id="wait")
    known = {"state": "deferred", "sn": "REQ1", "conn_id": "bkitsm_default", "reminders": text}
    wait = ApprovalWait(task=task, **{**known, **changes})
    return read_reminders(wait, row_of(wait, None), opened_at, OPENED + 1.5 * HOUR)


@pytest.fixture
def reminded(store) -> None:
    record_reminder("REQ1", opened_at=OPENED, recipients=("alice", "bob"))


SENT = [("reminder", "sent", ("alice", "bob"))]
NEXT = {"kind": "reminder", "at": (OPENED + 2 * HOUR).isoformat()}


def shown(answer: dict[str, Any]) -> list[tuple[Any, ...]]:
    return [(one["kind"], one["state"], one["recipients"]) for one in answer["reminders"]]


@pytest.mark.usefixtures("reminded")
def test_a_ticket_tells_its_reminders_and_the_next():
    assert (shown(reminders()), reminders()["next_reminder"]) == (SENT, NEXT)


@pytest.mark.usefixtures("reminded")
@pytest.mark.parametrize("opened_at", [datetime.min, datetime.max])
def test_a_time_at_the_calendars_end_fails_no_page(opened_at):
    answer = reminders(opened_at=opened_at.replace(tzinfo=UTC))
    assert answer == {"reminders": [], "next_reminder": None}


@pytest.mark.usefixtures("reminded")
def test_reminders_of_an_earlier_ticket_of_this_number_are_not_told():
    assert shown(reminders(OPENED + timedelta(days=30))) == []


@pytest.mark.usefixtures("reminded")
def test_where_it_is_not_known_when_a_ticket_was_opened_nothing_is_told():
    assert reminders(None) == {"reminders": [], "next_reminder": None}
    assert reminders(sn="", conn_id="") == {"reminders": [], "next_reminder": None}


@pytest.mark.usefixtures("reminded")
@pytest.mark.parametrize("state", ["success", "failed", "queued"])
def test_once_nothing_waits_what_was_sent_stays_and_nothing_is_due(state):
    assert (shown(reminders(state=state)), reminders(state=state)["next_reminder"]) == (SENT, None)


@pytest.mark.usefixtures("store")
def test_a_store_that_cannot_be_read_tells_nothing(tmp_path):
    (tmp_path / "bkitsm.db").write_bytes(b"no database at all" * 100)
    assert reminders() == {"reminders": [], "next_reminder": None}


@pytest.mark.usefixtures("store")
def test_looking_for_reminders_makes_no_file(tmp_path):
    assert (reminders()["reminders"], reminders()["next_reminder"]) == ([], NEXT)
    assert list(tmp_path.iterdir()) == []
