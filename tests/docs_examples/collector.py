# SPDX-License-Identifier: Apache-2.0
"""The main job, with a collector that is known when the DAG is written."""

# --8<-- [start:dag]
from airflow.sdk import DAG

from airflow_provider_bkitsm.operators.collector import (
    CollectorApplyOperator,
    CollectorCompleteOperator,
    CollectorProvisionEtlOperator,
)
from airflow_provider_bkitsm.sensors.ticket import ItsmTicketSensor

ETL = {
    "etl_config": "bk_log_text",
    "table_id": "app_runtime",
    "storage_cluster_id": 3,
    "retention": 7,
    "allocation_min_days": 0,
}
COLLECTOR = {"collector_config_id": 1001, "bk_biz_id": 2}

with DAG("collector_goes_live", schedule=None) as dag:
    # --8<-- [start:apply]
    apply = CollectorApplyOperator(
        task_id="apply",
        clean_config=ETL,
        approvers="alice,bob",
        reason="Needed for the audit",
        **COLLECTOR,
    )
    # --8<-- [end:apply]
    # --8<-- [start:wait]
    wait = ItsmTicketSensor(task_id="wait", ticket_sn=apply.output)
    # --8<-- [end:wait]
    # --8<-- [start:provision]
    provision = CollectorProvisionEtlOperator(
        task_id="provision",
        trigger_rule="none_failed",
        **COLLECTOR,
    )
    # --8<-- [end:provision]
    # --8<-- [start:complete]
    complete = CollectorCompleteOperator(
        task_id="complete",
        trigger_rule="all_done",
        **COLLECTOR,
    )
    # --8<-- [end:complete]
    apply >> wait >> provision >> complete
# --8<-- [end:dag]
