# SPDX-License-Identifier: Apache-2.0
"""The note that a waiting task keeps of its ticket, and what a page makes of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from airflow_provider_bkitsm.approvals.snapshot import TicketSnapshot, from_note, latest
from airflow_provider_bkitsm.itsm.models import Progress

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
NOTED = TicketSnapshot(
    progress=Progress.RUNNING,
    read_at=NOW,
    title="T",
    ticket_url="https://itsm/1",
    step="审批",
    approvers=("alice", "bob"),
)
NOTE = NOTED.as_note("REQ1", "itsm")


def test_a_note_is_read_as_it_was_written_and_is_never_fresh():
    assert from_note(NOTE, "REQ1", "itsm") == replace(NOTED, stale=True, step_stale=True, step_at=NOW)


@pytest.mark.parametrize(("sn", "conn_id"), [("REQ2", "itsm"), ("REQ1", "other"), ("", "")])
def test_p6_a_note_about_another_ticket_is_none(sn, conn_id):
    assert from_note(NOTE, sn, conn_id) is None


@pytest.mark.parametrize(
    "note",
    [
        *(None, 7, "REQ1", [], {}, {"sn": "REQ1", "conn_id": "itsm"}),
        *(NOTE | {"at": at} for at in (None, 7, "soon", "2026-11-24T12:00:00")),
    ],
)
def test_what_is_no_note_is_passed_over(note):
    assert from_note(note, "REQ1", "itsm") is None


@pytest.mark.parametrize("progress", ["finished", "withdrawn", "terminated"])
def test_p3_a_note_decides_nothing(progress):
    assert from_note(NOTE | {"progress": progress}, "REQ1", "itsm") is None


@pytest.mark.parametrize("value", [None, 7, [7], {"a": 1}, "\ud800" * 3, "x" * 10**6, ["x" * 10**6] * 1000])
@pytest.mark.parametrize("name", ["title", "ticket_url", "step", "approvers", "stalled", "progress"])
def test_whatever_others_write_into_a_note_is_shown_in_bounds(name, value):
    found = from_note(NOTE | {name: value}, "REQ1", "itsm")
    assert found is not None
    texts = (found.title, found.ticket_url, found.step, *found.approvers)
    assert all(isinstance(text, str) and len(text) <= 1000 and text.encode() is not None for text in texts)
    assert len(found.approvers) <= 100


LATER = NOW + timedelta(minutes=1)


def test_of_each_part_what_was_read_last_counts():
    noted = from_note(NOTE, "REQ1", "itsm")
    live = TicketSnapshot(progress=Progress.SUSPENDED, read_at=LATER, title="T2")
    assert latest(None, noted) == noted
    assert latest(live, None) == live
    joined = latest(live, noted)
    assert (joined.progress, joined.title, joined.stale) == (Progress.SUSPENDED, "T2", False)
    assert (joined.step, joined.approvers, joined.step_at, joined.step_stale) == (
        "审批",
        ("alice", "bob"),
        NOW,
        True,
    )
    read = replace(live, step="会签", approvers=("carol",), step_at=LATER)
    assert latest(read, noted) == read
    assert latest(replace(read, step_at=NOW - timedelta(days=1)), noted).step == "审批"
