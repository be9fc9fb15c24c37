# SPDX-License-Identifier: Apache-2.0
"""The tasks of the runs that the chaos machine plays."""

from __future__ import annotations

from typing import Any

from airflow_provider_bkitsm.notifications.ticket import ItsmTicketNotifier
from airflow_provider_bkitsm.operators.collector import (
    CollectorApplyOperator,
    CollectorCompleteOperator,
    CollectorProvisionEtlOperator,
)
from airflow_provider_bkitsm.operators.ticket import ItsmApprovalOperator, ItsmCreateTicketOperator
from airflow_provider_bkitsm.sandbox.itsm.service_catalog import LOG_COLLECTOR, TWO_APPROVALS
from airflow_provider_bkitsm.sensors.ticket import ItsmTicketSensor
from tests.chaos.runs import Run

CONN = "bklog_default"
ALICE = "alice"
_CLEAN = {
    "table_id": "app_runtime",
    "etl_config": "bk_log_text",
    "storage_cluster_id": 3,
    "allocation_min_days": 0,
}
_OPENERS = {"open": ItsmCreateTicketOperator, "ask": ItsmApprovalOperator}


def first_task(run: Run, task: str) -> Any:
    """Return what opens a run's ticket."""
    if run.kind == "applies":
        # Every application asks for something else, so that a digest names it.
        retention = 1 + int(run.name.rpartition("_")[2]) + 10 * run.clears
        clean = {**_CLEAN, "retention": retention}
        return CollectorApplyOperator(
            clean_config=clean, approvers=ALICE, service_id=LOG_COLLECTOR, **_of_collector(run, task)
        )
    if run.kind == "tells":
        return ItsmTicketNotifier(**title_and_form(run))
    more = {"approval_timeout": None} if task == "ask" else {}
    return _OPENERS[task](task_id=task, approval_key=run.key, retries=run.retries, **title_and_form(run), **more)


def title_and_form(run: Run) -> dict[str, Any]:
    """Return what a run asks of alice; on its second step the administrator is asked as well."""
    title = run.item if run.key else f"{run.name}: {run.item}"
    if run.two_steps:
        return {
            "title": title,
            "service_id": TWO_APPROVALS,
            "fields": {"approver": ALICE, "content": run.item},
        }
    return {
        "title": title,
        "fast_approval": True,
        "fields": {"APPROVER": ALICE, "APPROVAL_CONTENT": run.item},
    }


def sensor(run: Run, *, opened_by: str) -> Any:
    """Return what waits for the ticket of a run's first task."""
    return ItsmTicketSensor(
        task_id="wait",
        ticket_sn=run.awaited,
        opened_by=opened_by,
        approval_timeout=run.timeout,
        deferrable=False,
    )


def later_task(run: Run, task: str) -> Any:
    """Return what a collector's run does after the wait."""
    kind = CollectorProvisionEtlOperator if task == "provision" else CollectorCompleteOperator
    return kind(**_of_collector(run, task))


def _of_collector(run: Run, task: str) -> dict[str, Any]:
    return {"task_id": task, "collector_config_id": run.collector, "bk_biz_id": 2}
