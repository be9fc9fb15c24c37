# SPDX-License-Identifier: Apache-2.0
"""One approval for many mapped tasks."""

# --8<-- [start:dag]
from airflow.sdk import DAG

from airflow_provider_bkitsm.operators.ticket import ItsmApprovalOperator

REGIONS = ["eu", "us", "cn"]

with DAG("release", schedule=None) as dag:
    ItsmApprovalOperator.partial(
        task_id="approve",
        title="Release 7, all regions",
        fast_approval=True,
        fields={"APPROVER": "alice", "APPROVAL_CONTENT": "Release 7 goes to these regions:"},
        approval_key="release 7",
        approval_items=REGIONS,
    ).expand(approval_item=REGIONS)
# --8<-- [end:dag]
