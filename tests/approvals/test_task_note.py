# SPDX-License-Identifier: Apache-2.0
"""The note on a waiting task: what it says, that nothing of it is markup but our link, and which are ours."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_bkitsm.approvals.rows import TaskKey
from airflow_provider_bkitsm.approvals.snapshot import TicketSnapshot
from airflow_provider_bkitsm.approvals.task_note import (
    LONGEST_NOTE,
    NOTE_PREFIX,
    NoteStyle,
    StoredNote,
    is_outdated,
    note_text,
)
from airflow_provider_bkitsm.itsm.models import Progress

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
TASK = TaskKey(dag_id="release", run_id="manual__1", task_id="wait")
ENGLISH = NoteStyle(language="en", base_url="https://airflow.example.com", time_zone=UTC)
CHINESE = replace(ENGLISH, language="zh", time_zone=ZoneInfo("Asia/Shanghai"))
TAB = "https://airflow.example.com/dags/release/runs/manual__1/tasks/wait/plugin/bkitsm-ticket"
SEEN = TicketSnapshot(
    progress=Progress.RUNNING,
    read_at=NOW,
    step="Approve",
    approvers=("alice", "bob"),
    deadline=NOW + timedelta(hours=1),
)


def note(seen: TicketSnapshot | None = SEEN, *, style: NoteStyle = ENGLISH, task: TaskKey = TASK) -> str:
    return note_text(task, "REQ1", seen, style)


def test_it_says_whom_the_ticket_waits_for_where_until_when_and_leads_to_it():
    who = "**BlueKing ITSM**: waits for `alice`, `bob` at `Approve` until 2026-11-24 13:00 UTC"
    assert note() == f"{who}, [ticket `REQ1`]({TAB})"


def test_it_says_it_in_chinese():
    who = "**BlueKing ITSM**：等待处理：`alice`、`bob`，步骤 `审批`，截止 2026-11-24 21:00 UTC+08:00"
    assert note(replace(SEEN, step="审批"), style=CHINESE) == f"{who}，[单据 `REQ1`]({TAB})"


@pytest.mark.parametrize(
    ("changes", "english", "chinese"),
    [
        ({"approvers": ()}, "waits for a decision at `Approve` until", "等待审批，步骤 `Approve`，截止"),
        ({"step": ""}, "waits for `alice`, `bob` until", "等待处理：`alice`、`bob`，截止"),
        ({"deadline": None}, "at `Approve`, [ticket", "`bob`，步骤 `Approve`，[单据"),
        (
            {"progress": Progress.SUSPENDED},
            "suspended by a person at `Approve` until",
            "单据已挂起，步骤 `Approve`，截止",
        ),
        ({"stalled": True}, "asks nobody, so nobody can decide", "单据没有处理人，无人能作决定"),
        ({"progress": Progress.OPEN}, "waits for `alice`, `bob` at", "等待处理：`alice`、`bob`"),
    ],
)
def test_it_says_what_is_known(changes, english, chinese):
    seen = replace(SEEN, **changes)
    assert english in note(seen)
    assert chinese in note(seen, style=CHINESE)


def test_a_ticket_that_was_not_read_yet_waits_for_a_decision():
    assert note(None) == f"**BlueKing ITSM**: waits for a decision, [ticket `REQ1`]({TAB})"
    assert note(None, style=CHINESE) == f"**BlueKing ITSM**：等待审批，[单据 `REQ1`]({TAB})"


def test_of_many_approvers_the_first_are_named_and_the_rest_counted():
    many = replace(SEEN, approvers=tuple(f"p{number}" for number in range(9)))
    assert "`p0`, `p1`, `p2`, `p3`, `p4` and 4 more at" in note(many)
    assert "`p3`、`p4` 及另外 4 人，步骤" in note(many, style=CHINESE)
    assert "more" not in note(replace(SEEN, approvers=tuple("abcde")))


@pytest.mark.parametrize(
    ("zone", "text"),
    [
        (UTC, "2026-11-24 13:00 UTC,"),
        (ZoneInfo("Asia/Shanghai"), "2026-11-24 21:00 UTC+08:00,"),
        (timezone(timedelta(hours=-3, minutes=-30)), "2026-11-24 09:30 UTC-03:30,"),
    ],
)
def test_the_deadline_names_its_time_zone(zone, text):
    assert text in note(style=replace(ENGLISH, time_zone=zone))


def test_a_deadline_beyond_the_calendar_is_left_out():
    seen = replace(SEEN, deadline=datetime.max.replace(tzinfo=UTC))
    assert "until" not in note(seen, style=replace(ENGLISH, time_zone=ZoneInfo("Asia/Shanghai")))


@pytest.mark.parametrize(
    ("task", "path"),
    [
        (replace(TASK, map_index=0), "/dags/release/runs/manual__1/tasks/wait/mapped/0/plugin/bkitsm-ticket"),
        (
            TaskKey(dag_id="上线", run_id="scheduled__2026-01-01T00:00:00+00:00", task_id="a.b"),
            "/dags/%E4%B8%8A%E7%BA%BF/runs/scheduled__2026-01-01T00%3A00%3A00%2B00%3A00/tasks/a.b/plugin/",
        ),
        (
            replace(TASK, run_id="a/b)](http://evil"),
            "/dags/release/runs/a%2Fb%29%5D%28http%3A%2F%2Fevil/tasks/wait/plugin/",
        ),
    ],
)
def test_the_link_leads_to_the_tasks_own_tab(task, path):
    assert f"](https://airflow.example.com{path}" in note(task=task)


@pytest.mark.parametrize(
    ("base_url", "begins"),
    [
        ("https://airflow.example.com/", "https://airflow.example.com/dags/"),
        ("http://10.0.0.1:8080/team/airflow", "http://10.0.0.1:8080/team/airflow/dags/"),
        ("https://airflow.example.com/a)b", "https://airflow.example.com/a%29b/dags/"),
        *((nowhere, "/dags/") for nowhere in ("", "airflow.example.com", "javascript:alert(1)//")),
    ],
)
def test_the_link_is_http_or_a_path_on_airflows_own_pages(base_url, begins):
    assert f"[ticket `REQ1`]({begins}" in note(style=replace(ENGLISH, base_url=base_url))


def test_where_the_address_is_too_long_for_a_note_the_number_stays():
    long = TaskKey(dag_id="上" * 200, run_id="线" * 200, task_id="wait")
    assert note(task=long).endswith("13:00 UTC, ticket `REQ1`")


MARKUP = (
    *(
        "[a](http://evil)",
        "![a](http://evil/x.png)",
        "<img src=x onerror=alert(1)>",
        "http://evil",
        "www.evil.com",
    ),
    *(
        "a@evil.com",
        "`](http://evil)",
        "``` `` `",
        "*b*",
        "a\n\n# b",
        "a\n- b",
        "| a |\n|---|",
        "\\`",
        "&lt;b&gt;",
    ),
    *("a\u202eb", "a\x00b", "\u2028", "\ud800"),
)


def assert_inert(text: str, *, language: str = "en") -> None:
    """What stands outside code spans is ours alone, and the spans hold one line each."""
    assert len(text) <= LONGEST_NOTE
    assert text.isprintable()
    assert text.count("`") % 2 == 0
    outside = re.sub(r"`[^`]+`", "§", text)
    until, to = r"[\d: UTC-]+", r"\]\(\S+\)"
    words = {
        "en": rf"(§(, §)*( and \d+ more)?|a decision)( at §)?( until {until})?, (\[ticket §{to}|ticket §)",
        "zh": rf"(等待处理：§(、§)*( 及另外 \d+ 人)?|等待审批)(，步骤 §)?(，截止 {until})?，(\[单据 §{to}|单据 §)",
    }[language]
    begin = {"en": f"{NOTE_PREFIX}: waits for ", "zh": f"{NOTE_PREFIX}："}[language]
    assert re.fullmatch(re.escape(begin) + words, outside), outside


@pytest.mark.parametrize("given_text", MARKUP)
def test_p8_nothing_of_itsm_is_markup(given_text):
    seen = replace(SEEN, step=given_text, approvers=(given_text, "alice"))
    assert_inert(note(seen))
    assert_inert(note(seen, style=replace(CHINESE, time_zone=UTC)), language="zh")


@given(
    step=st.text(max_size=300), names=st.lists(st.text(max_size=200), max_size=20), dag_id=st.text(max_size=250)
)
def test_whatever_is_read_the_note_is_ours_alone(step, names, dag_id):
    seen = replace(SEEN, step=step, approvers=tuple(names))
    assert_inert(note(seen, task=replace(TASK, dag_id=dag_id)))


def test_long_names_are_cut_where_one_can_see_it():
    assert f"waits for `{'a' * 59}…` at `{'b' * 99}…`" in note(
        replace(SEEN, approvers=("a" * 70,), step="b" * 200)
    )


MINE = note()


@pytest.mark.parametrize(
    ("content", "user_id", "ours"),
    [
        (MINE, None, True),
        (note(style=CHINESE), None, True),
        (MINE, "alice", False),
        (f"{MINE} I called bob", "alice", False),
        ("look at this", None, False),
        (f"see {MINE}", None, False),
        ("", None, False),
        (None, None, False),
        (None, "alice", False),
    ],
)
def test_a_note_is_ours_where_no_person_wrote_it_and_it_begins_so(content, user_id, ours):
    stored = StoredNote(content=content, user_id=user_id)
    assert stored.is_ours is ours
    assert is_outdated(stored, "another") is ours


def test_a_note_is_written_where_there_is_none_and_not_where_nothing_has_changed():
    assert is_outdated(None, MINE)
    assert not is_outdated(StoredNote(content=MINE, user_id=None), MINE)
