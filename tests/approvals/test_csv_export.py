# SPDX-License-Identifier: Apache-2.0
"""The list as CSV: a spreadsheet reads all of it, and runs none of it."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_bkitsm.approvals.csv_export import csv_of, harmless
from airflow_provider_bkitsm.approvals.rows import ApprovalWait, Remark, Status, TaskKey, row_of
from airflow_provider_bkitsm.approvals.ticket_list import TicketRow, ticket_of
from airflow_provider_bkitsm.itsm.outcome import Outcome

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
STARTS = "=+-@\t\r＝＋－＠"  # noqa: RUF001


def ticket(**changes: Any) -> TicketRow:
    task = TaskKey(dag_id="dag", run_id="run", task_id="wait", map_index=3)
    wait = ApprovalWait(task=task, state="deferred", sn="REQ1", conn_id="itsm", registered_at=NOW)
    return ticket_of([replace(row_of(wait, None), **changes)])


def lines(text: str, **dialect: Any) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""), **dialect))


def cells(text: str) -> dict[str, str]:
    headings, values = lines(text)
    return dict(zip(headings, values, strict=True))


def test_a_line_has_what_the_list_shows():
    eight_hours = timezone(timedelta(hours=8))
    made = ticket(
        title="Release, 7",
        status=Outcome.REJECTED,
        decided_by=("alice", "bob"),
        asked_by=("carol",),
        since=NOW.astimezone(eight_hours),
        decided_at=NOW + timedelta(minutes=90),
        seconds_to_decide=5400.0,
        remarks=(Remark(person="alice", text='not "now"'), Remark(person="bob", text="no")),
        reason="an approver refused",
        ticket_url="https://itsm.example.com/1",
    )
    assert cells(csv_of([made])) == {
        "Number": "REQ1",
        "Title": "Release, 7",
        "Status": "rejected",
        "Step": "",
        "Waits for": "",
        "Decided by": "alice, bob",
        "Asked by": "carol",
        "Opened (UTC)": "2026-11-24 12:00:00",
        "Deadline (UTC)": "",
        "Decided (UTC)": "2026-11-24 13:30:00",
        "Minutes to decide": "90.0",
        "Remark": 'alice: not "now"\nbob: no',
        "Reason": "an approver refused",
        "Connection": "itsm",
        "Address": "https://itsm.example.com/1",
        "Tasks": "dag / run / wait[3]",
    }


def test_excel_reads_chinese():
    raw = csv_of([ticket(title="日志采集接入")], language="zh").encode()
    assert raw.startswith(b"\xef\xbb\xbf")
    headings, values = lines(raw.decode("utf-8-sig"))
    assert headings[:3] == ["单号", "标题", "状态"]
    assert values[:3] == ["REQ1", "日志采集接入", "待审批"]


@pytest.mark.parametrize("status", [*Status, *(outcome for outcome in Outcome if outcome.is_final)])
def test_every_status_has_its_word_in_both_languages(status):
    english, chinese = (cells_of(csv_of([ticket(status=status)], language=one))[2] for one in ("en", "zh"))
    assert english.isascii()
    assert not chinese.isascii()


def cells_of(text: str) -> list[str]:
    return lines(text)[1]


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("before", ["", " ", "\n", "  \t"])
def test_p8_no_cell_is_a_formula(start, before):
    """Whoever names a ticket, a run or a task, or writes a remark, would run it where the file is opened."""
    evil = f"{before}{start}HYPERLINK(A1)"
    task = TaskKey(dag_id=evil, run_id=evil, task_id=evil)
    text = csv_of(
        [
            ticket(
                task=task,
                sn=evil,
                title=evil,
                step=evil,
                approvers=(evil,),
                decided_by=(evil,),
                asked_by=(evil,),
                remarks=(Remark(person=evil, text=evil),),
                reason=evil,
                conn_id=evil,
                ticket_url=evil,
            )
        ]
    )
    for cell in cells_of(text):
        assert cell.strip(" \n")[:1] not in STARTS or not cell


@given(st.text(alphabet=STARTS + " a;,\n\"'", max_size=12))
def test_p8_nor_where_a_semicolon_separates_cells(text):
    """Excel takes a semicolon for the separator where the decimal sign is a comma; it ignores blanks."""
    line = lines(csv_of([ticket(title=text)]))[1]
    assert line[1] == harmless(text)
    for part in harmless(text).replace("\n", ";").replace("\r", ";").replace("\t", ";").split(";"):
        assert not part.strip().startswith(tuple("=+-@＝＋－＠"))  # noqa: RUF001


@pytest.mark.parametrize("text", ["Release 7", "a-b", "alice, bob", "2026-11-24", "'quoted'", "日志 = 1"])
def test_what_is_no_formula_stays_as_it_is(text):
    assert harmless(text) == text


def test_a_cell_is_no_longer_than_a_spreadsheet_takes():
    assert len(cells(csv_of([ticket(title="x" * 100_000)]))["Title"]) == 32_000


def test_without_tickets_there_are_headings():
    assert len(lines(csv_of([]))) == 1
