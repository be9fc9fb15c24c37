# SPDX-License-Identifier: Apache-2.0
"""A log collector goes live only after its ITSM ticket is approved.

apply -> wait -> provision_etl -> complete. Not approved: the collector ends in ``fail_apply``, its ETL is never
touched, and the run is red; the log of ``complete`` says who refused and why.

Where ``[bkitsm] collect_itsm`` is off for the business, ``apply`` opens no ticket and skips ``wait``, and the
audit says so.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Param

from airflow_provider_bkitsm.operators.collector import (
    CollectorApplyOperator,
    CollectorCompleteOperator,
    CollectorProvisionEtlOperator,
)
from airflow_provider_bkitsm.sensors.ticket import ItsmTicketSensor

ETL_CONFIG = {
    "table_id": "app_runtime",
    "etl_config": "bk_log_json",
    "etl_params": {"retain_original_text": True, "retain_extra_json": False},
    "fields": [
        {"field_name": "level", "field_type": "string", "is_delete": False},
        {
            "field_name": "ts",
            "field_type": "string",
            "is_delete": False,
            "is_time": True,
            "option": {"time_zone": 8, "time_format": "yyyy-MM-dd HH:mm:ss"},
        },
    ],
    "storage_cluster_id": 3,
    "retention": 7,
    "allocation_min_days": 0,
    "storage_replies": 1,
    "es_shards": 3,
}

with DAG(
    dag_id="bkitsm_collector_onboarding",
    schedule=None,
    catchup=False,
    tags=["bkitsm"],
    doc_md=__doc__,
    render_template_as_native_obj=True,
    params={
        "collector_config_id": Param(1001, type="integer", description="The collector"),
        "bk_biz_id": Param(2, type="integer", description="Its business"),
        "etl_config": Param(ETL_CONFIG, type="object", description="The ETL payload that is approved"),
        "approvers": Param("admin", type="string", description="Who is asked: names, with commas between"),
        "reason": Param("New log collector", type="string", description="Why, for the approver"),
    },
) as dag:
    collector = {
        "collector_config_id": "{{ params.collector_config_id }}",
        "bk_biz_id": "{{ params.bk_biz_id }}",
    }
    apply = CollectorApplyOperator(
        task_id="apply",
        clean_config="{{ params.etl_config }}",
        approvers="{{ params.approvers }}",
        reason="{{ params.reason }}",
        **collector,
    )
    # All three may be run again at any time; outages are worth retries, refusals fail at once.
    patient = {"retries": 8, "retry_delay": timedelta(minutes=5)}
    wait = ItsmTicketSensor(task_id="wait", ticket_sn=apply.output, poke_interval=10, **patient)
    provision_etl = CollectorProvisionEtlOperator(
        task_id="provision_etl", trigger_rule="none_failed", **patient, **collector
    )
    complete = CollectorCompleteOperator(task_id="complete", trigger_rule="all_done", **patient, **collector)

    apply >> wait >> provision_etl >> complete
