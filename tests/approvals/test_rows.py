# SPDX-License-Identifier: Apache-2.0
"""What a row says, for everything Airflow and ITSM may know."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_bkitsm.approvals.rows import (
    OPEN,
    ApprovalWait,
    Status,
    TaskKey,
    TicketSnapshot,
    deciders,
    moment,
    row_of,
    status_of,
    wait_of,
    web_address,
)
from airflow_provider_bkitsm.itsm.models import Progress
from airflow_provider_bkitsm.itsm.outcome import Outcome
from airflow_provider_bkitsm.itsm.verdict import Decision, Verdict
from airflow_provider_bkitsm.tickets.opening_records import SentTicket

TASK = TaskKey(dag_id="d", run_id="r", task_id="t")
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
AN_HOUR = timedelta(hours=1)
FOUND = ApprovalWait(
    task=TASK, state="deferred", sn="REQ1", conn_id="itsm", registered_at=NOW, approval_seconds=3600
)
LIVE = TicketSnapshot(progress=Progress.RUNNING, read_at=NOW, title="T", step="审批", approvers=("alice", "bob"))
STATES = (
    "deferred",
    "awaiting_input",
    "running",
    "queued",
    "scheduled",
    None,
    "up_for_retry",
    "success",
    "failed",
    "skipped",
)


def verdict(outcome: Outcome, **more: Any) -> dict[str, Any]:
    made = Verdict(sn="REQ1", outcome=outcome, reason="why", current_status="FINISHED", title="T", **more)
    return made.as_dict()


def found(state: str | None = "deferred", **more: Any) -> ApprovalWait:
    return ApprovalWait(**{**vars(FOUND), "state": state, **more})


def live(progress: Progress = Progress.RUNNING, **more: Any) -> TicketSnapshot:
    return TicketSnapshot(**{**vars(LIVE), "progress": progress, **more})


@pytest.mark.parametrize(
    ("progress", "status"),
    [
        (Progress.RUNNING, Status.WAITING),
        (Progress.SUSPENDED, Status.SUSPENDED),
        (Progress.FINISHED, Status.RESUMING),
        (Progress.WITHDRAWN, Status.RESUMING),
        (Progress.TERMINATED, Status.RESUMING),
        (Progress.OPEN, Status.WAITING),
    ],
)
def test_p3_an_open_wait_is_never_called_approved(progress, status):
    assert status_of(found(), live(progress)) is status


def test_without_itsm_a_deferred_task_waits():
    assert status_of(found(), None) is Status.WAITING


@pytest.mark.parametrize("outcome", [one for one in Outcome if one is not Outcome.WAITING])
@pytest.mark.parametrize("progress", [Progress.RUNNING, Progress.FINISHED, Progress.WITHDRAWN])
def test_a_tasks_own_verdict_stands(outcome, progress):
    said = status_of(found("success", verdict=verdict(outcome)), live(progress))
    assert (said, said in OPEN) == (outcome, False)


@pytest.mark.parametrize("state", [one for one in STATES if one != "deferred"])
def test_without_a_verdict_a_task_resumes_or_has_ended(state):
    over = state in ("success", "failed", "skipped")
    assert status_of(found(state), live(Progress.FINISHED)) is (Status.ENDED if over else Status.RESUMING)


@pytest.mark.parametrize("nonsense", [None, {}, {"outcome": 7}, {"outcome": "maybe"}, {"outcome": "waiting"}])
def test_p3_what_is_no_verdict_decides_nothing(nonsense):
    assert status_of(found("success", verdict=nonsense), None) is Status.ENDED


def test_every_status_can_be_told_from_every_pair():
    pairs = [(found(state), one) for state in STATES for one in (None, live(), live(Progress.FINISHED))]
    assert {status_of(*pair) for pair in pairs} <= set(Status)


def test_an_open_row_says_whose_turn_it_is_and_until_when():
    row = row_of(found(), live(created_at=NOW - AN_HOUR))
    assert (row.title, row.step, row.approvers) == ("T", "审批", ("alice", "bob"))
    assert (row.since, row.deadline) == (NOW - AN_HOUR, NOW)
    assert (row.decided_by, row.decided_at, row.stale) == ((), None, False)


def test_a_decided_row_says_who_and_when():
    answer = Decision(operator="alice", approved=False, remark="no", decided_at=NOW.isoformat())
    said = verdict(Outcome.REJECTED, approvers=(answer, answer), decided_at=NOW.isoformat())
    row = row_of(found("failed", verdict=said), live(Progress.FINISHED))
    assert (row.decided_by, row.decided_at, row.reason) == (("alice",), NOW, "why")
    assert (row.step, row.approvers, row.deadline, row.stale) == ("", (), None, False)


@pytest.mark.parametrize(("known", "stale"), [(None, True), (live(), False), (live(stale=True), True)])
def test_an_open_row_that_itsm_did_not_confirm_is_stale(known, stale):
    assert row_of(found(), known).stale is stale


def test_the_age_falls_back_to_what_airflow_knows():
    assert row_of(found(), None).since == NOW
    assert row_of(found(registered_at=None, started_at=NOW - AN_HOUR), None).since == NOW - AN_HOUR
    assert row_of(found(registered_at=None), None).since is None


@pytest.mark.parametrize("seconds", [None, 1e300])
def test_no_deadline_where_there_is_none(seconds):
    assert row_of(found(approval_seconds=seconds), live()).deadline is None


def test_a_deadline_that_was_a_template_is_what_the_triggerer_has_noted():
    """The list and its order have it, as the task's note has."""
    until = NOW + 2 * AN_HOUR
    wait = found(approval_seconds=None, noted=live(deadline=until))
    row = row_of(wait, None)
    assert (row.deadline, row.order_deadline) == (until, until)
    assert row_of(found(noted=live(deadline=until)), None).deadline == NOW + AN_HOUR
    assert row_of(found("failed", approval_seconds=None, noted=live(deadline=until)), None).deadline is None


def test_a_row_names_who_asked_and_who_started_the_run():
    row = row_of(found(triggered_by="Alice Doe"), live(creator="alice"))
    assert (row.triggered_by, row.creator) == ("Alice Doe", "alice")


@pytest.mark.parametrize(
    ("polled_at", "shown"), [(None, None), (NOW, NOW), (NOW + AN_HOUR, NOW + AN_HOUR), (NOW - AN_HOUR, None)]
)
def test_a_poll_from_before_the_wait_is_none_of_it(polled_at, shown):
    assert row_of(found(), live(), polled_at=polled_at).polled_at == shown


def test_what_no_longer_waits_is_not_polled():
    ended = found("success", verdict=verdict(Outcome.APPROVED))
    assert row_of(ended, live(), polled_at=NOW).polled_at is None


@pytest.mark.parametrize("outcome", ["approved", "rejected", "withdrawn", "terminated"])
def test_a_decision_says_how_it_was_seen(outcome):
    ended = found("success", verdict=verdict(Outcome(outcome), seen_by="callback", seen_at=NOW.isoformat()))
    row = row_of(ended, None)
    assert (row.seen_by, row.seen_at) == ("callback", NOW)


@pytest.mark.parametrize("outcome", [Outcome.TIMED_OUT, Outcome.WAITING])
def test_what_was_not_decided_was_not_seen(outcome):
    ended = found("failed", verdict=verdict(outcome, seen_by="poll", seen_at=NOW.isoformat()))
    assert (row_of(ended, None).seen_by, row_of(ended, None).seen_at) == ("", None)


@pytest.mark.parametrize("by", ["", "x", "POLL", 7, None, ["poll"]])
def test_what_is_no_way_to_see_a_decision_is_none(by):
    ended = found("success", verdict=verdict(Outcome.APPROVED) | {"seen_by": by})
    assert row_of(ended, None).seen_by == ""


@pytest.mark.parametrize(
    ("code", "reason", "shown"),
    [
        ("refused", "why", "refused"),
        ("a later version's", "why", "unreadable"),
        ("a later version's", "refused by an approver", "refused"),
        ("", "why", "unreadable"),
        (7, "why", "unreadable"),
    ],
)
def test_the_code_of_a_reason_is_always_one_that_this_version_knows(code, reason, shown):
    said = verdict(Outcome.REJECTED) | {"reason_code": code, "reason": reason}
    assert row_of(found("failed", verdict=said), None).reason_code == shown


def test_an_earlier_versions_verdict_does_not_say():
    said = {key: value for key, value in verdict(Outcome.APPROVED).items() if not key.startswith("seen_")}
    assert row_of(found("success", verdict=said), None).seen_by == ""


def test_the_number_of_an_unregistered_wait_is_its_verdicts():
    row = row_of(found("success", sn="", verdict=verdict(Outcome.APPROVED)), None)
    assert row.sn == "REQ1"


@pytest.mark.parametrize(
    ("address", "kept"),
    [
        ("https://itsm.example.com/#/ticket?id=1", True),
        ("HTTP://itsm/", True),
        ("javascript:alert(1)", False),
        (" data:text/html,x", False),
        ("//itsm.example.com", False),
        ("/ticket", False),
        ("", False),
        (None, False),
        (7, False),
    ],
)
def test_only_web_addresses_become_links(address, kept):
    assert bool(web_address(address)) is kept
    known = found(ticket_url=address if isinstance(address, str) else "")
    assert bool(row_of(known, None).ticket_url) is kept


@pytest.mark.parametrize("value", [None, "", "soon", "2026-11-24T12:00:00", 7, {}])
def test_what_is_no_aware_time_is_none(value):
    assert moment(value) is None


@pytest.mark.parametrize("listed", [None, "alice", 7, [None], [{}], [{"operator": 7}], {"operator": "x"}])
def test_nonsense_in_a_verdict_names_nobody(listed):
    assert deciders({"approvers": listed}) == ()


def test_a_row_is_plain_json():
    import json

    text = json.dumps(row_of(found(), live(created_at=NOW)).as_dict())
    assert json.loads(text) | {"dag_id": "d", "status": "waiting", "open": True} == json.loads(text)


def test_a_row_tells_what_is_known_of_it():
    row = row_of(found(ticket_url="https://itsm/1"), live(), collector="7 (bklog)").as_dict()
    told = {
        "dag_id": "d",
        "run_id": "r",
        "task_id": "t",
        "map_index": -1,
        "sn": "REQ1",
        "conn_id": "itsm",
        "title": "T",
        "ticket_url": "https://itsm/1",
        "status": "waiting",
        "open": True,
        "reason": "",
        "since": NOW.isoformat(),
        "registered_at": NOW.isoformat(),
        "read_at": NOW.isoformat(),
        "decided_at": None,
        "collector": "7 (bklog)",
    }
    assert row | told == row
    assert type(row["status"]) is str


def test_what_only_airflow_knows_is_told_without_itsm():
    row = row_of(found(), None)
    assert (row.title, row.ticket_url, row.read_at, row.collector, row.creator) == ("", "", None, "", "")


def test_a_wait_that_resumes_is_not_told_a_reason_or_a_decision_yet():
    row = row_of(found("running", verdict=verdict(Outcome.WAITING), ended_at=NOW), live(Progress.FINISHED))
    assert (row.status, row.reason, row.decided_at) == (Status.RESUMING, "", None)


def test_a_decision_without_a_time_was_taken_when_the_task_ended():
    row = row_of(found("success", verdict=verdict(Outcome.APPROVED), ended_at=NOW), None)
    assert row.decided_at == NOW


@pytest.mark.parametrize(
    ("own", "verdicts", "lives", "shown"),
    [
        ("https://a", "https://b", "https://c", "https://a"),
        ("", "https://b", "https://c", "https://b"),
        ("", "javascript:b", "https://c", "https://c"),
        ("", "", None, ""),
    ],
)
def test_the_address_is_the_first_that_is_known(own, verdicts, lives, shown):
    known = found("success", ticket_url=own, verdict=verdict(Outcome.APPROVED, ticket_url=verdicts))
    assert row_of(known, lives and live(ticket_url=lives)).ticket_url == shown


def test_the_title_the_task_acted_on_wins():
    known = found("success", verdict=verdict(Outcome.APPROVED))
    assert row_of(known, live(title="another")).title == "T"
    assert row_of(found(), live(title="another")).title == "another"


def test_a_ticket_that_asks_nobody_says_so_while_it_waits():
    assert row_of(found(), live(stalled=True)).as_dict()["stalled"] is True
    assert row_of(found(), live()).as_dict()["stalled"] is False
    assert row_of(found(), None).as_dict()["stalled"] is False
    for ended in (live(Progress.FINISHED, stalled=True), live(Progress.SUSPENDED, stalled=True)):
        assert row_of(found(), ended).as_dict()["stalled"] is False
    decided = found("success", verdict=verdict(Outcome.APPROVED))
    assert row_of(decided, live(stalled=True)).as_dict()["stalled"] is False


# Which ticket a task's page shows.


APPLY, WAIT = (TaskKey(dag_id="d", run_id="r", task_id=name) for name in ("apply", "wait"))
OPENED = ApprovalWait(task=APPLY, state="success", ticket_url="https://itsm/1")
WAITS = ApprovalWait(task=WAIT, state="deferred", sn="REQ1", conn_id="itsm", ticket_url="https://itsm/1")
ANOTHER = ApprovalWait(task=WAIT, state="deferred", sn="REQ2", conn_id="itsm", ticket_url="https://itsm/2")


def test_a_wait_shows_its_own():
    assert wait_of([OPENED, WAITS], WAIT) is WAITS


def test_the_task_that_opened_it_shows_the_waits():
    assert wait_of([OPENED, ANOTHER, WAITS], APPLY) is WAITS


def test_another_ticket_is_not_taken_for_it():
    assert wait_of([OPENED, ANOTHER], APPLY) is OPENED


def test_without_an_address_nothing_is_guessed():
    bare = ApprovalWait(task=APPLY, state="success")
    silent = ApprovalWait(task=WAIT, state="deferred", sn="REQ3", conn_id="itsm")
    assert wait_of([bare, silent], APPLY) is bare


def test_a_task_without_a_ticket_has_none():
    assert wait_of([OPENED, WAITS], TaskKey(dag_id="d", run_id="r", task_id="other")) is None
    assert wait_of([OPENED, WAITS], TaskKey(dag_id="d", run_id="r", task_id="wait", map_index=0)) is None


# What people wrote, who asked, and how long it took


def test_remarks_are_those_of_the_stored_verdict():
    answers = [
        {"operator": "alice", "approved": True, "remark": " fine "},
        {"operator": "bob", "approved": False, "remark": ""},
        {"operator": "", "approved": None, "remark": "by itself"},
        *({"operator": 7, "remark": 7}, "nonsense", None),
    ]
    row = row_of(found("failed", verdict=verdict(Outcome.REJECTED) | {"approvers": answers}), None)
    assert [(remark.person, remark.text) for remark in row.remarks] == [("alice", "fine"), ("", "by itself")]


@pytest.mark.parametrize("answers", [None, "x", {}, 7, [None]])
def test_what_holds_no_remark_has_none(answers):
    row = row_of(found("failed", verdict=verdict(Outcome.REJECTED) | {"approvers": answers}), None)
    assert (row.remarks, row.decided_by) == ((), ())


@pytest.mark.parametrize("outcome", [one for one in Outcome if one.is_final])
def test_the_time_to_decide_is_from_creation_to_decision(outcome):
    said = verdict(outcome, decided_at=NOW.isoformat())
    row = row_of(found("success", verdict=said), live(Progress.FINISHED, created_at=NOW - AN_HOUR))
    assert row.seconds_to_decide == (3600.0 if outcome in (Outcome.APPROVED, Outcome.REJECTED) else None)


def test_no_time_passes_backwards():
    said = verdict(Outcome.APPROVED, decided_at=NOW.isoformat())
    row = row_of(found("success", verdict=said), live(Progress.FINISHED, created_at=NOW + AN_HOUR))
    assert row.seconds_to_decide == 0.0


def test_while_it_is_open_nothing_is_decided():
    assert row_of(found(), live()).seconds_to_decide is None


@pytest.mark.parametrize(
    ("requester", "person", "triggered_by", "creator", "people"),
    [
        ("carol", "dave", "Dave", "robot", ("carol",)),
        ("carol, dave", "", "", "robot", ("carol", "dave")),
        ("", "dave", "Dave", "robot", ("dave",)),
        ("", "", "Dave", "robot", ("Dave",)),
        ("", "", "", "robot", ("robot",)),
        ("", "", "", "", ()),
    ],
)
def test_who_asked_is_a_person_where_one_is_known(requester, person, triggered_by, creator, people):
    sent = SentTicket(title="T", opened_at=NOW, requester=requester)
    row = row_of(found(triggered_by=triggered_by), live(creator=creator), sent=sent, person=person)
    assert row.asked_by == people
