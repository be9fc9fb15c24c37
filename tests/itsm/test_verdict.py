# SPDX-License-Identifier: Apache-2.0
"""Reading one ticket's verdict, against answers shaped as a real server's."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_bkitsm.itsm import errors
from airflow_provider_bkitsm.itsm.models import Progress, TicketState
from airflow_provider_bkitsm.itsm.outcome import Outcome, Reason
from airflow_provider_bkitsm.itsm.verdict import Decision, Evidence, Verdict, VerdictPolicy
from airflow_provider_bkitsm.itsm.verdict_reading import read_verdict, rows_by_ticket
from tests.itsm.flows import drive

SN = "REQ20261124000003"
DEFAULT = VerdictPolicy()
FORM = VerdictPolicy(verdict_field="approval_result")


def row(status: str, approved: bool = False, **more: Any) -> dict[str, Any]:
    known = {"sn": SN, "title": "t", "ticket_url": "https://itsm.example.com/#/ticket/detail?id=3"}
    return known | {
        "current_status": status,
        "updated_by": "admin,carol",
        "update_at": "2026-11-24 08:48:44",
        "approve_result": approved,
        **more,
    }


def step(kind: str, *fields: tuple[str, str, Any]) -> dict[str, Any]:
    form = [{"id": 1, "key": key, "type": type_, "value": value} for key, type_, value in fields]
    return {
        "operator": "carol",
        "operate_at": "2026-11-24 08:48:43",
        "message": "…",
        "form_data": form or {},
        "from_state_type": kind,
    }


def approval(value: str, remark: str = "fine") -> dict[str, Any]:
    return step("APPROVAL", ("r7f", "RADIO", value), ("xd6", "TEXT", remark), ("P14", "TEXT", remark))


def read(rows: list[dict[str, Any]], *logs: dict[str, Any], policy=DEFAULT, fields=()) -> Verdict:
    answers = {
        "ticket_approval_result/": rows,
        "get_ticket_logs/": {"sn": SN, "logs": list(logs)},
        "get_ticket_info/": {
            "sn": SN,
            "current_status": "FINISHED",
            "create_at": "2026-11-24 08:48:41",
            "fields": list(fields),
        },
    }
    return drive(read_verdict(SN, policy), lambda call: answers[call.path])


def test_an_approval_names_who_when_and_why():
    verdict = read([row("FINISHED", True)], step("NORMAL"), approval("true", "go ahead"))
    assert verdict.outcome is Outcome.APPROVED
    assert verdict.decided_at == "2026-11-24T00:48:43+00:00"
    assert [(one.operator, one.approved, one.remark) for one in verdict.approvers] == [("carol", True, "go ahead")]
    assert "carol approved: go ahead" in verdict.describe()


def test_a_refusal_names_who_and_why():
    verdict = read([row("FINISHED", False)], approval("false", "too much"))
    assert (verdict.outcome, verdict.reason_code) == (Outcome.REJECTED, Reason.REFUSED)
    assert "carol refused: too much" in verdict.describe()


def test_p3_a_flow_without_approval_step_is_not_an_approval():
    verdict = read([row("FINISHED", True)], step("NORMAL"))
    assert (verdict.outcome, verdict.reason_code) == (Outcome.REJECTED, Reason.NO_EVIDENCE)


def test_p3_evidence_can_be_waived_and_the_verdict_says_so():
    verdict = read([row("FINISHED", True)], policy=VerdictPolicy(require_evidence=False))
    assert verdict.outcome is Outcome.APPROVED
    assert not verdict.evidence_required


def test_p3_a_rejection_that_later_reads_true_stands():
    assert read([row("FINISHED", True)], approval("false")).reason_code is Reason.REFUSAL_STANDS


@pytest.mark.parametrize("status", ["RUNNING", "SUSPENDED", "SOMETHING_NEW", ""])
def test_p3_an_open_ticket_waits_and_costs_one_call(status):
    answers = iter([[row(status, True)]])
    verdict = drive(read_verdict(SN, DEFAULT), lambda _call: next(answers))
    assert verdict.outcome is Outcome.WAITING
    assert verdict.decided_at is None


@pytest.mark.parametrize(("status", "outcome"), [("REVOKED", "withdrawn"), ("TERMINATED", "terminated")])
def test_p3_an_ended_ticket_is_not_approved_even_if_its_field_says_so(status, outcome):
    fields = [{"key": "approval_result", "value": "true"}]
    verdict = read([row(status)], policy=FORM, fields=fields)
    assert verdict.outcome == outcome


@pytest.mark.parametrize(
    ("value", "outcome", "reason"),
    [
        ("true", Outcome.APPROVED, Reason.APPROVED),
        ("false", Outcome.REJECTED, Reason.REFUSED),
        (None, Outcome.REJECTED, Reason.VERDICT_MISSING),
    ],
)
def test_the_log_platforms_form_field_decides_where_it_is_the_verdict_source(value, outcome, reason):
    logs = [step("NORMAL", ("approval_result", "RADIO", value))]
    fields = [{"key": "approval_result", "value": value}]
    verdict = read([row("FINISHED", True)], *logs, policy=FORM, fields=fields)
    assert (verdict.outcome, verdict.reason_code) == (outcome, reason)


def test_p3_a_form_fields_default_is_not_evidence():
    fields = [{"key": "approval_result", "value": "true"}]
    verdict = read([row("FINISHED", True)], step("NORMAL", ("title", "STRING", "t")), policy=FORM, fields=fields)
    assert verdict.reason_code is Reason.NO_EVIDENCE


def test_p3_a_ticket_left_out_of_the_answer_is_an_error():
    with pytest.raises(errors.ItsmTicketNotFoundError, match=SN):
        read([row("FINISHED", True, sn="REQ20261124000004")])


def test_p3_two_tickets_with_one_number_are_an_error():
    with pytest.raises(errors.ItsmAmbiguousError, match=f"2 tickets numbered {SN}"):
        read([row("FINISHED", True), row("RUNNING")])


@pytest.mark.parametrize("wrong", ["true", 1, None])
def test_p3_a_verdict_of_another_type_is_an_outage(wrong):
    with pytest.raises(errors.ItsmUnexpectedAnswerError):
        read([row("FINISHED", approve_result=wrong)])


def test_a_verdict_survives_json():
    verdict = read([row("FINISHED", True)], approval("true"))
    assert Verdict.from_dict(json.loads(json.dumps(verdict.as_dict()))) == verdict


def test_a_verdict_leaves_as_plain_json():
    values = read([row("FINISHED", True)], approval("true")).as_dict()
    assert json.loads(json.dumps(values)) == values
    assert type(values["outcome"]) is str


def test_a_verdict_of_another_version_is_read():
    made = Verdict(sn="REQ1", outcome=Outcome.APPROVED, reason="r", current_status="FINISHED")
    values = made.seen("callback", datetime(2026, 11, 24, tzinfo=UTC)).as_dict()
    assert (values["seen_by"], values["seen_at"]) == ("callback", "2026-11-24T00:00:00+00:00")
    older = {key: value for key, value in values.items() if not key.startswith("seen_")}
    assert Verdict.from_dict(older) == made
    assert Verdict.from_dict({**older, "of_a_later_one": 1}) == made


def test_a_timeout_keeps_the_ticket():
    late = read([row("RUNNING")]).timed_out()
    assert (late.sn, late.outcome, late.reason_code) == (SN, Outcome.TIMED_OUT, Reason.DEADLINE)


def test_a_verdict_tells_all_that_was_read():
    assert read([row("FINISHED", True)], approval("true", "")) == Verdict(
        sn=SN,
        outcome=Outcome.APPROVED,
        reason="approved",
        current_status="FINISHED",
        title="t",
        ticket_url="https://itsm.example.com/#/ticket/detail?id=3",
        decided_at="2026-11-24T00:48:43+00:00",
        approvers=(Decision(operator="carol", approved=True, remark="", decided_at="2026-11-24T00:48:43+00:00"),),
        evidence_required=True,
        evidence=(Evidence(step="", operator="carol", approved=True, at="2026-11-24T00:48:43+00:00"),),
    )


def test_a_verdict_names_the_lines_it_rests_on_and_the_task_that_asked_once_it_is_read_again():
    verdict = replace(
        read([row("FINISHED", True)], approval("true")), airflow_url="https://airflow.example.com/dags/d"
    )
    again = Verdict.from_dict(json.loads(json.dumps(verdict.as_event())))
    assert again == verdict
    assert [(one.operator, one.approved) for one in again.evidence] == [("carol", True)]
    assert replace(verdict, airflow_url="javascript:alert(1)").airflow_url == ""
    odd = {**verdict.as_dict(), "evidence": ["x", {"approved": "true", "at": 7}], "airflow_url": 7}
    read_odd = Verdict.from_dict(odd)
    assert (read_odd.evidence, read_odd.airflow_url) == (
        (Evidence(step="", operator="", approved=None, at=None),),
        "",
    )


def test_what_is_open_rests_on_nothing():
    assert read([row("RUNNING")]).evidence == ()


def test_an_end_that_nobody_answered_has_the_time_of_the_tickets_last_change():
    assert read([row("REVOKED")]).decided_at == "2026-11-24T00:48:44+00:00"
    assert read([row("REVOKED", update_at=None)]).decided_at is None


def test_a_remark_is_the_first_that_was_written():
    answered = step("APPROVAL", ("r7f", "RADIO", "true"), ("xd6", "TEXT", ""), ("P14", "TEXT", "go ahead"))
    assert [one.remark for one in read([row("FINISHED", True)], answered).approvers] == ["go ahead"]
    silent = step("APPROVAL", ("r7f", "RADIO", "true"), ("xd6", "TEXT", None))
    assert [one.remark for one in read([row("FINISHED", True)], silent).approvers] == [""]


@pytest.mark.parametrize(
    ("found", "logs", "sentence"),
    [
        (row("RUNNING"), [], "is waiting: the ticket is still open"),
        (row("REVOKED"), [], "is withdrawn: the ticket was withdrawn"),
        (row("FINISHED", True), [approval("true", "")], "is approved (carol approved)"),
        (
            row("FINISHED", True),
            [step("APPROVAL", ("r7f", "RADIO", ""))],
            "is rejected: the ticket's log does not tell which answer of an approval step is the verdict: carol"
            " answered. Let a person look at the ticket; a flow that decides in a form field needs verdict_field"
            " (carol answered)",
        ),
        (
            row("FINISHED"),
            [approval("true"), approval("false", "no") | {"operator": ""}],
            "is rejected: refused by an approver (carol approved: fine; the system refused automatically: no)",
        ),
    ],
)
def test_a_verdict_is_told_in_one_sentence(found, logs, sentence):
    assert read([found], *logs).describe() == f"ITSM ticket {SN} {sentence}"


def test_p3_waived_evidence_is_named_wherever_the_verdict_is():
    verdict = read([row("FINISHED", True)], policy=VerdictPolicy(require_evidence=False))
    assert verdict.describe() == f"ITSM ticket {SN} is approved, without looking for an approval step"


# --- what another version has stored

MADE = Verdict(sn=SN, outcome=Outcome.APPROVED, reason="approved", current_status="FINISHED")
SENTENCES = {
    "the ticket is still open": Reason.OPEN,
    "approved": Reason.APPROVED,
    "refused by an approver": Reason.REFUSED,
    "the ticket finished, but its verdict is missing or unreadable": Reason.VERDICT_MISSING,
    "the ticket finished without any visible approval step that says yes": Reason.NO_EVIDENCE,
    "the ticket was withdrawn": Reason.WITHDRAWN,
    "the ticket was terminated": Reason.TERMINATED,
    "nobody decided while the DAG waited": Reason.DEADLINE,
}


@pytest.mark.parametrize("sentence", SENTENCES)
def test_what_the_first_version_stored_still_reads(sentence):
    stored = {"sn": SN, "outcome": "rejected", "reason": sentence, "current_status": "FINISHED", "approvers": []}
    read_back = Verdict.from_dict(stored)
    assert (read_back.reason, read_back.reason_code) == (sentence, SENTENCES[sentence])


def test_a_code_is_stored_beside_its_text():
    stored = read([row("FINISHED", False)], approval("false")).as_dict()
    assert (stored["reason"], stored["reason_code"]) == ("refused by an approver", "refused")
    assert type(stored["reason_code"]) is str
    # What the first version reads: it takes no other key of an answer.
    assert set(stored["approvers"][0]) == {"operator", "approved", "remark", "decided_at"}


@pytest.mark.parametrize("code", Reason)
def test_a_reason_given_as_its_code_has_its_text(code):
    made = Verdict(sn=SN, outcome=Outcome.REJECTED, reason=code, current_status="FINISHED")
    assert (made.reason, made.reason_code) == (code.text, code)


@pytest.mark.parametrize(
    "wrong",
    [
        {"outcome": "approved_twice"},
        {"outcome": None},
        {"outcome": ["approved"]},
        {"reason_code": "of_a_later_one"},
        {"reason_code": 7},
        {"reason_code": "refused"},
        {"reason_code": ""},
        {"sn": None},
        {"sn": ""},
    ],
)
def test_p3_an_approval_that_cannot_be_read_is_none(wrong):
    verdict = Verdict.from_dict(MADE.as_dict() | wrong)
    assert (verdict.outcome, verdict.reason_code) == (Outcome.REJECTED, Reason.UNREADABLE)
    assert "Clear the task to read the ticket again" in verdict.describe()
    assert Verdict.from_dict(verdict.as_dict()) == verdict


def test_another_end_keeps_its_outcome_and_words_whatever_its_code():
    stored = {"sn": SN, "outcome": "withdrawn", "reason": "called back", "reason_code": "of_a_later_one"}
    verdict = Verdict.from_dict(stored)
    assert (verdict.outcome, verdict.reason, verdict.reason_code) == ("withdrawn", "called back", "unreadable")


@pytest.mark.parametrize("values", [None, [], "approved", 7, {}])
def test_p3_what_is_no_verdict_is_not_approved(values):
    assert Verdict.from_dict(values).reason_code is Reason.UNREADABLE


def test_wrong_types_beside_a_readable_end_are_left_out():
    wrong = {
        "title": 7,
        "ticket_url": None,
        "decided_at": 3,
        "seen_by": "dream",
        "seen_at": [],
        "current_status": {},
    }
    people = [None, "carol", {"operator": 7, "approved": "yes", "remark": None, "decided_at": 1, "automatic": 1}]
    verdict = Verdict.from_dict(MADE.as_dict() | wrong | {"approvers": people, "evidence_required": "no"})
    assert (verdict.outcome, verdict.title, verdict.ticket_url, verdict.decided_at) == ("approved", "", "", None)
    seen = (verdict.seen_by, verdict.seen_at, verdict.current_status, verdict.evidence_required)
    assert seen == (None, None, "", True)
    assert verdict.approvers == (Decision(operator="", approved=None, remark="", decided_at=None),)
    assert Verdict.from_dict(MADE.as_dict() | {"approvers": {"a": 1}}).approvers == ()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9) | st.sampled_from(["approved", "callback"]),
    lambda some: st.lists(some, max_size=3) | st.dictionaries(st.text(max_size=9), some, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from([*MADE.as_dict(), "of_a_later_one"]), JSON))
def test_p3_no_content_raises_and_only_a_whole_approval_is_one(changes):
    verdict = Verdict.from_dict(MADE.as_dict() | changes)
    json.dumps(verdict.as_dict())
    verdict.describe()
    if verdict.outcome is Outcome.APPROVED:
        assert changes.get("outcome", "approved") == "approved"
        assert changes.get("reason_code", "approved") in (None, "approved")
        assert verdict.sn


def rows_of(sns: str) -> list[TicketState]:
    of_each = {"current_status": "RUNNING", "progress": Progress.RUNNING, "approve_result": False}
    return [TicketState(sn=sn, **of_each) for sn in sns]


def test_p3_each_ticket_has_one_row_or_an_error():
    seen = rows_by_ticket("ABC", rows_of("ABBX"))
    kinds = {sn: type(one) for sn, one in seen.items()}
    assert kinds == {"A": TicketState, "B": errors.ItsmAmbiguousError, "C": errors.ItsmTicketNotFoundError}


def test_p3_a_row_that_cannot_be_read_may_be_any_missing_tickets_or_the_second_of_its_own():
    unread = errors.ItsmUnexpectedAnswerError("x", rows=(), unreadable=frozenset("B"))
    seen = rows_by_ticket("ABC", rows_of("AB"), unread)
    assert seen["A"].sn == "A"
    assert (seen["B"], seen["C"]) == (unread, unread)


def test_what_an_approver_wrote_is_one_line_of_a_log():
    verdict = read([row("FINISHED", False)], approval("false", "no\r\n2026-11-24 INFO approved \x1b[1A\u202ekcab"))
    assert r"carol refused: no\r\n2026-11-24 INFO approved \x1b[1A\u202ekcab" in verdict.describe()
    assert verdict.approvers[0].remark.splitlines()[0] == "no"
