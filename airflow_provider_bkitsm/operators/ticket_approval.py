"""The everyday gate: ask people in an ITSM ticket, and go on only when they said yes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_bkitsm.decisions import (
    DEFAULT_APPROVAL_TIMEOUT,
    WaitsForDecision,
    check_on_not_approved,
)
from airflow_provider_bkitsm.itsm.outcome import Outcome
from airflow_provider_bkitsm.operators.ticket_create import ItsmCreateTicketOperator
from airflow_provider_bkitsm.tasks import OnNotApproved
from airflow_provider_bkitsm.version_compat import BranchMixIn

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_bkitsm.itsm.verdict import Verdict

_DEFAULT_POLL_INTERVAL = 60.0


class ItsmApprovalOperator(WaitsForDecision, ItsmCreateTicketOperator, BranchMixIn):
    """Opens a ticket in any service, waits in the triggerer, and returns the approval (promise P3, fail closed).

    One task for what :class:`ItsmCreateTicketOperator` and ``ItsmTicketSensor`` do in two, with the same
    promises; it takes all their parameters. The worker is given back as soon as the ticket is open, and an
    approval ends the task with none, unless it branches or something else needs one.

    Returns the JSON object of ``ItsmTicketSensor``: ``sn``, ``outcome``, ``approvers``, ``decided_at`` ... .

    :param approval_timeout: how long people may take, counted from the ticket's creation: a timedelta or
        seconds; None waits for ever. (templated)
    :param on_not_approved: what a rejected, withdrawn, terminated or timed-out ticket does to this task:
        ``fail`` for good (never retried), ``skip``, or ``pass`` with the verdict as XCom.
    :param approved_task_ids: on approval, go on with these tasks or groups only, of those directly behind.
    :param rejected_task_ids: on anything else, go on with these only, instead of what ``on_not_approved`` says.
    :param verdict_field: see ``ItsmTicketSensor``. (templated)
    :param verdict_value: likewise. (templated)
    :param require_evidence: likewise.
    :param poke_interval: seconds between two looks, should the callback not come.
    :param end_from_trigger: let an approval end the task with no worker, wherever nothing is lost by it.
    """

    template_fields: Sequence[str] = (
        *ItsmCreateTicketOperator.template_fields,
        "approval_timeout",
        "verdict_field",
        "verdict_value",
    )
    ui_color = "#d9ead3"

    def __init__(
        self,
        *,
        approval_timeout: timedelta | float | str | None = DEFAULT_APPROVAL_TIMEOUT,
        on_not_approved: OnNotApproved = "fail",
        approved_task_ids: str | Iterable[str] | None = None,
        rejected_task_ids: str | Iterable[str] | None = None,
        verdict_field: str | None = None,
        verdict_value: str | None = None,
        require_evidence: bool | None = None,
        poke_interval: float = _DEFAULT_POLL_INTERVAL,
        end_from_trigger: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_on_not_approved(on_not_approved)
        self.approval_timeout = approval_timeout
        self.on_not_approved = on_not_approved
        self.approved_task_ids = _listed(approved_task_ids)
        self.rejected_task_ids = _listed(rejected_task_ids)
        self.verdict_field = verdict_field
        self.verdict_value = verdict_value
        self.require_evidence = require_evidence
        self.poke_interval = poke_interval
        self.end_from_trigger = end_from_trigger and not (self.approved_task_ids or self.rejected_task_ids)

    def execute(self, context: Context) -> Any:
        """Open or adopt the ticket, and give the worker back."""
        self.wait_in_triggerer(self.opened(context).sn)

    def conclude(self, verdict: Verdict, context: Context) -> dict[str, Any]:
        """Go on, fail, skip or branch."""
        approved = verdict.outcome is Outcome.APPROVED
        if approved or self.rejected_task_ids is None:
            result = super().conclude(verdict, context)
        else:
            self.log.info(verdict.describe())
            result = verdict.as_dict()
        branch = self._branch(context, approved=approved)
        if branch is not None:
            self.do_branch(context, branch)
        return result

    def _branch(self, context: Context, *, approved: bool) -> list[str] | None:
        """Return what to go on with; None is everything.

        The other answer's tasks are never among it, even where this answer names none of its own.
        """
        pair = (self.approved_task_ids, self.rejected_task_ids)
        mine, others = pair if approved else pair[::-1]
        if mine is not None or others is None:
            return mine
        return sorted(self.downstream_task_ids - set(self._expand_task_group_roots(context["ti"], others)))


def _listed(task_ids: str | Iterable[str] | None) -> list[str] | None:
    return [task_ids] if isinstance(task_ids, str) else list(task_ids) if task_ids is not None else None
