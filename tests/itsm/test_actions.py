# SPDX-License-Identifier: Apache-2.0
"""What a refusal means is read from the ticket."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_bkitsm.hooks.connection import DIALECTS
from airflow_provider_bkitsm.itsm import errors
from airflow_provider_bkitsm.itsm.actions import may_withdraw, operate, read_status, withdraw_or_terminate
from tests.itsm.flows import drive

REFUSED = errors.ItsmRefusedError("no", code=3900004)
CRASHED = errors.ItsmCrashError("crash", code="SERVER_500_ERROR")
DOWN = errors.ItsmUnavailableError("down")


def row(sn: str = "REQ1") -> dict[str, Any]:
    return {"sn": sn, "current_status": "RUNNING", "approve_result": False}


def run(flow, **answers) -> Any:
    return drive(flow, lambda call: answers[call.path.rstrip("/")])


def withdraw(**answers) -> Any:
    flow = operate(sn="REQ1", action_type="WITHDRAW", operator="alice", action_message="m")
    return run(flow, **answers)


@pytest.mark.parametrize("status", ["REVOKED", "FINISHED", "TERMINATED"])
def test_a_refusal_by_a_ticket_that_is_over_is_a_normal_answer(status):
    found = withdraw(operate_ticket=REFUSED, get_ticket_status={"current_status": status})
    assert found.current_status == status


def test_an_operation_that_was_taken_returns_how_the_ticket_stands_now():
    """The flow may be a moment late: that is no refusal."""
    sent = []

    def answer(call):
        sent.append(call.body or call.params)
        return {"current_status": "RUNNING"} if call.method == "GET" else []

    flow = operate(sn="REQ1", action_type="WITHDRAW", operator="alice", action_message="m")
    assert drive(flow, answer).current_status == "RUNNING"
    assert sent == [
        {"sn": "REQ1", "action_type": "WITHDRAW", "operator": "alice", "action_message": "m"},
        {"sn": "REQ1"},
    ]


def test_a_refusal_by_an_open_ticket_is_a_conflict():
    with pytest.raises(errors.ItsmConflictError, match="SUSPENDED: no ") as caught:
        withdraw(operate_ticket=REFUSED, get_ticket_status={"current_status": "SUSPENDED"})
    assert caught.value.code == 3900004
    assert str(caught.value).startswith("WITHDRAW of ticket REQ1 by alice was not done")


def test_p3_a_refusal_by_a_number_that_two_tickets_carry_is_ambiguous():
    with pytest.raises(errors.ItsmAmbiguousError):
        withdraw(operate_ticket=REFUSED, get_ticket_status=CRASHED, ticket_approval_result=[row(), row()])


def test_a_crash_over_a_number_nobody_carries_is_not_found():
    with pytest.raises(errors.ItsmTicketNotFoundError):
        run(read_status("REQ1"), get_ticket_status=CRASHED, ticket_approval_result=[])


@pytest.mark.parametrize("said", [[row()], [row(), row("REQ2")], errors.ItsmAuthenticationError("grant"), DOWN])
def test_a_crash_that_is_not_about_the_number_stays_an_outage(said):
    with pytest.raises(errors.ItsmUnavailableError, match="crash"):
        run(read_status("REQ1"), get_ticket_status=CRASHED, ticket_approval_result=said)


def test_an_outage_is_not_asked_about():
    with pytest.raises(errors.ItsmUnavailableError, match="down"):
        run(read_status("REQ1"), get_ticket_status=DOWN)


def test_a_lost_answer_and_an_open_ticket_leave_the_outcome_unknown():
    lost = errors.ItsmOutcomeUnknownError("lost")
    with pytest.raises(errors.ItsmOutcomeUnknownError, match="lost; ticket REQ1 is still RUNNING"):
        withdraw(operate_ticket=lost, get_ticket_status={"current_status": "RUNNING"})


INFO = {"sn": "REQ1", "creator": "carol", "create_at": "2026-01-01 00:00:00", "current_status": "RUNNING"}


def off(*statuses: str, **answers) -> Any:
    """Call a ticket off that is found in these states one after the other; return the last, and what was tried."""
    states, tried = iter(statuses), []

    def answer(call):
        match call.path.rstrip("/"):
            case "get_ticket_info":
                return INFO
            case "get_ticket_status":
                return {"current_status": next(states)}
            case _:
                tried.append((call.body["action_type"], call.body["operator"]))
                return answers.get(call.body["action_type"])

    status = drive(withdraw_or_terminate(sn="REQ1", account="robot", action_message="m"), answer)
    return status.current_status, tried


def test_p5_a_ticket_is_withdrawn_in_its_creators_name():
    assert off("REVOKED") == ("REVOKED", [("WITHDRAW", "carol")])


def test_p5_a_flow_that_allows_no_withdrawal_is_terminated_by_the_account():
    tried = [("WITHDRAW", "carol"), ("TERMINATE", "robot")]
    assert off("RUNNING", "TERMINATED", WITHDRAW=REFUSED) == ("TERMINATED", tried)


def test_p5_a_ticket_that_nobody_may_end_says_why_it_can_neither_be_withdrawn_nor_terminated():
    no_right = errors.ItsmRefusedError("robot manages no service", code=3900004)
    with pytest.raises(errors.ItsmConflictError) as caught:
        off("RUNNING", "RUNNING", WITHDRAW=REFUSED, TERMINATE=no_right)
    assert caught.value.message == (
        "WITHDRAW of ticket REQ1 by carol was not done, the ticket is RUNNING: no."
        " TERMINATE of ticket REQ1 by robot was not done, the ticket is RUNNING: robot manages no service"
    )


def test_p1_a_ticket_that_is_over_is_not_terminated():
    assert off("FINISHED", WITHDRAW=REFUSED) == ("FINISHED", [("WITHDRAW", "carol")])


V2, V4 = DIALECTS["v2"].capabilities, DIALECTS["v4"].capabilities


@pytest.mark.parametrize(
    ("person", "creator", "allowed"),
    [
        ("robot", "robot", True),
        ("alice", "robot", False),
        ("admin", "robot", True),
        ("alice", "alice(Alice Smith)", True),
        ("Alice", "alice", False),
        ("", "", False),
        ("alice", "", False),
        ("admin", "", True),
    ],
)
def test_who_may_withdraw_is_itsms_rule(person, creator, allowed):
    assert may_withdraw(V2, person=person, creator=creator) is allowed


@pytest.mark.parametrize("creator", ["robot", ""])
def test_of_v4_an_application_withdraws_in_nobodys_name(creator):
    assert may_withdraw(V4, person="alice", creator=creator)
