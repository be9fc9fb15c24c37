# SPDX-License-Identifier: Apache-2.0
"""An approval as a function, by the name editors complete."""

# --8<-- [start:dag]
from airflow.sdk import DAG

from airflow_provider_bkitsm.decorators.approval import bkitsm_approval_task


@bkitsm_approval_task(title="Restart", fast_approval=True)
def approve(host: str) -> dict[str, str]:
    return {"APPROVER": "alice", "APPROVAL_CONTENT": f"Restart {host}"}


with DAG("restart", schedule=None) as dag:
    approve("db-1")
# --8<-- [end:dag]
