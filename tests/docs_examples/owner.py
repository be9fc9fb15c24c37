# SPDX-License-Identifier: Apache-2.0
"""The owner of a DAG is asked."""

# --8<-- [start:dag]
from airflow.sdk import DAG, task

from airflow_provider_bkitsm.operators.ticket import ItsmApprovalOperator

with DAG("archive_orders", schedule=None, default_args={"owner": "alice,bob"}) as dag:
    approve = ItsmApprovalOperator(
        task_id="approve",
        title="Archive the orders of last year",
        fast_approval=True,
        fields={
            "APPROVER": "{{ task.owner }}",
            "APPROVAL_CONTENT": "{{ dag.dag_id }} belongs to you",
        },
    )

    @task
    def archive():
        """Only after a yes."""

    approve >> archive()
# --8<-- [end:dag]
