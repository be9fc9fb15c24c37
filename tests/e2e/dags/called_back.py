"""Waits that polling would end in an hour: only the callback can end them sooner."""

from __future__ import annotations

from airflow.sdk import DAG, Asset, Param, task

from airflow_provider_bkitsm.operators.ticket import ItsmCreateTicketOperator, ItsmOperateTicketOperator
from airflow_provider_bkitsm.sensors.ticket import ItsmTicketSensor

FAST = {"fast_approval": True, "fields": {"APPROVER": "admin", "APPROVAL_CONTENT": "{{ params.content }}"}}
NEVER = 3600

with DAG("called_back", schedule=None, params={"content": Param("now")}):
    ask = ItsmCreateTicketOperator(task_id="ask", title="Now", **FAST)
    wait = ItsmTicketSensor(task_id="wait", ticket_sn=ask.output, poke_interval=NEVER)
    produces = ItsmTicketSensor(
        task_id="produces", ticket_sn=ask.output, poke_interval=NEVER, outlets=[Asset("bkitsm://approved")]
    )

    @task
    def then(verdict: dict) -> str:
        return f"{verdict['sn']} {verdict['outcome']}"

    then(wait.output)
    ask >> produces

with DAG("withdrawn_by_airflow", schedule=None, params={"sn": Param("", type="string")}):
    ItsmOperateTicketOperator(
        task_id="withdraw", ticket_sn="{{ params.sn }}", action_type="WITHDRAW", action_message="No longer needed"
    )
