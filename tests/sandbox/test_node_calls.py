# SPDX-License-Identifier: Apache-2.0
"""Calls about one step that no other file has: handing over, and deciding with no form."""

from __future__ import annotations

from airflow_provider_bkitsm.sandbox import shipped
from tests.sandbox.client import OPINION, REFUSAL, REMARK

HANDED = {"action_type": "DELIVER", "processors": "bob", "processors_type": "PERSON", "action_message": "m"}


def test_a_step_is_handed_over(client, server):
    sn = client.opened(service=shipped.DELIVERABLE)
    (step,) = client.status(sn)["current_steps"]
    assert [one["key"] for one in step["operations"]] == ["TRANSITION", "SUSPEND", "DELIVER", "TERMINATE"]
    assert client.answer(sn, {}, operator="admin", state_id=80, **HANDED)["data"] == []
    assert client.status(sn)["current_steps"][0]["processors"] == "bob"
    assert client.answer(sn, {}, operator="admin", state_id=80, **HANDED)["code"] == 3900004
    server.approve(sn, operator="bob")
    assert client.verdict(sn) == ("FINISHED", True)


def test_handing_over_needs_somebody(client):
    sn = client.opened(service=shipped.DELIVERABLE)
    nobody = HANDED | {"processors": ""}
    assert client.answer(sn, {}, operator="admin", state_id=80, **nobody)["code"] == 3900004


def test_a_countersigner_cannot_use_approve_once_another_has_answered(client):
    sn = client.opened(service=shipped.COUNTERSIGN)
    said = {"sn": sn, "state_id": 1401, "action": "true", "remark": ""}
    assert client.post("approve", said | {"approver": "alice"})["result"]
    assert client.status(sn)["current_steps"][0]["status"] == "QUEUEING"
    assert client.post("approve", said | {"approver": "bob"})["code"] == 3900004
    keys = [one.key for one in shipped.SERVICES[shipped.COUNTERSIGN].nodes[0].fields]
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
