# SPDX-License-Identifier: Apache-2.0
"""Operating on any ticket."""

from __future__ import annotations

import pytest

from airflow_provider_bkitsm.hooks.itsm import ItsmHook
from airflow_provider_bkitsm.itsm.errors import ItsmTicketNotFoundError
from airflow_provider_bkitsm.operators.ticket import ItsmOperateTicketOperator
from tests.tickets.records import record_round

FORM = {"title": "t", "APPROVER": "admin", "APPROVAL_CONTENT": "c"}


@pytest.mark.parametrize(("action", "status"), [("WITHDRAW", "REVOKED"), ("SUSPEND", "SUSPENDED")])
def test_a_ticket_is_operated_on(connections, sandbox, task, action, status):
    sn = ItsmHook().create_ticket(creator="admin", fields=FORM, fast_approval=True).sn
    sandbox.wait_for_step(sn)
    operator = ItsmOperateTicketOperator(
        task_id="operate", ticket_sn=sn, action_type=action, action_message="because"
    )
    assert operator.execute(task("operate").context) == status
    assert sandbox.ticket(sn)["status"] == status


def test_p6_the_ticket_that_has_its_number_in_another_itsm_is_left_alone(connections, sandbox, task):
    """The connection leads to another ITSM of the same version by now, or its numbers began anew."""
    sn = ItsmHook().create_ticket(creator="admin", fields=FORM, fast_approval=True).sn
    sandbox.wait_for_step(sn)
    record_round(sn, request={"dialect": "v2", "creator": "alice", "fields": {"title": "ours"}})
    operator = ItsmOperateTicketOperator(
        task_id="operate", ticket_sn=sn, action_type="WITHDRAW", action_message="because"
    )
    with pytest.raises(ItsmTicketNotFoundError, match="was left alone"):
        operator.execute(task("operate").context)
    assert sandbox.ticket(sn)["status"] == "RUNNING"


def test_what_a_person_varies_is_templated():
    assert {"ticket_sn", "action_type", "operator"} <= set(ItsmOperateTicketOperator.template_fields)
