# SPDX-License-Identifier: Apache-2.0
"""What was set up before the question is taken down after any answer."""

# --8<-- [start:dag]
from airflow.sdk import DAG, task

from airflow_provider_bkitsm.operators.ticket import ItsmApprovalOperator

with DAG("resize_with_a_snapshot", schedule=None) as dag:

    @task
    def take_snapshot():
        """Before anybody is asked."""

    approve = ItsmApprovalOperator(
        task_id="approve",
        title="Resize the order database",
        fast_approval=True,
        fields={"APPROVER": "alice", "APPROVAL_CONTENT": "A snapshot is there"},
    )

    @task
    def resize():
        """Only after a yes."""

    @task
    def delete_snapshot():
        """After a yes, a no, a deadline and a failure alike."""

    snapshot = take_snapshot()
    deleted = delete_snapshot().as_teardown(setups=snapshot)
    snapshot >> approve >> resize() >> deleted
# --8<-- [end:dag]
