# SPDX-License-Identifier: Apache-2.0
"""A no and no answer at all are two different things."""

# --8<-- [start:dag]
from datetime import timedelta

from airflow.sdk import DAG, task

from airflow_provider_bkitsm.operators.ticket import ItsmApprovalOperator

with DAG("resize_or_say_why_not", schedule=None) as dag:
    ask = ItsmApprovalOperator(
        task_id="ask",
        title="Resize the order database",
        fast_approval=True,
        fields={"APPROVER": "alice", "APPROVAL_CONTENT": "From 8 to 16 cores"},
        approval_timeout=timedelta(days=1),
        approved_task_ids="resize",
        rejected_task_ids="why_not",
    )

    @task
    def resize():
        """Only after a yes."""

    @task.branch
    def why_not(verdict):
        return "call_somebody" if verdict["outcome"] == "timed_out" else "keep"

    @task
    def keep():
        """They said no, or the ticket was withdrawn."""

    @task
    def call_somebody():
        """Nobody has answered for a day."""

    ask >> resize()
    why_not(ask.output) >> [keep(), call_somebody()]
# --8<-- [end:dag]
