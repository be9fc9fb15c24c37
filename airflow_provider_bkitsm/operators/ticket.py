"""Operators for any ITSM ticket: open one, operate on one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import BaseOperator

from airflow_provider_bkitsm.itsm.calls import TicketAction
from airflow_provider_bkitsm.itsm.errors import ItsmInvalidRequestError
from airflow_provider_bkitsm.itsm.opening import creation_tag, marked_title
from airflow_provider_bkitsm.itsm.services import FAST_APPROVAL_FIELDS, check_form, find_service
from airflow_provider_bkitsm.links.ticket import ItsmTicketLink, show_ticket
from airflow_provider_bkitsm.tasks import CallsItsm

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_bkitsm.hooks.opening import Handle, TicketOpener
    from airflow_provider_bkitsm.itsm.models import CreatedTicket

_ROUNDS_LOOKED_AT = 10


class ItsmCreateTicketOperator(CallsItsm, BaseOperator):
    """Opens a ticket in any ITSM service and returns its number (sn).

    Airflow's retries never open a second one: the ticket carries a tag made from connection, DAG, run, task
    and map index, and is looked for by it before it is opened, by a retry for as long as a lost one may take to
    appear (promise P2). Clearing the task asks anew, unless its earlier ticket is still open. The title gets a
    short marker of that tag at its end.

    :param title: title of the ticket; with its marker at most 128 characters. (templated)
    :param fields: the service's submit form by key, without ``title``. (templated)
    :param service_id: the ITSM service; None takes the connection's. (templated)
    :param fast_approval: use ITSM's built-in approval service instead; ``fields`` are then ``APPROVER``
        (names joined by commas) and ``APPROVAL_CONTENT``.
    :param creator: who asks, and who alone may withdraw; None takes the connection's user. (templated)
    :param meta: ITSM's ``meta``; templates in it are rendered, but not shown among the rendered ones, since an
        address in it may be a secret. A ``callback_url`` of your own takes the place of Airflow's.
    :param bkitsm_conn_id: connection of type ``bkitsm``. (templated)
    """

    template_fields: Sequence[str] = ("title", "fields", "service_id", "creator", "bkitsm_conn_id")
    template_fields_renderers: ClassVar[dict[str, str]] = {"fields": "json"}
    operator_extra_links = (ItsmTicketLink(),)
    ui_color = "#e8f0fe"

    def __init__(
        self,
        *,
        title: str,
        fields: Mapping[str, Any] | None = None,
        service_id: int | str | None = None,
        fast_approval: bool = False,
        creator: str | None = None,
        meta: Mapping[str, Any] | None = None,
        bkitsm_conn_id: str = "bkitsm_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.title = title
        self.fields = fields
        self.service_id = service_id
        self.fast_approval = fast_approval
        self.creator = creator
        self.meta = meta
        self.bkitsm_conn_id = bkitsm_conn_id

    def execute(self, context: Context) -> str:
        """Adopt this round's ticket, or open it."""
        from airflow_provider_bkitsm.hooks.opening import TicketOpener

        this_round, *earlier = self._handles(context)
        form = {**(self.fields or {}), "title": marked_title(self.title, this_round.tag)}
        service_id = self._check(form)
        opener = TicketOpener(hook=self.hook)
        ticket = self._opened(opener, this_round, earlier, retried=context["ti"].try_number > 1)
        if ticket is None:
            ticket = opener.open(
                this_round,
                service_id=service_id,
                fast_approval=self.fast_approval,
                fields=form,
                meta=self.render_template(self.meta, context) if self.meta else None,
            )
        show_ticket(context["ti"], ticket.ticket_url)
        return ticket.sn

    def _opened(
        self, opener: TicketOpener, this_round: Handle, earlier: Iterable[Handle], *, retried: bool
    ) -> CreatedTicket | None:
        """Look for this round's ticket, and for an open one of an earlier round: one approval, one ticket."""
        for handle in earlier:
            found = opener.find(handle, still_open=True)
            if found:
                return found
        return opener.look_for(this_round, seconds=opener.settle if retried else 0)

    def _handles(self, context: Context) -> list[Handle]:
        """Return what this round's ticket is found by, then the earlier rounds': each clear is a new round."""
        from airflow_provider_bkitsm.hooks.opening import Handle

        ti, run = context["ti"], context["dag_run"]
        creator = self.creator or self.hook.gateway.username
        rounds = range(run.clear_number or 0, -1, -1)[:_ROUNDS_LOOKED_AT]
        parts = (self.bkitsm_conn_id, ti.dag_id, ti.run_id, ti.task_id, ti.map_index)
        return [
            Handle(tag=creation_tag(*parts, number), creator=creator, since=run.run_after) for number in rounds
        ]

    def _check(self, form: Mapping[str, Any]) -> int | str | None:
        if self.fast_approval:
            check_form(FAST_APPROVAL_FIELDS, form)
            return None
        service_id = self.service_id or self.hook.gateway.text("service_id")
        if service_id is None:
            raise ItsmInvalidRequestError(
                "no service_id was given, neither to the task nor in the connection's extra, and"
                " fast_approval is off; no ticket was opened"
            )
        check_form(self.hook.run(find_service(service_id)).fields, form)
        return service_id


class ItsmOperateTicketOperator(CallsItsm, BaseOperator):
    """Withdraws, terminates, suspends or resumes a ticket.

    A ticket that is already over is a normal answer for ``WITHDRAW`` and ``TERMINATE``. Returns the ticket's
    ``current_status`` after the operation.

    :param ticket_sn: number of the ticket. (templated)
    :param action_type: ``WITHDRAW``, ``TERMINATE``, ``SUSPEND`` or ``UNSUSPEND``. (templated)
    :param action_message: why, for the ticket's log (1-255 characters, ITSM demands it). (templated)
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
        """Operate once."""
        from airflow_provider_bkitsm.hooks.operating import operate

        status = operate(
            self.hook,
            sn=self.ticket_sn,
            action_type=self.action_type,
            operator=self.operator or self.hook.gateway.username,
            action_message=self.action_message,
        )
        show_ticket(context["ti"], status.ticket_url)
        return status.current_status
