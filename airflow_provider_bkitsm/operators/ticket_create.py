# SPDX-License-Identifier: Apache-2.0
"""Opening a ticket in any ITSM service."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import BaseOperator

from airflow_provider_bkitsm import telemetry
from airflow_provider_bkitsm.itsm.form import check_form_text
from airflow_provider_bkitsm.links.ticket import ItsmTicketLink, show_ticket
from airflow_provider_bkitsm.tasks import CallsItsm, OnAbandoned, check_on_abandoned

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_bkitsm.hooks.opening import Handle, Opened, TicketOpener
    from airflow_provider_bkitsm.itsm.models import TicketSummary
    from airflow_provider_bkitsm.operators.creation_memory import CreationMemory

_ROUNDS_LOOKED_AT = 100
# A form by key, ITSM's own list, or a template of either.
Form = Mapping[str, Any] | Sequence[Mapping[str, Any]] | str | None


class ItsmCreateTicketOperator(CallsItsm, BaseOperator):
    """Opens a ticket in any ITSM service and returns its number (sn).

    Airflow's retries never open a second one: the ticket carries a tag made from connection, DAG, run, task
    and map index, and is looked for by it before it is opened, by a retry for as long as a lost one may take to
    appear (promise P2). Clearing the task asks anew, unless its earlier ticket is still open. The title gets a
    short marker of that tag at its end.

    :param title: title of the ticket; with its marker at most 128 characters. (templated)
    :param fields: the service's submit form by key, without ``title``; ITSM's list of ``{"key": ..., "value":
        ...}`` will do as well. People in it are a list or a text of names. (templated)
    :param service_id: the ITSM service; None takes the connection's. (templated)
    :param fast_approval: use ITSM's built-in approval service instead; ``fields`` are then ``APPROVER``
        (names, a list or a text with commas) and ``APPROVAL_CONTENT``.
    :param creator: who asks, and who alone may withdraw; None takes the connection's user. (templated)
    :param meta: ITSM's ``meta``; templates in it are rendered, but not shown among the rendered ones, since an
        address in it may be a secret. A ``callback_url`` of your own takes the place of Airflow's.
    :param approval_key: tasks of one DAG that name the same key, mapped ones and those of other runs included,
        share one ticket as long as it is open. A decision counts for every run that had begun before it. A
        run that begins later asks anew. (templated)
    :param on_clear: what clearing the task does to its ticket while that is open: ``keep`` waits for the same
        one, ``withdraw`` ends it and asks anew. A shared ticket is always kept.
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
        fields: Form = None,
        service_id: int | str | None = None,
        fast_approval: bool = False,
        creator: str | None = None,
        meta: Mapping[str, Any] | None = None,
        approval_key: str | None = None,
        on_clear: OnAbandoned = "keep",
        bkitsm_conn_id: str = "bkitsm_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.title = title
        check_form_text(fields)
        self.fields = fields
        self.service_id = service_id
        self.fast_approval = fast_approval
        self.creator = creator
        self.meta = meta
        self.approval_key = approval_key
        self.on_clear = check_on_abandoned("on_clear", on_clear)
        self.bkitsm_conn_id = bkitsm_conn_id

    def execute(self, context: Context) -> Any:
        """Adopt this round's ticket, or open it; return its number."""
        return self.opened(context).sn

    def opened(self, context: Context) -> Opened:
        """Return this round's ticket, whoever opened it."""
        from airflow_provider_bkitsm.hooks.opening import TicketOpener

        opener, (memory, handle) = TicketOpener(hook=self.hook), self.this_round(context)
        ticket = self._known(opener, handle, self._earlier(context), memory)
        if ticket is None:
            request = self._request(handle, context)
            memory.begins(request["fields"]["title"])
            ticket = (opener.open_shared if self.approval_key else opener.open)(handle, **request)
        else:
            telemetry.adopted(self.bkitsm_conn_id)
        memory.knows(ticket)
        show_ticket(context["ti"], ticket.ticket_url)
        return ticket

    def this_round(self, context: Context) -> tuple[CreationMemory, Handle]:
        """Return what is known of this round, and what its ticket is found by.

        Those who share a key have one tag for all rounds: what was decided before theirs began does not count.
        """
        from airflow_provider_bkitsm.hooks.opening import ANY_TIME, Handle
        from airflow_provider_bkitsm.itsm.opening import creation_tag
        from airflow_provider_bkitsm.operators.creation_memory import CreationMemory

        ti, run, creator = context["ti"], context["dag_run"], self._creator()
        shared = (self.bkitsm_conn_id, run.dag_id, "approval_key", str(self.approval_key))
        tag = creation_tag(*shared) if self.approval_key else self._tag(context, ti.max_tries)
        retried, states = ti.try_number > 1, context.get("task_state_store")
        memory = CreationMemory(states, asking=f"{tag}:{ti.max_tries}", retried=retried)
        if not self.approval_key:
            return memory, Handle(tag=tag, creator=creator, since=run.run_after)
        cleared = ti.max_tries > (self.retries or 0)
        began = memory.since if cleared else run.start_date or run.run_after
        return memory, Handle(tag=tag, creator=creator, since=ANY_TIME, began=began)

    def _known(
        self, opener: TicketOpener, handle: Handle, earlier: Sequence[Handle], memory: CreationMemory
    ) -> Opened | None:
        """Return this round's ticket, or an earlier round's that is still open: one approval, one ticket."""
        if memory.ticket and not self.approval_key:
            self.check_asks(memory.ticket.sn, memory.title)
            return memory.ticket
        seconds = memory.may_appear_for(opener.settle)
        found = self._kept(opener, earlier) or opener.look_for(handle, seconds=seconds)
        if found is None and seconds > 0:
            # Cleared while the request was on its way: the ticket that appeared meanwhile is an earlier round's.
            found = self._kept(opener, earlier)
        if found and self.approval_key and seconds > 0:
            # It may be another run's, and ours, whose answer was lost, still appear beside it.
            found = opener.outlast(handle, seconds=memory.may_appear_for(opener.settle))
        if found:
            self.check_asks(found.sn, found.title)
        return found

    def _kept(self, opener: TicketOpener, earlier: Iterable[Handle]) -> TicketSummary | None:
        """Return an earlier round's open ticket, unless clearing is to end it."""
        for handle in earlier:
            found = opener.find_open(handle)
            if found and self.on_clear == "keep" and self.still_asks(found.title):
                return found
            if found:
                opener.call_off(found, why="The Airflow task was cleared and asks anew")
        return None

    def still_asks(self, _title: str) -> bool:
        """Whether a ticket with this title asks for what this task would ask for now."""
        return True

    def check_asks(self, _sn: str, _title: str) -> None:
        """Refuse to wait for the answer to another question."""

    def _request(self, handle: Handle, context: Context) -> dict[str, Any]:
        """Return what ``create_ticket`` is asked for, checked as far as it can be."""
        service_id, form = self._check(self.form(handle.tag))
        return {
            "service_id": service_id,
            "fast_approval": self.fast_approval,
            "fields": form,
            "meta": self.ticket_meta(context),
        }

    def form(self, tag: str) -> dict[str, Any]:
        """Return the submit form as it is sent."""
        from airflow_provider_bkitsm.itsm.form import read_form
        from airflow_provider_bkitsm.itsm.opening import marked_title

        return {**read_form(self.fields), "title": marked_title(self.title, tag)}

    def ticket_meta(self, context: Context) -> dict[str, Any] | None:
        """Return ITSM's ``meta``, templates rendered."""
        return dict(self.render_template(self.meta, context)) if self.meta else None

    def _earlier(self, context: Context) -> list[Handle]:
        """Return what earlier rounds' tickets are found by; a task that was never tried has none."""
        from airflow_provider_bkitsm.hooks.opening import Handle

        ti, run = context["ti"], context["dag_run"]
        if self.approval_key or ti.try_number == 1:
            return []
        rounds = range(ti.max_tries - 1, -1, -1)[:_ROUNDS_LOOKED_AT]
        tags = (self._tag(context, number) for number in rounds)
        return [Handle(tag=tag, creator=self._creator(), since=run.run_after) for tag in tags]

    def _tag(self, context: Context, number: int) -> str:
        """Return the tag of an approval round.

        A round is numbered by the task's ``max_tries``, which rises when this task is cleared and only then.
        """
        from airflow_provider_bkitsm.itsm.opening import creation_tag

        ti = context["ti"]
        return creation_tag(self.bkitsm_conn_id, ti.dag_id, ti.run_id, ti.task_id, ti.map_index, number)

    def _creator(self) -> str:
        from airflow_provider_bkitsm.itsm.people import read_person

        return read_person("creator", self.creator) or self.hook.gateway.username

    def _check(self, form: Mapping[str, Any]) -> tuple[int | str | None, dict[str, Any]]:
        from airflow_provider_bkitsm.itsm.services import service_for

        service_id = self.service_id or self.hook.gateway.text("service_id")
        return self.hook.run(service_for(form, service_id=service_id, fast_approval=self.fast_approval))
