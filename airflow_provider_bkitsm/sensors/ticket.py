# SPDX-License-Identifier: Apache-2.0
"""``ItsmTicketSensor``: waits for the decision on an ITSM ticket."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseSensorOperator, PokeReturnValue

from airflow_provider_bkitsm import telemetry
from airflow_provider_bkitsm.deferral import (
    DEFAULT_APPROVAL_TIMEOUT,
    ApprovalWaitMixin,
    check_approval_timeout,
    check_poke_interval,
)
from airflow_provider_bkitsm.itsm.dialect import ask
from airflow_provider_bkitsm.itsm.duties import check_min_approvers
from airflow_provider_bkitsm.itsm.errors import ItsmError, ItsmTicketNotFoundError, ItsmUnavailableError
from airflow_provider_bkitsm.itsm.reminders import Times, WorkingHours
from airflow_provider_bkitsm.itsm.wait import MISSING_LOOKS, Done, Wait, approval_time, ticket_number
from airflow_provider_bkitsm.links.ticket import ItsmTicketLink, show_ticket
from airflow_provider_bkitsm.mixins import (
    OnAbandoned,
    OnNotApproved,
    check_on_abandoned,
    check_on_not_approved,
    map_index,
)
from airflow_provider_bkitsm.sensors.opener import check_opened_by, opener_of
from airflow_provider_bkitsm.sensors.start_from_trigger import AskedLate, start_args
from airflow_provider_bkitsm.tickets.ownership import NUMBER_LOST
from airflow_provider_bkitsm.tickets.reminder_settings import reminder_settings
from airflow_provider_bkitsm.version_compat import AirflowFailException, AirflowSkipException, airflow_conf

if TYPE_CHECKING:
    from airflow.sdk import Context
    from airflow.triggers.base import StartTriggerArgs


# Airflow's own sensor timeout only guards against a ticket that can never be read: the deadline comes first.
_BEYOND_DEADLINE = timedelta(hours=2)
_LONGEST = timedelta(days=365)
# What a worker does before the wait; if it is somebody else's, a worker has to do it.
_BEFORE = ("execute", "poke", "pre_execute", "wait_in_triggerer")


def _deferrable_by_default() -> bool:
    """Waiting for people is deferrable unless ``AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE`` says otherwise.

    Only the environment counts: every ``airflow.cfg`` that Airflow generates spells out its built-in "false".
    """
    section, option = "operators", "default_deferrable"
    said = f"AIRFLOW__{section}__{option}".upper() in os.environ
    return bool(airflow_conf().getboolean(section, option)) if said else True


def _sensor_timeout(approval_timeout: timedelta | float | str | None) -> timedelta:
    if isinstance(approval_timeout, int | float):
        approval_timeout = timedelta(seconds=approval_timeout)
    return approval_timeout + _BEYOND_DEADLINE if isinstance(approval_timeout, timedelta) else _LONGEST


class ItsmTicketSensor(ApprovalWaitMixin, BaseSensorOperator):
    """Waits until an ITSM ticket is approved; anything else is not approved (promise P3, fail closed).

    Returns a JSON object: ``sn``, ``outcome``, ``reason``, ``reason_code``, ``current_status``, ``title``,
    ``ticket_url``, ``decided_at`` (ISO 8601, UTC) and ``approvers``, a list of ``operator``, ``approved``,
    ``remark``, ``decided_at``, and ``automatic`` where ITSM answered by itself.

    :param ticket_sn: number of the ticket, usually ``open_ticket.output``. (templated)
    :param opened_by: id of the task of this DAG that opens the ticket: only the ticket that this task has opened
        in this run counts, whatever number an XCom says. Default: the task that ``ticket_sn`` names, where that
        is one of this provider's operators. ``ask[3]`` is a mapped task's ticket of that index; ``ask,other``
        one that either task has opened. ``anyone`` takes the ticket of any task, run and DAG.
    :param bkitsm_conn_id: connection of type ``bkitsm``. (templated)
    :param approval_timeout: how long people may take, counted from the ticket's creation, so that retries and
        restarts do not start it again: a timedelta or seconds; None waits for ever, 0 not at all. (templated)
    :param on_not_approved: what a rejected, withdrawn, terminated or timed-out ticket does to this task:
        ``fail`` for good (never retried), ``skip``, or ``pass`` with the verdict as XCom, for branching.
    :param on_timeout: what becomes of a ticket that is still open at the deadline: ``keep``, since somebody else
        may wait for it, or ``withdraw``. A decision that comes first wins.
    :param on_kill: likewise, when the waiting task is marked failed, successful or skipped, or its run is ended.
        A restart of Airflow, clearing the task, or deleting its run, never withdraws a ticket. ``withdraw`` takes
        a deferrable wait.
    :param verdict_field: form field that holds the verdict, for services that decide outside an approval
        step; None takes the connection's setting, by default ITSM's own ``approve_result``. (templated)
    :param verdict_value: what that field holds when approved. (templated)
    :param require_evidence: False accepts a yes without a visible approval step behind it.
    :param accept_automatic: True accepts an approval that ITSM gave by itself, since a step had no approver or its
        approver opened the ticket. Default: the connection's setting, by default False.
    :param forbid_self_approval: True takes a ticket for not approved that nobody but its requester has approved,
        also where the task that opened it does not. The requester is the one that its record names, else the
        ticket's creator. Default: as the task that opened it says, else ``[bkitsm] forbid_self_approval``.
    :param min_approvers: so many different people have to have said yes, by the ticket's log. Default: as the task
        that opened it says.
    :param requester: who asked, by name in ITSM, for a ticket of another system. (templated)
    :param remind_after: how long after the ticket's opening the people it asks are reminded, if it still waits: a
        timedelta or seconds, or several. Each is sent once, whatever restarts and however many tasks wait. It
        takes a deferrable wait.
    :param remind_by: what sends reminders: an Airflow notifier, Airflow's ``SyncCallback`` or ``AsyncCallback``,
        an import path, or several of them. Default: what ``[bkitsm] remind`` names. Nothing secret belongs in it.
    :param working_hours: a :class:`~airflow_provider_bkitsm.itsm.reminders.WorkingHours`, or its arguments as a
        mapping: what is due outside of them waits until they begin. Default: any time.
    :param escalate_after: how long after the ticket's opening it is escalated, once: a timedelta or seconds.
    :param escalate_to: the further approvers. ITSM is asked to hand the ticket's steps over to them, where its
        service allows that, and they are told. It is never an approval. (templated)
    :param poke_interval: seconds between two looks; more than 0 for a deferrable wait.
    :param deferrable: wait in the triggerer. Default: True, unless the environment variable
        ``AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE`` says otherwise.
    :param start_from_trigger: begin the wait in the triggerer, with no worker before it. Default: wherever
        that is safe, on Airflow 3.3 and later; a mapped sensor always begins on a worker.
    :param end_from_trigger: let an approval end the task with no worker after it. Default: wherever nothing is
        lost by it (outlets, success callbacks, tasks mapped over the result, listeners and XCom backends need
        a worker). What is not approved always ends on a worker, whose log says who refused and why.
    """

    template_fields: Sequence[str] = (
        "ticket_sn",
        "bkitsm_conn_id",
        "approval_timeout",
        "verdict_field",
        "verdict_value",
        "requester",
        "escalate_to",
    )
    operator_extra_links = (ItsmTicketLink(),)
    ui_color = "#e6f1f2"
    # What Airflow asks a task for when it writes down its DAG.
    start_trigger_args = AskedLate(lambda sensor: sensor._start_args(), of_class=None)
    start_from_trigger = AskedLate(lambda sensor: sensor._start_args() is not None, of_class=False)
    _may_start_in_triggerer = False
    _index = -1
    # How many looks in a row have found no ticket of this number.
    _missing = 0

    def __init__(
        self,
        *,
        ticket_sn: str,
        opened_by: str | None = None,
        bkitsm_conn_id: str = "bkitsm_default",
        approval_timeout: timedelta | float | str | None = DEFAULT_APPROVAL_TIMEOUT,
        on_not_approved: OnNotApproved = "fail",
        on_timeout: OnAbandoned = "keep",
        on_kill: OnAbandoned = "keep",
        verdict_field: str | None = None,
        verdict_value: str | None = None,
        require_evidence: bool | None = None,
        accept_automatic: bool | None = None,
        forbid_self_approval: bool | None = None,
        min_approvers: int | None = None,
        requester: str | None = None,
        remind_after: Times | None = None,
        remind_by: Any = None,
        working_hours: WorkingHours | Mapping[str, Any] | None = None,
        escalate_after: timedelta | float | None = None,
        escalate_to: Any = None,
        deferrable: bool | None = None,
        start_from_trigger: bool = True,
        end_from_trigger: bool = True,
        **kwargs: Any,
    ) -> None:
        check_approval_timeout(approval_timeout)
        kwargs.setdefault("timeout", _sensor_timeout(approval_timeout))
        super().__init__(**kwargs)
        self.ticket_sn = ticket_sn
        self.opened_by = check_opened_by(opened_by)
        # Rendered on a worker, the number no longer says where it comes from.
        self._number_from = ticket_sn
        self.bkitsm_conn_id = bkitsm_conn_id
        self.approval_timeout = approval_timeout
        self.on_not_approved = check_on_not_approved(on_not_approved)
        self.on_timeout = check_on_abandoned("on_timeout", on_timeout)
        self.when_killed = check_on_abandoned("on_kill", on_kill)
        self.verdict_field = verdict_field
        self.verdict_value = verdict_value
        self.require_evidence = require_evidence
        self.accept_automatic = accept_automatic
        self.forbid_self_approval = forbid_self_approval
        self.min_approvers = check_min_approvers(min_approvers)
        self.requester = requester
        self.escalate_to = escalate_to
        self.reminders = reminder_settings(
            remind_after=remind_after,
            remind_by=remind_by,
            working_hours=working_hours,
            escalate_after=escalate_after,
            escalate_to=escalate_to,
        )
        self.deferrable = _deferrable_by_default() if deferrable is None else deferrable
        if self.when_killed == "withdraw" and not self.deferrable:
            raise ValueError(
                'on_kill="withdraw" takes deferrable=True: a stopped worker cannot tell a person from an eviction'
            )
        if self.reminders.plan and not self.deferrable:
            raise ValueError(
                "remind_after and escalate_after take deferrable=True: they are sent by the triggerer"
            )
        if self.deferrable:
            check_poke_interval(self.poke_interval)
        self.may_end_in_triggerer = end_from_trigger
        self._may_start_in_triggerer = start_from_trigger

    def execute(self, context: Context) -> Any:
        """Look once; then defer, or poke as any sensor does."""
        self._take_up(context)
        if not self.deferrable:
            return super().execute(context)
        looked = self._first_look(context)
        return looked.xcom_value if looked else self.wait_in_triggerer(self.ticket_sn)

    def execute_complete(self, context: Context, event: dict[str, Any] | None = None) -> dict[str, Any]:
        """Take the trigger's event; without one the ticket is read again."""
        self._take_up(context)
        return super().execute_complete(context, event)

    def _take_up(self, context: Context) -> None:
        """Learn which task this is, and its ticket's number by the store where a clean-up has deleted the XCom."""
        from airflow_provider_bkitsm.tickets.ownership_records import read_opened_ticket
        from airflow_provider_bkitsm.tickets.waits import NUMBER_KEPT

        self._index = map_index(context["ti"])
        try:
            ticket_number(self.ticket_sn)
        except ItsmError:
            opened, kept = read_opened_ticket(self.awaited("", context)), self._waited_for
            if found := opened or kept:
                reason = NUMBER_LOST if opened else NUMBER_KEPT
                self.log.warning("%s", reason.format(sn=found, opener=self.opener()))
                self.ticket_sn = found

    def _first_look(self, context: Context) -> PokeReturnValue:
        """Look, and honour ``soft_fail`` and ``never_fail``, as Airflow does for every look but this one."""
        try:
            return self.poke(context)
        except AirflowSkipException:
            raise
        except Exception as error:
            if self.never_fail or (self.soft_fail and isinstance(error, AirflowFailException)):
                raise AirflowSkipException(str(error)) from error
            raise

    def own_ticket(self, remembered: Mapping[str, Any]) -> str | None:
        """Return the number as it is rendered now; None where it is gone since the wait began."""
        try:
            return super().own_ticket(remembered) or ticket_number(self.ticket_sn)
        except ItsmError as error:
            self.log.warning("%s", error)
            return None

    def opener(self) -> str | None:
        """Return the id of the task whose ticket this sensor waits for, or ``anyone``; None: none is named."""
        return self.opened_by or opener_of(self, self._number_from, index=self._index)

    def _validate_start_from_trigger_kwargs(self) -> None:
        """Leave out what Airflow looks at while a task is made: its DAG may not be complete."""

    def _start_args(self) -> StartTriggerArgs | None:
        """Return what the trigger is started with; None when a worker starts it."""
        may_start = self._may_start_in_triggerer and self.deferrable and self.uses_builtin_steps(*_BEFORE)
        return start_args(self, {"ticket_sn": self.ticket_sn, **self.trigger_arguments()}) if may_start else None

    def poke(self, context: Context) -> PokeReturnValue:
        """Ask ITSM once. While it cannot be reached the wait goes on, up to the sensor's ``timeout``."""
        from airflow_provider_bkitsm.collectors.errors import StoreUnavailable
        from airflow_provider_bkitsm.itsm.verdict_reading import read_verdict
        from airflow_provider_bkitsm.tickets.withdrawal import refuse_another_dialect

        sn = ticket_number(self.ticket_sn)
        wait = Wait(interval=self.poke_interval)
        try:
            # Where the store cannot be read an approval fails later: nothing counts without its record.
            with suppress(StoreUnavailable):
                refuse_another_dialect(self.hook, sn)
            verdict = self.hook.run(read_verdict(sn, self.hook.verdict_policy(**self.verdict_settings)))
            if not verdict.outcome.is_final:
                wait.deadline = self._look_closer(sn)
        except ItsmError as error:
            return self._could_not_read(error, context)
        self._missing = 0
        show_ticket(context["ti"], verdict.ticket_url)
        step = wait.saw(verdict, datetime.now(UTC))
        if not isinstance(step, Done):
            return PokeReturnValue(is_done=False)
        try:
            settled = self.settled(step.verdict, context)
        except ItsmUnavailableError as error:
            return self._could_not_read(error, context)
        began = context["ti"].start_date
        telemetry.decided(step.verdict, conn_id=self.bkitsm_conn_id, way="poll", began=began)
        return PokeReturnValue(is_done=True, xcom_value=self.conclude(settled, context))

    def _could_not_read(self, error: ItsmError, context: Context) -> PokeReturnValue:
        is_missing = isinstance(error, ItsmTicketNotFoundError)
        if (is_missing and self._is_missing_for_good(context)) or not (is_missing or error.retry_safe):
            raise error
        self.log.warning("ITSM ticket %s could not be read: %s; looking again", self.ticket_sn, error)
        return PokeReturnValue(is_done=False)

    def _is_missing_for_good(self, context: Context) -> bool:
        """Whether ITSM has not known the number for so many looks; in reschedule mode, for their time."""
        self._missing += 1
        first = context["ti"].get_first_reschedule_date(context) if self.reschedule else None
        if first is None:
            return self._missing >= MISSING_LOOKS
        return datetime.now(UTC) - first >= timedelta(seconds=self.poke_interval) * (MISSING_LOOKS - 1)

    def _look_closer(self, sn: str) -> datetime | None:
        """Return an open ticket's deadline; warn of one that asks nobody."""
        from airflow_provider_bkitsm.itsm.stall import describe, is_stalled, is_told_now
        from airflow_provider_bkitsm.tickets.opening_records import read_opened_at

        info, timeout = self.hook.run(ask(lambda itsm: itsm.info(sn))), approval_time(self.approval_timeout)
        told_now = is_told_now(opened=info.created_at, now=datetime.now(UTC), interval=self.poke_interval)
        if told_now and is_stalled(info.progress, info.current_steps):
            self.log.warning("%s", describe(sn, info.current_steps))
        if timeout is None:
            return None
        return (read_opened_at(sn, self.bkitsm_conn_id) or info.created_at) + timeout
