# SPDX-License-Identifier: Apache-2.0
"""Every recorded answer of ITSM is read by the client's own calls, or refused with an ItsmError; nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from airflow_provider_bkitsm.itsm import errors
from airflow_provider_bkitsm.itsm.protocol import Call
from airflow_provider_bkitsm.itsm.v2 import calls
from tests.itsm.flows import decode
from tests.record import ANSWERS, CALLBACKS, EVIDENCE
from tests.tables import table

RECORDED = {name: one for name, one in (ANSWERS | EVIDENCE).items() if one["kind"] == "api" and "status" in one}
UNANSWERED = {name for name, one in ANSWERS.items() if "status" not in one}
POSTED = CALLBACKS | {name: one for name, one in EVIDENCE.items() if one["kind"] == "callback"}
FORM: dict[str, Any] = {"title": "t"}
SERVICE: dict[str, Any] = {"key": "request", "name": "n", "catalog_id": 1, "workflow": {"states": {}}}

CALLS: dict[str, Callable[[], Call[Any]]] = {
    "create_ticket": lambda: calls.create_ticket(creator="admin", fields=FORM, service_id=1),
    "get_ticket_status": lambda: calls.get_ticket_status("S"),
    "get_ticket_info": lambda: calls.get_ticket_info("S"),
    "get_ticket_logs": lambda: calls.get_ticket_logs("S"),
    "get_tickets": lambda: calls.get_tickets(sns=["S"]),
    "ticket_approval_result": lambda: calls.ticket_approval_result(["S"]),
    "token/verify": lambda: calls.token_verify("t"),
    "operate_ticket": lambda: calls.operate_ticket(
        sn="S", action_type="WITHDRAW", operator="admin", action_message="m"
    ),
    "get_tickets_by_user": lambda: calls.get_tickets_by_user(user="admin", view_type="my_todo"),
    "callback_failed_ticket": calls.callback_failed_ticket,
    "operate_node": lambda: calls.operate_node(sn="S", state_id=1, operator="admin", fields={"k": "v"}),
    "approve": lambda: calls.approve(sn="S", state_id=1, approver="admin", approved=True),
    "get_approver": lambda: calls.get_approver("S", 1),
    "get_approve_node_result": lambda: calls.get_approve_node_result("S", 1),
    "get_services": calls.get_services,
    "get_service_detail": lambda: calls.get_service_detail(1),
    "get_service_catalogs": calls.get_service_catalogs,
    "get_service_roles": lambda: calls.get_service_roles(1),
    "import_service": lambda: calls.import_service(SERVICE),
    "update_service": lambda: calls.update_service(1, SERVICE),
}


def call_of(path: str) -> Call[Any] | None:
    """Return the client's call of a recorded path."""
    name = path.partition("?")[0].rstrip("/")
    found = [key for key in CALLS if name.endswith(f"/{key}")]
    return CALLS[max(found, key=len)]() if found else None


# Plain logs are those of a call the client does not make: it always asks for the complex ones.
def is_plain_log(one: dict[str, Any]) -> bool:
    return "get_ticket_logs" in one["path"] and "show_type=complex" not in one["path"]


@table("name", sorted(RECORDED))
def test_a_recorded_answer_is_read_or_is_an_error_of_itsm(name):
    one = RECORDED[name]
    body = one["body"] if isinstance(one["body"], str) else json.dumps(one["body"])
    call = call_of(one["path"])
    try:
        data = decode(one["status"], one["content_type"], body.encode())
        if call is not None and not is_plain_log(one):
            call.parse(data)
    except errors.ItsmError:
        if isinstance(one["body"], dict) and one["body"].get("result") is True:
            raise
    else:
        assert one["body"]["result"] is True


def test_every_recording_is_read():
    assert len(RECORDED) + len(UNANSWERED) + len(POSTED) == 170 + 692
    assert {"create_ticket__broker_down"} == UNANSWERED
