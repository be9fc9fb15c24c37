# SPDX-License-Identifier: Apache-2.0
"""Conformance cases about reading tickets and verdicts."""

from __future__ import annotations

from airflow_provider_bkitsm.itsm import errors
from airflow_provider_bkitsm.itsm.outcome import Outcome
from airflow_provider_bkitsm.itsm.verdict import VerdictPolicy
from airflow_provider_bkitsm.itsm.verdict_reading import read_verdict
from airflow_provider_bkitsm.sandbox.itsm.service_catalog import NO_APPROVAL, TWO_APPROVALS
from airflow_provider_bkitsm.sandbox.server import SandboxServer
from airflow_provider_bkitsm.sandbox.settings import Settings
from tests.conformance.conftest import plain, refusal
from tests.sandbox.stage import Stage


def verdict(hook, sn, **policy):
    return hook.run(read_verdict(sn, VerdictPolicy(**policy))).outcome


def test_case_20_nothing_is_found(stage, hook):
    for wanted in ({"sns": ["NOPE"]}, {"tag": "nope"}):
        data = stage.client.post("get_tickets", wanted)["data"]
        assert (data["count"], data["total_page"], data["items"]) == (0, 1, [])
        page = hook.get_tickets(**wanted)
        assert (page.count, page.total_page, page.items) == (0, 1, ())


def test_case_21_a_page_size_of_none_lists_everything(stage, hook):
    stage.opened()
    assert len(stage.client.post("get_tickets", {"page_size": 0})["data"]) == 1
    assert len(hook.send(plain("get_tickets/", {"page_size": 0}))) == 1
    assert hook.get_tickets(creator="admin", page_size=0).count == 1, "the client asks for at least one row"


def test_case_22_a_page_beyond_the_end(stage, hook):
    assert stage.client.post("get_tickets", {"tag": "x", "page": 9})["code"] == "SERVER_500_ERROR"
    assert refusal(lambda: hook.get_tickets(tag="x", page=9)) is errors.ItsmCrashError


def test_case_23_a_fresh_ticket_has_no_steps_then_the_first_then_the_approval(connections, receiver):
    with SandboxServer(Settings(start_delay=1.2)) as server:
        stage, seen = Stage(server, receiver), []
        sn = stage.client.create()["data"]["sn"]
        while "内置审批节点" not in seen:
            shown = stage.client.status(sn)
            assert shown["current_status"] == "RUNNING"
            seen += [one["name"] for one in shown["current_steps"]] or [""]
    assert list(dict.fromkeys(seen)) == ["", "提单", "内置审批节点"]


def test_case_24_an_unknown_or_missing_number(stage, hook):
    for name in ("get_ticket_status", "get_ticket_info", "get_ticket_logs"):
        for params in ({"sn": "NOPE"}, {}):
            answer = stage.client.get(name, **params)
            assert (answer["code"], answer["data"]) == (3900022, None)
        assert refusal(lambda name=name: getattr(hook, name)("NOPE")) is errors.ItsmTicketNotFoundError


def test_case_25_a_running_ticket(stage, hook):
    sn = stage.opened()
    shown = stage.client.status(sn)
    assert not {"sn", "id", "title"} & set(shown)
    opinion, remark, refusal_remark = shown["current_steps"][0]["fields"]
    assert (opinion["type"], opinion["meta"]) == ("RADIO", {"code": "APPROVE_RESULT"})
    assert [one["validate_type"] for one in (remark, refusal_remark)] == ["OPTION", "REQUIRE"]
    (step,) = hook.get_ticket_status(sn).current_steps
    assert (step.processors, step.state_id) == (("admin", "admin2"), 15)


def test_case_26_an_undecided_form_already_says_true(stage, hook):
    sn = stage.opened()
    info = hook.get_ticket_info(sn)
    assert [one.value for one in info.fields if one.type == "RADIO"] == ["true"]
    assert info.end_at is None
    assert [one.key for one in info.fields].count("title") == 2
    assert verdict(hook, sn) is Outcome.WAITING


def test_case_27_while_running(stage, hook):
    sn = stage.opened()
    assert stage.client.verdict(sn) == ("RUNNING", False)
    assert verdict(hook, sn) is Outcome.WAITING


def test_case_28_approved(stage, hook):
    sn = stage.approved()
    assert stage.client.verdict(sn) == ("FINISHED", True)
    assert verdict(hook, sn) is Outcome.APPROVED


def test_case_29_p3_rejected_is_finished_too(stage, hook):
    sn = stage.rejected()
    assert stage.client.verdict(sn) == ("FINISHED", False)
    assert verdict(hook, sn) is Outcome.REJECTED


def test_case_30_newest_first_unknown_ones_left_out_repeated_ones_once(stage, hook):
    old, new = stage.opened(), stage.opened()
    rows = stage.client.post("ticket_approval_result", {"sn": [old, "NOPE", new, new]})["data"]
    assert [one["sn"] for one in rows] == [new, old]
    assert {one.sn for one in hook.ticket_approval_result([old, "NOPE", new, new])} == {old, new}


def test_case_31_numbers_that_are_no_list(stage, hook):
    sn = stage.opened()
    assert stage.client.post("ticket_approval_result", {"sn": sn})["data"] == []
    assert stage.client.post("ticket_approval_result", {"sn": []})["code"] == "SERVER_500_ERROR"
    assert [one.sn for one in hook.ticket_approval_result(sn)] == [sn], "the client makes it a list"
    assert refusal(lambda: hook.ticket_approval_result([])) is errors.ItsmInvalidRequestError


def test_case_32_p3_a_flow_without_approval_says_true(stage, hook):
    sn = stage.client.create(service=NO_APPROVAL)["data"]["sn"]
    stage.server.wait_for_status(sn, "FINISHED")
    assert stage.client.verdict(sn) == ("FINISHED", True)
    assert verdict(hook, sn) is Outcome.REJECTED, "nobody approved it"
    assert verdict(hook, sn, require_evidence=False) is Outcome.APPROVED


def test_case_33_p3_one_refusal_of_two(stage, hook):
    for answers in ((True, False), (False, True)):
        sn = stage.decided(stage.of(TWO_APPROVALS, people="admin"), *answers)
        assert stage.client.verdict(sn) == ("FINISHED", False)
        assert verdict(hook, sn) is Outcome.REJECTED


def test_case_58_a_persons_tickets_without_a_person(stage, hook):
    assert stage.client.get("get_tickets_by_user")["code"] == 3900005
    assert refusal(lambda: hook.send(plain("get_tickets_by_user/"))) is errors.ItsmInvalidRequestError
    assert (
        refusal(lambda: hook.get_tickets_by_user(user="", view_type="my_todo")) is errors.ItsmInvalidRequestError
    )


def test_case_59_an_unknown_service(stage, hook):
    assert stage.client.get("get_service_detail", service_id="99999")["code"] == 3900404
    assert stage.client.get("get_service_roles", service_id="99999")["code"] == 3900042
    assert refusal(lambda: hook.get_service_detail(99999)) is errors.ItsmNotFoundError
    assert refusal(lambda: hook.get_service_roles(99999)) is errors.CollectItsmNotExists


def test_case_60_p3_a_number_that_two_tickets_carry(stage, hook):
    sn = stage.twice()
    assert stage.client.get("get_ticket_status", sn=sn)["code"] == "SERVER_500_ERROR"
    assert stage.client.operate(sn, "WITHDRAW", "admin")["code"] == 3900004
    assert len(stage.client.post("ticket_approval_result", {"sn": [sn]})["data"]) == 2
    assert refusal(lambda: verdict(hook, sn)) is errors.ItsmAmbiguousError
