# SPDX-License-Identifier: Apache-2.0
"""A service imported from an export behaves as its flow says."""

from __future__ import annotations

import pytest

from airflow_provider_bkitsm.sandbox.itsm.service_exports import service_of
from airflow_provider_bkitsm.sandbox.refusals import Refusal
from tests.sandbox.exports import NO_REMARK, OPINION, one_approval


def test_its_steps_come_in_order_each_once():
    service = service_of(30, one_approval("x"))
    assert [(one.state_id, one.kind) for one in service.nodes] == [(3, "APPROVAL"), (4, "NORMAL"), (5, "NORMAL")]
    assert (service.submit_state_id, service.revocable, service.catalog_id) == (2, True, 12)
    assert [one.key for one in service.form] == ["title"]
    assert service.nodes[0].targets == {True: 4, False: 5}
    assert service.nodes[1].targets == {True: None, False: None}
    opinion, remark = service.nodes[0].fields
    assert (opinion.code, opinion.default, remark.on_refusal) == ("APPROVE_RESULT", "true", True)


@pytest.mark.parametrize(("yes", "then"), [(True, 4), (False, 5)])
def test_a_ticket_of_it_goes_where_the_verdict_leads(client, server, yes, then):
    number = client.post("import_service", one_approval(f"branches {yes}"))["data"]["id"]
    body = {"service_id": number, "creator": "carol", "fields": [{"key": "title", "value": "t"}]}
    sn = client.post("create_ticket", body)["data"]["sn"]
    server.wait_for_step(sn)
    said = {OPINION: "true" if yes else "false", NO_REMARK: "" if yes else "no"}
    assert client.answer(sn, said, operator="admin", state_id=3)["result"]
    (step,) = client.status(sn)["current_steps"]
    assert (step["state_id"], step["processors"]) == (then, "carol")
    assert client.answer(sn, {}, operator="carol", state_id=then)["result"]
    assert client.verdict(sn) == ("FINISHED", yes)


def test_a_step_of_a_type_that_is_not_understood_is_refused():
    export = one_approval("x")
    export["workflow"]["states"]["4"]["type"] = "TASK-SOPS"
    with pytest.raises(Refusal, match="TASK-SOPS"):
        service_of(30, export)


def test_a_flow_without_a_submit_step_is_refused():
    export = one_approval("x")
    export["workflow"]["states"]["2"]["is_first_state"] = False
    with pytest.raises(Refusal):
        service_of(30, export)
