# SPDX-License-Identifier: Apache-2.0
"""The everyday gate, alone and shared."""

from __future__ import annotations

from airflow.sdk import DAG, task

from airflow_provider_bkitsm.operators.ticket import ItsmApprovalOperator

FAST = {"fast_approval": True, "fields": {"APPROVER": "admin", "APPROVAL_CONTENT": "now"}, "poke_interval": 2}

# Tests start more at once than Airflow's default of 16.
with DAG("gated", schedule=None, max_active_runs=40):
    gate = ItsmApprovalOperator(task_id="gate", title="Gate", **FAST)

    @task
    def then(verdict: dict) -> str:
        return f"{verdict['sn']} {verdict['outcome']}"

    then(gate.output)

with DAG("gated_by_callback", schedule=None):
    ItsmApprovalOperator(task_id="gate", title="Called back", **{**FAST, "poke_interval": 3600})

with DAG("gated_briefly", schedule=None):
    ItsmApprovalOperator(task_id="gate", title="Brief", approval_timeout=8, **FAST)

with DAG("changes_its_mind", schedule=None):
    ItsmApprovalOperator(
        task_id="gate",
        title="Mind",
        fast_approval=True,
        fields={"APPROVER": "admin", "APPROVAL_CONTENT": "{{ var.value.get('mind', 'restart one') }}"},
        poke_interval=2,
    )

with DAG("branching", schedule=None):
    ask = ItsmApprovalOperator(
        task_id="ask", title="Which way", approved_task_ids="go", rejected_task_ids="stop", **FAST
    )

    @task
    def go() -> None:
        """Was approved."""

    @task
    def stop() -> None:
        """Was not."""

    ask >> [go(), stop()]

with DAG("shared_approval", schedule=None):
    ItsmApprovalOperator.partial(
        task_id="gate", title="a, b and c", approval_key="release", approval_items=["a", "b", "c"], **FAST
    ).expand(approval_item=["a", "b", "c"])
