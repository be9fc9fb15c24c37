# SPDX-License-Identifier: Apache-2.0
"""What ITSM's calls about tickets answer, as far as no other file tests it."""

from __future__ import annotations

import re

import pytest
from requests import HTTPError

from airflow_provider_bkitsm.sandbox.itsm import service_catalog
from tests.sandbox.client import OPINION, REFUSAL, REMARK


def comment(client, ticket, /, **more):
    return client.post("comment", {"sn": ticket, "stars": 5, "operator": "carol", "comments": "fine"} | more)


def finished(client, server):
    sn = client.opened()
    server.approve(sn)
    return sn


def test_a_finished_ticket_is_commented_once(client, server):
    sn = finished(client, server)
    assert comment(client, sn)["data"] == []
    assert comment(client, sn)["code"] == 3900005
    info = client.get("get_ticket_info", sn=sn)["data"]
    assert info["is_commented"] is True
    assert info["comment_id"].isdecimal()


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"stars": 0}, 3900004),
        ({"stars": 7}, 3900004),
        ({"stars": "5"}, 3900004),
        ({"operator": "x" * 17}, 3900004),
        ({"operator": ""}, 3900004),
        ({"sn": "NOPE"}, 3900022),
    ],
)
def test_a_comment_that_is_refused(client, server, more, code):
    assert comment(client, finished(client, server), **more)["code"] == code


def test_a_comment_without_text_crashes(client, server):
    sn = finished(client, server)
    assert client.post("comment", {"sn": sn, "stars": 5, "operator": "carol"})["code"] == 3900004
    assert client.status(sn)["is_commented"] is False


def test_people_follow_a_ticket_and_no_longer(client):
    sn = client.opened(attention=True)

    def followed():
        rows = client.get("get_tickets_by_user", user="carol", view_type="my_created")["data"]["items"]
        return next(one["followers"] for one in rows if one["sn"] == sn)

    assert followed() == ["carol"]
    client.post("add_follower", {"sn": sn, "users": "dave,erin", "attention": True})
    assert followed() == ["carol", "dave", "erin"]
    client.post("add_follower", {"sn": sn, "users": "dave", "attention": False})
    assert followed() == ["carol", "erin"]
    assert client.post("add_follower", {"sn": sn})["code"] == 3900004


def test_fields_are_edited_while_the_ticket_is_open(client, server):
    sn = client.opened()
    edit = {"sn": sn, "operator": "carol", "fields": [{"key": "title", "value": "new"}]}
    assert client.post("edit_field", edit)["data"] == []
    assert client.get("get_ticket_info", sn=sn)["data"]["title"] == "new"
    strange = edit | {"fields": [{"key": "NOPE", "value": "x"}]}
    assert client.post("edit_field", strange)["code"] == "FORM_VALIDATE_ERROR"
    server.approve(sn)
    assert client.post("edit_field", edit)["code"] == "FORM_VALIDATE_ERROR"


def test_a_person_edits_title_and_form_while_the_ticket_is_open(client, server):
    sn = client.opened()
    changed = server.edit(sn, title='<b>new</b> "t"', APPROVAL_CONTENT='"raw"')
    assert (changed["title"], changed["fields"]["APPROVAL_CONTENT"]) == ("<b>new</b> &quot;t&quot;", '"raw"')
    info = client.get("get_ticket_info", sn=sn)["data"]
    values = {one["key"]: one["value"] for one in info["fields"]}
    assert info["title"] == values["title"] == changed["title"]
    assert values["APPROVAL_CONTENT"] == '"raw"'
    with pytest.raises(HTTPError, match="409"):
        server.edit(sn, NOPE="x")
    server.approve(sn)
    with pytest.raises(RuntimeError, match="FINISHED"):
        server.edit(sn, title="too late")


HANDED = {"action_type": "DELIVER", "processors": "bob", "processors_type": "PERSON", "action_message": "m"}


def test_a_step_is_handed_over(client, server):
    sn = client.opened(service=service_catalog.DELIVERABLE)
    (step,) = client.status(sn)["current_steps"]
    assert [one["key"] for one in step["operations"]] == ["TRANSITION", "SUSPEND", "DELIVER", "TERMINATE"]
    assert client.answer(sn, {}, operator="admin", state_id=80, **HANDED)["data"] == []
    assert client.status(sn)["current_steps"][0]["processors"] == "bob"
    assert client.answer(sn, {}, operator="admin", state_id=80, **HANDED)["code"] == 3900004
    server.approve(sn, operator="bob")
    assert client.verdict(sn) == ("FINISHED", True)


def test_handing_over_needs_somebody(client):
    sn = client.opened(service=service_catalog.DELIVERABLE)
    nobody = HANDED | {"processors": ""}
    assert client.answer(sn, {}, operator="admin", state_id=80, **nobody)["code"] == 3900004


def test_a_countersigner_cannot_use_approve_once_another_has_answered(client):
    sn = client.opened(service=service_catalog.COUNTERSIGN)
    said = {"sn": sn, "state_id": 1401, "action": "true", "remark": ""}
    assert client.post("approve", said | {"approver": "alice"})["result"]
    assert client.status(sn)["current_steps"][0]["status"] == "QUEUEING"
    assert client.post("approve", said | {"approver": "bob"})["code"] == 3900004
    keys = [one.key for one in service_catalog.SERVICES[service_catalog.COUNTERSIGN].nodes[0].fields]
    values = dict(zip(keys, ("true", "", ""), strict=True))
    assert client.answer(sn, values, operator="bob", state_id=1401)["result"]
    assert client.verdict(sn) == ("FINISHED", True)


def test_proceeding_through_the_gateway(client):
    sn = client.opened()
    said = {
        "process_inst_id": sn,
        "activity": 15,
        "submit_action": "false",
        "submit_opinion": "no",
        "handler": "bob",
    }
    assert client.post("proceed_approval", said | {"handler": "eve"})["code"] == 3900004
    assert client.post("proceed_approval", said)["data"] == []
    assert client.verdict(sn) == ("FINISHED", False)


def test_answers_have_no_effect_while_the_worker_is_down(client, server):
    sn = client.opened()
    server.stop_worker()
    try:
        assert client.answer(sn, {OPINION: "true", REMARK: "", REFUSAL: ""})["result"]
        (step,) = client.status(sn)["current_steps"]
        assert (step["status"], client.verdict(sn)) == ("QUEUEING", ("RUNNING", False))
    finally:
        server.start_worker()
    assert server.wait_for_status(sn, "FINISHED")["approve_result"] is True


NAIVE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")


@pytest.mark.parametrize("call", ["get_ticket_status", "get_ticket_info", "get_ticket_logs"])
@pytest.mark.parametrize("params", [{}, {"sn": ""}, {"sn": "NOPE"}])
def test_an_unknown_ticket_is_an_int_on_every_call(client, call, params):
    answer = client.get(call, **params)
    assert (answer["result"], answer["code"], answer["data"]) == (False, 3900022, None)


def test_numbers_are_compared_without_case_and_trailing_blanks(client):
    sn = client.opened()
    assert client.status(sn.lower() + "  ") == client.status(sn)


def test_a_running_ticket_tells_neither_title_nor_number(client):
    shown = client.status(client.opened())
    assert set(shown) == {
        *("ticket_url", "iframe_ticket_url", "operations", "current_status", "current_steps", "is_commented"),
    }
    (step,) = shown["current_steps"]
    assert (step["state_id"], step["processors_type"], step["processors"]) == (15, "PERSON", "alice,bob")
    kinds = [(one["type"], one["validate_type"], one["meta"]) for one in step["fields"]]
    assert kinds == [
        ("RADIO", "REQUIRE", {"code": "APPROVE_RESULT"}),
        ("TEXT", "OPTION", {}),
        ("TEXT", "REQUIRE", {}),
    ]


def test_the_info_shows_a_yes_before_anybody_decided(client):
    info = client.get("get_ticket_info", sn=client.opened())["data"]
    values = [(one["key"], one["value"]) for one in info["fields"]]
    assert (OPINION, "true") in values
    assert [key for key, _ in values].count("title") == 2
    assert (info["end_at"], info["comment_id"], info["creator"], info["bk_biz_id"]) == (None, "", "carol", -1)
    assert NAIVE.fullmatch(info["create_at"])
    assert {"meta", "tag", "service_type"} & set(info) == set()
    assert "fields" not in info["current_steps"][0]


def test_a_finished_info_has_an_end_and_the_people(client, server):
    sn = client.opened()
    server.reject(sn, operator="bob", remark="too big")
    info = client.get("get_ticket_info", sn=sn)["data"]
    assert NAIVE.fullmatch(info["end_at"])
    assert set(info["updated_by"].split(",")) == {"carol", "bob"}
    assert (OPINION, "false", "拒绝") in [
        (one["key"], one["value"], one["display_value"]) for one in info["fields"]
    ]


def test_an_unstarted_info_has_no_fields(unstarted):
    assert unstarted.get("get_ticket_info", sn=unstarted.create()["data"]["sn"])["data"]["fields"] == []


def test_the_complex_log_is_the_evidence_of_a_decision(client, server):
    sn = client.opened()
    server.approve(sn, operator="bob", remark="fine")
    simple, full = (client.get("get_ticket_logs", sn=sn, show_type=kind)["data"] for kind in ("simple", "complex"))
    assert [set(one) for one in simple["logs"]] == [{"operator", "operate_at", "message", "source"}] * 4
    assert [one["from_state_type"] for one in full["logs"]] == ["", "NORMAL", "APPROVAL", ""]
    (decision,) = (one for one in full["logs"] if one["from_state_type"] == "APPROVAL")
    assert decision["operator"] == "bob"
    assert decision["form_data"][0]["value"] == "true"


def test_verdicts_come_newest_first_once_and_without_the_unknown(client):
    old, new = client.opened(), client.opened()
    rows = client.post("ticket_approval_result", {"sn": [old, "NOPE", new, old, new]})["data"]
    assert [one["sn"] for one in rows] == [new, old]
    assert set(rows[0]) == {
        *("sn", "title", "ticket_url", "current_status", "updated_by", "update_at", "approve_result"),
    }


@pytest.mark.parametrize(
    ("body", "code"),
    [({"sn": "REQ1"}, 0), ({"sn": ["NOPE"]}, 0), *(({"sn": one}, "SERVER_500_ERROR") for one in ([], None, 7))],
)
def test_odd_numbers_of_a_verdict_request(client, body, code):
    answer = client.post("ticket_approval_result", body)
    assert (answer["code"], answer["data"]) == (code, [] if code == 0 else None)


@pytest.mark.parametrize("call", ["ticket_approval_result", "get_tickets"])
def test_a_broken_body_is_a_text_code_on_unwrapped_calls(client, server, call):
    headers = server.headers() | {"Content-Type": "application/json"}
    answer = client.raw("POST", f"{server.itsm_url}/{call}/", data='{"sn": [', headers=headers).json()
    assert list(answer) == ["result", "data", "code", "message"]
    assert answer["code"] == "SERVER_500_ERROR"


def test_a_nodes_result_and_its_approvers(client, server):
    sn = client.opened()
    assert client.get("get_approver", sn=sn, state_id=15)["data"] == {"approver": "alice,bob"}
    assert client.get("get_approve_node_result", sn=sn, state_id=15)["code"] == 3900005
    server.approve(sn, operator="bob", remark="fine")
    result = client.get("get_approve_node_result", sn=sn, state_id=15)["data"]
    assert (result["processed_user"], result["approve_result"], result["approve_remark"]) == ("bob", True, "fine")
