# SPDX-License-Identifier: Apache-2.0
"""Failures that ITSM is told of: a task's, its run's, and a missed deadline."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, task
from airflow.sdk.definitions.deadline import AsyncCallback, DeadlineAlert, DeadlineReference

from airflow_provider_bkitsm.notifications.ticket import ItsmTicketNotifier


def fields(content: str) -> dict[str, str]:
    return {"APPROVER": "admin", "APPROVAL_CONTENT": content}


def told(title: str, content: str) -> ItsmTicketNotifier:
    return ItsmTicketNotifier(title=title, fast_approval=True, fields=fields(content))


with DAG(
    "notified",
    schedule=None,
    on_failure_callback=told("Run of {{ run_id }} failed", "{{ reason }}"),
    deadline=DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=timedelta(seconds=1),
        callback=AsyncCallback(
            ItsmTicketNotifier,
            kwargs={
                "title": "Run of {{ dag_run.dag_run_id }} is late",
                "fast_approval": True,
                "fields": fields("{{ deadline.deadline_time }}"),
            },
        ),
    ),
) as notified:

    @task(on_failure_callback=told("Task of {{ run_id }} failed", "{{ exception }}"))
    def fails() -> None:
        raise ValueError("the disk is full")

    fails()

with DAG("notifier_fails", schedule=None) as notifier_fails:

    @task(on_failure_callback=ItsmTicketNotifier(title="never opened", service_id=404404))
    def fails_too() -> None:
        raise ValueError("the disk is full")

    fails_too()
