# SPDX-License-Identifier: Apache-2.0
"""Each round is a row of the audit, however it ended, on SQLite, PostgreSQL and MariaDB."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine

from airflow_provider_bkitsm.collectors.row import Owner
from airflow_provider_bkitsm.collectors.store import CollectorStore
from airflow_provider_bkitsm.tickets.approval import ApprovalRecord, Attempt, Subject, new_nonce
from airflow_provider_bkitsm.tickets.approval_store import ApprovalStore
from airflow_provider_bkitsm.tickets.audit import COLUMNS, AuditPeriod, audit_rows

START = datetime(2026, 11, 1, 8, tzinfo=UTC)
APPROVED = {
    "sn": "REQ1",
    "outcome": "approved",
    "reason": "approved",
    "reason_code": "approved",
    "decided_at": "2026-11-01T08:10:00+00:00",
    "approvers": [
        {"operator": "bob", "approved": True, "remark": "fine", "decided_at": "2026-11-01T08:10:00+00:00"}
    ],
    "evidence": [{"step": "Leader", "operator": "bob", "approved": True, "at": "2026-11-01T08:10:00+00:00"}],
    "evidence_required": True,
    "seen_by": "poll",
    "seen_at": "2026-11-01T08:11:00+00:00",
}


class Rounds:
    """Stores rounds a minute apart."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.at = START
        self.store = ApprovalStore(engine, now=lambda: self.at)

    def add(
        self, task_id: str = "gate", dag_id: str = "dag", conn_id: str = "bkitsm", **record: Any
    ) -> ApprovalRecord:
        self.at += timedelta(minutes=1)
        changes = {name: record.pop(name) for name in ("sn", "verdict") if name in record}
        names = {"dag_id": dag_id, "run_id": record.pop("run_id", "run"), "task_id": task_id}
        key = record.pop("approval_key", None)
        subject = Subject(installation="https://a", bkitsm_conn_id=conn_id, approval_key=key, **names)
        intent = ApprovalRecord(
            nonce=new_nonce(),
            subject=subject,
            round_number=record.pop("round_number", 1),
            attempt=Attempt(ti_id=None, try_number=3, max_tries=3, retries=2),
            digest="sha256:whole",
            asked_digest="sha256:asked",
            tag="t" * 32,
            request=record.pop(
                "request",
                {
                    "service_id": 7,
                    "creator": "robot",
                    "requester": "alice",
                    "run_by": "alice.w",
                    "fields": {"title": "Drop it [#3abcde]", "password": "s3cret"},
                },
            ),
            **record,
        )
        stored = self.store.begin(intent)
        if "sn" in changes:
            changes |= {"opened_at": self.at, "ticket_url": "https://itsm/1"}
        return self.store.change(stored, **changes) if changes else stored

    def rows(self, **period: Any) -> list[dict[str, Any]]:
        return list(audit_rows(self.engine, AuditPeriod(**{"since": START, **period})))


@pytest.fixture
def rounds(engine: Engine) -> Rounds:
    return Rounds(engine)


def test_a_row_says_who_asked_who_decided_and_on_what_that_rests(rounds):
    stored = rounds.add(sn="REQ1", verdict=APPROVED)
    (row,) = rounds.rows()
    assert tuple(row) == COLUMNS
    known = {
        "kind": "approval",
        "asked_at": START + timedelta(minutes=1),
        "installation": "https://a",
        "connection": "bkitsm",
        "dialect": "v2",
        "dag_id": "dag",
        "run_id": "run",
        "task_id": "gate",
        "map_index": -1,
        "try_number": 3,
        "round": 1,
        "record": stored.nonce,
        "ticket": "REQ1",
        "ticket_url": "https://itsm/1",
        "title": "Drop it",
        "service": "7",
        "requester": "alice",
        "run_by": "alice.w",
        "creator": "robot",
        "result": "approved",
        "reason_code": "approved",
        "decided_at": datetime(2026, 11, 1, 8, 10, tzinfo=UTC),
        "seconds_to_decide": 540,
        "decisions": APPROVED["approvers"],
        "evidence": APPROVED["evidence"],
        "seen_by": "poll",
        "digest": "sha256:asked",
        "runs_digest": "sha256:asked",
    }
    assert {name: row[name] for name in known} == known


def test_p8_what_was_written_into_the_form_is_not_in_it(rounds):
    rounds.add(sn="REQ1")
    assert "s3cret" not in repr(rounds.rows())


@pytest.mark.parametrize("outcome", ["rejected", "withdrawn", "terminated", "timed_out"])
def test_what_did_not_succeed_is_in_it(rounds, outcome):
    rounds.add(sn="REQ1", verdict={**APPROVED, "outcome": outcome, "reason_code": "refused", "reason": "why"})
    (row,) = rounds.rows()
    assert (row["result"], row["reason"]) == (outcome, "why")


def test_what_has_no_end_is_in_it_with_how_far_it_came(rounds):
    rounds.add("one", sn="REQ1")
    rounds.add("two")
    rounds.add("three", create_started_at=START)
    assert [row["result"] for row in rounds.rows()] == ["open", "not_opened", "answer_lost"]


def test_a_task_that_shares_a_ticket_has_a_row_with_its_own_end(rounds):
    shared = rounds.add("", run_id="", approval_key="k", sn="REQ1", verdict=APPROVED)
    item = {"item": "db_1", "item_digest": "sha256:item", "requester": "carol"}
    rounds.add("gate", approval_key="k", ticket_of=shared.nonce, request=item)
    wait = {"dag_id": "dag", "run_id": "run", "task_id": "late", "map_index": -1, "runs": "sha256:other"}
    end = {**APPROVED, "outcome": "timed_out", "waits": [wait]}
    rounds.add("late", approval_key="k", ticket_of=shared.nonce, request=item, verdict=end)
    source, joined, late = rounds.rows()
    assert {row["ticket"] for row in (source, joined, late)} == {"REQ1"}
    assert (source["shares_record"], source["subject"]) == ("", "k")
    assert (joined["shares_record"], joined["result"], joined["requester"]) == (shared.nonce, "approved", "carol")
    assert (joined["title"], joined["item_digest"]) == ("Drop it", "sha256:item")
    assert (late["result"], late["runs_digest"], late["digest"]) == ("timed_out", "sha256:other", "sha256:asked")


def test_a_later_round_of_a_task_is_a_row_of_its_own(rounds):
    rounds.add(sn="REQ1", verdict={**APPROVED, "outcome": "rejected"})
    rounds.add(sn="REQ2", round_number=2, verdict=APPROVED)
    assert [(row["round"], row["result"]) for row in rounds.rows()] == [(1, "rejected"), (2, "approved")]


def test_a_period_a_dag_and_a_connection_may_be_wanted(rounds):
    for number in range(3):
        rounds.add(f"gate{number}")
    rounds.add(dag_id="Dag", conn_id="other")
    minutes = {"since": START + timedelta(minutes=2), "until": START + timedelta(minutes=3)}
    assert [row["task_id"] for row in rounds.rows(**minutes)] == ["gate1"]
    assert len(rounds.rows(dag_id="dag")) == 3
    assert [row["dag_id"] for row in rounds.rows(conn_id="other")] == ["Dag"]
    assert rounds.rows(dag_id="dag ") == []


def test_the_order_is_the_same_each_time_also_of_one_moment(rounds):
    for number in range(5):
        rounds.at = START
        rounds.add(f"gate{number}")
    first = rounds.rows()
    assert first == rounds.rows()
    assert [row["record"] for row in first] == sorted(row["record"] for row in first)


@pytest.mark.parametrize("verdict", [{}, {"outcome": 7}, {"approvers": "x", "decided_at": "soon", "waits": [1]}])
def test_an_end_of_another_version_hides_no_row(rounds, verdict):
    rounds.add(sn="REQ1", verdict=verdict)
    (row,) = rounds.rows()
    assert (row["ticket"], row["decisions"], row["decided_at"]) == ("REQ1", [], None)


def test_rows_come_one_by_one(rounds):
    for number in range(3):
        rounds.add(f"gate{number}")
    rows = audit_rows(rounds.engine, AuditPeriod(since=START))
    assert next(rows)["task_id"] == "gate0"
    rows.close()
    assert len(rounds.rows()) == 3


# -- collectors ----------------------------------------------------------------------------------------------

OWNER = Owner(dag_id="onboard", run_id="r1", task_id="apply")
REQUEST = {"creator": "robot", "requester": "alice", "fields": {"title": "Logs [#3abcde]"}, "dialect": "v2"}


@pytest.fixture
def collectors(engine: Engine) -> CollectorStore:
    return CollectorStore(engine, actor="tester")


def test_each_application_for_a_collector_is_a_row(rounds, collectors):
    key = ("bklog", 7)
    collectors.apply(*key, payload={"a": 1}, tag="tag1", owner=OWNER, request=REQUEST)
    collectors.ticket_opened(*key, tag="tag1", sn="SN1", url="https://itsm/1")
    collectors.decided(*key, sn="SN1", outcome="rejected", detail={**APPROVED, "outcome": "rejected"})
    collectors.fail(*key, sn="SN1", reason="rejected")
    collectors.apply(*key, payload={"a": 2}, tag="tag2", owner=OWNER, request=REQUEST)
    collectors.ticket_opened(*key, tag="tag2", sn="SN2", url="https://itsm/2")
    collectors.apply("bklog", 8, payload={"a": 1}, tag="tag3", owner=OWNER, request=REQUEST)
    first, second, third = rounds.rows()
    assert [row["result"] for row in (first, second, third)] == ["rejected", "open", "answer_lost"]
    assert [row["ticket"] for row in (first, second, third)] == ["SN1", "SN2", ""]
    assert [row["round"] for row in (first, second)] == [1, 2]
    assert (second["title"], second["requester"], second["dag_id"]) == ("Logs", "alice", "onboard")
    assert first["decisions"] == APPROVED["approvers"]
    assert first["digest"].startswith("sha256:")
    assert first["digest"] != second["digest"]
    assert len(rounds.rows(dag_id="onboard")) == 3
    assert rounds.rows(dag_id="dag") == []


def test_each_application_keeps_who_asked_for_it_and_where_also_without_a_ticket(rounds, collectors):
    """The collector's row has what was sent for its last application alone."""
    key, sent = ("bklog", 7), {**REQUEST, "installation": "https://a", "service_id": 11}
    collectors.apply(*key, payload={"a": 1}, tag="tag1", owner=OWNER, request=sent, bkitsm_conn_id="north")
    collectors.create_refused(*key, tag="tag1", reason="no")
    bypassed = {"installation": "https://b", "requester": "carol"}
    about = {"request": bypassed, "bkitsm_conn_id": "south"}
    collectors.bypass(*key, payload={"a": 2}, tag="tag2", owner=OWNER, setting="off", **about)
    collectors.fail(*key, tag="tag2", reason="no")
    collectors.apply(*key, payload={"a": 3}, tag="tag3", owner=OWNER, request=sent, bkitsm_conn_id="north")
    names = ("result", "requester", "installation", "connection", "title", "service")
    asked = ("alice", "https://a", "north", "Logs", "11")
    assert [tuple(row[name] for name in names) for row in rounds.rows()] == [
        ("not_opened", *asked),
        ("bypassed", "carol", "https://b", "south", "", ""),
        ("answer_lost", *asked),
    ]
    assert [row["round"] for row in rounds.rows(conn_id="north")] == [1, 3]
    assert [row["round"] for row in rounds.rows(conn_id="south")] == [2]


def test_an_application_is_of_the_time_of_its_first_change_whatever_clock_made_the_others(rounds, engine):
    times = {"SN1": (-1, 5), "SN2": (0, -9), "SN3": (9, 9), "SN4": (10, 10)}
    for number, (sn, (applied, opened)) in enumerate(times.items()):
        rounds.at = START + timedelta(minutes=applied)
        store = CollectorStore(engine, actor="tester", now=lambda: rounds.at)
        store.apply("bklog", number, payload={"a": 1}, tag=sn, owner=OWNER, request=REQUEST)
        rounds.at = START + timedelta(minutes=opened)
        store.ticket_opened("bklog", number, tag=sn, sn=sn, url="https://itsm/1")
    found = rounds.rows(until=START + timedelta(minutes=10))
    assert [(row["ticket"], row["result"]) for row in found] == [("SN2", "open"), ("SN3", "open")]
    assert [row["opened_at"] for row in found] == [START - timedelta(minutes=9), START + timedelta(minutes=9)]
