# SPDX-License-Identifier: Apache-2.0
"""Notifiers that open an ITSM ticket for a failure, or comment on a ticket."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk.bases.notifier import BaseNotifier

from airflow_provider_bkitsm.itsm.duties import THE_REQUESTER
from airflow_provider_bkitsm.itsm.errors import ItsmConfigurationError
from airflow_provider_bkitsm.itsm.form import check_form_text, read_form
from airflow_provider_bkitsm.itsm.people import read_person
from airflow_provider_bkitsm.mixins import ItsmHookMixin, check_fast_approval, map_index
from airflow_provider_bkitsm.tickets.requester import Requester, find_requester

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_bkitsm.tickets.approval_request import ApprovalRequest


@dataclass(frozen=True, kw_only=True)
class Failure:
    """The task, run or deadline that failed.

    :param names: identify it; every callback about it has the same names, in whichever process.
    :param began: when it began (aware); None where Airflow gives no time.
    """

    names: tuple[str, ...]
    began: datetime | None = None


def failure_of(context: Mapping[str, Any], *, key: str | None = None) -> Failure:
    """Return the failure that a callback is about.

    :param key: names the failure in place of Airflow's context.
    :raises ItsmConfigurationError: neither the key nor the context names a failure.
    """
    failure = _deadline(context) or _task(context) or _run(context)
    if key:
        return Failure(names=("key", key), began=failure.began if failure else None)
    if failure is None:
        raise ItsmConfigurationError(
            "the callback's context names neither task nor run nor deadline; give the notifier a failure_key."
            " No ticket was opened"
        )
    return failure


def _deadline(context: Mapping[str, Any]) -> Failure | None:
    deadline = context.get("deadline")
    if not deadline:
        return None
    return Failure(names=("deadline", str(_of(deadline, "id"))), began=_began(context.get("dag_run")))


def _task(context: Mapping[str, Any]) -> Failure | None:
    """Return a task's failure. The context of a run's callback holds a task too, but also the run's ``reason``."""
    ti = context.get("ti")
    if ti is None or "reason" in context:
        return None
    names = ("task", ti.dag_id, ti.run_id, ti.task_id, str(map_index(ti)))
    return Failure(names=names, began=_began(ti))


def _run(context: Mapping[str, Any]) -> Failure | None:
    dag, run_id = context.get("dag"), context.get("run_id")
    if dag is None or not run_id:
        return None
    return Failure(names=("run", dag.dag_id, str(run_id)), began=_began(context.get("dag_run")))


def _began(run: Any) -> datetime | None:
    """Return when a task's try or a run began; a cleared run begins anew."""
    start = _of(run, "start_date") or _of(run, "run_after")
    return datetime.fromisoformat(start) if isinstance(start, str) else start


def _of(item: Any, name: str) -> Any:
    """Read a value of an item of the context: an object in most contexts, JSON in a deadline's context."""
    return item.get(name) if isinstance(item, Mapping) else getattr(item, name, None)


# Airflow kills a worker 20 s after its task ([core] task_success_overtime), even during a callback.
_PATIENCE = 10.0
_EVER = datetime(1970, 1, 1, tzinfo=UTC)


class ItsmNotifier(ItsmHookMixin, BaseNotifier):
    """Base of the notifiers: calls ITSM when Airflow runs a callback.

    :param bkitsm_conn_id: connection of type ``bkitsm``. (templated)
    :param context: Airflow passes it to the callback of a deadline.
    """

    template_fields: Sequence[str] = ("bkitsm_conn_id",)
    _templates: dict[str, Any] | None = None

    def __init__(self, *, bkitsm_conn_id: str = "bkitsm_default", context: Context | None = None) -> None:
        super().__init__(context)
        self.bkitsm_conn_id = bkitsm_conn_id

    def render_template_fields(self, context: Context, jinja_env: Any = None) -> None:
        """Render the templates anew for each callback: a DAG processor uses one notifier for several runs."""
        if self._templates is None:
            self._templates = {name: getattr(self, name) for name in self.template_fields}
        for name, template in self._templates.items():
            setattr(self, name, template)
        self.__dict__.pop("hook", None)
        super().render_template_fields(context, jinja_env)

    async def async_notify(self, context: Context) -> None:
        """Call ``notify`` in a thread of its own, so that the event loop goes on."""
        from asgiref.sync import sync_to_async

        await sync_to_async(self.notify, thread_sensitive=False)(context)


class ItsmTicketNotifier(ItsmNotifier):
    """Opens a ticket when a task or a DAG fails, or a deadline is missed; never two for the same failure.

    Its record in the store has connection, DAG, run, task and map index as its key, or the deadline's number.
    While the ticket is open, later failures of the same task in the same run, its retries included, open no
    further ticket. Nobody waits for the ticket, so ITSM sends no callback. Secrets that Airflow masks in its logs
    are masked in the ticket, too.

    :param title: title of the ticket; cut where with its marker it would be longer than 128 characters, as it is
        sent or as ITSM stores it. (templated)
    :param fields: the service's submit form by key, without ``title``; ITSM's list of ``{"key": ..., "value":
        ...}`` is accepted too. People in it are a list or a text of names. (templated)
    :param service_id: the ITSM service; None takes the connection's. (templated)
    :param fast_approval: use ITSM's built-in approval service instead; ``fields`` are then ``APPROVER``
        (names, a list or a text with commas) and ``APPROVAL_CONTENT``.
    :param creator: who opens it; None takes the connection's user, and ``requester`` the person who started the
        run, where a person did. (templated)
    :param failure_key: names the failure in place of Airflow's context: all failures with one key share one
        ticket as long as it is open. (templated)
    """

    template_fields: Sequence[str] = (
        "title",
        "fields",
        "service_id",
        "creator",
        "failure_key",
        "bkitsm_conn_id",
    )
    _requester = Requester()
    # Seconds in which a ticket whose answer was lost is looked for.
    patience: float = _PATIENCE

    def __init__(
        self,
        *,
        title: str,
        fields: Mapping[str, Any] | Sequence[Mapping[str, Any]] | str | None = None,
        service_id: int | str | None = None,
        fast_approval: bool = False,
        creator: str | None = None,
        failure_key: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.title = title
        check_form_text(fields)
        self.fields = fields
        self.service_id = service_id
        self.fast_approval = check_fast_approval(fast_approval, service_id)
        self.creator = creator
        self.failure_key = failure_key

    def notify(self, context: Context) -> None:
        """Open the ticket, unless it is already open.

        :raises ItsmError: no ticket was opened, or the ticket may have been opened; see the message.
        """

        failure = failure_of(context, key=self.failure_key)
        self._requester = find_requester(context.get("dag_run"))
        if self.creator == THE_REQUESTER:
            self._requester.check_is_known('creator="requester"')
        ticket = self._request(failure).ticket_of_all()
        self.log.info("ITSM ticket %s reports this failure", ticket.sn)

    def _request(self, failure: Failure) -> ApprovalRequest:
        """Return the request for the one ticket of a failure. A later callback about it finds the same record."""
        from airflow_provider_bkitsm.tickets.approval import Attempt, Subject
        from airflow_provider_bkitsm.tickets.approval_request import ApprovalRequest, Sharing
        from airflow_provider_bkitsm.tickets.approval_store import installation, open_approval_store
        from airflow_provider_bkitsm.tickets.opener import TicketOpener
        from airflow_provider_bkitsm.tickets.question import Question

        opener = TicketOpener(hook=self.hook, calls_back=False, patience=self.patience)
        subject = Subject(
            installation=installation(),
            bkitsm_conn_id=self.bkitsm_conn_id,
            dag_id="",
            approval_key=json.dumps(["failure", *failure.names]),
        )
        return ApprovalRequest(
            opener=opener,
            store=open_approval_store(),
            subject=subject,
            attempt=Attempt(ti_id=None, try_number=0, max_tries=0, retries=0),
            question=Question(
                title=self.title,
                fields=read_form(self.fields),
                creator=self._requester.name
                if self.creator == THE_REQUESTER
                else read_person("creator", self.creator),
            ),
            content=self._content,
            compares=False,
            requester=self._requester.name,
            sharing=Sharing(subject=subject, run_began=failure.began or _EVER, cleared=False),
        )

    def _content(self, tag: str) -> dict[str, Any]:
        from airflow_provider_bkitsm.itsm.dialect import ask

        service_id = self.service_id or self.hook.gateway.service
        form, names = self._form(tag), {"service_id": service_id}
        service_id, form = self.hook.run(
            ask(lambda itsm: itsm.service_for(form, fast_approval=self.fast_approval, **names))
        )
        return {"service_id": service_id, "fast_approval": self.fast_approval, "fields": form}

    def _form(self, tag: str) -> dict[str, Any]:
        from airflow_provider_bkitsm.itsm.idempotency import marked_title
        from airflow_provider_bkitsm.version_compat import redact

        room = len(marked_title("", tag))
        title = self.hook.gateway.dialect.fitting_title(str(redact(self.title)), room_for=room)
        return {**redact(read_form(self.fields)), "title": marked_title(title, tag)}


class ItsmCommentNotifier(ItsmNotifier):
    """Comments on a finished ticket, such as the approval of a run that failed later; ITSM calls this rating.

    ITSM takes one comment for each finished ticket. A comment that exists is kept. An open, withdrawn or
    terminated ticket is an error. Secrets that Airflow masks in its logs are masked in the comment, too.

    :param ticket_sn: number of the ticket. (templated)
    :param stars: 1 to 6.
    :param comments: the text, cut to the 255 characters that ITSM takes. (templated)
    :param operator: who comments, at most 16 characters; None takes the connection's user. (templated)
    """

    template_fields: Sequence[str] = ("ticket_sn", "comments", "operator", "bkitsm_conn_id")

    def __init__(
        self, *, ticket_sn: str, stars: int, comments: str = "", operator: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.ticket_sn = ticket_sn
        self.stars = stars
        self.comments = comments
        self.operator = operator

    def notify(self, context: Context) -> None:  # noqa: ARG002
        """Comment on the ticket, unless it has a comment.

        :raises ItsmError: there is no comment, or there may be one; see the message.
        """
        from airflow_provider_bkitsm.itsm.actions import comment
        from airflow_provider_bkitsm.itsm.wait import ticket_number
        from airflow_provider_bkitsm.version_compat import redact

        sn = ticket_number(self.ticket_sn)
        operator = self.operator or self.hook.gateway.username
        text = str(redact(self.comments))
        if self.hook.run(comment(sn=sn, stars=self.stars, operator=operator, comments=text)):
            self.log.info("commented on ITSM ticket %s", sn)
        else:
            self.log.warning("ITSM ticket %s has a comment already, and takes but one: nothing was sent", sn)
