# SPDX-License-Identifier: Apache-2.0
"""A service of one's own, with a form of its own, that decides in a form field."""

# --8<-- [start:dag]
from airflow.sdk import DAG, Param

from airflow_provider_bkitsm.operators.ticket import ItsmApprovalOperator

CORES = Param(16, type="integer")

with DAG("resize", schedule=None, params={"cores": CORES}) as dag:
    ItsmApprovalOperator(
        task_id="approval",
        service_id=42,
        title="Resize the order database",
        fields={
            "bk_biz_id": "2",
            "cores": "{{ params.cores }}",
            "approver": "alice,bob",
        },
        digest_field="digest",
        verdict_field="approval_result",
        verdict_value="true",
        require_evidence=True,
    )
# --8<-- [end:dag]
