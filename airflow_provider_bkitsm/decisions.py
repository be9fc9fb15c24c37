# SPDX-License-Identifier: Apache-2.0
"""Waiting for the decision on a ticket and drawing the conclusion: what sensor and approval operator share."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from airflow_provider_bkitsm.itsm.errors import ItsmError
from airflow_provider_bkitsm.itsm.outcome import Outcome
from airflow_provider_bkitsm.tasks import (
    CallsItsm,
    OnAbandoned,
    OnNotApproved,
    ReadsVerdict,
    TaskMixin,
    TellsLineage,
)
from airflow_provider_bkitsm.triggers.ending import ends_without_worker, is_mapped_over
from airflow_provider_bkitsm.version_compat import AirflowFailException, AirflowSkipException

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_bkitsm.itsm.verdict import Verdict

DEFAULT_APPROVAL_TIMEOUT = timedelta(days=7)
# What a worker does after the wait; if it is somebody else's, a worker has to do it.
_AFTER = ("execute_complete", "conclude", "pre_execute", "post_execute")
_TOO_LATE = "Nobody decided while the Airflow task could wait"
_OURS = ("airflow.", "airflow_provider_bkitsm.")


class WaitsForDecision(CallsItsm, ReadsVerdict, TellsLineage, TaskMixin):
    """A task whose second half is a wait in the triggerer."""

    approval_timeout: timedelta | float | str | None
    on_not_approved: OnNotApproved
    on_timeout: OnAbandoned
    when_killed: OnAbandoned
    # Not "end_from_trigger": beside listeners Airflow refuses every DAG with a task that has this attribute set.
    may_end_in_triggerer: bool
    poke_interval: float

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Take the trigger's event; called on a worker when the wait is over."""
        from airflow_provider_bkitsm.itsm.verdict import Verdict

        if "error" in event:
            raise ItsmError(
                f"the wait for the ITSM ticket stopped: {event['error']}. The ticket is as it was; a retry waits"
                " for the same ticket again"
            )
        return self.conclude(self.settled(Verdict.from_dict(event["verdict"])), context)

    def settled(self, verdict: Verdict) -> Verdict:
        """End the ticket of a wait that timed out, if it is to be; a decision that came first wins (P5)."""
        from airflow_provider_bkitsm.hooks.operating import give_up

        if verdict.outcome is Outcome.TIMED_OUT and self.on_timeout == "withdraw":
            policy = self.hook.verdict_policy(**self.verdict_settings)
            verdict = give_up(self.hook, sn=verdict.sn, why=_TOO_LATE, policy=policy)
        self._seen = verdict.as_dict()
        return verdict

    def conclude(self, verdict: Verdict, context: Context) -> dict[str, Any]:
        """Return an approval; fail, skip or pass on anything else, as ``on_not_approved`` says."""
        said = verdict.describe()
        if verdict.outcome is Outcome.APPROVED and not verdict.evidence_required:
            self.log.warning("Approval of %s was accepted without looking for an approval step", verdict.sn)
        if verdict.outcome is Outcome.APPROVED or self.on_not_approved == "pass":
            self.log.info(said)
            return verdict.as_dict()
        context["ti"].xcom_push(key="verdict", value=verdict.as_dict())
        if self.on_not_approved == "skip":
            raise AirflowSkipException(said)
        raise AirflowFailException(f"{said}. Not approved; this task is not retried")

    def wait_in_triggerer(self, sn: str, /, **remembered: Any) -> NoReturn:
        """Give the worker back until the ticket is decided.

        :param remembered: what ``execute_complete`` is given besides the trigger's event.
        """
        from airflow_provider_bkitsm.itsm.waiting import approval_time, ticket_number
        from airflow_provider_bkitsm.triggers.ticket import ItsmTicketTrigger

        time, arguments = approval_time(self.approval_timeout), self.trigger_arguments()
        arguments["ticket_sn"] = ticket_number(sn)
        arguments["approval_timeout"] = time.total_seconds() if time else None
        arguments["ends_task"] = arguments["ends_task"] and not is_mapped_over(self)
        trigger = ItsmTicketTrigger(**arguments, after_worker=True)
        self.defer(trigger=trigger, method_name="execute_complete", kwargs=remembered)

    def trigger_arguments(self) -> dict[str, Any]:
        """Return what the trigger takes, but for the ticket's number."""
        return {
            "bkitsm_conn_id": self.bkitsm_conn_id,
            "poll_interval": self.poke_interval,
            "approval_timeout": self.approval_timeout,
            "withdraw_when_killed": self.when_killed == "withdraw",
            "ends_task": self.may_end_in_triggerer and self.is_ours(*_AFTER) and ends_without_worker(self),
            **self.verdict_settings,
        }

    def is_ours(self, *steps: str) -> bool:
        """Whether steps of a worker are Airflow's or the provider's own, which the triggerer can do as well."""
        return all(getattr(type(self), name).__module__.startswith(_OURS) for name in steps)
