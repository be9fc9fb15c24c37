# SPDX-License-Identifier: Apache-2.0
"""The audit as rows to read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from airflow_provider_bkitsm.collectors.history import audit_rows
from airflow_provider_bkitsm.collectors.row import CollectorState, Owner
from airflow_provider_bkitsm.collectors.tables import AuditEntry

OWNER = Owner(dag_id="dag", run_id="run", task_id="apply")
AT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
APPROVERS = [
    {"operator": "alice", "approved": True, "remark": "fine", "decided_at": None},
    {"operator": "bob", "approved": False, "remark": "", "decided_at": None},
    {"operator": "", "approved": None, "remark": "", "decided_at": None},
]


def _entry(event: str = "apply", detail: dict[str, Any] | None = None, **changed: Any) -> AuditEntry:
    known: dict[str, Any] = {
        "bklog_conn_id": "bklog",
        "collector_config_id": 7,
        "version": 1,
        "application": 1,
        "event": event,
        "from_state": CollectorState.NOT_APPLY,
        "to_state": CollectorState.APPLYING,
        "ticket_sn": "SN1",
        "owner": OWNER,
        "actor": "task provision of run run of DAG dag, started by dora",
        "detail": detail or {},
        "at": AT,
    }
    return AuditEntry(**known | changed)


def _details(event: str, detail: dict[str, Any], limit: int | None = None) -> str:
    return audit_rows([_entry(event, detail)], limit=limit)[0]["details"]


def test_a_row_tells_when_what_which_and_who():
    assert audit_rows([_entry("resume")]) == [
        {
            "when": "2026-01-02T03:04:05Z",
            "event": "resume",
            "from": "not_apply",
            "to": "applying",
            "ticket": "SN1",
            "owner": "dag/run/apply",
            "actor": "task provision, started by dora",
            "details": "",
        }
    ]


@pytest.mark.usefixtures("in_shanghai")
def test_times_are_utc_wherever_the_machine_is():
    assert audit_rows([_entry()])[0]["when"] == "2026-01-02T03:04:05Z"


def test_nobody_did_it_where_nobody_is_known():
    assert audit_rows([_entry(actor=None)])[0]["actor"] == ""


def test_what_is_not_known_is_empty_and_another_run_is_named():
    other = "task reconcile of run other of DAG reconcile"
    nobody, elsewhere, mapped, first = audit_rows(
        [
            _entry(ticket_sn=None, owner=None, actor=None),
            _entry(actor=other),
            _entry(owner=Owner(dag_id="d", run_id="r", task_id="t", map_index=3)),
            _entry(owner=Owner(dag_id="d", run_id="r", task_id="t", map_index=0)),
        ]
    )
    assert (nobody["ticket"], nobody["owner"], nobody["actor"]) == ("", "", "")
    assert elsewhere["actor"] == other
    assert (mapped["owner"], first["owner"]) == ("d/r/t[3]", "d/r/t[0]")


def test_the_order_is_kept_and_times_are_utc():
    east = AT.astimezone(timezone(timedelta(hours=8)))
    assert [row["when"][11:] for row in audit_rows([_entry(at=east), _entry(at=AT)])] == ["03:04:05Z"] * 2


@pytest.mark.parametrize(
    ("event", "detail", "details"),
    [
        ("apply", {"tag": "t", "etl_digest": "sha256:" + "ab" * 32}, "ETL sha256:abababababab"),
        ("apply", {"tag": "t"}, "ETL of unknown digest"),
        (
            "bypassed",
            {"etl_digest": "sha256:" + "c" * 64, "setting": "[x] y = off"},
            "[x] y = off; ETL sha256:cccccccccccc",
        ),
        ("recreate", {"tag": "t"}, "no ticket was found; it is opened once more"),
        ("ticket_opened", {"tag": "t", "url": "http://itsm/1"}, "http://itsm/1"),
        ("ticket_opened", {"tag": "t", "url": None}, ""),
        ("create_refused", {"reason": "no\nsuch service"}, "no such service"),
        ("decided", {"outcome": "withdrawn", "detail": {}}, "withdrawn"),
        (
            "decided",
            {"outcome": "rejected", "detail": {"approvers": APPROVERS}},
            "rejected; alice said yes: fine; bob said no; the system answered",
        ),
        (
            "provisioned",
            {"result": {"index_set_id": 3, "etl_config": "bk_log_json", "table_id": "2_x", "z": 1}},
            "table_id 2_x, etl_config bk_log_json, index_set_id 3",
        ),
        ("provisioned", {}, ""),
        ("etl_failed", {"reason": "down"}, "down"),
        ("fail", {"reason": "rejected"}, "rejected"),
        ("complete", {}, ""),
        ("of a later version", {"b": 1, "a": "名"}, '{"a": "名", "b": 1}'),
    ],
)
def test_what_an_event_details(event, detail, details):
    assert _details(event, detail) == details


def test_a_long_reason_is_cut_for_a_table_only():
    reason = {"reason": "x" * 300}
    assert _details("fail", reason) == "x" * 300
    assert _details("fail", reason, limit=100) == "x" * 99 + "…"
    assert _details("fail", {"reason": "x" * 100}, limit=100) == "x" * 100


def test_what_others_wrote_is_one_line_of_a_table():
    answer = {"operator": "a\x1b[1A", "approved": True, "remark": "\u202efine"}
    decided = {"outcome": "approved", "detail": {"approvers": [answer]}}
    assert _details("decided", decided) == r"approved; a\x1b[1A said yes: \u202efine"
