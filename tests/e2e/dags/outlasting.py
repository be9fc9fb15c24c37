# SPDX-License-Identifier: Apache-2.0
"""Waits that outlast an upgrade or a clean-up, one for each way in which a wait is told its ticket's number."""

from __future__ import annotations

from airflow.sdk import DAG, task

from airflow_provider_bkitsm.operators.ticket import ItsmApprovalOperator, ItsmCreateTicketOperator
from airflow_provider_bkitsm.sensors.ticket import ItsmTicketSensor

FAST = {"fast_approval": True, "fields": {"APPROVER": "admin", "APPROVAL_CONTENT": "now"}}


@task
def number(sn: str) -> str:
    """Return a number as a task that is none of the provider's operators."""
    return sn


# No poll comes before a test ends, or every few seconds.
for dag_id, interval in {"outlasts_by_callback": 3600, "outlasts_by_poll": 3}.items():
    with DAG(dag_id, schedule=None):
        ask = ItsmCreateTicketOperator(task_id="ask", title="Sensor {{ run_id }}", **FAST)
        ItsmTicketSensor(task_id="wait", ticket_sn=ask.output, poke_interval=interval)
        ItsmTicketSensor(task_id="wait_by_number", ticket_sn=number(ask.output), poke_interval=interval)
        ItsmApprovalOperator(task_id="gate", title="Gate {{ run_id }}", poke_interval=interval, **FAST)
