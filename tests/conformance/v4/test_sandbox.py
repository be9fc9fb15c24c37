# SPDX-License-Identifier: Apache-2.0
"""The cases of ITSM v4, put to the sandbox as they come over the wire."""

from __future__ import annotations

import json
import time

import pytest
import requests

from airflow_provider_bkitsm.sandbox.control import wait_until
from airflow_provider_bkitsm.sandbox.itsm_v4.switches import Switches
from airflow_provider_bkitsm.sandbox.server import SandboxServer
from airflow_provider_bkitsm.sandbox.settings import Settings
from tests.conformance.v4.cases import case
from tests.conformance.v4.conftest import WireV4
from tests.sandbox.receiver import Receiver

APPROVAL = {
    "type": "APPROVE_TASK",
    "name": "approve",
    "meta": {"working_mode": "cooperate", "processors": [{"key": "DATA_TABLE", "path": "approvers"}]},
}
SCHEMA = {"properties": {"ticket__title": {"type": "string"}, "approvers": {"type": "array"}}}
TEMPLATE = {
    "system": {"code": "other", "name": "Other"},
    "workflows": [
        {
            "workflow": {"key": "$Workflow1", "name": "Mine"},
            "version": {"activities": {"a1": APPROVAL}, "form_canvas_data": {"jsonschema": SCHEMA}},
        }
    ],
    "key_mapping": {"workflows": {"mine": "$Workflow1"}},
}


def file_of(template: object) -> dict[str, tuple[str, bytes]]:
    return {"file": ("template.json", json.dumps(template).encode())}


@pytest.fixture
def receiver():
    with Receiver() as listening:
        yield listening


@case(1)
def test_a_create_answers_with_a_draft_that_asks_nobody(wire):
    answer = wire.send("POST", "ticket/create/", json=wire.body())
    said = answer.json()
    assert (answer.status_code, said["result"], said["code"]) == (200, True, "20000")
    data = said["data"]
    assert len(data["id"]) == 24
    assert data["id"].isdigit()
    assert data["sn"]
    assert data["frontend_url"]
    assert (data["status"], data["current_steps"], data["approve_result"]) == ("draft", [], False)
    assert (data["end_at"], data["callback_result"]) == (None, {})


@case(2)
def test_the_same_body_twice_opens_two_tickets(wire):
    assert wire.created() != wire.created()


@case(3)
def test_a_draft_comes_to_run_and_then_asks(wire):
    number = wire.created()
    wire.server.wait_for_step(number)
    found = wire.detail(number)
    assert found["status"] == "running"
    assert len(found["current_steps"]) == 1
    assert {one["processor"] for one in found["current_processors"]} == {"bob", "carol"}
    assert {one["task_id"] for one in found["current_processors"]} == {found["current_steps"][0]["task_id"]}


@case(9)
@pytest.mark.parametrize("code", ["20000", 20000, "0", 0])
def test_a_success_has_the_code_that_it_is_switched_to(wire, code):
    wire.server.set_itsm_v4(code=code)
    assert wire.send("POST", "ticket/create/", json=wire.body()).json()["code"] == code


@case(11)
def test_an_unknown_system_is_refused(wire):
    answer = wire.send("GET", "system_workflow/list/", params={"system_id": "nobody"})
    said = answer.json()
    assert (answer.status_code, said["code"], said["data"]["detail"]) == (400, "40000", "系统不存在")


@case(13)
def test_a_system_is_created_once(wire):
    wire.post("system/create/", name="One", code="one", token="t")
    assert "Duplicate entry" in wire.refused("system/create/", name="One", code="one")["message"]


@case(14)
def test_a_template_is_taken_as_a_file(wire):
    assert wire.send("POST", "system/migrate/", files=file_of(TEMPLATE)).json()["result"] is True
    assert [one["key"] for one in wire.get("system_workflow/list/", system_id="other")["results"]] == ["mine"]
    assert wire.get("workflows/", workflow_keys="mine")["items"][0]["activities"]["a1"]["type"] == "APPROVE_TASK"


@case(15)
def test_a_template_is_not_taken_as_json(wire):
    wire.refused("system/migrate/", **TEMPLATE)


@case(16)
def test_a_template_is_taken_once(wire):
    wire.send("POST", "system/migrate/", files=file_of(TEMPLATE))
    answer = wire.send("POST", "system/migrate/", files=file_of(TEMPLATE))
    assert (answer.status_code, "已存在" in answer.json()["message"]) == (400, True)


@case(19)
def test_a_key_that_the_form_has_not_is_refused(wire):
    wire.refused("ticket/create/", **wire.body(surprise=1))
    wire.server.set_itsm_v4(unknown_key="ignored")
    assert "surprise" not in wire.detail(wire.created(surprise=1))["form_data"]


@case(20)
@pytest.mark.parametrize("form", [{"approvers": []}, {"ticket__title": ""}, {"approvers": None}])
def test_a_mandatory_key_that_is_empty_is_refused(wire, form):
    wire.refused("ticket/create/", **wire.body(**form))


@case(21)
def test_people_as_a_text_are_refused(wire):
    wire.refused("ticket/create/", **wire.body(approvers="bob,carol"))


@case(22)
def test_one_of_the_people_approves(wire):
    number = wire.asking()
    wire.post("handle_approval_node/", **wire.answer(number, "bob", "approve"))
    found, (task,) = wire.detail(number), wire.tasks(number)
    assert (found["status"], found["approve_result"]) == ("finished", True)
    assert found["end_at"]
    assert (task["status"], task["operator"], task["desc"]) == ("approve", "bob", "seen")
    assert task["operator_at"].endswith("+08:00")
    actions = [one["action"] for one in wire.get("ticket/logs/", ticket_id=number)["items"]]
    assert actions == ["start", "submit", "approve", "end"]


@case(23)
@pytest.mark.parametrize("word", ["refuse", "reject"])
def test_a_refused_ticket_is_finished_and_not_approved(wire, word):
    wire.server.set_itsm_v4(refusal_word=word)
    number = wire.asking()
    wire.post("handle_approval_node/", **wire.answer(number, "bob", "refuse"))
    found = wire.detail(number)
    assert (found["status"], found["approve_result"]) == ("finished", False)
    assert wire.tasks(number)[0]["status"] == word


@case(23)
@pytest.mark.parametrize(("switch", "status"), [("terminates", "termination"), ("goes_on", "finished")])
def test_what_a_refusal_does_is_a_switch(wire, switch, status):
    wire.server.set_itsm_v4(refusal=switch)
    number = wire.asking()
    wire.post("handle_approval_node/", **wire.answer(number, "bob", "refuse"))
    found = wire.detail(number)
    assert (found["status"], found["approve_result"]) == (status, False)


@case(24)
@pytest.mark.parametrize("wrong", [{"operator": "mallory"}, {"task_id": "1020"}])
def test_an_answer_of_somebody_else_changes_nothing(wire, wrong):
    number = wire.asking()
    wire.refused("handle_approval_node/", **wire.answer(number, "bob", "approve") | wrong)
    assert wire.detail(number)["status"] == "running"


@case(25)
def test_an_answer_after_the_end_changes_nothing(wire):
    number = wire.asking()
    late = wire.answer(number, "carol", "refuse")
    wire.post("handle_approval_node/", **wire.answer(number, "bob", "approve"))
    wire.refused("handle_approval_node/", **late)
    assert wire.detail(number)["approve_result"] is True


@case(26)
def test_a_countersign_asks_everybody(wire):
    number = wire.asking("countersign")
    assert len(wire.tasks(number)) == 2
    first, second = wire.tasks(number)
    wire.post("handle_approval_node/", **wire.answer(number, "bob", "approve", task_id=first["id"]))
    assert wire.detail(number)["status"] == "running"
    wire.post("handle_approval_node/", **wire.answer(number, "carol", "refuse", task_id=second["id"]))
    assert wire.detail(number)["approve_result"] is False


@case(30)
@pytest.mark.parametrize("verdict", [True, False])
def test_a_workflow_without_a_step_ends_by_itself(wire, verdict):
    wire.server.set_itsm_v4(verdict_without_step=verdict)
    number = wire.created("no_approval")
    wire.server.wait_for_status(number, "finished")
    assert (wire.detail(number)["approve_result"], wire.tasks(number)) == (verdict, [])


@case(31)
def test_the_creators_own_step_is_approved_by_itself(wire):
    number = wire.created("auto_approve", approvers=["alice", "bob"])
    wire.server.wait_for_status(number, "finished")
    (task,) = wire.tasks(number)
    assert (task["status"], task["operator"], task["desc"]) == ("approve", "alice", "提单人自动审批同意")


@case(33)
@pytest.mark.parametrize("word", ["suspend", "suspended"])
def test_a_suspended_ticket_takes_no_answer(wire, word):
    wire.server.set_itsm_v4(suspended_word=word)
    number = wire.asking()
    wire.server.operate(number, "SUSPEND")
    assert wire.detail(number)["status"] == word
    wire.refused("handle_approval_node/", **wire.answer(number, "bob", "approve"))


@case(36)
def test_a_verdict_may_be_a_text(wire):
    wire.server.set_itsm_v4(verdict_type="text")
    number = wire.asking()
    wire.server.approve(number)
    assert wire.detail(number)["approve_result"] == "true"


@case(37)
def test_a_withdrawal_ends_the_ticket_and_calls_back(wire, receiver):
    number = wire.asking(more={"callback_url": receiver.url, "callback_token": "ours"})
    assert wire.post("tickets/revoked/", system_id="airflow", ticket_id=number) == {"result": True}
    found = wire.detail(number)
    assert (found["status"], found["approve_result"]) == ("revoked", False)
    assert receiver.wait().body["ticket"]["status"] == "revoked"


@case(37)
def test_whether_a_withdrawal_is_called_back_is_a_switch(wire, receiver):
    wire.server.set_itsm_v4(callback_of="finished")
    number = wire.asking(more={"callback_url": receiver.url, "callback_token": "ours"})
    wire.post("tickets/revoked/", system_id="airflow", ticket_id=number)
    assert wire.detail(number)["callback_result"] == {}
    assert receiver.received == []


@case(38)
def test_a_withdrawal_may_be_undone_although_it_succeeded(wire):
    wire.server.set_itsm_v4(withdraw="not_done")
    number = wire.asking()
    assert wire.post("tickets/revoked/", system_id="airflow", ticket_id=number) == {"result": False}
    assert wire.detail(number)["status"] == "running"


@case(39)
def test_a_withdrawal_of_an_ended_ticket_is_refused(wire):
    number = wire.asking()
    wire.server.approve(number)
    wire.refused("tickets/revoked/", system_id="airflow", ticket_id=number)
    assert wire.detail(number)["status"] == "finished"


@case(40)
def test_a_callback_holds_the_token_and_the_ticket(wire, receiver):
    number = wire.asking(more={"callback_url": receiver.url, "callback_token": "ours"})
    wire.server.approve(number)
    body = receiver.wait().body
    assert body["callback_token"] == "ours"
    assert set(body) == {"callback_token", "ticket"}
    ticket = body["ticket"]
    assert (ticket["id"], ticket["status"], ticket["approve_result"]) == (number, "finished", True)
    assert ticket["end_at"]
    assert ticket["form_data"]["approvers"] == ["bob", "carol"]


@case(46)
@pytest.mark.parametrize(
    ("status", "text"), [(200, '{"result": false, "message": "no"}'), (500, "{}"), (200, "<html>")]
)
def test_a_callback_that_is_not_accepted_is_noted_and_not_repeated(wire, receiver, status, text):
    receiver.status, receiver.text = status, text
    number = wire.asking(more={"callback_url": receiver.url, "callback_token": "ours"})
    wire.server.approve(number)
    wait_until(lambda: wire.detail(number)["callback_result"] != {}, 60, "no callback")
    assert wire.detail(number)["callback_result"]["result"] is False
    time.sleep(0.1)
    assert len(receiver.received) == 1


@case(47)
def test_result_true_is_enough_of_an_answer(wire, receiver):
    receiver.text = '{"result": true, "message": "thanks"}'
    number = wire.asking(more={"callback_url": receiver.url, "callback_token": "ours"})
    wire.server.approve(number)
    wait_until(lambda: wire.detail(number)["callback_result"] != {}, 60, "no callback")
    assert wire.detail(number)["callback_result"] == {"result": True, "message": "thanks"}


@case(49)
def test_a_page_holds_fifty_tickets(wire):
    assert wire.get("ticket/list/", page_size=100)["page_size"] == 50
    wire.server.set_itsm_v4(large_page="refused")
    assert wire.send("GET", "ticket/list/", params={"page_size": 100}).status_code == 400


@case(49)
def test_a_list_goes_by_its_filters_or_not(wire):
    one, other = wire.created(), wire.created(ticket__title="Other")
    found = wire.get("ticket/list/", title__contains="7f3c9a12", creator__in="alice")
    assert [row["id"] for row in found["results"]] == [one]
    wire.server.set_itsm_v4(filters="ignored")
    assert wire.get("ticket/list/", title__contains="nobody has this")["count"] == 2
    wire.server.set_itsm_v4(visibility="nothing")
    assert wire.get("ticket/list/", id__in=other)["count"] == 0
    assert wire.get("system_ticket/list/", system_id="airflow")["count"] == 2


@case(50)
def test_a_tenant_sees_its_own_tickets_alone():
    with SandboxServer(Settings(start_delay=0, tenants=("red", "blue")), dialect="v4") as served:
        red, blue = WireV4(served, "red"), WireV4(served, "blue")
        one, other = red.created("red_approval"), blue.created("blue_approval")
        assert red.detail(one)["sn"] == blue.detail(other)["sn"]
        assert red.send("GET", "ticket/detail/", params={"id": other}).status_code == 400
        assert [row["id"] for row in blue.get("ticket/list/")["results"]] == [other]
        assert WireV4(served).send("GET", "ticket/list/").json()["code"] == 1640001
        assert WireV4(served, "green").send("GET", "ticket/list/").status_code == 403


@case(51)
def test_steps_may_show_their_name_alone(wire):
    wire.server.set_itsm_v4(steps="name")
    (step,) = wire.detail(wire.asking())["current_steps"]
    assert set(step) == {"ticket_id", "name"}


@case(52)
@pytest.mark.parametrize(("shape", "shown"), [("list", [["bob"], ["carol"]]), ("empty", [])])
def test_a_processor_may_be_a_list_or_missing(wire, shape, shown):
    wire.server.set_itsm_v4(processor=shape)
    assert [one["processor"] for one in wire.detail(wire.asking())["current_processors"]] == shown


@case(55)
def test_a_get_on_create_leads_nowhere(wire):
    assert wire.send("GET", "ticket/create/").status_code == 404


@case(55)
def test_each_gateway_name_leads_to_it(wire):
    url = wire.server.url + "/api/bk-itsm4/prod/api/v1/ticket/list"
    assert requests.get(url, headers=wire.headers, timeout=5).json()["result"] is True


def test_a_switch_that_there_is_not_is_refused(wire):
    for wrong in ({"nothing": 1}, {"code": 7}):
        with pytest.raises(requests.HTTPError):
            wire.server.set_itsm_v4(**wrong)
    assert Switches().changed({"code": 0}).code == 0


def test_a_ticket_survives_a_restart(tmp_path):
    settings = Settings(start_delay=0, database=tmp_path / "sandbox.db")
    with SandboxServer(settings, dialect="v4") as served:
        number = WireV4(served).asking()
    with SandboxServer(settings, dialect="v4") as served:
        served.approve(number, operator="carol")
        assert WireV4(served).detail(number)["approve_result"] is True


def test_a_ticket_is_handed_over_and_terminated_by_its_task(wire):
    number = wire.asking()
    (task,) = wire.tasks(number)
    given = {"ticket_id": number, "task_id": task["id"], "operator": "bob", "form_data": {}}
    to = {"method": "deliver", "params": {"to": [{"id": "dave", "type": "user"}]}}
    wire.post("ticket/handle/", **given, action=to)
    assert wire.server.ticket(number)["waits_for"] == ["dave"]
    wire.post("ticket/handle/", **given, action={"method": "terminate", "params": {"desc": "over"}})
    assert wire.detail(number)["status"] == "termination"
    wire.refused("ticket/handle/", **given, action={"method": "terminate", "params": {}})


def test_two_steps_ask_one_after_the_other(wire):
    number = wire.asking("two_steps", second_approvers=["dave"])
    wire.server.approve(number, operator="bob")
    assert wire.server.ticket(number)["waits_for"] == ["dave"]
    wire.server.approve(number, operator="dave")
    assert wire.detail(number)["approve_result"] is True


def test_only_its_dialect_is_served():
    with SandboxServer(Settings(dialect="v4"), dialect="v4") as served:
        headers = served.headers()
        assert requests.get(served.itsm_url + "/get_services/", headers=headers, timeout=5).status_code == 404
        assert WireV4(served).get("ticket/list/")["count"] == 0
