# SPDX-License-Identifier: Apache-2.0
"""Waits of DAGs and tasks with the names that people give them; between two looks is an hour."""

from __future__ import annotations

from airflow.sdk import DAG, Param

from airflow_provider_bkitsm.operators.ticket import ItsmApprovalOperator, ItsmCreateTicketOperator
from airflow_provider_bkitsm.sensors.ticket import ItsmTicketSensor

# DAG id, id of the task that opens the ticket, id of the task that waits.
NAMES = (
    ("named_plain", "ask", "wait"),
    ("上线审批", "提单", "等审批"),
    ("release_上线.v1-2", "ask.提单", "wait_等审批-1"),
    ("validación", "preguntar", "espera_ñ"),
    ("d" * 250, "a" * 250, "w" * 250),
    ("长" * 250, "提" * 250, "等" * 250),
)
ONE_TASK = ("一步审批", "审批")
PARAMS = {"conn_id": Param("bkitsm_default")}
COMMON = {"bkitsm_conn_id": "{{ params.conn_id }}"}
FAST = {
    "title": "上线",
    "fast_approval": True,
    "fields": {"APPROVER": "admin", "APPROVAL_CONTENT": "now"},
    **COMMON,
}

for dag_id, ask, wait in NAMES:
    with DAG(dag_id, schedule=None, params=PARAMS):
        opened = ItsmCreateTicketOperator(task_id=ask, **FAST)
        ItsmTicketSensor(task_id=wait, ticket_sn=opened.output, poke_interval=3600, on_kill="withdraw", **COMMON)

with DAG(ONE_TASK[0], schedule=None, params=PARAMS):
    ItsmApprovalOperator(task_id=ONE_TASK[1], poke_interval=3600, **FAST)
