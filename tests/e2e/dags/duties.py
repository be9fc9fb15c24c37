# SPDX-License-Identifier: Apache-2.0
"""Gates that somebody else than who asks has to open."""

from __future__ import annotations

from airflow.sdk import DAG, Param, task

from airflow_provider_bkitsm.operators.ticket import ItsmApprovalOperator
from airflow_provider_bkitsm.sandbox.itsm.service_catalog import COUNTERSIGN

ASKS = "{{ macros.bkitsm.requester(dag_run, 'the schedule') }} asks"
FAST = {"APPROVER": "{{ params.approvers }}", "APPROVAL_CONTENT": ASKS}


@task
def then(verdict: dict) -> str:
    return f"{verdict['sn']} {verdict['reason_code']}"


for dag_id, schedule in {"not_alone": None, "not_alone_by_schedule": "@once"}.items():
    with DAG(
        dag_id,
        schedule=schedule,
        is_paused_upon_creation=schedule is not None,
        params={"approvers": Param("admin,bob")},
    ):
        gate = ItsmApprovalOperator(
            task_id="gate",
            title="Not alone",
            fast_approval=True,
            fields=FAST,
            forbid_self_approval=True,
            poke_interval=2,
        )
        then(gate.output)

with DAG("two_agree", schedule=None, params={"approvers": Param("alice,bob")}):
    gate = ItsmApprovalOperator(
        task_id="gate",
        title="Two agree",
        service_id=COUNTERSIGN,
        fields={"approver": "{{ params.approvers }}", "content": ASKS},
        forbid_self_approval=True,
        min_approvers=2,
        creator="requester",
        poke_interval=2,
    )
    then(gate.output)
