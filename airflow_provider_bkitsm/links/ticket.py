# SPDX-License-Identifier: Apache-2.0
"""The button on a task's page that opens its ITSM ticket, and the XComs that pages read of tasks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperatorLink

from airflow_provider_bkitsm.hooks.connection_lookup import path_segment
from airflow_provider_bkitsm.itsm.models import web_address
from airflow_provider_bkitsm.mixins import TICKET_URL_KEY
from airflow_provider_bkitsm.version_compat import has_xcom_backend

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.types import RuntimeTaskInstanceProtocol, TaskInstanceKey


class ItsmTicketLink(BaseOperatorLink):
    """Opens the ticket in ITSM, as soon as the task has its address."""

    @property
    def name(self) -> str:
        """Label of the button."""
        return "ITSM ticket"

    @property
    def xcom_key(self) -> str:
        """Key of the XCom that the API server reads the address from."""
        return TICKET_URL_KEY

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:  # noqa: ARG002
        """Return the ticket's address; empty before the ticket is opened."""
        return web_address(_pull_for_pages(ti_key, TICKET_URL_KEY))


def show_ticket(ti: RuntimeTaskInstanceProtocol, ticket_url: str | None) -> None:
    """Store the ticket's address, so that the button works while the task still runs or waits."""
    address = web_address(ticket_url)
    if address:
        push_for_pages(ti, TICKET_URL_KEY, address)


def push_for_pages(ti: Any, key: str, value: Any) -> None:
    """Write an XCom that the API server reads: into Airflow's own table, past an XCom backend if there is one.

    What a backend leaves in that table may be no more than a reference.
    """
    if not has_xcom_backend():
        ti.xcom_push(key=key, value=value)
        return
    from airflow.sdk.execution_time import task_runner
    from airflow.sdk.execution_time.comms import SetXCom

    task_runner.SUPERVISOR_COMMS.send(SetXCom(key=key, value=value, **_xcom_ids(ti)))


def delete_xcoms(ti: Any, keys: Iterable[str]) -> None:
    """Delete XComs of a task from Airflow's own table; a reference goes, whatever an XCom backend keeps."""
    from airflow.sdk.execution_time import task_runner
    from airflow.sdk.execution_time.comms import DeleteXCom

    for key in keys:
        task_runner.SUPERVISOR_COMMS.send(DeleteXCom(key=key, **_xcom_ids(ti)))


def _pull_for_pages(ti_key: Any, key: str) -> Any:
    """Return what ``push_for_pages``, or a trigger, has written; None where there is nothing."""
    from airflow.sdk.execution_time import task_runner
    from airflow.sdk.execution_time.comms import GetXCom
    from airflow.sdk.execution_time.xcom import XCom

    if not has_xcom_backend():
        return XCom.get_value(ti_key=ti_key, key=key)
    return getattr(task_runner.SUPERVISOR_COMMS.send(GetXCom(key=key, **_xcom_ids(ti_key))), "value", None)


def _xcom_ids(ti: Any) -> dict[str, Any]:
    ids = {name: path_segment(getattr(ti, name), in_process=False) for name in ("dag_id", "run_id", "task_id")}
    return {**ids, "map_index": ti.map_index}
