# SPDX-License-Identifier: Apache-2.0
"""Two people besides who asks have to agree."""

# --8<-- [start:dag]
from airflow.sdk import DAG

from airflow_provider_bkitsm.operators.ticket import ItsmApprovalOperator

with DAG("two_people", schedule=None, params={"year": 2020}) as dag:
    ItsmApprovalOperator(
        task_id="approval",
        service_id=14,
        title="Delete the archive of {{ params.year }}",
        fields={
            "approver": ["alice", "bob", "carol"],
            "content": "{{ macros.bkitsm.requester(dag_run, 'the schedule') }} wants it gone",
        },
        forbid_self_approval=True,
        min_approvers=2,
        creator="requester",
    )
# --8<-- [end:dag]
