# SPDX-License-Identifier: Apache-2.0
"""The gate for any service: one ticket, waited for in every mode; and tickets that are mapped."""

from __future__ import annotations

from airflow.sdk import DAG, Param

from airflow_provider_bkitsm.operators.ticket import ItsmCreateTicketOperator, ItsmOperateTicketOperator
from airflow_provider_bkitsm.sensors.ticket import ItsmTicketSensor

FAST = {"fast_approval": True, "fields": {"APPROVER": "admin", "APPROVAL_CONTENT": "{{ params.content }}"}}

with DAG(
    "any_service", schedule=None, params={"content": Param("nothing much"), "policy": Param("pass")}
) as any_service:
    ask = ItsmCreateTicketOperator(task_id="ask", title="Restart", **FAST)
    for name, mode in (
        ("poke", {"deferrable": False, "poke_interval": 2}),
        # Not sooner: a scheduler that is slow to hear of a task's end takes its next one for a failure.
        ("reschedule", {"deferrable": False, "mode": "reschedule", "poke_interval": 12}),
        ("deferrable", {"deferrable": True, "poke_interval": 2}),
    ):
        ask >> ItsmTicketSensor(task_id=name, ticket_sn=ask.output, on_not_approved="pass", **mode)

with DAG("mapped_tickets", schedule=None, params={"content": Param("mapped")}) as mapped_tickets:
    ask = ItsmCreateTicketOperator.partial(task_id="ask", **FAST).expand(title=["First", "Second"])
    ItsmTicketSensor.partial(task_id="wait", poke_interval=2, on_not_approved="skip").expand(ticket_sn=ask.output)

with DAG("timed_out", schedule=None, params={"content": Param("too late")}) as timed_out:
    ask = ItsmCreateTicketOperator(task_id="ask", title="Too late", **FAST)
    wait = ItsmTicketSensor(task_id="wait", ticket_sn=ask.output, poke_interval=2, approval_timeout="8")
    withdraw = ItsmOperateTicketOperator(
        task_id="withdraw",
        ticket_sn=ask.output,
        action_type="WITHDRAW",
        action_message="No longer waited for",
        trigger_rule="one_failed",
    )
    ask >> wait >> withdraw
