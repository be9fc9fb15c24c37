"""Opening a ticket in any ITSM service."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import BaseOperator

from airflow_provider_bkitsm.itsm.errors import ItsmInvalidRequestError
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
    :param approval_key: tasks of one DAG that name the same key, mapped ones and those of other runs included,
        share one ticket as long as it is open. A decision counts for every run that had begun before it. A
        run that begins later asks anew. (templated)
    :param bkitsm_conn_id: connection of type ``bkitsm``. (templated)
    """

    template_fields: Sequence[str] = ("title", "fields", "service_id", "creator", "approval_key", "bkitsm_conn_id")
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
        approval_key: str | None = None,
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
        self.approval_key = approval_key
        self.bkitsm_conn_id = bkitsm_conn_id

    def execute(self, context: Context) -> Any:
        """Adopt this round's ticket, or open it; return its number."""
        return self.opened(context).sn

    def opened(self, context: Context) -> CreatedTicket:
        """Return this round's ticket, whoever opened it."""
        from airflow_provider_bkitsm.hooks.opening import TicketOpener

        opener = TicketOpener(hook=self.hook)
        ticket = (self._shared if self.approval_key else self._own)(opener, context)
        show_ticket(context["ti"], ticket.ticket_url)
        return ticket

    def _own(self, opener: TicketOpener, context: Context) -> CreatedTicket:
        this_round, *earlier = self._handles(context)
        found = self._found(opener, this_round, earlier, retried=context["ti"].try_number > 1)
        return found or opener.open(this_round, **self._request(this_round, context))

    def _shared(self, opener: TicketOpener, context: Context) -> CreatedTicket:
        """Share the ticket of this task's key; of several opened at the same moment the oldest is kept."""
        from airflow_provider_bkitsm.hooks.opening import ANY_TIME, Handle
        from airflow_provider_bkitsm.itsm.opening import creation_tag

        run = context["dag_run"]
        tag = creation_tag(self.bkitsm_conn_id, run.dag_id, "approval_key", str(self.approval_key))
        began = run.start_date or run.run_after
        handle = Handle(tag=tag, creator=self._creator(), since=ANY_TIME, began=began)
        found = opener.look_for(handle, seconds=opener.settle if context["ti"].try_number > 1 else 0)
        return found or opener.open_shared(handle, **self._request(handle, context))

    def _request(self, handle: Handle, context: Context) -> dict[str, Any]:
        """Return what ``create_ticket`` is asked for, checked as far as it can be."""
        from airflow_provider_bkitsm.itsm.opening import marked_title

        form = {**(self.fields or {}), "title": marked_title(self.title, handle.tag)}
        return {
            "service_id": self._check(form),
            "fast_approval": self.fast_approval,
            "fields": form,
            "meta": self.render_template(self.meta, context) if self.meta else None,
        }

    def _found(
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
        from airflow_provider_bkitsm.itsm.opening import creation_tag

        ti, run = context["ti"], context["dag_run"]
        rounds = range(run.clear_number or 0, -1, -1)[:_ROUNDS_LOOKED_AT]
        parts = (self.bkitsm_conn_id, ti.dag_id, ti.run_id, ti.task_id, ti.map_index)
        return [
            Handle(tag=creation_tag(*parts, number), creator=self._creator(), since=run.run_after)
            for number in rounds
        ]

    def _creator(self) -> str:
        return self.creator or self.hook.gateway.username

    def _check(self, form: Mapping[str, Any]) -> int | str | None:
        from airflow_provider_bkitsm.itsm.services import FAST_APPROVAL_FIELDS, check_form, find_service

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
