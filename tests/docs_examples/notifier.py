# SPDX-License-Identifier: Apache-2.0
"""A failed task opens a ticket, a failed run rates the approval it had, a late run opens a ticket."""

# --8<-- [start:dag]
from datetime import timedelta

from airflow.sdk import DAG, task

# --8<-- [start:deadline]
from airflow.sdk.definitions.deadline import (
    AsyncCallback,
    DeadlineAlert,
    DeadlineReference,
)

from airflow_provider_bkitsm.notifications.ticket import (
    ItsmCommentNotifier,
    ItsmTicketNotifier,
)

late = DeadlineAlert(
    reference=DeadlineReference.DAGRUN_QUEUED_AT,
    interval=timedelta(hours=2),
    callback=AsyncCallback(
        ItsmTicketNotifier,
        kwargs={
            "title": "{{ dag_run.dag_id }} is late",
            "fast_approval": True,
            "fields": {
                "APPROVER": "alice",
                "APPROVAL_CONTENT": "Run {{ dag_run.dag_run_id }}",
            },
        },
    ),
)
# --8<-- [end:deadline]

# --8<-- [start:task]
failed = ItsmTicketNotifier(
    title="{{ dag.dag_id }}.{{ ti.task_id }} failed",
    service_id=12,
    fields={
        "urgency": "high",
        "description": "Run {{ run_id }}: {{ exception }}",
    },
)
# --8<-- [end:task]

# --8<-- [start:comment]
rated = ItsmCommentNotifier(
    ticket_sn="{{ params.ticket_sn }}",
    stars=1,
    comments="Was approved, and failed: {{ exception }}",
)
# --8<-- [end:comment]

with DAG(
    "nightly_load",
    schedule="@daily",
    params={"ticket_sn": ""},
    deadline=late,
) as dag:

    @task(on_failure_callback=[failed, rated])
    def load() -> None:
        """What may fail."""

    load()
# --8<-- [end:dag]
