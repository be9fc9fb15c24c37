# SPDX-License-Identifier: Apache-2.0
"""The approval operator: opens an ITSM ticket and goes on only when its approvers agree."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_bkitsm.deferral import (
    DEFAULT_APPROVAL_TIMEOUT,
    ApprovalWaitMixin,
    check_approval_timeout,
    check_poke_interval,
)
from airflow_provider_bkitsm.itsm.duties import JOINED_BY
from airflow_provider_bkitsm.itsm.errors import ItsmConfigurationError, ItsmError
from airflow_provider_bkitsm.itsm.form import comparable
from airflow_provider_bkitsm.itsm.outcome import Outcome
from airflow_provider_bkitsm.itsm.reminders import Times, WorkingHours
from airflow_provider_bkitsm.itsm.wait import approval_time
from airflow_provider_bkitsm.mixins import OnAbandoned, OnNotApproved, check_on_abandoned, check_on_not_approved
from airflow_provider_bkitsm.operators.ticket_create import CONTENT, ItsmCreateTicketOperator
from airflow_provider_bkitsm.tickets.ownership import OwnershipKind
from airflow_provider_bkitsm.tickets.reminder_settings import reminder_settings
from airflow_provider_bkitsm.version_compat import AirflowFailException, BranchMixIn

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_bkitsm.itsm.verdict import Verdict
    from airflow_provider_bkitsm.tickets.ownership import Ownership
    from airflow_provider_bkitsm.tickets.question import Question

_DEFAULT_POLL_INTERVAL = 60.0
_LEGACY_PARAMETERS = ("title", "fields", "service_id", "fast_approval")


class ItsmApprovalOperator(ApprovalWaitMixin, ItsmCreateTicketOperator, BranchMixIn):
    """Opens a ticket in any service, waits in the triggerer, and returns the approval (promise P3, fail closed).

    One task for what :class:`ItsmCreateTicketOperator` and ``ItsmTicketSensor`` do in two, with the same
    promises; it takes all their parameters. The worker is free as soon as the ticket is open. After an approval, a
    worker compares what is about to run with what was approved.

    Returns the JSON object of ``ItsmTicketSensor``: ``sn``, ``outcome``, ``approvers``, ``decided_at`` ... .

    :param approval_timeout: how long people may take, counted from the ticket's creation: a timedelta or
        seconds; None waits for ever, 0 not at all. (templated)
    :param on_not_approved: what a rejected, withdrawn, terminated or timed-out ticket does to this task:
        ``fail`` for good (never retried), ``skip``, or ``pass`` with the verdict as XCom.
    :param on_timeout: what becomes of a ticket that is still open at the deadline: ``withdraw`` or ``keep``. A
        decision that comes first wins. Default: ``withdraw``, but ``keep`` with an ``approval_key``, since others
        may wait for the ticket.
    :param on_kill: likewise, when the waiting task is marked failed, successful or skipped, or its run is ended.
        A restart of Airflow, or deleting the run, never withdraws a ticket, and clearing the task does what
        ``on_clear`` says.
    :param digest_field: form field that shows people the whole digest of the question; ``fast_approval`` shows
        it below the content.
    :param compare_parameters: after an approval, compare what would run now (title, fields, service, as
        rendered) with what was approved, and fail for good if they differ. False leaves that out, and the
        approval may then end the task with no worker.
    :param approved_task_ids: on approval, go on with these tasks or groups only, of those directly behind.
    :param rejected_task_ids: on any other outcome, go on with these only; ``on_not_approved`` is not used then.
    :param verdict_field: see ``ItsmTicketSensor``. (templated)
    :param verdict_value: likewise. (templated)
    :param require_evidence: likewise.
    :param accept_automatic: likewise. With ``forbid_self_approval`` or ``min_approvers`` a person has to say
        yes in any case.
    :param remind_after: how long after the ticket's opening the people it asks are reminded, if it still waits: a
        timedelta or seconds, or several. Each is sent once, whatever restarts and however many tasks wait.
    :param remind_by: what sends reminders: an Airflow notifier, Airflow's ``SyncCallback`` or ``AsyncCallback``,
        an import path, or several of them. Default: what ``[bkitsm] remind`` names. Nothing secret belongs in it.
    :param working_hours: a :class:`~airflow_provider_bkitsm.itsm.reminders.WorkingHours`, or its arguments as a
        mapping: what is due outside of them waits until they begin. Default: any time.
    :param escalate_after: how long after the ticket's opening it is escalated, once: a timedelta or seconds.
    :param escalate_to: the further approvers. ITSM is asked to hand the ticket's steps over to them, where its
        service allows that, and they are told. It is never an approval. (templated)
    :param poke_interval: seconds between two looks, should the callback not come.
    :param end_from_trigger: let an approval end the task with no worker, wherever nothing is lost by it; takes
        ``compare_parameters=False``.
    """

    template_fields: Sequence[str] = (
        *ItsmCreateTicketOperator.template_fields,
        "approval_timeout",
        "verdict_field",
        "verdict_value",
        "escalate_to",
    )
    ui_color = "#d9ead3"
    # What a branch has skipped stays skipped when it is cleared, as behind Airflow's own branch operators.
    _can_skip_downstream: bool = True
    _digest_at_start: str | None = None
    _opened_sn: str | None = None

    def __init__(
        self,
        *,
        approval_timeout: timedelta | float | str | None = DEFAULT_APPROVAL_TIMEOUT,
        on_not_approved: OnNotApproved = "fail",
        on_timeout: OnAbandoned | None = None,
        on_kill: OnAbandoned | None = None,
        digest_field: str | None = None,
        compare_parameters: bool = True,
        approved_task_ids: str | Iterable[str] | None = None,
        rejected_task_ids: str | Iterable[str] | None = None,
        verdict_field: str | None = None,
        verdict_value: str | None = None,
        require_evidence: bool | None = None,
        accept_automatic: bool | None = None,
        remind_after: Times | None = None,
        remind_by: Any = None,
        working_hours: WorkingHours | Mapping[str, Any] | None = None,
        escalate_after: timedelta | float | None = None,
        escalate_to: Any = None,
        poke_interval: float = _DEFAULT_POLL_INTERVAL,
        end_from_trigger: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(compare_parameters=compare_parameters, **kwargs)
        self.approval_timeout = check_approval_timeout(approval_timeout)
        self.on_not_approved = check_on_not_approved(on_not_approved)
        usual: OnAbandoned = "keep" if self.approval_key else "withdraw"
        self.on_timeout = check_on_abandoned("on_timeout", on_timeout or usual)
        self.when_killed = check_on_abandoned("on_kill", on_kill or usual)
        self.digest_field = digest_field
        self.approved_task_ids = _listed(approved_task_ids)
        self.rejected_task_ids = _listed(rejected_task_ids)
        self.verdict_field = verdict_field
        self.verdict_value = verdict_value
        self.require_evidence = require_evidence
        self.accept_automatic = accept_automatic
        self.escalate_to = escalate_to
        self.reminders = reminder_settings(
            remind_after=remind_after,
            remind_by=remind_by,
            working_hours=working_hours,
            escalate_after=escalate_after,
            escalate_to=escalate_to,
        )
        self.poke_interval = check_poke_interval(poke_interval)
        needs_worker = compare_parameters or self.approved_task_ids or self.rejected_task_ids
        self.may_end_in_triggerer = end_from_trigger and not needs_worker

    def execute(self, context: Context) -> Any:
        """Open the ticket, or find it in the record, and give the worker back."""
        approval_time(self.approval_timeout)
        self._check_branches()
        request = self.approval_request(context)
        record, digest = self.opened(request, context), self._digest_of(request.question)
        self.wait_in_triggerer(str(record.sn), asked=digest, sn=record.sn, sent=dict(record.request) or None)

    def execute_complete(
        self,
        context: Context,
        event: dict[str, Any] | None = None,
        asked: str | None = None,
        sn: str | None = None,
        sent: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Take the trigger's event; without one the ticket is read again.

        :param asked: digest of the question when the wait began.
        :param sn: number of its ticket; None if an older version began the wait.
        :param sent: what was sent to open it, since its record may be lost or in another machine's store.
        """
        self._digest_at_start, self._opened_sn = asked, sn
        self.take_requester(context)
        # A shared ticket may have been opened for another run: who asks in this one asks as well.
        self._sent = sent and {**sent, JOINED_BY: [self.duties["requester"]]}
        return self.take_event(event, context, asked=asked, sn=sn, sent=sent)

    def ownership(self, sn: str, context: Context) -> Ownership:
        """As the sensor's; but what this task has opened is its own, whatever this Airflow's address is by now."""
        found = super().ownership(sn, context)
        is_moved = not found.is_settled and found.since is None and sn == self._opened_sn
        return replace(found, kind=OwnershipKind.OWN) if is_moved else found

    @property
    def verdict_settings(self) -> dict[str, Any]:
        """As any wait's. Who asks is in it where that counts: an earlier version's trigger does not take it."""
        asked = self._asked_by if self.forbids_self_approval else None
        return self.policy_settings() | ({} if asked is None else {"requester": asked})

    def policy_settings(self) -> dict[str, Any]:
        """Return by what the verdict is read; a change of it is another question. Who asks is no part of that."""
        return {name: value for name, value in super().verdict_settings.items() if name != "requester"}

    def conclude(self, verdict: Verdict, context: Context) -> dict[str, Any]:
        """Go on, fail, skip or branch, by the verdict."""
        if verdict.outcome is Outcome.APPROVED and self.compare_parameters:
            self.compare(verdict.sn, context)
        approved = verdict.outcome is Outcome.APPROVED
        if approved or self.rejected_task_ids is None:
            result = super().conclude(verdict, context)
        else:
            self.log.info("%s", verdict.describe())
            result = verdict.as_dict()
            self.note_verdict(result, context)
        branch = self._branch(context, approved=approved)
        if branch is not None:
            # Airflow ends the task as soon as there is something to skip, and keeps no result of it.
            context["ti"].xcom_push(key="return_value", value=result)
            self.do_branch(context, branch)
        return result

    def compare(self, sn: str, context: Context) -> None:
        """Refuse to go on if the parameters are not those that were approved."""
        now = self.parameters_digest(self.ticket_meta(context))
        if self._digest_at_start in (None, now, *self.legacy_digests()):
            return
        raise AirflowFailException(
            f"ITSM ticket {sn} is approved, but the task's parameters are not those it was asked for with: then"
            f" {self._digest_at_start}, now {now}. Clear the task to ask anew. What changes with time needs"
            " compare_parameters=False"
        )

    def running_digest(self, context: Context) -> str | None:
        """Return the digest of the question as it is rendered now; None where that is no question any more."""
        try:
            return self.question(self.ticket_meta(context)).asked_digest
        except ItsmError as error:
            self.log.warning("What this task would ask now is not known: %s", error)
            return None

    def legacy_digests(self) -> tuple[str, ...]:
        """Return the digests by which versions without approval records showed this question in a ticket."""
        parameters = {name: getattr(self, name) for name in _LEGACY_PARAMETERS}
        fields = self.hook.gateway.dialect.question_form(self.fields) if self.fields else None
        return _legacy_digest(parameters | {"fields": comparable(fields)}), _legacy_digest(parameters)

    def parameters_digest(self, meta: Mapping[str, Any] | None = None) -> str:
        """Return ``sha256:`` and the hex digest of the question, rendered; with a list, of this task's item too.

        :param meta: the ticket's ``meta``, rendered.
        """
        return self._digest_of(self.question(meta))

    def _digest_of(self, question: Question) -> str:
        from airflow_provider_bkitsm.tickets.question import item_digest

        digest = question.digest
        return digest if self.approval_items is None else item_digest([digest, self.approval_item])

    def form(self, tag: str, question: Question) -> dict[str, Any]:
        """Return the submit form, with the digest of the question where the form has a place for it."""
        digest, form = question.digest, super().form(tag, question)
        if self.digest_field:
            return form | {self.digest_field: digest}
        if self.fast_approval and CONTENT in form:
            return form | {CONTENT: f"{form[CONTENT]}\n\n{digest}"}
        return form

    def _check_branches(self) -> None:
        """Refuse branches that are not directly behind this task, before the ticket is opened.

        :raises ItsmConfigurationError: there is one.
        """
        if (dag := self.get_dag()) is None:
            return
        behind = set(self.downstream_task_ids)
        behind |= {
            name
            for name, group in dag.task_group_dict.items()
            if name and any(root.task_id in behind for root in group.roots)
        }
        for parameter in ("approved_task_ids", "rejected_task_ids"):
            unknown = sorted(set(getattr(self, parameter) or ()) - behind)
            if unknown:
                raise ItsmConfigurationError(
                    f"{parameter}: {', '.join(unknown)} is not directly behind task {self.task_id}; there is"
                    f" {', '.join(sorted(behind)) or 'nothing'}. No ticket was opened"
                )

    def _branch(self, context: Context, *, approved: bool) -> list[str] | None:
        """Return the tasks to go on with; None for all.

        The other outcome's tasks are never among them, even if this outcome names none of its own.
        """
        pair = (self.approved_task_ids, self.rejected_task_ids)
        chosen, others = pair if approved else pair[::-1]
        if chosen is not None or others is None:
            return chosen
        return sorted(self.downstream_task_ids - set(self._expand_task_group_roots(context["ti"], others)))


def _legacy_digest(parameters: dict[str, Any]) -> str:
    text = json.dumps(parameters, sort_keys=True, separators=(",", ":"), default=str)
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def _listed(task_ids: str | Iterable[str] | None) -> list[str] | None:
    return [task_ids] if isinstance(task_ids, str) else list(task_ids) if task_ids is not None else None
