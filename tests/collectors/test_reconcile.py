# SPDX-License-Identifier: Apache-2.0
"""Every way an application and its ticket can disagree, and what follows from it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pytest

from airflow_provider_bkitsm.collectors import state
from airflow_provider_bkitsm.collectors.reconcile import (
    Action,
    Finding,
    Kind,
    Limits,
    find,
    read_all,
    report,
    since,
    undecided,
)
from airflow_provider_bkitsm.collectors.row import CollectorRow, Owner, new_row
from airflow_provider_bkitsm.itsm import errors
from airflow_provider_bkitsm.itsm.idempotency import marks
from airflow_provider_bkitsm.itsm.outcome import Outcome, Reason
from airflow_provider_bkitsm.itsm.v2.models import ApprovalResult
from airflow_provider_bkitsm.itsm.verdict import Verdict, VerdictPolicy
from tests.itsm.flows import drive

NOW = datetime(2026, 1, 2, 12, tzinfo=UTC)
SOON, LATE = timedelta(minutes=59), timedelta(hours=1)
LIMITS = Limits(grace=LATE, overdue_after=timedelta(days=7))
TAG = "0123456789abcdef"
OWNER = Owner(dag_id="dag", run_id="run", task_id="apply")


def _intent(ago: timedelta = SOON) -> CollectorRow:
    row = new_row("bklog", 7, now=NOW - ago)
    return state.apply(row, payload={"table_id": "secret plan"}, tag=TAG, owner=OWNER, now=NOW - ago)


def _open(ago: timedelta = SOON, outcome: Outcome | None = None) -> CollectorRow:
    row = state.ticket_opened(_intent(ago), tag=TAG, sn="SN1", url="http://itsm/1", now=NOW - ago)
    return row if outcome is None else state.decided(row, sn="SN1", outcome=outcome, now=NOW - ago)


def _verdict(outcome: Outcome, reason: Reason, ended_ago: timedelta | None = None, **more: Any) -> Verdict:
    ended = None if ended_ago is None else (NOW - ended_ago).isoformat()
    known = {"title": "a collector #01234567", "decided_at": ended, "current_status": "x"}
    return Verdict(sn="SN1", outcome=outcome, reason=str(reason), **known | more)


def _bypassed(ago: timedelta) -> CollectorRow:
    row = new_row("bklog", 7, now=NOW - ago)
    why = {"payload": {"table_id": "secret plan"}, "setting": "[bkitsm] collect_itsm = off"}
    return state.bypass(row, tag=TAG, owner=OWNER, now=NOW - ago, **why)


def _find(row: CollectorRow, reading: Any = None, *, over: bool | None = False, gone: bool = False) -> Finding:
    return find(row, reading, run_is_over=over, run_is_gone=gone, now=NOW, limits=LIMITS)


@pytest.mark.parametrize(
    ("ago", "over", "action"),
    [
        (SOON, False, Action.LEFT_TO_ITS_RUN),
        (SOON, True, Action.CLEAR_ITS_RUN),
        (LATE, False, Action.CLEAR_ITS_RUN),
    ],
)
def test_an_application_that_needs_no_approval_is_its_runs_and_never_asked_about(ago, over, action):
    row = _bypassed(ago)
    found = _find(row, over=over)
    assert (found.kind, found.action) == (Kind.BYPASSED, action)
    assert "no approval is needed ([bkitsm] collect_itsm = off)" in str(found)
    assert undecided([row]) == {}


WAITING = _verdict(Outcome.WAITING, Reason.OPEN)
ENDS = {
    Kind.APPROVED: (Outcome.APPROVED, Reason.APPROVED, Action.CLEAR_ITS_RUN),
    Kind.REFUSED: (Outcome.REJECTED, Reason.REFUSED, Action.CLOSE),
    Kind.WITHDRAWN: (Outcome.WITHDRAWN, Reason.WITHDRAWN, Action.CLOSE),
    Kind.TERMINATED: (Outcome.TERMINATED, Reason.TERMINATED, Action.CLOSE),
    Kind.VERDICT_UNCLEAR: (Outcome.REJECTED, Reason.NO_EVIDENCE, Action.HAVE_A_LOOK),
}


@pytest.mark.parametrize(
    ("ago", "over", "kind", "action"),
    [
        (timedelta(0), False, Kind.STILL_WAITING, Action.NONE),
        (timedelta(days=6), False, Kind.STILL_WAITING, Action.NONE),
        (timedelta(days=6), None, Kind.STILL_WAITING, Action.NONE),
        (timedelta(days=7), False, Kind.OVERDUE, Action.HAVE_A_LOOK),
        (timedelta(days=7), None, Kind.OVERDUE, Action.HAVE_A_LOOK),
        (timedelta(0), True, Kind.WAITING_BUT_RUN_OVER, Action.CLEAR_ITS_RUN),
        (timedelta(days=7), True, Kind.WAITING_BUT_RUN_OVER, Action.CLEAR_ITS_RUN),
    ],
)
def test_an_open_ticket(ago, over, kind, action):
    found = _find(_open(ago), WAITING, over=over)
    assert (found.kind, found.action) == (kind, action)


@pytest.mark.parametrize(
    ("ended_ago", "over", "in_hand"),
    [(SOON, False, True), (SOON, None, True), (SOON, True, False), *((LATE, one, False) for one in (0, 1, None))],
)
@pytest.mark.parametrize("kind", ENDS)
def test_p3_a_ticket_that_has_ended_is_left_to_its_run_until_that_is_over_or_had_time(
    kind, ended_ago, over, in_hand
):
    outcome, reason, action = ENDS[kind]
    found = _find(_open(timedelta(days=1)), _verdict(outcome, reason, ended_ago), over=over)
    assert (found.kind, found.action) == (kind, Action.LEFT_TO_ITS_RUN if in_hand else action)
    assert found.is_difference is not in_hand


@pytest.mark.parametrize(
    ("stored", "kind"),
    [
        (Outcome.APPROVED, Kind.APPROVED),
        (Outcome.REJECTED, Kind.REFUSED),
        (Outcome.WITHDRAWN, Kind.WITHDRAWN),
        (Outcome.TIMED_OUT, Kind.WITHDRAWN),
        (Outcome.TERMINATED, Kind.TERMINATED),
    ],
)
@pytest.mark.parametrize("now_says", [None, *(outcome for outcome, *_ in ENDS.values())])
def test_p3_the_verdict_that_was_stored_first_stands(stored, kind, now_says):
    seen = now_says and _verdict(now_says, Reason.APPROVED, LATE)
    assert _find(_open(outcome=stored), seen).kind is kind


@pytest.mark.parametrize(("over", "action"), [(False, Action.LEFT_TO_ITS_RUN), (True, Action.CLEAR_ITS_RUN)])
def test_p7_an_intent_without_a_ticket_is_never_ended(over, action):
    assert _find(_intent(), over=over).action is action
    late = _find(_intent(LATE), over=over)
    assert (late.kind, late.action) == (Kind.INTENT_WITHOUT_TICKET, Action.CLEAR_ITS_RUN)
    assert marks(TAG)[0] in late.reason


@pytest.mark.parametrize(
    ("seen", "kind"),
    [
        (errors.ItsmTicketNotFoundError("no"), Kind.TICKET_UNKNOWN),
        (errors.ItsmAmbiguousError("two"), Kind.AMBIGUOUS),
        (errors.ItsmUnavailableError("down"), Kind.UNREAD),
        (errors.ItsmRefusedError("odd"), Kind.UNREAD),
    ],
)
@pytest.mark.parametrize("over", [True, False, None])
def test_p3_what_could_not_be_read_only_ever_asks_for_a_look(seen, kind, over):
    found = _find(_open(LATE), seen, over=over)
    assert (found.kind, found.action) == (kind, Action.HAVE_A_LOOK)


def test_a_ticket_that_is_not_there_yet_is_no_difference():
    assert not _find(_open(SOON), errors.ItsmTicketNotFoundError("no")).is_difference


@pytest.mark.parametrize("kind", ENDS)
def test_p6_another_applications_ticket_with_the_same_number_decides_nothing(kind):
    outcome, reason, _ = ENDS[kind]
    found = _find(_open(), _verdict(outcome, reason, LATE, title="something else"), over=True)
    assert (found.kind, found.action) == (Kind.AMBIGUOUS, Action.HAVE_A_LOOK)
    assert f"lacks {marks(TAG)[0]}" in found.reason


def test_p3_only_a_refusal_a_withdrawal_or_a_termination_is_ever_closed():
    """Over every row, sight and run there is."""
    rows = [_intent(), _open(), *(_open(outcome=one) for one in Outcome if one is not Outcome.WAITING)]
    sights = [
        WAITING,
        *(_verdict(one, why, ago) for one, why, ago in product(Outcome, Reason, [None, SOON, LATE])),
    ]
    for row, seen, over in product(rows, sights, [True, False, None]):
        found = _find(row, seen, over=over)
        if found.action is Action.CLOSE:
            assert found.kind in (Kind.REFUSED, Kind.WITHDRAWN, Kind.TERMINATED)
            assert row.ticket_sn
            assert row.outcome is not Outcome.APPROVED
            assert row.outcome or seen.outcome is not Outcome.APPROVED


GONE = [(None, True), (True, True)]


@pytest.mark.parametrize(("over", "gone"), GONE)
def test_an_approved_application_that_nobody_can_bring_on_is_ended_after_its_grace(over, gone):
    approved = [_open(SOON, outcome=Outcome.APPROVED), _open(LATE, outcome=Outcome.APPROVED)]
    soon, late = (_find(one, over=over, gone=gone) for one in approved)
    assert (soon.kind, soon.action) == (Kind.APPROVED, Action.LEFT_TO_ITS_RUN)
    assert (late.kind, late.action) == (Kind.APPROVED, Action.CLOSE)
    assert "Airflow does not have the run, or the task of it that applied or waited, any more" in str(late)


@pytest.mark.parametrize(("over", "gone"), GONE)
def test_p5_an_open_ticket_whose_run_is_gone_is_left_to_people(over, gone):
    found = _find(_open(LATE), WAITING, over=over, gone=gone)
    assert (found.kind, found.action) == (Kind.WAITING_BUT_RUN_GONE, Action.HAVE_A_LOOK)


@pytest.mark.parametrize(("over", "gone"), GONE)
def test_an_intent_whose_run_is_gone_is_ended_after_its_grace(over, gone):
    assert _find(_intent(SOON), over=over, gone=gone).action is Action.LEFT_TO_ITS_RUN
    assert _find(_intent(LATE), over=over, gone=gone).action is Action.CLOSE


@pytest.mark.parametrize(
    "seen",
    [errors.ItsmTicketNotFoundError("no"), errors.ItsmAmbiguousError("two"), errors.ItsmRefusedError("odd")],
)
def test_p3_what_could_not_be_read_is_not_ended_although_its_run_is_gone(seen):
    assert _find(_open(LATE), seen, over=None, gone=True).action is Action.HAVE_A_LOOK


def test_every_kind_says_something_and_names_the_run():
    found = _find(_open(), _verdict(Outcome.REJECTED, Reason.REFUSED, LATE), over=True)
    assert str(found) == (
        "Collector 7 (bklog): refused_but_applying: ITSM ticket SN1 is rejected: refused by an approver; the run"
        " of task apply of run run of DAG dag did not end the application, so it can be ended without it"
    )


def test_p6_only_own_tickets_without_a_verdict_are_asked_about():
    decided = replace(_open(outcome=Outcome.REJECTED), ticket_sn="SN2")
    assert list(undecided([_intent(), _open(), decided])) == ["SN1"]


def _row(sn: str, status: str = "RUNNING", **more: Any) -> dict[str, Any]:
    return {"sn": sn, "title": "t", "current_status": status, "approve_result": False} | more


def test_one_ticket_that_cannot_be_read_does_not_stop_the_others():
    answers = {
        "ticket_approval_result/": [_row("A"), _row("B", "FINISHED"), _row("C"), _row("C"), _row("D", "REVOKED")],
        "get_ticket_logs/": {"B": errors.ItsmTimeoutError("slow"), "D": {"sn": "D", "logs": []}},
    }
    asked = []

    def answer(call):
        asked.append((call.path, (call.body or call.params or {}).get("sn")))
        found = answers[call.path]
        return found if isinstance(found, list) else found[asked[-1][1]]

    seen = drive(read_all(dict.fromkeys("ABCDE", VerdictPolicy())), answer)
    kinds = {sn: getattr(one, "outcome", type(one)) for sn, one in seen.items()}
    assert kinds == {
        "A": Outcome.WAITING,
        "B": errors.ItsmTimeoutError,
        "C": errors.ItsmAmbiguousError,
        "D": Outcome.WITHDRAWN,
        "E": errors.ItsmTicketNotFoundError,
    }
    assert [path for path, _ in asked].count("ticket_approval_result/") == 1


def test_a_row_that_cannot_be_parsed_does_not_stop_the_others():
    rows = tuple(ApprovalResult.model_validate(_row(sn)) for sn in "AC")
    wrong = errors.ItsmUnexpectedAnswerError("row B", rows=rows, unreadable=frozenset("BC"))
    seen = drive(read_all(dict.fromkeys("ABCD", VerdictPolicy())), lambda _: wrong)
    assert {sn: getattr(one, "outcome", one) for sn, one in seen.items()} == {
        "A": Outcome.WAITING,
        "B": wrong,
        "C": wrong,
        "D": wrong,
    }


@pytest.mark.parametrize("answer", [errors.ItsmUnexpectedAnswerError("no list"), errors.ItsmTimeoutError("late")])
def test_an_answer_without_rows_is_an_error(answer):
    with pytest.raises(type(answer)):
        drive(read_all({"A": VerdictPolicy()}), lambda _: answer)


def test_an_unanswered_question_is_an_error_and_no_question_needs_no_answer():
    with pytest.raises(errors.ItsmUnavailableError):
        drive(read_all({"A": VerdictPolicy()}), lambda _: errors.ItsmUnavailableError("down"))
    assert drive(read_all({}), lambda _: pytest.fail("asked")) == {}


def test_it_is_applying_since_the_ticket_was_first_asked_for_not_since_the_last_change():
    row = replace(_open(), create_started_at=NOW - timedelta(days=8))
    assert since(row) == NOW - timedelta(days=8)
    assert _find(row, WAITING).kind is Kind.OVERDUE
    assert since(_bypassed(SOON)) == NOW - SOON


def test_an_application_that_needs_no_approval_tells_what_went_wrong():
    for error, told in ((None, "(no error is recorded)"), ("cluster full", "(cluster full)")):
        assert f"but it is not complete {told}" in _find(replace(_bypassed(LATE), last_error=error)).reason


def test_a_difference_is_told_in_plain_values():
    found = _find(_open(), _verdict(Outcome.REJECTED, Reason.REFUSED, LATE), over=True)
    assert found.as_dict() == {
        "bklog_conn_id": "bklog",
        "collector_config_id": 7,
        "kind": "refused_but_applying",
        "action": "close",
        "ticket_sn": "SN1",
        "ticket_url": "http://itsm/1",
        "owner": {"dag_id": "dag", "run_id": "run", "task_id": "apply", "map_index": -1},
        "applying_since": (NOW - SOON).isoformat(),
        "said": "ITSM ticket SN1 is rejected: refused by an approver",
    }
    assert replace(found, row=replace(found.row, owner=None)).as_dict()["owner"] is None


def test_p8_the_report_is_json_without_the_payload():
    refused = _find(_open(), _verdict(Outcome.REJECTED, Reason.REFUSED, LATE), over=True)
    told = report([refused, _find(_open(), WAITING)], [refused])
    assert told["applying"] == 2
    assert told["kinds"] == {"refused_but_applying": 1, "still_waiting": 1}
    assert told["closed"] == ["SN1"]
    [difference] = told["differences"]
    assert difference["owner"] == {"dag_id": "dag", "run_id": "run", "task_id": "apply", "map_index": -1}
    assert difference["applying_since"] == (NOW - SOON).isoformat()
    assert "secret plan" not in json.dumps(told)
