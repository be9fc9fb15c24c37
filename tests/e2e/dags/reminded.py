# SPDX-License-Identifier: Apache-2.0
"""Tickets of either version whose approver is reminded, and which are handed over when nobody answers."""

from __future__ import annotations

from airflow.sdk import DAG, Param, task

from airflow_provider_bkitsm.operators.ticket import ItsmCreateTicketOperator
from airflow_provider_bkitsm.sensors.ticket import ItsmTicketSensor

# In ITSM v2 the service whose step may be handed over.
FORMS = {
    "v2": {"service_id": 18, "fields": {"approver": "alice", "content": "now"}},
    "v4": {"fields": {"APPROVER": "alice", "APPROVAL_CONTENT": "now"}},
}


@task
def then(verdict: dict) -> list[str]:
    return [verdict["outcome"], *(one["operator"] for one in verdict["approvers"])]


for dialect, form in FORMS.items():
    with DAG(f"reminded_{dialect}", schedule=None, params={"escalate_to": Param("boss")}):
        conn = {"bkitsm_conn_id": f"itsm_{dialect}"}
        ask = ItsmCreateTicketOperator(
            task_id="ask", title="Reminded {{ run_id }}", creator="carol", **form, **conn
        )
        wait = ItsmTicketSensor(
            task_id="wait",
            ticket_sn=ask.output,
            poke_interval=2,
            remind_after=5,
            remind_by="tests.e2e.reminding.note_message",
            escalate_after=20,
            escalate_to="{{ params.escalate_to }}",
            **conn,
        )
        then(wait.output)
