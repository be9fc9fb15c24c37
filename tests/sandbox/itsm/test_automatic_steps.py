# SPDX-License-Identifier: Apache-2.0
"""Steps nobody takes, and an end nobody asked for: TASK, WEBHOOK, and a refusal that terminates the ticket."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_bkitsm.sandbox.control import wait_until
from tests.sandbox.exports import NO_REMARK, OPINION, one_approval

HOOK = {"url": "https://example.com/notify", "method": "POST", "body": {"type": "raw", "content": "{}"}}
VARIABLES = [
    {"source": "global", "state": 6, "type": "INT", "key": "count", "name": "数量", "value": 2, "meta": {}}
]
APPROVAL = 3


def automatic(kind: str) -> dict[str, Any]:
    """Return an automatic step that comes before the approval."""
    more = {"variables": {"inputs": [], "outputs": VARIABLES}} if kind == "TASK" else {}
    known = {"id": 6, "type": kind, "name": "调接口", "fields": [], "is_first_state": False, "is_multi": False}
    return known | {"processors_type": "OPEN", "processors": "", "extras": {"webhook_info": HOOK}} | more


def opened(client, kind: str, *, approval: bool = True) -> str:
    """Open a ticket whose flow begins with an automatic step."""
    export = one_approval(f"{kind} {approval}")
    flow = export["workflow"]
    flow["states"]["6"] = automatic(kind)
    flow["transitions"] = {
        key: line for key, line in flow["transitions"].items() if line["from_state"] != 2 and approval
    } | {
        "1": {"id": 1, "from_state": 1, "to_state": 2, "condition": {}},
        "62": {"id": 62, "from_state": 2, "to_state": 6, "condition": {}},
        "63": {"id": 63, "from_state": 6, "to_state": APPROVAL if approval else 9, "condition": {}},
    }
    return created(client, export)


def created(client, export: dict[str, Any]) -> str:
    made = client.post("import_service", export)
    number = made["data"]["id"] if made["result"] else number_of(client, export["name"])
    body = {"service_id": number, "creator": "carol", "fields": [{"key": "title", "value": "t"}]}
    return str(client.post("create_ticket", body)["data"]["sn"])


def number_of(client, name: str) -> int:
    return next(one["id"] for one in client.get("get_services")["data"] if one["name"] == name)


def log(client, sn: str) -> list[tuple[str, str, str, Any]]:
    """Return who did what in the ticket's log: operator, source, type of the step, form."""
    entries = client.get("get_ticket_logs", sn=sn, show_type="complex")["data"]["logs"]
    return [(one["operator"], one["source"], one["from_state_type"], one["form_data"]) for one in entries]


@pytest.mark.parametrize(("kind", "source"), [("TASK", "AUTOMATIC"), ("WEBHOOK", "SYS")])
def test_an_automatic_step_goes_on_by_itself_and_is_in_the_log_without_a_verdict(client, server, kind, source):
    sn = opened(client, kind)
    server.wait_for_step(sn)
    (step,) = client.status(sn)["current_steps"]
    assert step["state_id"] == APPROVAL
    (entry,) = [one for one in log(client, sn) if one[2] == kind]
    assert entry[:2] == ("system", source)
    assert all("key" not in item for item in entry[3])
    assert client.answer(sn, {OPINION: "true", NO_REMARK: ""}, operator="admin", state_id=APPROVAL)["result"]


def test_the_log_of_a_task_holds_its_variables_as_recorded(client, server):
    sn = opened(client, "TASK")
    server.wait_for_step(sn)
    ((*_, (item,)),) = [one for one in log(client, sn) if one[2] == "TASK"]
    (variable,) = item["output_variables"]
    assert variable.keys() == {"key", "name", "value", "update_at"}
    assert (variable["key"], variable["name"], variable["value"]) == ("count", "数量", 2)


def test_the_log_of_a_webhook_holds_its_raw_request(client, server):
    sn = opened(client, "WEBHOOK")
    server.wait_for_step(sn)
    ((*_, form),) = [one for one in log(client, sn) if one[2] == "WEBHOOK"]
    assert form == [HOOK]


@pytest.mark.parametrize("kind", ["TASK", "WEBHOOK"])
def test_a_flow_of_automatic_steps_only_is_approved_by_nobody(client, server, kind):
    sn = opened(client, kind, approval=False)
    server.wait_for_status(sn, "FINISHED")
    assert client.verdict(sn) == ("FINISHED", True)
    assert "APPROVAL" not in [one[2] for one in log(client, sn)]


@pytest.mark.parametrize("kind", ["TASK", "WEBHOOK"])
def test_a_step_that_fails_stays_and_leaves_no_entry(client, server, kind):
    server.fault("", "task_failed")
    sn = opened(client, kind)
    wait_until(lambda: client.status(sn)["current_steps"], 60, "it shows no step")
    (step,) = client.status(sn)["current_steps"]
    assert (step["name"], step["processors"]) == ("调接口", "")
    assert client.verdict(sn) == ("RUNNING", False)
    assert kind not in [one[2] for one in log(client, sn)]


@pytest.mark.parametrize(("answer", "end"), [("false", ("TERMINATED", False)), ("true", ("RUNNING", False))])
def test_a_refusal_may_terminate_the_ticket(client, server, answer, end):
    export = one_approval("a no ends it")
    export["workflow"]["states"]["3"]["extras"] = {"enable_terminate_ticket_when_rejected": True}
    sn = created(client, export)
    server.wait_for_step(sn)
    assert client.answer(sn, {OPINION: answer, NO_REMARK: "no"}, operator="admin", state_id=APPROVAL)["result"]
    assert client.verdict(sn) == end
    if end[0] == "TERMINATED":
        assert client.status(sn)["current_steps"] == []
        assert log(client, sn)[-1] == ("system", "SYS", "", {})
        assert client.operate(sn, "WITHDRAW")["code"] == 3900004
