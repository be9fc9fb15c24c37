# SPDX-License-Identifier: Apache-2.0
"""Operations on a ticket: withdraw, terminate, suspend, resume."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airflow_provider_bkitsm.links.ticket import ItsmTicketLink, show_ticket
from airflow_provider_bkitsm.mixins import ItsmHookMixin

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_bkitsm.itsm.models import TicketAction


class ItsmOperateTicketOperator(ItsmHookMixin, BaseOperator):
    """Withdraws, terminates, suspends or resumes a ticket.

    A ticket that is already over is a normal answer for ``WITHDRAW`` and ``TERMINATE``. Returns the ticket's
    ``current_status`` after the operation.

    :param ticket_sn: number of the ticket. (templated)
    :param action_type: ``WITHDRAW``, ``TERMINATE``, ``SUSPEND`` or ``UNSUSPEND``. (templated)
    :param action_message: the reason, for the ticket's log (1-255 characters, required by ITSM). (templated)
    :param operator: the acting person: for ``WITHDRAW`` the ticket's creator; None takes the connection's
        user. (templated)
    :param bkitsm_conn_id: connection of type ``bkitsm``. (templated)
    """

    template_fields: Sequence[str] = (
        "ticket_sn",
        "action_type",
        "action_message",
        "operator",
        "bkitsm_conn_id",
    )
    operator_extra_links = (ItsmTicketLink(),)
    ui_color = "#e8f0fe"

    def __init__(
        self,
        *,
        ticket_sn: str,
        action_type: TicketAction | str,
        action_message: str,
        operator: str | None = None,
        bkitsm_conn_id: str = "bkitsm_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.ticket_sn = ticket_sn
        self.action_type = str(action_type)
        self.action_message = action_message
        self.operator = operator
        self.bkitsm_conn_id = bkitsm_conn_id

    def execute(self, context: Context) -> str:
        """Operate on the ticket and return its status."""
        from airflow_provider_bkitsm.itsm.actions import operate
        from airflow_provider_bkitsm.itsm.people import read_person
        from airflow_provider_bkitsm.tickets.ownership_records import read_identity
        from airflow_provider_bkitsm.tickets.withdrawal import refuse_another_dialect

        refuse_another_dialect(self.hook, self.ticket_sn)
        status = self.hook.run(
            operate(
                sn=self.ticket_sn,
                action_type=self.action_type,
                operator=read_person("operator", self.operator) or self.hook.gateway.username,
                action_message=self.action_message,
                identity=read_identity(self.ticket_sn, self.bkitsm_conn_id),
            )
        )
        show_ticket(context["ti"], status.ticket_url)
        return status.current_status
