# SPDX-License-Identifier: Apache-2.0
"""Many collectors go live after one approval: a single ticket lists them all.

prepare -> for each collector: approve -> provision_etl.

1. `prepare` reads each collector and checks its ETL payload. One that cannot be provisioned, or that somebody else
   is applying for, fails the run here, and nobody is asked.
2. `approve` is mapped over the collectors, but its tasks name the same `approval_key`: they share one ticket,
   which shows every collector with its payload and digest, and all go on with its decision.
3. `provision_etl` writes each payload and reads it back, if the ticket has shown this collector with this payload:
   the result of `prepare` is an XCom, which others can write while people decide. One that fails does not stop the
   others: clear it, nobody is asked again.

**Refused**, withdrawn or not decided in time: every `approve` fails for good, and no ETL is touched.

The ticket belongs to no single collector, so this DAG leaves their states (`applying`, `success_apply`, ...) as
they are. Where those matter, start `bkitsm_collector_onboarding` for each collector instead.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Param, task, task_group

from airflow_provider_bkitsm.operators.ticket import ItsmApprovalOperator

# Without table_id: a new table is named after its collector.
ETL_CONFIG = {
    "etl_config": "bk_log_text",
    "storage_cluster_id": 3,
    "retention": 7,
    "allocation_min_days": 0,
    "storage_replies": 1,
    "es_shards": 3,
}
PATIENT = {"retries": 8, "retry_delay": timedelta(minutes=5)}

with DAG(
    dag_id="bkitsm_many_collectors",
    schedule=None,
    catchup=False,
    tags=["bkitsm"],
    doc_md=__doc__,
    params={
        "collector_config_ids": Param([1001, 1002], type="array", minItems=1, description="The collectors"),
        "bk_biz_id": Param(2, type="integer", description="Their business"),
        "etl_config": Param(ETL_CONFIG, type="object", description="The ETL payload of each, without table_id"),
        "approvers": Param("admin", type="string", description="Who is asked: names, with commas between"),
    },
) as dag:

    @task
    def prepare(params: dict) -> list[dict]:
        from airflow_provider_bkitsm.collectors.clean_config import digest, validate_clean_config
        from airflow_provider_bkitsm.collectors.form import detail_text
        from airflow_provider_bkitsm.hooks.bklog import BkLogHook
        from airflow_provider_bkitsm.hooks.store import open_store

        bklog, store, prepared = BkLogHook(), open_store(), []
        for number in params["collector_config_ids"]:
            row = bklog.get_collector(number, bk_biz_id=params["bk_biz_id"])
            if "applying" in (row["itsm_ticket_status"], store.get(bklog.bklog_conn_id, number).state):
                raise ValueError(f"collector {number} is being applied for by somebody else. Nobody was asked")
            table_id = row.bare_table_id or row["collector_config_name_en"]
            config = validate_clean_config({**params["etl_config"], "table_id": table_id}, collector_row=row)
            shown = detail_text(collector=row, etl_payload=config, digest=digest(config))
            prepared.append({"collector_config_id": number, "clean_config": config, "shown": shown})
        return prepared

    @task(**PATIENT)
    def provision_etl(collector: dict, params: dict, ti=None) -> dict:
        from airflow.providers.common.compat.sdk import AirflowFailException

        from airflow_provider_bkitsm.collectors.clean_config import digest
        from airflow_provider_bkitsm.collectors.form import detail_text
        from airflow_provider_bkitsm.hooks.bklog import BkLogHook, provision
        from airflow_provider_bkitsm.tickets.approval_store import open_approval_store

        bklog, number, config = BkLogHook(), collector["collector_config_id"], collector["clean_config"]
        row = bklog.get_collector(number, bk_biz_id=params["bk_biz_id"])
        shown = detail_text(collector=row, etl_payload=config, digest=digest(config))
        record = open_approval_store().asked_by(ti.dag_id, ti.run_id, "collector.approve", map_index=ti.map_index)
        asked = record.request["fields"]["APPROVAL_CONTENT"] if record else ""
        if f"\n\n{shown}\n\n" not in f"\n\n{asked}\n\n":
            raise AirflowFailException(
                f"collector {number}: ticket {record and record.sn} has not shown it like this, so nothing was"
                f" written. Clear prepare and all behind it to ask anew. It would be:\n{shown}"
            )
        return provision(bklog, number, config, bk_biz_id=params["bk_biz_id"])

    @task_group
    def collector(prepared: dict) -> None:
        approve = ItsmApprovalOperator(
            task_id="approve",
            approval_key="{{ run_id }}",
            title="{{ params.collector_config_ids | length }} collectors go live",
            fast_approval=True,
            fields={
                "APPROVER": "{{ params.approvers }}",
                "APPROVAL_CONTENT": (
                    "{{ ti.xcom_pull(task_ids='prepare', map_indexes=-1)"
                    " | map(attribute='shown') | join('\n\n') }}"
                ),
            },
            on_timeout="withdraw",
            poke_interval=10,
            **PATIENT,
        )
        approve >> provision_etl(prepared)

    collector.expand(prepared=prepare())
