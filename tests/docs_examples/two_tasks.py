# SPDX-License-Identifier: Apache-2.0
"""Opening and waiting as two tasks, and a third that ends what nobody waits for."""

# --8<-- [start:dag]
from airflow.sdk import DAG

from airflow_provider_bkitsm.operators.ticket import (
    ItsmCreateTicketOperator,
    ItsmOperateTicketOperator,
)
from airflow_provider_bkitsm.sensors.ticket import ItsmTicketSensor

with DAG("open_then_wait", schedule=None) as dag:
    # --8<-- [start:ask]
    ask = ItsmCreateTicketOperator(
        task_id="ask",
        title="Restart the order database",
        fast_approval=True,
        fields={
            "APPROVER": "alice",
            "APPROVAL_CONTENT": "Two minutes down, run {{ run_id }}",
        },
    )
    # --8<-- [end:ask]
    # --8<-- [start:wait]
    approved = ItsmTicketSensor(
        task_id="approved",
        ticket_sn=ask.output,
        approval_timeout=86400,
    )
    # --8<-- [end:wait]
    # --8<-- [start:operate]
    withdraw = ItsmOperateTicketOperator(
        task_id="withdraw",
        ticket_sn=ask.output,
        action_type="WITHDRAW",
        action_message="Nobody waits for it any more",
        trigger_rule="one_failed",
    )
    # --8<-- [end:operate]
    ask >> approved >> withdraw
# --8<-- [end:dag]
