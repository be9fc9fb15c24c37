# SPDX-License-Identifier: Apache-2.0
"""Separation of duties (promise P3) with ITSM v4 behind the connection."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_bkitsm.itsm.errors import ItsmInvalidRequestError
from airflow_provider_bkitsm.operators.ticket import ItsmCreateTicketOperator
from airflow_provider_bkitsm.sensors.ticket import ItsmTicketSensor

FORM = {"APPROVER": "bob,carol", "APPROVAL_CONTENT": "Drop ORDERS"}


def opened(task: Any, *, fields: Any = FORM, **more: Any) -> str:
    operator = ItsmCreateTicketOperator(task_id="ask", title="Drop?", fields=fields, **more)
    return str(operator.execute(task("ask", person="bob").context))


def reason(sn: str, task: Any, **more: Any) -> str:
    sensor = ItsmTicketSensor(
        task_id="wait", ticket_sn=sn, deferrable=False, opened_by="ask", on_not_approved="pass", **more
    )
    return str(sensor.execute(task("wait").context)["reason_code"])


@pytest.mark.parametrize(("who", "counted"), [("bob", "self_approved"), ("carol", "approved")])
def test_p3_the_requesters_own_yes_is_none(itsm, task, who, counted):
    sn = opened(task, forbid_self_approval=True)
    itsm.approve(sn, operator=who)
    assert reason(sn, task) == counted


def test_p3_countersigners_are_counted(itsm, task):
    sn = opened(task, service_id="countersign", min_approvers=2)
    itsm.approve(sn, operator="bob")
    itsm.approve(sn, operator="carol")
    assert reason(sn, task) == "approved"
    assert reason(sn, task, min_approvers=3) == "too_few_approvers"
    assert reason(sn, task, forbid_self_approval=True) == "too_few_approvers"


def test_p3_an_approval_that_itsm_may_have_given_is_nobodys(itsm, task):
    fields = {**FORM, "APPROVER": "alice,dave"}
    sn = opened(task, service_id="auto_approve", fields=fields, creator="alice", min_approvers=1)
    assert reason(sn, task, accept_automatic=True) == "automatic_only"


def test_p3_the_ticket_is_opened_in_the_requesters_name_whose_yes_may_be_itsms_own(itsm, task):
    sn = opened(task, creator="requester")
    assert itsm.ticket(sn)["creator"] == "bob"
    itsm.approve(sn, operator="bob")
    assert reason(sn, task) == "automatic_only"


@pytest.mark.parametrize(
    ("approvers", "duties", "words"),
    [
        ("bob", {"forbid_self_approval": True}, "nobody but bob"),
        ("bob,carol", {"forbid_self_approval": True, "min_approvers": 2}, "without bob, who asks"),
    ],
)
def test_p3_what_nobody_could_approve_is_not_asked(itsm, task, approvers, duties, words):
    with pytest.raises(ItsmInvalidRequestError, match=words):
        opened(task, fields={**FORM, "APPROVER": approvers}, **duties)
    assert itsm.tickets() == []
