# SPDX-License-Identifier: Apache-2.0
"""One approval, waited for in three ways; the peers' tasks note each time a worker takes them up."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.providers.atlassian.jira.sensors.jira import JiraTicketSensor
from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import DAG

from airflow_provider_bkitsm.operators.ticket import ItsmCreateTicketOperator
from airflow_provider_bkitsm.sensors.ticket import ItsmTicketSensor

INTERVAL = float(os.environ.get("BENCHMARK_INTERVAL", "5"))
FAST: dict[str, Any] = {"fast_approval": True, "fields": {"APPROVER": "admin", "APPROVAL_CONTENT": "go on?"}}


def note(context: Any) -> None:
    """Add a line for this start of a worker."""
    with Path(os.environ["BENCHMARK_STARTS"]).open("a") as starts:
        starts.write(f"{context['dag'].dag_id}\n")


# The scheduler at times takes a task that is due again at once for one that ended without saying so, and fails it.
with DAG("by_jira", schedule=None):
    JiraTicketSensor(
        task_id="wait",
        ticket_id="T-1",
        field="status",
        expected_value="Done",
        mode="reschedule",
        poke_interval=INTERVAL,
        pre_execute=note,
        retries=5,
        retry_delay=timedelta(seconds=1),
    )

with DAG("by_airflow", schedule=None):
    ApprovalOperator(task_id="wait", subject="go on?", pre_execute=note)

# Ours would begin and end on a worker if something were to be done there: it is seen by the task's host instead.
with DAG("by_itsm", schedule=None):
    ask: Any = ItsmCreateTicketOperator(task_id="ask", title="Measured", **FAST)
    ItsmTicketSensor(task_id="wait", ticket_sn=ask.output, poke_interval=INTERVAL)
