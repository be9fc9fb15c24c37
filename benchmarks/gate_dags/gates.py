# SPDX-License-Identifier: Apache-2.0
"""Four ways to have something approved, as they are meant to be used."""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG

from airflow_provider_bkitsm.operators.collector import (
    CollectorApplyOperator,
    CollectorCompleteOperator,
    CollectorProvisionEtlOperator,
)
from airflow_provider_bkitsm.operators.ticket import ItsmApprovalOperator, ItsmCreateTicketOperator
from airflow_provider_bkitsm.sensors.ticket import ItsmTicketSensor

FAST: dict[str, Any] = {"fast_approval": True, "fields": {"APPROVER": "admin", "APPROVAL_CONTENT": "go on?"}}
# Nobody listens there, and the wait is not called back.
NOWHERE = {"callback_url": "http://127.0.0.1:9/"}
NEVER, SOON = 3600, 8
ETL = {
    "etl_config": "bk_log_text",
    "table_id": "app",
    "storage_cluster_id": 3,
    "retention": 7,
    "allocation_min_days": 0,
}
COLLECTOR: dict[str, Any] = {"collector_config_id": 1001, "bk_biz_id": 2}

with DAG("approval_by_callback", schedule=None):
    ItsmApprovalOperator(task_id="wait", title="Measured", poke_interval=NEVER, **FAST)

with DAG("approval_by_poll", schedule=None):
    ItsmApprovalOperator(task_id="wait", title="Measured", poke_interval=SOON, meta=NOWHERE, **FAST)

with DAG("created_and_waited_for", schedule=None):
    ask: Any = ItsmCreateTicketOperator(task_id="ask", title="Measured", **FAST)
    ItsmTicketSensor(task_id="wait", ticket_sn=ask.output, poke_interval=NEVER)

with DAG("collector_goes_live", schedule=None):
    apply: Any = CollectorApplyOperator(task_id="apply", clean_config=ETL, approvers="admin", **COLLECTOR)
    wait = ItsmTicketSensor(task_id="wait", ticket_sn=apply.output, poke_interval=NEVER)
    provision = CollectorProvisionEtlOperator(task_id="provision", **COLLECTOR)
    complete = CollectorCompleteOperator(task_id="complete", trigger_rule="all_done", **COLLECTOR)
    apply >> wait >> provision >> complete
