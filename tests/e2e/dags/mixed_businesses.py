# SPDX-License-Identifier: Apache-2.0
"""Collectors of several businesses at once, of which some need no approval."""

from __future__ import annotations

from airflow.sdk import DAG, task_group

from airflow_provider_bkitsm.operators.collector import (
    CollectorApplyOperator,
    CollectorCompleteOperator,
    CollectorProvisionEtlOperator,
)
from airflow_provider_bkitsm.sensors.ticket import ItsmTicketSensor

ETL = {
    "table_id": "app_runtime",
    "etl_config": "bk_log_text",
    "storage_cluster_id": 3,
    "retention": 7,
    "allocation_min_days": 0,
}

with DAG("mixed_businesses", schedule=None, render_template_as_native_obj=True):

    @task_group
    def onboard(collector_config_id, bk_biz_id):
        known = {"collector_config_id": collector_config_id, "bk_biz_id": bk_biz_id}
        apply = CollectorApplyOperator(task_id="apply", clean_config=ETL, approvers="admin", **known)
        wait = ItsmTicketSensor(task_id="wait", ticket_sn=apply.output, poke_interval=1)
        provision = CollectorProvisionEtlOperator(task_id="provision", trigger_rule="none_failed", **known)
        complete = CollectorCompleteOperator(task_id="complete", trigger_rule="all_done", **known)
        apply >> wait >> provision >> complete

    businesses = ((2201, 7), (2202, 2))
    onboard.expand_kwargs([{"collector_config_id": one, "bk_biz_id": business} for one, business in businesses])
