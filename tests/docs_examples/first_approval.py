# SPDX-License-Identifier: Apache-2.0
"""The quick start's DAG: a restart that waits for a person's yes."""

# --8<-- [start:dag]
from airflow.sdk import DAG, task

from airflow_provider_bkitsm.operators.ticket import ItsmApprovalOperator

with DAG("first_approval", schedule=None) as dag:
    approval = ItsmApprovalOperator(
        task_id="approval",
        title="Restart the order database",
        fast_approval=True,
        fields={
            "APPROVER": "alice",
            "APPROVAL_CONTENT": "Two minutes down, run {{ run_id }}",
        },
        approval_timeout=3600,
    )

    @task
    def restart(approved):
        who = approved["approvers"][0]["operator"]
        return f"restarted: {who} said yes in ticket {approved['sn']}"

    restart(approval.output)
# --8<-- [end:dag]
