# SPDX-License-Identifier: Apache-2.0
"""The people of two ITSMs have to agree."""

# --8<-- [start:dag]
from airflow.sdk import DAG, task

from airflow_provider_bkitsm.operators.ticket import ItsmApprovalOperator

APPROVERS = {"bkitsm_cn": "alice", "bkitsm_eu": "bob"}

with DAG("release_everywhere", schedule=None) as dag:
    asked = [
        ItsmApprovalOperator(
            task_id=f"ask_{conn_id}",
            bkitsm_conn_id=conn_id,
            title="Release 7",
            fast_approval=True,
            fields={"APPROVER": approver, "APPROVAL_CONTENT": "Ten minutes down"},
        )
        for conn_id, approver in APPROVERS.items()
    ]

    @task
    def release():
        """Only after a yes in both."""

    asked >> release()
# --8<-- [end:dag]
