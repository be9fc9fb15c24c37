# SPDX-License-Identifier: Apache-2.0
"""Another way to go on, where people say no."""

# --8<-- [start:dag]
from airflow.sdk import DAG, task

from airflow_provider_bkitsm.operators.ticket import ItsmApprovalOperator

with DAG("resize_or_keep", schedule=None) as dag:
    ask = ItsmApprovalOperator(
        task_id="ask",
        title="Resize the order database",
        fast_approval=True,
        fields={"APPROVER": "alice,bob", "APPROVAL_CONTENT": "From 8 to 16 cores"},
        approved_task_ids="resize",
        rejected_task_ids="keep",
    )

    @task
    def resize():
        """Only after a yes."""

    @task
    def keep():
        """After anything else: a no, a withdrawn ticket, a deadline."""

    ask >> [resize(), keep()]
# --8<-- [end:dag]
