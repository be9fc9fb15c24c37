# SPDX-License-Identifier: Apache-2.0
"""The wait of sensor and approval operator: how it is deferred, what an event means, what a refusal does."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn, assert_never

from airflow_provider_bkitsm.callback.waiters import RESULT_KEYS, is_template
from airflow_provider_bkitsm.itsm.dialect import ask
from airflow_provider_bkitsm.itsm.errors import (
    ItsmAnotherDialectError,
    ItsmError,
    printable,
)
from airflow_provider_bkitsm.itsm.outcome import Outcome
from airflow_provider_bkitsm.itsm.verdict import Verdict, moment
from airflow_provider_bkitsm.itsm.wait import approval_time, ticket_number
from airflow_provider_bkitsm.links.ticket import delete_xcoms, push_for_pages
from airflow_provider_bkitsm.mixins import (
    VERDICT_KEY,
    ItsmHookMixin,
    OnAbandoned,
    OnNotApproved,
    OpenLineageMixin,
    TaskMixin,
    VerdictPolicyMixin,
    is_mapped_over,
    map_index,
    task_can_finish_without_worker,
)
from airflow_provider_bkitsm.tickets.reminder_settings import ReminderSettings
from airflow_provider_bkitsm.tickets.senders import write_senders
from airflow_provider_bkitsm.version_compat import (
    AirflowFailException,
    AirflowSkipException,
    has_xcom_backend,
)

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_bkitsm.tickets.ownership import AwaitedTicket, Ownership

log = logging.getLogger(__name__)


DEFAULT_APPROVAL_TIMEOUT = timedelta(days=7)
# What a worker does after the wait; if it is somebody else's, a worker has to do it.
_AFTER = ("execute_complete", "take_event", "conclude", "pre_execute", "post_execute")
_OUTAGE = timedelta(hours=1)
_TOO_LATE = "Nobody decided while the Airflow task could wait"
_OURS = ("airflow.", "airflow_provider_bkitsm.")


def check_approval_timeout(given: Any) -> Any:
    """Raise, when the DAG is parsed, for what is neither a time nor a template or task output of one.

    :raises ItsmConfigurationError: see :func:`~airflow_provider_bkitsm.itsm.wait.approval_time`.
    """
    if isinstance(given, timedelta | float | int) or (isinstance(given, str) and not is_template(given)):
        approval_time(given)
    return given


def check_poke_interval(given: timedelta | float) -> float:
    """Return the seconds between two looks.

    :raises ValueError: when the DAG is parsed: looks without a pause in between would be one flood of requests.
    """
    seconds = given.total_seconds() if isinstance(given, timedelta) else given
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds < math.inf:
        raise ValueError(f"poke_interval must be more than 0 seconds, not {given!r}")
    return seconds


def act_on_refusal(
    policy: OnNotApproved,
    message: str,
    *,
    context: Context,
    advice: str = "",
    xcoms: Mapping[str, Any] | None = None,
) -> None:
    """Do to a task what its ``on_not_approved`` says: ``pass`` returns, ``skip`` skips it, ``fail`` is final.

    A failed task is not retried: a retry would ask the approver a second time. An XCom backend that fails changes
    nothing about that.

    :param message: why the task is not approved.
    :param advice: is added to the message of a task that fails.
    :param xcoms: what a task that ends without a result leaves for others, by key.
    """
    message = printable(message)
    if policy == "pass":
        log.info("%s", message)
        return
    for key, value in (xcoms or {}).items():
        try:
            context["ti"].xcom_push(key=key, value=value)
        except Exception as error:
            log.warning("%s of this task could not be stored: %r", key, error)
    if policy == "skip":
        raise AirflowSkipException(message)
    if policy == "fail":
        raise AirflowFailException(f"{message}{advice}")
    assert_never(policy)


class ApprovalWaitMixin(ItsmHookMixin, VerdictPolicyMixin, OpenLineageMixin, TaskMixin):
    """A task whose second half is a wait in the triggerer."""

    approval_timeout: timedelta | float | str | None
    on_not_approved: OnNotApproved
    on_timeout: OnAbandoned
    when_killed: OnAbandoned
    # Not "end_from_trigger": beside listeners Airflow refuses every DAG with a task that has this attribute set.
    may_end_in_triggerer: bool
    poke_interval: float
    reminders: ReminderSettings
    escalate_to: Any = None
    _sent: Mapping[str, Any] | None = None
    _task_key: Mapping[str, Any] | None = None
    _ti_id: str | None = None
    # The number this try has waited for, by the wait's record; None where there was no record.
    _waited_for: str | None = None

    def pre_execute(self, context: Context) -> None:
        """Delete the wait's record, but for its number: what ends the task while a worker has it ends no wait."""
        from airflow_provider_bkitsm.tickets.waits import open_wait_store, wait_key

        super().pre_execute(context)
        ti = context["ti"]
        self._task_key = {
            "dag_id": ti.dag_id,
            "run_id": ti.run_id,
            "task_id": ti.task_id,
            "map_index": map_index(ti),
        }
        self._ti_id = str(ti.id)
        try:
            self._waited_for = open_wait_store().take_up(wait_key(**self._task_key), ti_id=self._ti_id)
        except ItsmError as error:
            self.log.warning("The record of the wait of this task could not be deleted: %s", error)

    def execute_complete(self, context: Context, event: dict[str, Any] | None = None) -> dict[str, Any]:
        """Take the trigger's event; called on a worker when the wait is over, and with no event if it got lost."""
        return self.take_event(event, context)

    def take_event(self, event: dict[str, Any] | None, context: Context, **remembered: Any) -> dict[str, Any]:
        """Draw the conclusion from an event, or wait again.

        Airflow brings no event for a task whose trigger is gone: the task was missing from its DAG for a while, or
        a clean-up has deleted the trigger's row. Its ticket says how to go on.

        :param remembered: what ``wait_in_triggerer`` was given. An event about another ticket than the task's own
            ends nothing: the wait goes on, with the same again.
        """
        if event is None or "verdict" not in event:
            self._forget_results(context)
        own = self.own_ticket(remembered)
        if event is None:
            self.log.warning("No trigger waits for ITSM ticket %s any more; the ticket is read again", own)
            return self.execute(context) if own is None else self.look_again(own, context, remembered)
        if event.get("look"):
            return self.look_again(own or _text(event.get("sn")), context, remembered)
        if "error" in event:
            raise _stopped(str(event["error"]))
        verdict = Verdict.from_dict(event["verdict"])
        if own is not None and verdict.sn not in ("", own):
            self.log.warning("An event is about ITSM ticket %s; this task waits for %s", verdict.sn, own)
            self.wait_in_triggerer(own, **remembered)
        return self.conclude(self._settled_or_waiting(verdict, context, own, remembered), context)

    def _forget_results(self, context: Context) -> None:
        """Delete what an earlier round has left: Airflow clears XComs only for tries that begin on a worker."""
        try:
            delete_xcoms(context["ti"], (*RESULT_KEYS, VERDICT_KEY))
        except Exception as error:
            self.log.warning("An earlier round's result could not be deleted: %r", error)

    def _settled_or_waiting(
        self, verdict: Verdict, context: Context, own: str | None, remembered: Mapping[str, Any]
    ) -> Verdict:
        """Return a verdict as it counts; wait again in an outage of ITSM or the store: it does not end this task.

        A wait of its own sees the decision again. After an hour it is no outage, but a call that never works here.
        """
        try:
            return self.settled(verdict, context)
        except ItsmError as error:
            decided = moment(verdict.decided_at)
            if not error.retry_safe or own is None or decided is None or datetime.now(UTC) - decided > _OUTAGE:
                raise
            self.log.warning("How ITSM ticket %s counts could not be read: %s; waiting again", own, error)
            self.wait_in_triggerer(own, **remembered)

    def look_again(self, own: str | None, context: Context, remembered: Mapping[str, Any]) -> dict[str, Any]:
        """Read the task's own ticket; wait again while it is open or cannot be read."""
        from airflow_provider_bkitsm.itsm.verdict_reading import read_verdict
        from airflow_provider_bkitsm.tickets.withdrawal import refuse_another_dialect

        if own is None:
            raise _stopped("a callback came, and it cannot be told which ticket this task waits for")
        try:
            refuse_another_dialect(self.hook, own)
            policy = self.hook.verdict_policy(**self.verdict_settings)
            verdict = self.hook.run(read_verdict(own, policy))
        except ItsmAnotherDialectError:
            raise
        except ItsmError as error:
            self.log.warning("ITSM ticket %s could not be read: %s; waiting again", own, error)
            self.wait_in_triggerer(own, **remembered)
        if not verdict.outcome.is_final:
            self.wait_in_triggerer(own, **remembered)
        return self.conclude(self._settled_or_waiting(verdict, context, own, remembered), context)

    def own_ticket(self, remembered: Mapping[str, Any]) -> str | None:
        """Return the number of the ticket this task waits for; None where the version before deferred it."""
        return _text(remembered.get("sn"))

    def opener(self) -> str | None:
        """Return the id of the task whose ticket this task waits for, or ``anyone``; None where it is not said."""
        return None

    def settled(self, verdict: Verdict, context: Context) -> Verdict:
        """Return a verdict as it counts for this task.

        The ticket of a wait that timed out is ended, if it is to be, and a decision that came first wins (P5). The
        approval of a ticket that was not opened for this task, or shows something else by now, is none.
        """
        from airflow_provider_bkitsm.itsm.confirmation import confirm
        from airflow_provider_bkitsm.tickets.withdrawal import withdraw_on_timeout

        ends = verdict.outcome is Outcome.TIMED_OUT and self.on_timeout == "withdraw"
        if ends or verdict.outcome is Outcome.APPROVED:
            ownership = self.ownership(verdict.sn, context)
            if ends and ownership.may_be_ended:
                policy = self.hook.verdict_policy(**self.verdict_settings)
                try:
                    verdict = withdraw_on_timeout(self.hook, sn=verdict.sn, why=_TOO_LATE, policy=policy)
                except ItsmAnotherDialectError as another:
                    self.log.warning("ITSM ticket %s is not ended: %s", verdict.sn, another)
            elif ends:
                self.log.warning("ITSM ticket %s stays as it is: %s", verdict.sn, ownership.text)
            # Once more for an approval that a callback or the triggerer has brought: they may not reach the record
            # of what was sent, which this task has kept, and their event does not say whether they did.
            counted, request = ownership.applied_to(verdict), self._sent or ownership.request
            verdict = self.hook.run(confirm(counted, request, self.verdict_settings))
        verdict = self.recorded(verdict, context)
        self._seen = verdict.as_dict()
        return verdict

    def recorded(self, verdict: Verdict, context: Context) -> Verdict:
        """Store how the wait ended, for the audit; return the verdict with the address of the task that asked.

        :raises ItsmError: an approval could not be stored, and nothing runs that no record shows. A retry is safe.
        """
        from airflow_provider_bkitsm.tickets.round_end import WaitingTask, record_end

        ti = context["ti"]
        names = {name: str(getattr(ti, name, "")) for name in ("dag_id", "run_id", "task_id")}
        task = WaitingTask(**names, map_index=map_index(ti), runs=self.running_digest(context))
        try:
            return record_end(self.bkitsm_conn_id, verdict, task)
        except ItsmError as error:
            if verdict.outcome is Outcome.APPROVED:
                raise
            self.log.warning("How the wait for ticket %s ended could not be stored: %s", verdict.sn, error)
            return verdict

    def running_digest(self, context: Context) -> str | None:  # noqa: ARG002
        """Return the digest of what this task asks as it is rendered now; None for a task that asks nothing."""
        return None

    def ownership(self, sn: str, context: Context) -> Ownership:
        """Read from the store whose a ticket is; one of before there were records is known by mark and age.

        :raises ItsmError: the store, or the ticket, cannot be read. The ticket is untouched; a retry is safe.
        """
        from airflow_provider_bkitsm.tickets.legacy import clock_behind
        from airflow_provider_bkitsm.tickets.ownership_records import read_ownership

        ticket = self.awaited(sn, context)
        found = read_ownership(ticket)
        if found.since is not None and not found.is_settled:
            info = self.hook.run(ask(lambda itsm: itsm.info(sn)))
            if any(self._is_legacy(info.title, one, context) for one in ticket.of_each_opener):
                found = found.of_ticket_opened_at(info.created_at + clock_behind(self.hook))
        if found.text and found.refusal is None:
            self.log.warning("%s", found.text)
        return found

    def awaited(self, sn: str, context: Context) -> AwaitedTicket:
        """Return a ticket as the one that this task waits for, with who opens it."""
        from airflow_provider_bkitsm.tickets.ownership import AwaitedTicket

        where = {name: str(getattr(context["ti"], name, "")) for name in ("dag_id", "run_id")}
        return AwaitedTicket(sn=sn, bkitsm_conn_id=self.bkitsm_conn_id, opened_by=self.opener(), **where)

    def _is_legacy(self, title: str, ticket: AwaitedTicket, context: Context) -> bool:
        """Whether a ticket has the mark that a version without records gave the opener's."""
        from airflow_provider_bkitsm.tickets.legacy import is_legacy

        dag = self.get_dag()
        opener: Any = dag.task_dict.get(str(ticket.task_id)) if dag is not None else None
        written = opener.partial_kwargs if opener is not None and opener.is_mapped else vars(opener or self)
        names = ("approval_key", "bkitsm_conn_id")
        key, conn_id = (self.render_template(written.get(one), context) for one in names)
        return is_legacy(title, ticket, conn_ids={self.bkitsm_conn_id, str(conn_id)}, approval_key=key)

    def conclude(self, verdict: Verdict, context: Context) -> dict[str, Any]:
        """Return an approval; act on anything else as ``on_not_approved`` says."""
        result = verdict.as_dict()
        self.note_verdict(result, context)
        if verdict.outcome is Outcome.APPROVED:
            if not verdict.evidence_required:
                self.log.warning("Approval of %s was accepted without looking for an approval step", verdict.sn)
            self.log.info("%s", verdict.describe())
            return result
        message = verdict.describe()
        if verdict.outcome is Outcome.TIMED_OUT and verdict.current_status:
            message += f". The ticket is {verdict.current_status} (on_timeout: {self.on_timeout})"
        # The result takes an earlier round's place: Airflow clears XComs only for tries that begin on a worker.
        act_on_refusal(
            self.on_not_approved,
            message,
            context=context,
            advice=". Not approved; this task is not retried",
            xcoms={"verdict": result, **({"return_value": result} if self.do_xcom_push else {})},
        )
        return result

    def note_verdict(self, result: Mapping[str, Any], context: Context) -> None:
        """Write the verdict for the approvals pages where the task's own result may be but a reference."""
        if not has_xcom_backend():
            return
        try:
            push_for_pages(context["ti"], VERDICT_KEY, dict(result))
        except Exception as error:
            self.log.warning("The approvals page will not show this verdict: %r", error)

    def wait_in_triggerer(self, sn: str, /, **remembered: Any) -> NoReturn:
        """Give the worker back until the ticket is decided.

        :param remembered: what ``execute_complete`` is given besides the trigger's event. ``sn`` among it is the
            number of the task's own ticket: an event about another one is refused.
        """
        from airflow_provider_bkitsm.triggers.ticket import ItsmTicketTrigger

        time, arguments = approval_time(self.approval_timeout), self.trigger_arguments()
        self._remember_wait(ticket_number(sn))
        arguments["ticket_sn"] = ticket_number(sn)
        arguments["approval_timeout"] = None if time is None else time.total_seconds()
        arguments["ends_task"] = arguments["ends_task"] and not is_mapped_over(self)
        trigger = ItsmTicketTrigger(**arguments, after_worker=True)
        self.defer(trigger=trigger, method_name="execute_complete", kwargs=remembered)

    def _remember_wait(self, sn: str) -> None:
        """Store that this task waits, before the triggerer takes it up: it may be down when the task is ended."""
        from airflow_provider_bkitsm.tickets.approval_store import installation
        from airflow_provider_bkitsm.tickets.waits import NOT_MADE_UP_FOR, WaitRecord, open_wait_store

        if self._task_key is None:
            return
        record = WaitRecord(
            installation=installation(),
            bkitsm_conn_id=self.bkitsm_conn_id,
            sn=sn,
            opened_by=self.opener(),
            withdraw=self.when_killed == "withdraw",
            ti_id=self._ti_id,
            remind_by=write_senders(self.reminders.senders),
            **self._task_key,
        )
        try:
            open_wait_store().begin(record)
        except ItsmError as error:
            self.log.warning("That task %s waits could not be stored: %s. %s", record, error, NOT_MADE_UP_FOR)

    def trigger_arguments(self) -> dict[str, Any]:
        """Return what the trigger takes, but for the ticket's number.

        ``opened_by`` and what is said of reminders are in it only where they are set: a trigger of an earlier
        version does not take them.
        """
        return {
            "bkitsm_conn_id": self.bkitsm_conn_id,
            "poll_interval": self.poke_interval,
            "approval_timeout": self.approval_timeout,
            "withdraw_when_killed": self.when_killed == "withdraw",
            "ends_task": self.may_end_in_triggerer
            and self.uses_builtin_steps(*_AFTER)
            and task_can_finish_without_worker(self),
            **({"opened_by": opener} if (opener := self.opener()) is not None else {}),
            **({"reminders": reminders} if (reminders := self.reminders.as_text) is not None else {}),
            **({"escalate_to": self.escalate_to} if self.reminders.plan.escalate_after is not None else {}),
            **self.verdict_settings,
        }

    def uses_builtin_steps(self, *steps: str) -> bool:
        """Whether steps of a worker are Airflow's or the provider's own: the triggerer can do those as well."""
        return all(getattr(type(self), name).__module__.startswith(_OURS) for name in steps)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _stopped(why: str) -> ItsmError:
    return ItsmError(
        f"the wait for the ITSM ticket stopped: {why}. The ticket is as it was; a retry waits for the same ticket"
        " again"
    )
