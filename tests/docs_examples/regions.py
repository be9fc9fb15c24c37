# SPDX-License-Identifier: Apache-2.0
"""A task group with an approval in it, used more than once; and a group that an approval leads to."""

# --8<-- [start:dag]
from airflow.sdk import DAG, task, task_group

from airflow_provider_bkitsm.operators.ticket import ItsmApprovalOperator

APPROVERS = {"eu": "alice", "us": "bob"}


def release(region: str) -> None:
    ask = ItsmApprovalOperator(
        task_id="ask",
        title=f"Release 7 in {region}",
        fast_approval=True,
        fields={"APPROVER": APPROVERS[region], "APPROVAL_CONTENT": "Ten minutes down"},
        approved_task_ids=f"{region}.roll_out",
        on_not_approved="skip",
    )

    @task_group
    def roll_out():
        @task
        def stop():
            """Only after a yes."""

        @task
        def start():
            """Thereafter."""

        stop() >> start()

    ask >> roll_out()


with DAG("release_by_region", schedule=None) as dag:
    for name in APPROVERS:
        task_group(group_id=name)(release)(name)
# --8<-- [end:dag]
