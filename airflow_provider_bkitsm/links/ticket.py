# SPDX-License-Identifier: Apache-2.0
"""The button on a task's page that opens its ITSM ticket."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import BaseOperatorLink

from airflow_provider_bkitsm.mixins import TICKET_URL_KEY, pull_for_pages, push_for_pages

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
        return str(pull_for_pages(ti_key, TICKET_URL_KEY) or "")


def show_ticket(ti: RuntimeTaskInstanceProtocol, ticket_url: str | None) -> None:
    """Store the ticket's address, so that the button works while the task still runs or waits."""
    if ticket_url:
        push_for_pages(ti, TICKET_URL_KEY, ticket_url)
