# SPDX-License-Identifier: Apache-2.0
"""Retention, replicas or shards of a live collector are changed only after its ITSM ticket is approved.

plan -> apply -> wait -> provision_etl -> complete.

1. `plan` reads the collector's present ETL from the log platform and changes the storage in it, nothing else. What
   you leave empty stays as it is; a run that would change nothing fails, and nobody is asked.
2. `apply` asks. The ticket shows each change, the capacity before, after and the difference, and the whole payload
   with its digest. The estimate is the log platform's own: daily volume of a host x hosts x 1.5 x (replicas + 1) x
   (days kept + 1).
3. `provision_etl` writes exactly that payload, and nothing if somebody has changed the collector's ETL meanwhile.

**More and less are asked about alike.** The log platform takes both without asking anybody, but a shorter
retention deletes logs, and fewer replicas lose the safety they gave.

**Refused:** the collector runs on as it was, its ETL is not touched, the run is red, and the log of `complete`
says who refused and why. Its application ends as `fail_apply`, as the log platform itself ends a change that was
refused; that keeps nothing from running, and nobody from applying again.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Param

from airflow_provider_bkitsm.operators.collector import (
    CollectorApplyOperator,
    CollectorCompleteOperator,
    CollectorProvisionEtlOperator,
    CollectorStoragePlanOperator,
)
from airflow_provider_bkitsm.sensors.ticket import ItsmTicketSensor

NUMBER = {"type": ["null", "integer"]}

with DAG(
    dag_id="bkitsm_storage_expansion",
    schedule=None,
    catchup=False,
    tags=["bkitsm"],
    doc_md=__doc__,
    render_template_as_native_obj=True,
    params={
        "collector_config_id": Param(1001, type="integer", description="The collector"),
        "bk_biz_id": Param(2, type="integer", description="Its business"),
        "retention": Param(None, **NUMBER, minimum=1, description="Days its logs are kept; empty: as it is"),
        "storage_replies": Param(None, **NUMBER, minimum=0, description="Replicas; empty: as it is"),
        "es_shards": Param(None, **NUMBER, minimum=1, description="Shards; empty: as it is"),
        "daily_gb_per_host": Param(1, type="number", minimum=0, description="GB a host logs in a day"),
        "hosts": Param(1, type="integer", minimum=0, description="Hosts it collects from"),
        "approvers": Param("admin", type="string", description="Who is asked: names, with commas between"),
        "reason": Param("More logs than planned", type="string", description="Why, for the approver"),
    },
) as dag:
    collector = {
        "collector_config_id": "{{ params.collector_config_id }}",
        "bk_biz_id": "{{ params.bk_biz_id }}",
    }
    plan = CollectorStoragePlanOperator(
        task_id="plan",
        storage={
            "retention": "{{ params.retention }}",
            "storage_replies": "{{ params.storage_replies }}",
            "es_shards": "{{ params.es_shards }}",
        },
        daily_gb_per_host="{{ params.daily_gb_per_host }}",
        hosts="{{ params.hosts }}",
        **collector,
    )
    apply = CollectorApplyOperator(
        task_id="apply",
        clean_config=plan.output["clean_config"],
        detail_rows=plan.output["detail_rows"],
        fields={"title": "【日志存储变更】{{ params.collector_config_id }}"},
        approvers="{{ params.approvers }}",
        reason="{{ params.reason }}",
        **collector,
    )
    # All three may be run again at any time; outages are worth retries, refusals fail at once.
    patient = {"retries": 8, "retry_delay": timedelta(minutes=5)}
    wait = ItsmTicketSensor(task_id="wait", ticket_sn=apply.output, poke_interval=10, **patient)
    provision_etl = CollectorProvisionEtlOperator(
        task_id="provision_etl",
        expected_before=plan.output["before"],
        trigger_rule="none_failed",
        **patient,
        **collector,
    )
    complete = CollectorCompleteOperator(task_id="complete", trigger_rule="all_done", **patient, **collector)

    plan >> apply >> wait >> provision_etl >> complete
