# SPDX-License-Identifier: Apache-2.0
"""Operating on any ticket."""

from __future__ import annotations

import pytest

from airflow_provider_bkitsm.hooks.itsm import ItsmHook
from airflow_provider_bkitsm.operators.ticket import ItsmOperateTicketOperator

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


def test_what_a_person_varies_is_templated():
    assert {"ticket_sn", "action_type", "operator"} <= set(ItsmOperateTicketOperator.template_fields)
