# SPDX-License-Identifier: Apache-2.0
"""A ticket's story from recorded answers of a real server, and from made ones."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_bkitsm.approvals.ticket_detail import Entry, Kind, entry_of, ticket_detail
from airflow_provider_bkitsm.itsm.evidence import prove
from airflow_provider_bkitsm.itsm.v2.evidence import read_entry
from airflow_provider_bkitsm.itsm.v2.models import LogEntry, TicketInfo, TicketLogs, TicketStatus
from airflow_provider_bkitsm.itsm.v2.status import read_info, read_log, read_status
from tests.record.ends import ENDS, bodies

INFO = {
    "sn": "REQ1",
    "title": "T",
    "current_status": "RUNNING",
    "creator": "bob",
    "create_at": "2026-11-24 08:48:41",
}
ASKED = {"key": "APPROVAL_CONTENT", "type": "TEXT", "name": "审批内容", "value": "please"}
ANSWER = {"key": "r7", "type": "RADIO", "name": "审批意见", "value": "true"}
REMARK = {"key": "x1", "type": "TEXT", "name": "备注", "value": "fine"}
STEP = {"name": "审批", "state_id": 3, "status": "RUNNING", "processors": "alice,bob"}


def log(**more: Any) -> dict[str, Any]:
    line = {"operator": "alice", "operate_at": "2026-11-24 08:48:43", "message": "m", "from_state_type": ""}
    return line | {"form_data": {}} | more


def story(*logs: dict[str, Any], steps: Any = (), **info: Any) -> Any:
    status = TicketStatus(current_status="RUNNING", current_steps=list(steps))
    read = read_info(TicketInfo(**INFO, **info)), read_log(TicketLogs(sn="REQ1", logs=list(logs)))
    return ticket_detail(*read, read_status(status))


def told_of(line: dict[str, Any]) -> Entry:
    return entry_of(read_entry(LogEntry(**line)))


@pytest.mark.parametrize(
    ("fields", "kind", "remark"),
    [
        ([ANSWER, REMARK], Kind.APPROVED, "fine"),
        ([ANSWER | {"value": "false"}, REMARK], Kind.REFUSED, "fine"),
        ([ANSWER | {"value": "True"}], Kind.REFUSED, ""),
        ([ANSWER | {"value": ""}], Kind.ANSWERED, ""),
        ([ANSWER, REMARK | {"value": ""}, REMARK], Kind.APPROVED, "fine"),
        ([], Kind.EVENT, ""),
    ],
)
def test_an_approval_step_says_what_was_answered(fields, kind, remark):
    entry = told_of(log(from_state_type="APPROVAL", form_data=fields))
    assert (entry.kind, entry.remark, entry.people) == (kind, remark, ("alice",))


def test_p3_another_step_is_no_answer_whatever_its_form_says():
    entry = told_of(log(from_state_type="NORMAL", form_data=[ANSWER, REMARK]))
    assert (entry.kind, entry.remark) == (Kind.EVENT, "")


def test_the_steps_that_wait_come_last():
    told = story(log(), steps=[STEP])
    assert [one.kind for one in told.entries] == [Kind.EVENT, Kind.PENDING]
    assert (told.entries[-1].people, told.entries[-1].message) == (("alice", "bob"), "审批")


def test_the_form_is_the_one_that_was_handed_in():
    handed_in = log(from_state_type="NORMAL", form_data=[ASKED])
    told = story(log(), handed_in, fields=[ASKED, ANSWER])
    assert [(one.name, one.text) for one in told.form] == [("审批内容", "please")]


def test_without_a_log_the_forms_fields_are_shown():
    assert [one.name for one in story(fields=[ASKED]).form] == ["审批内容"]


def test_times_leave_as_utc():
    told = story(log()).as_dict()
    assert told["created_at"] == "2026-11-24T00:48:41+00:00"
    assert told["entries"][0]["at"] == "2026-11-24T00:48:43+00:00"
    json.dumps(told)


def test_a_story_tells_what_itsm_says_of_the_ticket():
    addresses = {"ticket_url": "https://itsm/1", "iframe_ticket_url": "https://itsm/frame?id=1"}
    info = TicketInfo(**INFO, **addresses, end_at="2026-11-24 09:00:00", fields=[ASKED])
    status = read_status(TicketStatus(current_status="FINISHED"))
    told = ticket_detail(read_info(info), read_log(TicketLogs(sn="REQ1")), status).as_dict()
    # The status was read last.
    assert (told["title"], told["current_status"], told["creator"]) == ("T", "FINISHED", "bob")
    assert told["ended_at"] == "2026-11-24T01:00:00+00:00"
    assert told | addresses == told
    assert told["form"] == [{"name": "审批内容", "text": "please", "rows": ()}]
    assert story().as_dict()["ended_at"] is None


def test_an_entry_tells_who_and_what_and_a_step_that_waits_has_no_time():
    happened, waits = story(log(operator=""), steps=[STEP]).as_dict()["entries"]
    assert (happened["kind"], happened["people"], happened["message"]) == ("event", (), "m")
    assert type(happened["kind"]) is str
    assert (waits["kind"], waits["at"], waits["message"]) == ("pending", None, "审批")


def test_an_answer_of_itsms_own_is_marked():
    line = log(from_state_type="APPROVAL", form_data=[ANSWER])
    answers = [told_of({**line, "source": one}).as_dict() for one in ("API", "SYS")]
    assert [one["automatic"] for one in answers] == [False, True]


@pytest.mark.parametrize("situation", ENDS)
def test_p3_the_page_and_the_verdict_read_the_same_answers(situation):
    entries = read_log(TicketLogs.model_validate(bodies(situation)["get_ticket_logs/"]["data"])).entries
    told = [one.kind for one in map(entry_of, entries) if one.kind is not Kind.EVENT]
    words = {True: Kind.APPROVED, False: Kind.REFUSED, None: Kind.ANSWERED}
    assert told == [words[one.approved] for one in prove(entries).answers]
