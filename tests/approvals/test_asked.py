# SPDX-License-Identifier: Apache-2.0
"""Whether what runs is what people read, for a person who looks: never "the same" for want of knowing (P3)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_bkitsm.approvals.asked import (
    Match,
    RoundRecords,
    asked_of,
    asked_of_application,
    decision_of,
)
from airflow_provider_bkitsm.collectors.clean_config import digest
from airflow_provider_bkitsm.collectors.row import CollectorRow, new_row
from airflow_provider_bkitsm.itsm.confirmation import FieldDifference
from airflow_provider_bkitsm.tickets.approval import ApprovalRecord, Attempt, Subject

TASK = Subject(installation="a", bkitsm_conn_id="c", dag_id="dag", run_id="run", task_id="gate")
REQUEST = {"creator": "robot", "requester": "alice", "fields": {"title": "Drop [#3abcde]", "content": "x", "n": 3}}
EDITED = FieldDifference(key="content", sent="'x'", now="'y'")


def record(**changes: Any) -> ApprovalRecord:
    known: dict[str, Any] = {
        "nonce": "n",
        "subject": TASK,
        "round_number": 1,
        "attempt": Attempt(ti_id=None, try_number=1, max_tries=0, retries=0),
        "digest": "sha256:whole",
        "asked_digest": "sha256:asked",
        "tag": "t",
        "request": REQUEST,
    }
    return ApprovalRecord(**known | changes)


def asked(source: ApprovalRecord, differences: Any = (), *, own: ApprovalRecord | None = None) -> Any:
    return asked_of(RoundRecords(own=own or source, source=source), differences)


def test_all_that_is_known_and_alike_is_the_same():
    found = asked(record())
    assert (found.match, found.differences, found.title) == (Match.SAME, (), "Drop")
    assert [(row.name, row.text) for row in found.fields] == [("content", "x"), ("n", "3")]
    assert (found.digest, found.runs_digest, found.requester) == ("sha256:asked", "sha256:asked", "alice")


SHARED = replace(TASK, run_id="", task_id="", approval_key="k")


@pytest.mark.parametrize(
    ("source", "differences"),
    [
        (record(), None),
        (record(request={}), ()),
        (record(request={"fields": "x"}), ()),
        (record(subject=SHARED), ()),
        (record(asked_digest=""), ()),
    ],
    ids=["ITSM is silent", "nothing was stored", "unreadable", "whose task is not known", "no digest"],
)
def test_p3_without_all_of_it_nothing_is_said_to_match(source, differences):
    assert asked(source, differences).match is Match.UNKNOWN


def test_p3_an_edited_field_differs_whatever_else_is_known():
    for source in (record(), record(request={}), record(subject=SHARED)):
        found = asked(source, (EDITED,))
        assert (found.match, found.differences) == (Match.DIFFERS, (EDITED,))


def wait(runs: Any, **key: Any) -> dict[str, Any]:
    return {"dag_id": "dag", "run_id": "run", "task_id": "gate", "map_index": -1, "runs": runs, **key}


@pytest.mark.parametrize(
    "changes",
    [
        {"request": {**REQUEST, "runs": "sha256:other"}},
        {"verdict": {"outcome": "approved", "waits": [wait("sha256:other")]}},
    ],
    ids=["a retry began otherwise", "its wait ended otherwise"],
)
def test_p3_a_task_that_would_run_something_else_differs(changes):
    found = asked(record(**changes))
    assert found.match is Match.DIFFERS
    (difference,) = found.differences
    assert (difference.key, difference.sent, difference.now) == ("digest", "sha256:asked", "sha256:other")


@pytest.mark.parametrize("waits", [None, "x", ["x"], [wait(None)], [wait("sha256:other", task_id="another")]])
def test_only_the_tasks_own_wait_tells_what_it_would_run(waits):
    assert asked(record(verdict={"outcome": "approved", "waits": waits})).match is Match.SAME


def test_a_task_that_shares_a_ticket_is_compared_by_its_own_record():
    source = record(subject=SHARED)
    own = record(
        nonce="own",
        subject=replace(SHARED, run_id="run", task_id="gate"),
        request={"item": "db_1", "item_digest": "sha256:item", "requester": "carol", "run_by": "carol.w"},
        ticket_of="n",
        round_number=2,
    )
    found = asked(source, own=own)
    assert (found.match, found.item, found.item_digest) == (Match.SAME, "db_1", "sha256:item")
    assert (found.requester, found.run_by, found.round_number) == ("carol", "carol.w", 2)
    assert asked(source, own=replace(own, asked_digest="sha256:other")).match is Match.DIFFERS


VERDICT = {
    "sn": "REQ1",
    "outcome": "approved",
    "reason": "approved",
    "reason_code": "approved",
    "decided_at": "2026-11-01T08:10:00+00:00",
    "approvers": [
        {"operator": "bob", "approved": True, "remark": "ok", "decided_at": "2026-11-01T08:10:00+00:00"}
    ],
    "evidence": [{"step": "Leader", "operator": "bob", "approved": True, "at": "2026-11-01T08:10:00+00:00"}],
}


def test_a_decision_says_who_when_in_which_time_and_by_what():
    found = decision_of(VERDICT, opened_at=datetime(2026, 11, 1, 8, tzinfo=UTC))
    assert found is not None
    assert (found["outcome"], found["seconds"]) == ("approved", 600)
    assert found["answers"] == [{**VERDICT["approvers"][0], "automatic": False}]
    assert found["evidence"] == [{**VERDICT["evidence"][0], "automatic": False}]


@pytest.mark.parametrize("verdict", [None, {}, {"outcome": "waiting"}])
def test_what_is_not_decided_has_no_decision(verdict):
    assert decision_of(verdict, opened_at=None) is None


@pytest.mark.parametrize("decided_at", [None, "soon", "2026-11-01T08:10:00"])
def test_a_time_that_is_not_known_is_none(decided_at):
    found = decision_of({**VERDICT, "decided_at": decided_at}, opened_at=datetime(2026, 11, 1, 8, tzinfo=UTC))
    assert found is not None
    assert found["seconds"] is None


def test_p3_a_verdict_that_cannot_be_read_is_shown_as_no_approval():
    found = decision_of({**VERDICT, "outcome": "yes"}, opened_at=None)
    assert found is not None
    assert found["outcome"] == "rejected"


PAYLOAD = {"table_id": "t", "retention": 7}


def application(**changes: Any) -> CollectorRow:
    detail = {"form_data": [{"label": "digest", "value": digest(PAYLOAD)}]}
    request = {
        "creator": "robot",
        "detail_field": "detail",
        "fields": {"title": "Logs [#3abcde]", "detail": detail},
    }
    row = new_row("bklog", 7, now=datetime(2026, 11, 1, tzinfo=UTC))
    known = {"request": request, "etl_payload": PAYLOAD, "etl_digest": digest(PAYLOAD)}
    return replace(row, **known | changes)


def test_p3_an_application_is_compared_by_the_digest_that_its_form_shows():
    found = asked_of_application(application(), ())
    assert found is not None
    assert (found.match, found.title, found.digest) == (Match.SAME, "Logs", digest(PAYLOAD))
    other = asked_of_application(application(etl_digest="sha256:" + "0" * 64), ())
    assert other is not None
    assert (other.match, other.differences[0].key) == (Match.DIFFERS, "digest")


@pytest.mark.parametrize(
    ("changes", "differences"),
    [({}, None), ({"request": {"fields": {"title": "t"}}}, ()), ({"request": {}}, ())],
    ids=["ITSM is silent", "no detail", "nothing was stored"],
)
def test_p3_an_application_of_which_something_is_not_known_matches_nothing(changes, differences):
    found = asked_of_application(application(**changes), differences)
    assert found is not None
    assert found.match is Match.UNKNOWN


@pytest.mark.parametrize("changes", [{"request": None}, {"etl_digest": None}])
def test_an_application_of_an_earlier_version_says_nothing(changes):
    assert asked_of_application(application(**changes), ()) is None
