# SPDX-License-Identifier: Apache-2.0
"""The list while ITSM is slow, answers about some tickets only, or is down: all rows come, with what is known."""

# ruff: noqa: F811 - the fixtures of the other file
from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_bkitsm.approvals.snapshot import TicketSnapshot
from airflow_provider_bkitsm.itsm.models import Progress
from airflow_provider_bkitsm.itsm.verdict import moment
from airflow_provider_bkitsm.plugins import itsm_reader
from tests.plugins.test_views import NOW, Pages, pages, wait  # noqa: F401
from tests.tickets.records import record_round


def until(pages: Pages, is_there: Callable[[dict[str, Any]], bool], **wanted: Any) -> list[dict[str, Any]]:
    """Refresh the list as a browser does, and return all answers up to the one that has it."""
    answers, end = [], time.monotonic() + 60
    while time.monotonic() < end:
        answers.append(pages.get("approvals", **wanted))
        if is_there(answers[-1]):
            return answers
        time.sleep(0.1)
    raise AssertionError(answers[-1])


def is_complete(answer: dict[str, Any]) -> bool:
    return all(row["title"] and row["approvers"] and not row["stale"] for row in answer["rows"])


def test_an_itsm_that_is_slow_does_answer(pages, wait, sandbox):
    """25 waits on one page, and longer for each answer than a page waits."""
    for number in range(25):
        wait(f"run_{number}")
    sandbox.fault("", "delay", seconds=2.5, times=1000)
    answers = until(pages, is_complete)
    assert not is_complete(answers[0])
    assert all(answer["itsm_answered"] and len(answer["rows"]) == 25 for answer in answers)
    assert {tuple(row["approvers"]) for row in answers[-1]["rows"]} == {("alice",)}


def test_a_ticket_that_itsm_does_not_answer_about_hides_no_other(pages, wait, sandbox):
    for number in range(6):
        wait(f"run_{number}")
    sandbox.fault("get_ticket_status", "delay", seconds=3600, times=1)
    answers = until(pages, lambda answer: sum(bool(row["approvers"]) for row in answer["rows"]) == 5)
    assert all(answer["itsm_answered"] for answer in answers)
    assert all(row["title"] and not row["stale"] for row in answers[-1]["rows"])


def test_what_hangs_is_asked_about_again(pages, wait, sandbox, monkeypatch):
    monkeypatch.setattr(itsm_reader, "ITSM_SECONDS", 0.5)
    monkeypatch.setattr(itsm_reader, "_PAUSE_AFTER_FAILURE", timedelta(seconds=0.2))
    for number in range(3):
        wait(f"run_{number}")
    sandbox.fault("get_ticket", "delay", seconds=3600, times=4)
    assert until(pages, is_complete)[-1]["itsm_answered"]


def test_titles_are_what_was_sent_though_itsm_is_down(pages, wait, monkeypatch, tmp_path):
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    found = wait()
    opened_at = NOW - timedelta(hours=1)
    record_round(found.sn, request={"fields": {"title": "上线 7"}}, opened_at=opened_at)
    pages.seen.metadata.gateways.clear()
    answer = pages.get("approvals")
    (row,) = answer["rows"]
    assert (answer["itsm_answered"], row["title"], row["stale"]) == (False, "上线 7", True)
    assert moment(row["since"]) == opened_at
    assert pages.ticket("run")["ticket"]["title"] == "上线 7"


def test_a_store_that_is_down_takes_no_row_away(pages, wait, monkeypatch, tmp_path):
    wait()
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    (tmp_path / "bkitsm.db").write_text("no database")
    (row,) = pages.get("approvals")["rows"]
    assert row["title"] == "t"


def test_step_and_approvers_as_last_seen_are_shown_with_their_time(pages, wait):
    seen_at = NOW - timedelta(minutes=7)
    noted = TicketSnapshot(
        progress=Progress.SUSPENDED,
        read_at=seen_at,
        title="T",
        step="审批",
        approvers=("alice",),
        stale=True,
        step_at=seen_at,
        step_stale=True,
    )
    wait(noted=noted)
    pages.seen.metadata.gateways.clear()
    (row,) = pages.get("approvals")["rows"]
    assert (row["title"], row["step"], row["approvers"], row["status"]) == ("T", "审批", ["alice"], "suspended")
    assert (row["stale"], row["step_stale"]) == (True, True)
    assert moment(row["read_at"]) == moment(row["step_at"]) == seen_at
    assert [row["run_id"] for row in pages.get("approvals", search="审批", mine=True)["rows"]] == ["run"]


@pytest.mark.parametrize("sort", ["since", "deadline"])
@pytest.mark.parametrize("descending", [True, False])
def test_what_itsm_answers_moves_no_row(pages, wait, sort, descending):
    """The waits began in another order than their tickets were opened."""
    for number in range(9):
        wait(f"run_{number}", registered_at=NOW - timedelta(minutes=number * 7 % 9), approval_seconds=3600.0)
    asked = {"sort": sort, "descending": descending, "size": 4}
    first = [row["run_id"] for row in pages.get("approvals", **asked)["rows"]]
    for page in (2, 3, 1):
        until(pages, is_complete, **asked, page=page)
    assert [row["run_id"] for row in pages.get("approvals", **asked)["rows"]] == first


def test_mine_is_filled_though_itsm_is_slow(pages, wait, sandbox):
    wait("a")
    sandbox.fault("", "delay", seconds=2.5, times=1000)
    answers = until(pages, lambda answer: bool(answer["rows"]), mine=True)
    assert all(answer["itsm_answered"] for answer in answers)
    assert pages.get("approvals", mine=True)["total"] == 1
