# SPDX-License-Identifier: Apache-2.0
"""The everyday gate: ask people in an ITSM ticket, and go on only when they said yes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_bkitsm.deferral import (
    DEFAULT_APPROVAL_TIMEOUT,
    ApprovalWaitMixin,
    check_approval_timeout,
    check_poke_interval,
)
from airflow_provider_bkitsm.itsm.errors import ItsmConfigurationError
from airflow_provider_bkitsm.itsm.outcome import Outcome
from airflow_provider_bkitsm.mixins import OnAbandoned, OnNotApproved, check_on_abandoned, check_on_not_approved
from airflow_provider_bkitsm.operators.ticket_create import CONTENT, ItsmCreateTicketOperator
from airflow_provider_bkitsm.version_compat import AirflowFailException, BranchMixIn

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_bkitsm.itsm.verdict import Verdict
    from airflow_provider_bkitsm.tickets.question import Question

_DEFAULT_POLL_INTERVAL = 60.0
_ASKED = ("title", "fields", "service_id", "fast_approval")


class ItsmApprovalOperator(ApprovalWaitMixin, ItsmCreateTicketOperator, BranchMixIn):
    """Opens a ticket in any service, waits in the triggerer, and returns the approval (promise P3, fail closed).

    One task for what :class:`ItsmCreateTicketOperator` and ``ItsmTicketSensor`` do in two, with the same
    promises; it takes all their parameters. The worker is given back as soon as the ticket is open. After an
    approval one compares what is about to run with what was asked.

    Returns the JSON object of ``ItsmTicketSensor``: ``sn``, ``outcome``, ``approvers``, ``decided_at`` ... .

    :param approval_timeout: how long people may take, counted from the ticket's creation: a timedelta or
        seconds; None waits for ever, 0 not at all. (templated)
    :param on_not_approved: what a rejected, withdrawn, terminated or timed-out ticket does to this task:
        ``fail`` for good (never retried), ``skip``, or ``pass`` with the verdict as XCom.
    :param on_timeout: what becomes of a ticket that is still open at the deadline: ``withdraw`` or ``keep``. A
        decision that comes first wins. Default: ``withdraw``, but ``keep`` with an ``approval_key``, since others
        may wait for the ticket.
    :param on_kill: likewise, when a person marks the waiting task as failed or successful, or ends its run. A
        restart of Airflow never withdraws a ticket, and clearing the task does what ``on_clear`` says.
    :param digest_field: form field that shows people the whole digest of what is asked; ``fast_approval`` shows
        it below the content. Its beginning ends the title in any case.
    :param compare_parameters: after an approval, compare what would run now (title, fields, service, as
        rendered) with what was asked, and fail for good if it is something else. False leaves that out, and
        the approval may then end the task with no worker.
    :param approved_task_ids: on approval, go on with these tasks or groups only, of those directly behind.
    :param rejected_task_ids: on anything else, go on with these only, instead of what ``on_not_approved`` says.
    :param verdict_field: see ``ItsmTicketSensor``. (templated)
    :param verdict_value: likewise. (templated)
    :param require_evidence: likewise.
    :param accept_automatic: likewise.
    :param poke_interval: seconds between two looks, should the callback not come.
    :param end_from_trigger: let an approval end the task with no worker, wherever nothing is lost by it; takes
        ``compare_parameters=False``.
    """

    template_fields: Sequence[str] = (
        *ItsmCreateTicketOperator.template_fields,
        "approval_timeout",
        "verdict_field",
        "verdict_value",
    )
    ui_color = "#d9ead3"
    # What a branch has skipped stays skipped when it is cleared, as behind Airflow's own branch operators.
    _can_skip_downstream: bool = True
    _asked: str | None = None

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
        self.poke_interval = check_poke_interval(poke_interval)
        needs_worker = compare_parameters or self.approved_task_ids or self.rejected_task_ids
        self.may_end_in_triggerer = end_from_trigger and not needs_worker

    def execute(self, context: Context) -> Any:
        """Open the ticket, or find it in the record, and give the worker back."""
        from airflow_provider_bkitsm.itsm.wait import approval_time

        approval_time(self.approval_timeout)
        self._check_branches()
        record = self.opened(context)
        asked = self.parameters_digest(self.ticket_meta(context))
        self.wait_in_triggerer(str(record.sn), asked=asked, sn=record.sn, sent=dict(record.request) or None)

    def execute_complete(
        self,
        context: Context,
        event: dict[str, Any],
        asked: str | None = None,
        sn: str | None = None,
        sent: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Take the trigger's event.

        :param asked: digest of what was asked when the wait began.
        :param sn: number of the ticket it asked in; None where a version before has begun the wait.
        :param sent: what was sent to open it: the record of it may be lost, or in another machine's store.
        """
        self._asked, self._sent = asked, sent
        return self.take_event(event, context, asked=asked, sn=sn, sent=sent)

    def policy_settings(self) -> dict[str, Any]:
        """Return where the verdict is read: another place is another question."""
        return dict(self.verdict_settings)

    def conclude(self, verdict: Verdict, context: Context) -> dict[str, Any]:
        """Go on, fail, skip or branch."""
        if verdict.outcome is Outcome.APPROVED and self.compare_parameters:
            self.compare(verdict.sn, context)
        approved = verdict.outcome is Outcome.APPROVED
        if approved or self.rejected_task_ids is None:
            result = super().conclude(verdict, context)
        else:
            self.log.info("%s", verdict.describe())
            result = verdict.as_dict()
        branch = self._branch(context, approved=approved)
        if branch is not None:
            # Airflow ends the task as soon as there is something to skip, and keeps no result of it.
            context["ti"].xcom_push(key="return_value", value=result)
            self.do_branch(context, branch)
        return result

    def compare(self, sn: str, context: Context) -> None:
        """Refuse to go on with something else than was asked for."""
        now = self.parameters_digest(self.ticket_meta(context))
        if self._asked in (None, now, *self.legacy_digests()):
            return
        raise AirflowFailException(
            f"ITSM ticket {sn} is approved, but the task's parameters are not those it was asked for with: then"
            f" {self._asked}, now {now}. Clear the task to ask anew. What changes with time needs"
            " compare_parameters=False"
        )

    def legacy_digests(self) -> tuple[str, ...]:
        """Return the digests that versions without approval records showed in a ticket for what is asked now."""
        from airflow_provider_bkitsm.itsm.form import comparable

        asked = {name: getattr(self, name) for name in _ASKED}
        fields = self.hook.gateway.dialect.question_form(self.fields) if self.fields else None
        return _legacy_digest(asked | {"fields": comparable(fields)}), _legacy_digest(asked)

    def parameters_digest(self, meta: Mapping[str, Any] | None = None) -> str:
        """Return ``sha256:`` and the hex digest of what is asked, templates rendered; of a list, by which task.

        :param meta: the ticket's ``meta``, rendered.
        """
        from airflow_provider_bkitsm.tickets.question import item_digest

        digest = self.question(meta).digest
        return digest if self.approval_items is None else item_digest([digest, self.approval_item])

    def form(self, tag: str, question: Question) -> dict[str, Any]:
        """Return the submit form; it shows people the digest of what is asked, where it has a place for it."""
        from airflow_provider_bkitsm.itsm.idempotency import marked_title

        digest = question.digest
        form = super().form(tag, question) | {"title": marked_title(question.title, tag, digest=digest)}
        if self.digest_field:
            return form | {self.digest_field: digest}
        if self.fast_approval and CONTENT in form:
            return form | {CONTENT: f"{form[CONTENT]}\n\n{digest}"}
        return form

    def _check_branches(self) -> None:
        """Refuse branches that are not directly behind this task, before anybody is asked.

        :raises ItsmConfigurationError: an answer could not be followed.
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
        """Return what to go on with; None is everything.

        The other answer's tasks are never among it, even where this answer names none of its own.
        """
        pair = (self.approved_task_ids, self.rejected_task_ids)
        mine, others = pair if approved else pair[::-1]
        if mine is not None or others is None:
            return mine
        return sorted(self.downstream_task_ids - set(self._expand_task_group_roots(context["ti"], others)))


def _legacy_digest(asked: dict[str, Any]) -> str:
    text = json.dumps(asked, sort_keys=True, separators=(",", ":"), default=str)
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def _listed(task_ids: str | Iterable[str] | None) -> list[str] | None:
    return [task_ids] if isinstance(task_ids, str) else list(task_ids) if task_ids is not None else None
