# SPDX-License-Identifier: Apache-2.0
"""Waits that no worker begins or ends, and some that need one."""

from __future__ import annotations

from airflow.sdk import DAG, Param, task

from airflow_provider_bkitsm.operators.ticket import ItsmCreateTicketOperator
from airflow_provider_bkitsm.sensors.ticket import ItsmTicketSensor

FAST = {"fast_approval": True, "fields": {"APPROVER": "admin", "APPROVAL_CONTENT": "now"}}

with DAG("workerless", schedule=None, params={"interval": Param(2)}):
    ask = ItsmCreateTicketOperator(task_id="ask", title="Without a worker", **FAST)
    wait = ItsmTicketSensor(task_id="wait", ticket_sn=ask.output, poke_interval=2)

    @task
    def then(verdict: dict) -> str:
        return f"{verdict['sn']} {verdict['outcome']}"

    then(wait.output)

    mapped = ItsmTicketSensor.partial(task_id="mapped", poke_interval=2).expand(ticket_sn=[ask.output])

with DAG("nothing_to_wait_for", schedule=None):

    @task
    def no_number() -> None:
        """Return no ticket's number."""

    ItsmTicketSensor(task_id="wait", ticket_sn=no_number(), poke_interval=2)

with DAG("released", schedule=None, params={"version": Param(type="string")}):
    opened = ItsmCreateTicketOperator(task_id="ask", title="Release {{ params.version }}", **FAST)
    ItsmTicketSensor(task_id="wait", ticket_sn=opened.output, poke_interval=2)
