# SPDX-License-Identifier: Apache-2.0
"""A ticket's life, from its start to every kind of end."""

from __future__ import annotations

import pytest

from airflow_provider_bkitsm.sandbox.itsm import service_catalog
from airflow_provider_bkitsm.sandbox.server import SandboxServer
from airflow_provider_bkitsm.sandbox.settings import Settings
from tests.sandbox.client import FAST_NODE, OPINION, REFUSAL, REMARK, Client

YES, NO = {OPINION: "true", REMARK: "", REFUSAL: ""}, {OPINION: "false", REMARK: "", REFUSAL: "no"}


def test_a_new_ticket_runs_without_steps(unstarted):
    sn = unstarted.create()["data"]["sn"]
    shown = unstarted.status(sn)
    assert (shown["current_status"], shown["current_steps"]) == ("RUNNING", [])
    assert [one["key"] for one in shown["operations"]] == ["SUSPEND"]
    assert unstarted.operate(sn, "WITHDRAW")["code"] == 3900004


def test_then_it_shows_the_submit_step_and_then_the_approval():
    with SandboxServer(Settings(start_delay=1.0)) as server:
        client = Client(server)
        sn, seen = client.create()["data"]["sn"], []
        while "内置审批节点" not in seen:
            seen += [one["name"] for one in client.status(sn)["current_steps"]] or ["-"]
    assert list(dict.fromkeys(seen)) == ["-", "提单", "内置审批节点"]


def test_a_withdrawal_that_races_the_start_leaves_a_step_behind():
    with SandboxServer(Settings(start_delay=1.6)) as server:
        client = Client(server)
        sn = client.create()["data"]["sn"]
        while not client.status(sn)["current_steps"]:
            pass
        assert client.operate(sn, "WITHDRAW")["result"]
        shown = client.status(sn)
    assert shown["current_status"] == "REVOKED"
    assert [one["name"] for one in shown["current_steps"]] == ["内置审批节点"]


@pytest.mark.parametrize(("values", "verdict"), [(YES, True), (NO, False)])
def test_a_decision_finishes_the_ticket_either_way(client, values, verdict):
    sn = client.opened()
    assert client.verdict(sn) == ("RUNNING", False)
    assert client.answer(sn, values) == {"result": True, "code": 0, "message": "success", "data": []}
    assert client.verdict(sn) == ("FINISHED", verdict)
    assert client.status(sn)["current_steps"] == []


@pytest.mark.parametrize(
    ("values", "more", "code"),
    [
        ({OPINION: True, REFUSAL: "x"}, {}, 3900004),
        ({OPINION: None, REFUSAL: "x"}, {}, 3900004),
        ({OPINION: "true"}, {}, 3900005),
        ({OPINION: "false", REFUSAL: " "}, {}, 3900005),
        ({OPINION: "false", REMARK: "only the other one", REFUSAL: ""}, {}, 3900005),
        ({OPINION: "maybe", REFUSAL: "x"}, {}, 3900005),
        (YES, {"operator": "stranger"}, 3900004),
        (YES, {"state_id": 1}, 3900004),
        (YES, {"sn": "NOPE"}, 3900022),
        (YES, {"action_type": "EXPLODE"}, 3900004),
        (YES, {"fields": None}, 3900004),
        ({}, {"action_type": "CLAIM"}, 3900005),
        ({}, {"action_type": "DELIVER"}, 3900005),
        ({}, {"action_type": "TERMINATE"}, 3900004),
    ],
)
def test_a_refused_answer_changes_nothing(client, values, more, code):
    sn = client.opened()
    assert client.answer(sn, values, **more)["code"] == code
    assert client.verdict(sn) == ("RUNNING", False)


def test_an_approval_needs_the_refusals_remark_but_blank_will_do(client):
    sn = client.opened()
    assert client.answer(sn, {OPINION: "true", REFUSAL: ""}, state_id=str(FAST_NODE.state_id))["result"]
    assert client.answer(sn, YES)["code"] == 3900004


@pytest.mark.parametrize(
    ("action", "verdict"), [("true", True), ("false", False), (True, False), ("True", False), (None, False)]
)
def test_approve_takes_only_the_text_true_for_a_yes(client, action, verdict):
    sn = client.opened()
    body = {"sn": sn, "state_id": FAST_NODE.state_id, "approver": "bob", "action": action, "remark": "r"}
    assert client.post("approve", body)["data"] == []
    assert client.verdict(sn) == ("FINISHED", verdict)


def test_a_stranger_cannot_approve(client):
    sn = client.opened()
    body = {"sn": sn, "state_id": FAST_NODE.state_id, "approver": "eve", "action": "true", "remark": ""}
    assert client.post("approve", body)["code"] == 3900004


@pytest.mark.parametrize(
    ("operator", "withdrawn"), [("carol", True), ("admin", True), ("alice", False), (None, False)]
)
def test_the_creator_and_the_system_account_withdraw(client, operator, withdrawn):
    sn = client.opened()
    assert client.operate(sn, "WITHDRAW", operator)["code"] == (0 if withdrawn else 3900004)
    assert client.verdict(sn) == ("REVOKED" if withdrawn else "RUNNING", False)


def test_nothing_is_withdrawn_twice_or_after_the_end(client, server):
    sn = client.opened()
    client.operate(sn, "WITHDRAW")
    assert client.operate(sn, "WITHDRAW")["code"] == 3900004
    sn = client.opened()
    server.approve(sn)
    assert client.operate(sn, "WITHDRAW")["code"] == 3900004
    assert client.verdict(sn) == ("FINISHED", True)


def test_some_services_cannot_be_withdrawn(client):
    sn = client.opened(service=service_catalog.NOT_REVOCABLE)
    assert client.operate(sn, "WITHDRAW")["code"] == 3900004
    assert [one["key"] for one in client.status(sn)["operations"]] == ["SUSPEND"]


@pytest.mark.parametrize(("operator", "status"), [("bob", "TERMINATED"), ("eve", "RUNNING"), ("carol", "RUNNING")])
def test_a_processor_terminates(client, operator, status):
    sn = client.opened()
    client.operate(sn, "TERMINATE", operator)
    assert client.verdict(sn) == (status, False)


def test_a_suspended_ticket_can_still_be_approved(client):
    sn = client.opened()
    assert client.operate(sn, "UNSUSPEND", "alice")["code"] == 3900004
    assert client.operate(sn, "SUSPEND", "alice")["result"]
    assert [one["key"] for one in client.status(sn)["operations"]] == ["WITHDRAW", "UNSUSPEND"]
    assert client.answer(sn, YES)["result"]
    assert client.verdict(sn) == ("FINISHED", True)


@pytest.mark.parametrize(("times", "status"), [(1, "RUNNING"), (2, "SUSPENDED")])
def test_a_second_suspension_spoils_the_memory(client, times, status):
    sn = client.opened()
    for _ in range(times):
        assert client.operate(sn, "SUSPEND", "alice")["result"]
    assert client.operate(sn, "UNSUSPEND", "alice")["result"]
    assert client.status(sn)["current_status"] == status


@pytest.mark.parametrize(
    "more",
    [{"action_message": " "}, {"action_message": "x" * 256}, {"action_type": "EXPLODE"}, {"action_type": None}],
)
def test_bad_parameters_of_operate_ticket(client, more):
    sn = client.opened()
    assert client.operate(sn, "WITHDRAW", **more)["code"] == 3900004
    assert client.status(sn)["current_status"] == "RUNNING"


def test_the_message_the_documentation_calls_optional_is_not(client):
    sn = client.opened()
    answer = client.post("operate_ticket", {"sn": sn, "operator": "carol", "action_type": "WITHDRAW"})
    assert (answer["code"], answer["message"][-16:]) == (3900004, "'action_message'")


def test_the_username_has_the_permission_and_the_operator_is_logged(client):
    sn = client.opened()
    assert client.operate(sn, "WITHDRAW", "stranger", username="admin")["result"]
    assert client.get("get_ticket_logs", sn=sn)["data"]["logs"][-1]["operator"] == "stranger"


@pytest.mark.parametrize(("answers", "verdict"), [("YY", True), ("YN", False), ("NY", False), ("NN", False)])
def test_two_approvals_are_a_conjunction_and_both_are_asked(client, server, answers, verdict):
    sn = client.opened(service=service_catalog.TWO_APPROVALS)
    for one in answers:
        assert client.verdict(sn) == ("RUNNING", False)
        (server.approve if one == "Y" else server.reject)(sn)
    assert client.verdict(sn) == ("FINISHED", verdict)


@pytest.mark.parametrize(("answers", "verdict"), [("YY", True), ("YN", False), ("NY", False)])
def test_a_countersign_asks_everybody(client, server, answers, verdict):
    sn = client.opened(service=service_catalog.COUNTERSIGN)
    for one in answers:
        assert client.status(sn)["current_status"] == "RUNNING"
        (server.approve if one == "Y" else server.reject)(sn)
    assert client.verdict(sn) == ("FINISHED", verdict)


def test_nobody_countersigns_twice(client, server):
    sn = client.opened(service=service_catalog.COUNTERSIGN)
    server.approve(sn, operator="alice")
    assert client.status(sn)["current_steps"][0]["status"] == "QUEUEING"
    assert server.ticket(sn)["waits_for"] == ["bob"]


def test_a_flow_without_approval_finishes_approved(client, server):
    sn = client.create(service=service_catalog.NO_APPROVAL)["data"]["sn"]
    server.wait_for_status(sn, "FINISHED")
    assert client.verdict(sn) == ("FINISHED", True)


@pytest.mark.parametrize("decide", ["approve", "reject"])
def test_the_log_platforms_own_service_tells_by_its_field_only(client, server, decide):
    fields = {one.key: "2" for one in service_catalog.SERVICES[service_catalog.LOG_BUILT_IN].form if one.required}
    pairs = [{"key": key, "value": value} for key, value in fields.items()]
    body = {"service_id": service_catalog.LOG_BUILT_IN, "creator": "carol", "fields": pairs}
    sn = client.post("create_ticket", body)["data"]["sn"]

    def field():
        rows = client.get("get_ticket_info", sn=sn)["data"]["fields"]
        return next(one["value"] for one in rows if one["key"] == "approval_result")

    server.wait_for_step(sn)
    assert field() == "true"
    getattr(server, decide)(sn)
    assert client.verdict(sn) == ("FINISHED", True)
    assert field() == ("true" if decide == "approve" else "false")
