# SPDX-License-Identifier: Apache-2.0
"""The end of a collector's application, complete or failed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_bkitsm.deferral import act_on_refusal
from airflow_provider_bkitsm.itsm.errors import ItsmError, printable
from airflow_provider_bkitsm.itsm.outcome import Outcome
from airflow_provider_bkitsm.mixins import OnAbandoned, OnNotApproved, check_on_abandoned, check_on_not_approved
from airflow_provider_bkitsm.operators.collector_base import VerdictReadingOperator, standing

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_bkitsm.collectors.row import CollectorRow
    from airflow_provider_bkitsm.itsm.verdict import Verdict

_SKIPPED = "the ETL task left no error here; if it was skipped with the wait, give it trigger_rule='none_failed'"
_OVER = "The Airflow run that waited for this ticket has ended"


class CollectorCompleteOperator(VerdictReadingOperator):
    """Ends the application: ``success_apply`` if the approved ETL is provisioned, else ``fail_apply``.

    Give it ``trigger_rule="all_done"`` behind the ETL task. A ticket that is still open by then (the wait timed
    out, was killed or failed) is withdrawn, so that no one decides on it in vain.

    Returns ``state``, ``ticket_sn``, ``outcome`` (``bypassed`` where no approval was needed), ``reason`` and
    ``collector_config_id``. Changes in the log platform since the ETL was written, above all by a native approval,
    are in the reason and in the log.

    :param on_not_approved: what ``fail_apply`` does to this task, and with it to the run: ``fail`` for good,
        ``skip`` or ``pass``.
    :param on_open_ticket: ``withdraw`` a ticket that is still open, or ``keep`` it.
    """

    def __init__(
        self,
        *,
        on_not_approved: OnNotApproved = "fail",
        on_open_ticket: OnAbandoned = "withdraw",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.on_not_approved = check_on_not_approved(on_not_approved)
        self.on_open_ticket = check_on_abandoned("on_open_ticket", on_open_ticket)

    def execute(self, context: Context) -> dict[str, Any]:
        """Complete or fail the application of this run."""
        row = self.own_row(context)
        if row.has_success or (row.is_applying and row.provisioned_at is not None):
            row = self._tell_lineage(self.store.complete(*self.key, tag=row.tag))
            self.log.info("collector %s is complete: %s", row.collector_config_id, row.state.value)
            reason = f"{row.standing if row.is_bypassed else 'approved'} and provisioned"
            return _summary(row, "; ".join((reason, *self._changed_since(row))))
        reason = (row.last_error or "") if row.state == "fail_apply" else self._why_not(row)
        row = self._tell_lineage(self.store.fail(*self.key, tag=row.tag, reason=reason))
        message = f"collector {row.collector_config_id} is {row.state.value}: {reason}"
        act_on_refusal(self.on_not_approved, message, context=context)
        return _summary(row, reason)

    def _changed_since(self, row: CollectorRow) -> list[str]:
        """Return how the log platform differs from what was provisioned; nothing if it cannot be read.

        A native approval writes the payload parked with its ticket over ours, without a trace there.
        """
        from airflow_provider_bkitsm.collectors.current_config import differences

        try:
            detail = self.bklog.get_collector_detail(row.collector_config_id)
        except ItsmError as error:
            self.log.info("not checked whether the ETL is still as provisioned: %s", error)
            return []
        found = differences(row.etl_payload, detail) if row.etl_payload else []
        changes = [f"changed in the log platform since: {'; '.join(found)}"] if found else []
        if detail.is_natively_applying:
            changes.append(
                f"the log platform itself is applying (ticket {detail.get('itsm_ticket_sn')}): if that is"
                " approved, the payload parked there replaces what was approved here"
            )
        for change in changes:
            self.log.warning("collector %s: %s", row.collector_config_id, printable(change))
        return changes

    def _tell_lineage(self, row: CollectorRow) -> CollectorRow:
        if row.outcome is not None and not row.is_bypassed:
            self._seen = row.outcome_detail
        return row

    def _why_not(self, row: CollectorRow) -> str:
        if row.is_bypassed:
            return f"{row.standing}, but its ETL is not provisioned: {row.last_error or _SKIPPED}"
        try:
            row = self._with_ticket(row)
            return self._outcome_of(row) if row.ticket_sn else row.last_error or "no ticket was opened"
        except ItsmError as error:
            held = f"collector {row.collector_config_id} stays {row.state}, ticket {row.ticket_sn or 'unknown'}"
            raise type(error)(f"{error}. {held}: this task, retried or cleared, ends it") from error

    def _outcome_of(self, row: CollectorRow) -> str:
        verdict = self.read_verdict(row)
        if not verdict.outcome.is_final:
            verdict = self._end(row)
        if not verdict.progress.has_ended:
            return f"{verdict.describe()}. The ticket is STILL OPEN: nobody waits for its decision any more"
        row = self.record(row, verdict)
        if row.outcome is Outcome.APPROVED:
            why = row.last_error or "the ETL task left no error here, see its log"
            return f"{verdict.describe()}, but its ETL is not provisioned: {why}. Clear the ETL task to go on"
        return standing(row, verdict)

    def _with_ticket(self, row: CollectorRow) -> CollectorRow:
        """Search for a ticket whose opening was never confirmed, as long as it may still appear."""
        from airflow_provider_bkitsm.tickets.opener import TicketKey, TicketOpener

        if row.ticket_sn is not None or row.create_started_at is None:
            return row
        self.check_dialect(row)
        opener = TicketOpener(hook=self.hook)
        creator = str((row.request or {}).get("creator") or self.asker)
        key = TicketKey(tag=str(row.tag), creator=creator, since=row.create_started_at)
        found = opener.look_for(key, seconds=opener.seconds_left(key))
        if found is None:
            return row
        return self.store.ticket_opened(*self.key, tag=key.tag, sn=found.sn, url=found.ticket_url)

    def _end(self, row: CollectorRow) -> Verdict:
        """Withdraw a ticket that no task waits for any more; a decision that came first wins."""
        from airflow_provider_bkitsm.tickets.withdrawal import withdraw_on_timeout

        sn, policy = str(row.ticket_sn), self.verdict_policy_of(row)
        if self.on_open_ticket == "withdraw":
            return self.confirmed(row, withdraw_on_timeout(self.hook, sn=sn, why=_OVER, policy=policy))
        verdict = self.read_verdict(row)
        return verdict if verdict.outcome.is_final else verdict.timed_out()


def _summary(row: CollectorRow, reason: str) -> dict[str, Any]:
    return {
        "collector_config_id": row.collector_config_id,
        "state": row.state.value,
        "ticket_sn": row.ticket_sn,
        "outcome": "bypassed" if row.is_bypassed else row.outcome.value if row.outcome else None,
        "reason": reason,
    }
