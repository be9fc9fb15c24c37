# SPDX-License-Identifier: Apache-2.0
"""One approval for many mapped tasks."""

# --8<-- [start:dag]
from airflow.sdk import DAG

from airflow_provider_bkitsm.operators.ticket import ItsmApprovalOperator

with DAG("release", schedule=None) as dag:
    ItsmApprovalOperator.partial(
        task_id="approve",
        fast_approval=True,
        approval_key="release 7",
        fields={"APPROVER": "alice", "APPROVAL_CONTENT": "Release 7, all regions"},
    ).expand(title=["eu", "us", "cn"])
# --8<-- [end:dag]
