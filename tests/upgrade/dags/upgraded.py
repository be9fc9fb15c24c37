# SPDX-License-Identifier: Apache-2.0
"""Waits that outlast an upgrade: of a sensor that no worker begins, and of a gate that a worker has deferred."""

from __future__ import annotations

from airflow.sdk import DAG

from airflow_provider_bkitsm.operators.ticket import ItsmApprovalOperator, ItsmCreateTicketOperator
from airflow_provider_bkitsm.sensors.ticket import ItsmTicketSensor

FAST = {"fast_approval": True, "fields": {"APPROVER": "admin", "APPROVAL_CONTENT": "now"}}

# No poll comes before the test ends, or every few seconds.
for dag_id, interval in {"upgraded_by_callback": 3600, "upgraded_by_poll": 3}.items():
    with DAG(dag_id, schedule=None):
        ask = ItsmCreateTicketOperator(task_id="ask", title="Sensor {{ run_id }}", **FAST)
        ItsmTicketSensor(task_id="wait", ticket_sn=ask.output, poke_interval=interval)
        ItsmApprovalOperator(task_id="gate", title="Gate {{ run_id }}", poke_interval=interval, **FAST)
