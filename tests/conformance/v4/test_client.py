# SPDX-License-Identifier: Apache-2.0
"""The cases of ITSM v4, put to the provider's client."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from airflow_provider_bkitsm.callback.messages import Result, answer, is_number, read_notice
from airflow_provider_bkitsm.itsm import errors
from airflow_provider_bkitsm.itsm.actions import operate
from airflow_provider_bkitsm.itsm.idempotency import find_opened
from airflow_provider_bkitsm.itsm.models import Progress
from airflow_provider_bkitsm.itsm.protocol import decode
from airflow_provider_bkitsm.itsm.v4 import calls
from airflow_provider_bkitsm.itsm.v4.dialect import CODES
from airflow_provider_bkitsm.itsm.verdict import VerdictPolicy
from airflow_provider_bkitsm.itsm.verdict_reading import read_verdict
from tests.conformance.v4.cases import case
from tests.itsm.v4.answers import ID, OTHER, SETTINGS, TAG, Itsm, ended, items, line, page, task, ticket, workflow

SINCE = datetime(2026, 11, 28, tzinfo=UTC)
DONE = {"result": True, "code": "20000", "message": "success"}


def decoded(status: int = 200, **body: object) -> object:
    return decode(status, "application/json", json.dumps(DONE | body).encode(), codes=CODES)


def verdict(itsm: Itsm, **policy: object):
    return itsm.drive(read_verdict(ID, VerdictPolicy(**policy)))


def outcome(itsm: Itsm, **policy: object) -> tuple[str, str]:
    found = verdict(itsm, **policy)
    return str(found.outcome), str(found.reason_code)


@case(4)
@pytest.mark.parametrize("data", [ticket(id=None), ticket(id=""), {}, None, [], "x"])
def test_p2_a_create_answer_without_an_id_is_none(data):
    """The hook makes an unknown outcome of it, which is looked up and not repeated."""
    call = calls.create_ticket(workflow_key="approval", form_data={}, operator="alice")
    assert call.is_write
    with pytest.raises(errors.ItsmUnexpectedAnswerError):
        call.parse(data)


def found_by(*rows: object, honoured: bool = True) -> Itsm:
    """Return an ITSM whose lists hold these tickets."""

    def listed(call):
        is_probe = "#" not in call.params.get("title__contains", "#")
        return page() if is_probe and honoured else page(*rows)

    return Itsm(answers={"ticket/list": listed, "system_ticket/list": listed})


def searched(itsm: Itsm) -> list[str]:
    found = itsm.drive(find_opened(TAG, creator="alice", since=SINCE))
    return [one.sn for one in found]


@case(5)
def test_p2_a_lost_ticket_is_found_by_its_title():
    strangers = (ticket(id=OTHER, title="Another #00000000"), ticket(id=OTHER, creator="mallory"))
    assert searched(found_by(ticket(), *strangers)) == [ID]


@case(5)
def test_p2_a_list_that_ignores_its_filters_is_compared_here():
    itsm = found_by(ticket(), ticket(id=OTHER, title="Another"), honoured=False)
    assert searched(itsm) == [ID]
    assert any("created_at__range" in call.params for call in itsm.asked)


@case(5)
def test_p2_a_ticket_with_another_reference_in_its_form_is_not_ours():
    assert searched(found_by(ticket(form_data={"client_ref": "f" * 32}))) == []
    assert searched(found_by(ticket(form_data={"client_ref": TAG}))) == [ID]


@case(6)
def test_p2_nothing_is_found_where_nothing_is():
    assert searched(found_by()) == []


@case(6)
def test_p2_it_is_not_concluded_that_there_is_none_from_a_list_too_long_to_read():
    def listed(call):
        number = int(call.params["page"])
        rows = [ticket(id=f"{number:04}{place:020}", title="Another") for place in range(50)]
        return page(*rows, count=100_000)

    with pytest.raises(errors.ItsmConflictError, match="No second one was opened"):
        searched(Itsm(answers={"ticket/list": listed, "system_ticket/list": listed}))


@case(7)
def test_p2_of_two_the_oldest_comes_first():
    later = ticket(id=OTHER, created_at="2026-11-29 08:15:30")
    assert searched(found_by(later, ticket())) == [ID, OTHER]


@case(8)
def test_a_callback_names_its_ticket_and_holds_our_token():
    notice = read_notice(json.dumps({"callback_token": "ours", "ticket": ticket()}).encode())
    assert (notice.sn, notice.token, notice.dialect) == (ID, "ours", "v4")
    assert "ours" not in repr(notice)


@case(9)
@pytest.mark.parametrize("code", ["20000", 20000, "0", 0])
@pytest.mark.parametrize("status", [200, 201, 202])
def test_a_success_is_one_by_any_code_of_success(code, status):
    assert decoded(status, code=code, data={"id": ID}) == {"id": ID}


@case(10)
@pytest.mark.parametrize("data", [None, [], "x", 7, {"items": None}, {"items": ["x"]}])
@pytest.mark.parametrize("call", [calls.ticket_logs(ID), calls.approval_tasks(ID), calls.workflows(["a"])])
def test_p3_a_success_without_an_object_is_an_error(call, data):
    with pytest.raises(errors.ItsmUnexpectedAnswerError):
        call.parse(data)


@case(12)
@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (400, "40000", errors.ItsmInvalidRequestError),
        (400, "40001", errors.ItsmInvalidRequestError),
        (200, "40000", errors.ItsmInvalidRequestError),
        (200, "anything", errors.ItsmUnavailableError),
        (500, "40000", errors.ItsmUnavailableError),
        (408, "40000", errors.ItsmUnavailableError),
        (425, "40000", errors.ItsmUnavailableError),
        (429, "40000", errors.ItsmRateLimitedError),
        (403, "1640301", errors.ItsmPermissionError),
        (404, "1640401", errors.ItsmEndpointNotFoundError),
    ],
)
def test_a_refusal_is_told_from_an_outage(status, code, error):
    with pytest.raises(error) as raised:
        decoded(status, result=False, code=code)
    assert type(raised.value) is error


def report(detail: dict) -> str:
    itsm = Itsm(
        answers={
            "workflows": items(detail),
            "system_workflow/list": page({"key": "approval", "name": "One"}),
            "system_ticket/list": page(),
        }
    )
    return itsm.drive(itsm.dialect.connection_report(app_code="app", service=None))


@case(17)
def test_p3_a_workflow_without_an_approval_step_is_reported():
    submit = {"submit": {"type": "SUBMIT", "meta": {}}}
    with pytest.raises(errors.ItsmInvalidRequestError, match="no approval step"):
        report(workflow(activities=submit))


@case(18)
@pytest.mark.parametrize(
    "processors", [[], [{"key": "DATA_TABLE", "path": "leaders"}], [{"key": "TICKET", "path": "approvers"}]]
)
def test_p3_a_step_that_asks_others_than_the_form_names_is_reported(processors):
    step = {"step_1": {"type": "APPROVE_TASK", "meta": {"processors": processors}}}
    with pytest.raises(errors.ItsmInvalidRequestError, match="'approvers'"):
        report(workflow(activities=step))
    assert "asks the people in 'approvers'" in report(workflow())


@case(21)
@pytest.mark.parametrize("given", ["bob,carol", ["bob", "carol"], "bob; carol", '["bob", "carol"]'])
@pytest.mark.parametrize("key", ["approvers", "APPROVER"])
def test_people_are_sent_as_a_list(given, key):
    itsm = Itsm(answers={"workflows": items(workflow())})
    form = {"title": "t", "content": "c", key: given}
    checked = itsm.drive(itsm.dialect.service_for(form, service_id=None, fast_approval=False))
    assert checked == ("approval", {"title": "t", "content": "c", "approvers": ["bob", "carol"]})


YES, NO = line("approve"), line("refuse")
START, END = (line("start"), line("submit")), line("end")


@case(26)
def test_p3_one_refusal_of_two_stands():
    both = ended(logs=(*START, YES, line("refuse", operator="carol"), END))
    assert outcome(both) == ("rejected", "refusal_stands")
    assert outcome(ended(tasks=(task(), task("refuse", operator="carol")))) == ("rejected", "refusal_stands")
    assert outcome(ended(tasks=(task(), task("reject", operator="carol")))) == ("rejected", "refusal_stands")


@case(27)
def test_an_open_ticket_is_waited_for():
    assert outcome(ended(logs=START, status="running", end_at=None, approve_result=False))[0] == "waiting"


@case(28)
def test_a_log_says_who_approved_and_who_refused():
    found = verdict(ended(logs=(*START, YES, END), tasks=(task(),)))
    assert found.outcome == "approved"
    (decision,) = found.approvers
    assert (decision.operator, decision.approved, decision.remark) == ("bob", True, "seen")
    assert decision.decided_at == "2026-11-29T00:20:01+00:00"
    assert outcome(ended(logs=(*START, NO, END), approve_result=False)) == ("rejected", "refused")
    assert outcome(ended(logs=(*START, NO, END))) == ("rejected", "refusal_stands")


@case(29)
def test_a_terminated_ticket_is_no_refusal():
    gone = ended(logs=(*START, line("terminate"), END), status="termination", approve_result=False)
    assert outcome(gone)[0] == "terminated"


@case(30)
def test_p3_a_yes_without_anybody_behind_it_is_none():
    assert outcome(ended(logs=(*START, END))) == ("rejected", "no_evidence")
    assert outcome(ended(logs=(*START, END)), require_evidence=False)[0] == "approved"


@case(31)
@pytest.mark.parametrize(
    "by_itself",
    [
        task(desc="提单人自动审批同意"),
        task(desc="Automatically approved by the submitter"),
        task(operator="", operator_type=""),
        task(operator="alice"),
        task(operator="bot", operator_type="system"),
    ],
)
def test_p3_an_approval_that_itsm_gave_counts_only_where_a_task_says_so(by_itself):
    log = line("approve", operator=by_itself["operator"], operator_type=by_itself["operator_type"])
    for itsm in (ended(tasks=(by_itself,)), ended(logs=(*START, log, END), tasks=(by_itself,))):
        assert outcome(itsm) == ("rejected", "automatic_only")
        found = verdict(itsm, accept_automatic=True)
        assert (found.outcome, found.reason_code) == ("approved", "approved_automatically")
        assert [one.automatic for one in found.approvers] == [True]


@case(32)
def test_p3_a_verdict_before_the_end_is_none():
    assert outcome(ended(tasks=(task(),), status="running", end_at=None))[0] == "waiting"
    assert outcome(ended(tasks=(task(),), end_at=None))[0] == "waiting"
    assert outcome(ended(tasks=(task(),), end_at="0000-00-00 00:00:00"))[0] == "waiting"


@case(33)
@pytest.mark.parametrize("word", ["suspend", "suspended", "draft", "failed", "wait"])
def test_what_is_no_end_is_waited_for(word):
    assert outcome(ended(status=word, end_at=None))[0] == "waiting"


@case(34)
@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("Finished", "approved"),
        (" FINISHED ", "approved"),
        ("TERMINATION", "terminated"),
        ("Revoked", "withdrawn"),
    ],
)
def test_words_count_in_any_case(word, expected):
    assert outcome(ended(status=word, tasks=(task(),)))[0] == expected


@case(35)
@pytest.mark.parametrize("word", ["closed", "approved", "TERMINATED", "完成"])
def test_p3_an_unknown_word_is_never_a_yes(word):
    assert outcome(ended(status=word, end_at=None, tasks=(task(),)))[0] == "waiting"
    assert outcome(ended(status=word, tasks=(task(),)))[0] == "terminated"


@case(36)
@pytest.mark.parametrize("result", ["true", "True", 1, None, [True], {"a": 1}])
def test_p3_a_verdict_that_is_no_boolean_is_none(result):
    assert outcome(ended(approve_result=result, tasks=(task(),))) == ("rejected", "verdict_missing")


@case(38)
@pytest.mark.parametrize("data", [{"result": False}, {"result": "true"}, {}, None, []])
def test_p5_a_withdrawal_that_was_not_done_is_seen_by_the_ticket(data):
    running = ticket(status="running", end_at=None)
    itsm = Itsm(answers={"tickets/revoked": data, "ticket/detail": running, "approval_tasks": items()})
    wish = operate(sn=ID, action_type="WITHDRAW", operator="alice", action_message="over")
    with pytest.raises(errors.ItsmConflictError, match="was not done"):
        itsm.drive(wish)
    itsm.answers["ticket/detail"] = ticket(status="revoked")
    wish = operate(sn=ID, action_type="WITHDRAW", operator="alice", action_message="over")
    assert itsm.drive(wish).progress is Progress.WITHDRAWN


@case(39)
def test_a_refused_withdrawal_of_an_ended_ticket_reports_how_it_ended():
    refusal = errors.ItsmInvalidRequestError("over", code="40000")
    itsm = Itsm(answers={"tickets/revoked": refusal, "ticket/detail": ticket()})
    wish = operate(sn=ID, action_type="WITHDRAW", operator="alice", action_message="over")
    assert itsm.drive(wish).current_status == "finished"


@case(41)
@pytest.mark.parametrize("token", [None, "", 7, ["x"], "x" * 257, "a b"])
def test_p4_a_callback_without_a_token_is_none(token):
    assert read_notice(json.dumps({"callback_token": token, "ticket": ticket()}).encode()) is None


@case(42)
@pytest.mark.parametrize("wrong", [None, 7.5, True, "", "../x", [ID]])
def test_p4_a_callback_without_a_tickets_id_is_none(wrong):
    assert not is_number(wrong) or wrong == ID
    assert read_notice(json.dumps({"callback_token": "t", "ticket": {"id": wrong}}).encode()) is None


@case(44)
@pytest.mark.parametrize("result", [Result.DUPLICATE, Result.UNKNOWN, Result.RESUMED, Result.LEFT_TO_POLL])
def test_one_answer_satisfies_both_versions(result):
    status, body = answer(result)
    assert (status, body["result"], body["code"]) == (200, True, 0)


@case(48)
def test_fifty_tickets_are_read_with_a_call():
    wanted = [f"1020261129{number:014}" for number in range(51)]

    def listed(call):
        ids = call.params["id__in"].split(",")
        assert len(ids) <= 50
        return page(*(ticket(id=one) for one in ids if one != wanted[-1]))

    gone = errors.ItsmInvalidRequestError("unknown", code="40000")
    itsm = Itsm(answers={"system_ticket/list": listed, "ticket/detail": gone})
    assert [one.sn for one in itsm.drive(itsm.dialect.states(wanted))] == wanted[:-1]
    assert itsm.paths == ["system_ticket/list"] * 2 + ["ticket/detail"]


@case(50)
def test_p6_a_row_that_was_not_asked_for_is_left_out():
    """Two tenants may have one number for people: only the id counts, and the tenant of the connection."""
    itsm = Itsm(answers={"system_ticket/list": page(ticket(id=OTHER), ticket()), "ticket/detail": ticket()})
    assert [one.sn for one in itsm.drive(itsm.dialect.states([ID]))] == [ID]


@case(51)
@pytest.mark.parametrize("steps", [[{"ticket_id": ID, "name": "Approve"}], [{"name": "Approve", "id": "t"}], []])
def test_steps_are_shown_with_whatever_they_have(steps):
    people = [{"processor": "bob", "task_id": "t"}, {"processor": "carol", "task_id": "t"}]
    running = ticket(status="running", end_at=None, current_steps=steps, current_processors=people)
    itsm = Itsm(answers={"ticket/detail": running})
    assert itsm.drive(itsm.dialect.info(ID)).current_steps[0].processors == ("bob", "carol")


@case(52)
@pytest.mark.parametrize(
    ("processor", "people"),
    [(["bob", "carol"], ("bob", "carol")), ([{"id": "bob"}], ("bob",)), (None, ()), (7, ()), ({"x": 1}, ())],
)
def test_processors_are_read_in_every_shape(processor, people):
    shown = [{"processor": processor, "task_id": "t"}]
    running = ticket(status="running", end_at=None, current_steps=[{"task_id": "t"}], current_processors=shown)
    itsm = Itsm(answers={"ticket/detail": running, "approval_tasks": items()})
    assert itsm.drive(itsm.dialect.status(ID)).waits_for == people


@case(53)
@pytest.mark.parametrize(
    ("zone", "written", "hour"),
    [("Asia/Shanghai", "08:15:30", 0), ("UTC", "08:15:30", 8), ("America/New_York", "08:15:30", 13)],
)
def test_times_without_an_offset_are_those_of_the_connections_zone(zone, written, hour):
    itsm = Itsm(
        answers={"ticket/detail": ticket(created_at=f"2026-11-29 {written}")},
        settings=replace(SETTINGS, time_zone=zone),
    )
    assert itsm.drive(itsm.dialect.info(ID)).created_at == datetime(2026, 11, 29, hour, 15, 30, tzinfo=UTC)
