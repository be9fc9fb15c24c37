# SPDX-License-Identifier: Apache-2.0
"""All runs that catch up, or are filled in, share one ticket."""

# --8<-- [start:dag]
from datetime import UTC, datetime

from airflow.sdk import DAG, task

from airflow_provider_bkitsm.operators.ticket import ItsmApprovalOperator

with DAG(
    "load_orders",
    schedule="@daily",
    start_date=datetime(2026, 11, 1, tzinfo=UTC),
    catchup=True,
    max_active_runs=400,
) as dag:
    approve = ItsmApprovalOperator(
        task_id="approve",
        title="Load the orders of the days that are missing",
        fast_approval=True,
        fields={
            "APPROVER": "alice",
            "APPROVAL_CONTENT": "Every run of load_orders that waits when you answer",
        },
        approval_key="missing days",
    )

    @task(max_active_tis_per_dag=4)
    def load(ds=None):
        return f"orders of {ds}"

    approve >> load()
# --8<-- [end:dag]
