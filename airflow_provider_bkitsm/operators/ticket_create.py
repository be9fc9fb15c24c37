# SPDX-License-Identifier: Apache-2.0
"""The operator that opens a ticket in any ITSM service."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import BaseOperator

from airflow_provider_bkitsm import settings
from airflow_provider_bkitsm.itsm.duties import (
    THE_REQUESTER,
    approvers_of,
    approvers_of_one_step,
    check_can_be_met,
    check_min_approvers,
)
from airflow_provider_bkitsm.itsm.errors import ItsmAnotherQuestionError, ItsmInvalidRequestError
from airflow_provider_bkitsm.itsm.form import UNSTORABLE, check_form_text, excerpt, is_storable, read_literal
from airflow_provider_bkitsm.itsm.people import joined_names, read_person
from airflow_provider_bkitsm.itsm.verdict import iso
from airflow_provider_bkitsm.links.ticket import ItsmTicketLink, show_ticket
from airflow_provider_bkitsm.mixins import (
    ItsmHookMixin,
    OnAbandoned,
    check_fast_approval,
    check_on_abandoned,
    map_index,
)
from airflow_provider_bkitsm.tickets.requester import Requester, find_requester
from airflow_provider_bkitsm.version_compat import AirflowFailException

if TYPE_CHECKING:
    from datetime import datetime

    from airflow.sdk import Context

    from airflow_provider_bkitsm.itsm.duties import Approvers
    from airflow_provider_bkitsm.tickets.approval import ApprovalRecord, Attempt, Subject
    from airflow_provider_bkitsm.tickets.approval_request import ApprovalRequest, Sharing
    from airflow_provider_bkitsm.tickets.approval_store import ApprovalStore
    from airflow_provider_bkitsm.tickets.question import Question

# Fields of the built-in approval: the question, and whom it asks.
CONTENT, APPROVER = "APPROVAL_CONTENT", "APPROVER"
# A form by key, ITSM's own list, or a template of either.
Form = Mapping[str, Any] | Sequence[Mapping[str, Any]] | str | None


class ItsmCreateTicketOperator(ItsmHookMixin, BaseOperator):
    """Opens a ticket in any ITSM service and returns its number (sn).

    Airflow's retries never open a second one: the intent is stored before the ticket is opened, and a retry uses
    that record (promise P2). Clearing the task opens a new one, unless the earlier ticket is still open and asks
    the same. The title gets a short marker at its end, which only this provider can make.

    :param title: title of the ticket; with its marker at most 128 characters. (templated)
    :param fields: the service's submit form by key, without ``title``; ITSM's list of ``{"key": ..., "value":
        ...}`` will do as well. People in it are a list or a text of names. (templated)
    :param service_id: the ITSM service; None takes the connection's. (templated)
    :param fast_approval: use ITSM's built-in approval service instead; ``fields`` are then ``APPROVER``
        (names, a list or a text with commas) and ``APPROVAL_CONTENT``.
    :param creator: in whose name the ticket is opened, and who alone may withdraw it; None takes the connection's
        user, and ``requester`` the requester. (templated)
    :param requester: who asks, by name in ITSM; None takes the person who started the run, else the connection's
        user. (templated)
    :param requester_field: form field that shows the requester. ``fast_approval`` shows it below the content,
        where ``requester``, ``forbid_self_approval`` or ``creator="requester"`` is set.
    :param forbid_self_approval: True takes a ticket for not approved that nobody but its requester, or its
        ``creator``, has approved. None takes ``[bkitsm] forbid_self_approval``, by default False.
    :param min_approvers: so many different people have to have said yes, by the ticket's log; with
        ``forbid_self_approval`` without the requester. None takes whatever ITSM takes for an approval.
    :param meta: ITSM's ``meta``; templates in it are rendered, but not shown among the rendered ones, since an
        address in it may be a secret. A ``callback_url`` of your own takes the place of Airflow's.
    :param approval_key: tasks of one DAG that name the same key, mapped ones and those of other runs included,
        share one ticket as long as it is open, if they all ask the same. A decision counts for every run that had
        begun before it. A run that begins later asks anew. (templated)
    :param approval_items: with an ``approval_key``, everything that its tasks would do, one entry for each task:
        the ticket lists them all, each with its digest. (templated)
    :param approval_item: what this task would do; one of ``approval_items``, compared with its type. (templated)
    :param items_field: form field that takes the list; ``fast_approval`` shows it below the content.
    :param on_clear: what clearing the task does to its ticket while that is open: ``keep`` waits for the same
        one, unless it asks something else by now; ``withdraw`` ends it and opens a new one. A shared ticket is
        always kept.
    :param compare_parameters: False goes on with the ticket of an earlier try although the parameters have
        changed.
    :param bkitsm_conn_id: connection of type ``bkitsm``. (templated)
    """

    template_fields: Sequence[str] = (
        "title",
        "fields",
        "service_id",
        "creator",
        "requester",
        "approval_key",
        "approval_items",
        "approval_item",
        "bkitsm_conn_id",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"fields": "json"}
    operator_extra_links = (ItsmTicketLink(),)
    ui_color = "#e8f0fe"
    _requester = Requester()

    def __init__(
        self,
        *,
        title: str,
        fields: Form = None,
        service_id: int | str | None = None,
        fast_approval: bool = False,
        creator: str | None = None,
        requester: str | None = None,
        requester_field: str | None = None,
        forbid_self_approval: bool | None = None,
        min_approvers: int | None = None,
        meta: Mapping[str, Any] | None = None,
        approval_key: str | None = None,
        approval_items: Sequence[Any] | str | None = None,
        approval_item: Any = None,
        items_field: str | None = None,
        on_clear: OnAbandoned = "keep",
        compare_parameters: bool = True,
        bkitsm_conn_id: str = "bkitsm_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.title = title
        check_form_text(fields)
        self.fields = fields
        self.service_id = service_id
        self.fast_approval = check_fast_approval(fast_approval, service_id)
        self.creator = creator
        self.requester = requester
        self.requester_field = requester_field
        self.forbid_self_approval = forbid_self_approval
        self.min_approvers = check_min_approvers(min_approvers)
        if fast_approval and (min_approvers or 0) > 1:
            raise ValueError(
                f"min_approvers={min_approvers} takes a service of your own: fast_approval goes on after one"
                " answer"
            )
        self.meta = meta
        self.approval_key = approval_key
        if approval_items is not None and not (approval_key and (fast_approval or items_field)):
            raise ValueError(
                "approval_items takes an approval_key, and a place in the form: items_field, or fast_approval"
            )
        self.approval_items = approval_items
        self.approval_item = approval_item
        self.items_field = items_field
        self.on_clear = check_on_abandoned("on_clear", on_clear)
        self.compare_parameters = compare_parameters
        self.bkitsm_conn_id = bkitsm_conn_id

    @cached_property
    def approval_store(self) -> ApprovalStore:
        """The store of the approval rounds' records."""
        from airflow_provider_bkitsm.tickets.approval_store import open_approval_store

        return open_approval_store()

    def execute(self, context: Context) -> Any:
        """Return the number of this round's ticket; open it unless it is open already."""
        return self.opened(self.approval_request(context), context).sn

    def opened(self, request: ApprovalRequest, context: Context) -> ApprovalRecord:
        """Return the record of this round's ticket, opened by this try or another one."""
        try:
            record = request.ticket()
        except ItsmAnotherQuestionError as error:
            raise AirflowFailException(
                f"{error}. Clear the task to ask anew; what changes with time needs compare_parameters=False"
            ) from error
        show_ticket(context["ti"], record.ticket_url)
        return record

    def approval_request(self, context: Context) -> ApprovalRequest:
        """Return the request for this try's approval."""
        from airflow_provider_bkitsm.tickets.approval_request import ApprovalRequest
        from airflow_provider_bkitsm.tickets.legacy import legacy_ticket
        from airflow_provider_bkitsm.tickets.opener import TicketOpener

        meta = self.ticket_meta(context)
        self.take_requester(context)
        self._check_requester()
        question = self.question(meta)
        return ApprovalRequest(
            opener=TicketOpener(hook=self.hook),
            store=self.approval_store,
            subject=self._subject(context),
            attempt=self._attempt(context),
            question=question,
            content=lambda tag: self._content(tag, question, meta),
            keeps_open=self.on_clear == "keep",
            compares=self.compare_parameters or bool(self.approval_key),
            sharing=self._sharing(context),
            legacy=legacy_ticket(context.get("task_state_store"), round_number=context["ti"].max_tries),
            legacy_digests=self.legacy_digests(),
            requester=self._asked_by or "",
            run_by=str(getattr(context["dag_run"], "triggering_user_name", None) or ""),
            item=self._item(),
            duties=self.duties,
        )

    def take_requester(self, context: Context) -> None:
        """Learn who asks in this run."""
        self._requester = find_requester(context["dag_run"], named=self.requester)

    def _check_requester(self) -> None:
        """Refuse to ask where it counts who asks and nobody knows; say what counts where no person asks.

        :raises ItsmConfigurationError: the person who started the run has no name in ITSM.
        """
        if self.creator == THE_REQUESTER:
            self._requester.check_is_known('creator="requester"')
        if self.forbids_self_approval:
            self._requester.check_is_known("forbid_self_approval")
        elif self._requester.problem:
            self.log.info("The connection's user asks: %s", self._requester.problem)
        if self.forbids_self_approval and not self._requester.name:
            self.log.warning(
                "No person has started this run: the connection's user %s asks, and a yes of that user alone"
                " does not count. Give the task a requester where somebody answers for it",
                self.hook.gateway.username,
            )

    @property
    def forbids_self_approval(self) -> bool:
        """Whether a yes of the requester alone is none: as the task says, else as the configuration does."""
        given = self.forbid_self_approval
        return settings.forbid_self_approval() if given is None else given

    @property
    def duties(self) -> dict[str, Any]:
        """What of the verdict policy is stored with the request: who asks, and who has to say yes."""
        return {
            "forbid_self_approval": self.forbids_self_approval,
            "min_approvers": self.min_approvers,
            "requester": joined_names(self._asked_by or self.hook.gateway.username),
        }

    @property
    def _asked_by(self) -> str | None:
        """Names of those who ask, with commas: the requester, and in whose name the ticket is; None: nobody's."""
        creator = "" if self.creator == THE_REQUESTER else read_person("creator", self.creator)
        return joined_names(self._requester.name, creator)

    def question(self, meta: Mapping[str, Any] | None = None) -> Question:
        """Return the question, templates rendered.

        :param meta: the ticket's ``meta``, rendered.
        """
        from airflow_provider_bkitsm.tickets.question import Question

        return Question(
            title=str(self.title),
            fields=self.hook.gateway.dialect.question_form(self.fields),
            service_id=None if self.fast_approval else self._service_id(),
            fast_approval=self.fast_approval,
            creator=self._creator(),
            processors=(meta or {}).get("state_processors") or {},
            policy=self.policy_settings(),
            items=self._items(),
        )

    def _creator(self) -> str:
        return self._requester.name if self.creator == THE_REQUESTER else read_person("creator", self.creator)

    def _items(self) -> Sequence[Any]:
        """Return the items of all tasks that share the approval, this task's own among them."""
        from airflow_provider_bkitsm.tickets.question import item_digest

        if self.approval_items is None:
            return ()
        items = read_literal(self.approval_items) if isinstance(self.approval_items, str) else self.approval_items
        if not isinstance(items, Sequence) or isinstance(items, str | bytes) or not items:
            raise ItsmInvalidRequestError(
                f"approval_items must be a list, not {excerpt(self.approval_items)}; no ticket was opened"
            )
        if item_digest(self.approval_item) not in map(item_digest, items):
            raise ItsmInvalidRequestError(
                f"approval_item {excerpt(self.approval_item)} is none of the approval_items {excerpt(items)}:"
                " their approval would not cover it. No ticket was opened"
            )
        return items

    def _item(self) -> dict[str, str]:
        """Return what of a shared approval this task would do, as its record says it to people."""
        from airflow_provider_bkitsm.tickets.approval import ITEM, ITEM_DIGEST
        from airflow_provider_bkitsm.tickets.question import item_digest, item_text

        if self.approval_items is None:
            return {}
        return {ITEM: item_text(self.approval_item), ITEM_DIGEST: item_digest(self.approval_item)}

    def policy_settings(self) -> dict[str, Any]:
        """Return where this task reads the verdict; empty here, because this task only opens the ticket."""
        return {}

    def form(self, tag: str, question: Question) -> dict[str, Any]:
        """Return the submit form as it is sent."""
        from airflow_provider_bkitsm.itsm.idempotency import marked_title

        form = {**question.fields, "title": marked_title(question.title, tag)}
        if question.items and self.items_field:
            form[self.items_field] = question.listed_items
        elif question.items:
            form[CONTENT] = _below(form.get(CONTENT), question.listed_items)
        return form | self._shown_requester(form)

    def _shown_requester(self, form: Mapping[str, Any]) -> dict[str, Any]:
        """Return the field that shows who asks. A content stays as it was written where no duty is asked for."""
        name = self._requester.name or self.hook.gateway.username
        if self.requester_field:
            return {self.requester_field: name}
        matters = self.requester or self.forbids_self_approval or self.creator == THE_REQUESTER
        if not self.fast_approval or not matters:
            return {}
        return {CONTENT: _below(form.get(CONTENT), f"Requested by: {name}")}

    def ticket_meta(self, context: Context) -> dict[str, Any]:
        """Return ITSM's ``meta``, templates rendered."""
        return dict(self.render_template(self.meta, context)) if self.meta else {}

    def _content(self, tag: str, question: Question, meta: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the ticket is opened with, checked as far as the service allows."""
        from airflow_provider_bkitsm.itsm.dialect import ask

        policy = self.hook.verdict_policy(**self.policy_settings() | self.duties)
        form, names = self.form(tag, question), {"service_id": question.service_id}
        service_id, form = self.hook.run(
            ask(lambda itsm: itsm.service_for(form, fast_approval=self.fast_approval, **names))
        )
        for name, given in (("fields", form), ("meta", meta)):
            if not is_storable(given):
                raise ItsmInvalidRequestError(f"{name} holds {UNSTORABLE}; no ticket was opened")
        if policy.needs_people:
            check_can_be_met(policy, self._approvers(service_id, form, meta))
        return {
            "service_id": service_id,
            "fast_approval": self.fast_approval,
            "fields": form,
            "meta": {**meta, "bkitsm_digest": question.digest},
        }

    def _approvers(
        self, service_id: int | str | None, form: Mapping[str, Any], meta: Mapping[str, Any]
    ) -> Approvers | None:
        """Return whom the ticket will ask; None where that is not known before it is open."""
        from airflow_provider_bkitsm.itsm.dialect import ask

        if meta.get("state_processors"):
            return None
        if self.fast_approval:
            return approvers_of_one_step(form.get(APPROVER))
        if service_id is None:
            return None
        service = self.hook.run(ask(lambda itsm: itsm.service(service_id)))
        steps, unread = self.hook.run(ask(lambda itsm: itsm.flow_steps(service)))
        found = approvers_of(steps, form)
        if found is None:
            self.log.info("Whom the ticket will ask is not known yet: %s", unread or "a role, or no names")
        return found

    def _service_id(self) -> int | str | None:
        return self.service_id or self.hook.gateway.service or None

    def _subject(self, context: Context, *, shared: bool = False) -> Subject:
        from airflow_provider_bkitsm.tickets.approval import Subject
        from airflow_provider_bkitsm.tickets.approval_store import installation

        ti = context["ti"]
        shared_subject = Subject(
            installation=installation(),
            bkitsm_conn_id=self.bkitsm_conn_id,
            dag_id=ti.dag_id,
            approval_key=str(self.approval_key) if self.approval_key else None,
        )
        if shared:
            return shared_subject
        return replace(shared_subject, run_id=ti.run_id, task_id=ti.task_id, map_index=map_index(ti))

    def _attempt(self, context: Context) -> Attempt:
        from airflow_provider_bkitsm.tickets.approval import Attempt

        ti, run = context["ti"], context["dag_run"]
        identity = getattr(ti, "id", None)
        return Attempt(
            ti_id=str(identity) if identity else None,
            try_number=ti.try_number,
            max_tries=ti.max_tries,
            retries=self.retries or 0,
            clear_number=None if _is_dated_back(run) else getattr(run, "clear_number", None),
            run_started=iso(_run_began(context)),
        )

    def legacy_digests(self) -> tuple[str, ...]:
        """Return the digests that an older version's ticket may show for this question; empty: any."""
        return ()

    def _sharing(self, context: Context) -> Sharing | None:
        from airflow_provider_bkitsm.tickets.approval_request import Sharing

        if not self.approval_key:
            return None
        ti = context["ti"]
        return Sharing(
            subject=self._subject(context, shared=True),
            run_began=_run_began(context) or context["dag_run"].run_after,
            cleared=ti.max_tries > (self.retries or 0),
        )


def _below(content: object, text: str) -> str:
    return "\n\n".join(filter(None, (str(content or ""), text)))


def _run_began(context: Context) -> datetime | None:
    """Return when the run began.

    ``airflow dags test`` dates a run back to its logical date, each time again. There the time when Airflow made
    this try counts instead; for a first try that is when it made the run.
    """
    from airflow_provider_bkitsm.tickets.approval import made_at

    ti, run = context["ti"], context["dag_run"]
    made = made_at(str(getattr(ti, "id", None)))
    return made or ti.start_date if _is_dated_back(run) else run.start_date


def _is_dated_back(run: Any) -> bool:
    return run.start_date is not None and run.start_date == getattr(run, "logical_date", None)
