# SPDX-License-Identifier: Apache-2.0
"""The same gate twice: ITSM's callback, and Airflow's own human-in-the-loop operator."""

from __future__ import annotations

from typing import Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import DAG, task

from airflow_provider_bkitsm.operators.ticket import ItsmCreateTicketOperator
from airflow_provider_bkitsm.sensors.ticket import ItsmTicketSensor

FAST: dict[str, Any] = {"fast_approval": True, "fields": {"APPROVER": "admin", "APPROVAL_CONTENT": "go on?"}}


@task
def then() -> None:
    """Start."""


with DAG("by_callback", schedule=None):
    ask: Any = ItsmCreateTicketOperator(task_id="ask", title="Measured", **FAST)
    ItsmTicketSensor(task_id="wait", ticket_sn=ask.output, poke_interval=3600) >> then()

with DAG("by_airflow", schedule=None):
    ApprovalOperator(task_id="wait", subject="go on?") >> then()
