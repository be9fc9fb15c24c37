# SPDX-License-Identifier: Apache-2.0
"""A ticket that asks one person after another, for what a waiting task says of it."""

from __future__ import annotations

from airflow.sdk import DAG, Param

from airflow_provider_bkitsm.operators.ticket import ItsmCreateTicketOperator
from airflow_provider_bkitsm.sensors.ticket import ItsmTicketSensor

with DAG("noted", schedule=None, params={"approver": Param("alice")}):
    ask = ItsmCreateTicketOperator(
        task_id="ask",
        title="Two steps",
        service_id=13,
        fields={"approver": "{{ params.approver }}", "content": "now"},
    )
    ItsmTicketSensor(task_id="wait", ticket_sn=ask.output, poke_interval=2, approval_timeout="3600")
