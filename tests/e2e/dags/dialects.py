# SPDX-License-Identifier: Apache-2.0
"""The same tasks on whichever version of ITSM a connection leads to."""

from __future__ import annotations

from airflow.sdk import DAG, Param, task

from airflow_provider_bkitsm.operators.collector import (
    CollectorApplyOperator,
    CollectorCompleteOperator,
    CollectorProvisionEtlOperator,
)
from airflow_provider_bkitsm.operators.ticket import ItsmCreateTicketOperator
from airflow_provider_bkitsm.sensors.ticket import ItsmTicketSensor

PARAMS = {"conn_id": Param("itsm_v2")}
CONN = {"bkitsm_conn_id": "{{ params.conn_id }}"}
STORAGE = {"storage_cluster_id": 3, "retention": 7, "allocation_min_days": 0}
ETL = {"table_id": "app_runtime", "etl_config": "bk_log_text"} | STORAGE


@task
def then(verdict: dict) -> str:
    return f"{verdict['sn']} {verdict['outcome']}"


# No poll comes before a test ends, or every few seconds.
for dag_id, interval in {"either_by_callback": 3600, "either_by_poll": 3}.items():
    with DAG(dag_id, schedule=None, params=PARAMS):
        ask = ItsmCreateTicketOperator(
            task_id="ask",
            title="Either {{ run_id }}",
            fields={"APPROVER": "admin", "APPROVAL_CONTENT": "now"},
            creator="alice",
            **CONN,
        )
        wait = ItsmTicketSensor(
            task_id="wait", ticket_sn=ask.output, poke_interval=interval, on_kill="withdraw", **CONN
        )
        then(wait.output)

with DAG(
    "either_collector",
    schedule=None,
    params=PARAMS | {"collector_config_id": Param(1, type="integer")},
    render_template_as_native_obj=True,
):
    known = {"collector_config_id": "{{ params.collector_config_id }}", "bk_biz_id": 2, **CONN}
    apply = CollectorApplyOperator(task_id="apply", clean_config=ETL, approvers="admin", creator="alice", **known)
    wait = ItsmTicketSensor(task_id="wait", ticket_sn=apply.output, poke_interval=3600, **CONN)
    provision = CollectorProvisionEtlOperator(task_id="provision", **known)
    complete = CollectorCompleteOperator(task_id="complete", trigger_rule="all_done", **known)
    apply >> wait >> provision >> complete
