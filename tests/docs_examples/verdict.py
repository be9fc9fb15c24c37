# SPDX-License-Identifier: Apache-2.0
"""What tasks behind an approval know of it."""

# --8<-- [start:dag]
from airflow.sdk import DAG, task

from airflow_provider_bkitsm.operators.ticket import ItsmApprovalOperator

with DAG("resize_and_report", schedule=None) as dag:
    ask = ItsmApprovalOperator(
        task_id="ask",
        title="Resize the order database",
        fast_approval=True,
        fields={"APPROVER": "alice", "APPROVAL_CONTENT": "From 8 to 16 cores"},
    )

    @task
    def resize():
        """Only after a yes."""

    @task(trigger_rule="all_done")
    def report(verdict):
        answers = [f"{one['operator']} ({one['remark']})" for one in verdict["approvers"]]
        return f"{verdict['sn']} {verdict['outcome']}: {', '.join(answers) or verdict['reason']}"

    resized = resize()
    ask >> resized
    resized >> report(ask.output)
# --8<-- [end:dag]
