# SPDX-License-Identifier: Apache-2.0
"""A ticket with any title, for the approvals pages."""

from __future__ import annotations

from airflow.sdk import DAG, Param

from airflow_provider_bkitsm.operators.ticket import ItsmCreateTicketOperator
from airflow_provider_bkitsm.sensors.ticket import ItsmTicketSensor

with DAG("shown", schedule=None, params={"title": Param("Shown"), "content": Param("please")}):
    fields = {"APPROVER": "admin", "APPROVAL_CONTENT": "{{ params.content }}"}
    ask = ItsmCreateTicketOperator(task_id="ask", title="{{ params.title }}", fast_approval=True, fields=fields)
    ItsmTicketSensor(task_id="wait", ticket_sn=ask.output, poke_interval=3600)
