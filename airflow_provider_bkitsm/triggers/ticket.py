# SPDX-License-Identifier: Apache-2.0
"""``ItsmTicketTrigger``: waits for a ticket's decision in the triggerer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from time import monotonic
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TaskSuccessEvent, TriggerEvent

from airflow_provider_bkitsm.approvals.snapshot import TicketSnapshot
from airflow_provider_bkitsm.callback.handover import FIRST_PAUSE_SECONDS, HANDOVER_SECONDS
from airflow_provider_bkitsm.callback.waiters import Waiter, is_template
from airflow_provider_bkitsm.hooks.store import call_store
from airflow_provider_bkitsm.itsm.errors import ItsmError, printable
from airflow_provider_bkitsm.itsm.outcome import Outcome
from airflow_provider_bkitsm.itsm.stall import StepsRead
from airflow_provider_bkitsm.itsm.verdict_reading import verdict_of
from airflow_provider_bkitsm.itsm.wait import Done, Failed, Pause, Step, Wait, approval_time, ticket_number
from airflow_provider_bkitsm.mixins import VerdictPolicyMixin, is_mapped_over, map_index
from airflow_provider_bkitsm.tickets.approval_store import installation
from airflow_provider_bkitsm.tickets.opening_records import read_opened_at
from airflow_provider_bkitsm.tickets.ownership import NUMBER_LOST, AwaitedTicket
from airflow_provider_bkitsm.tickets.ownership_records import read_opened_ticket, read_stored_dialect
from airflow_provider_bkitsm.tickets.round_end import WaitingTask
from airflow_provider_bkitsm.tickets.waits import (
    NOT_MADE_UP_FOR,
    NUMBER_KEPT,
    WaitRecord,
    open_wait_store,
    wait_key,
)
from airflow_provider_bkitsm.triggers.abandoned_waits import watching_abandoned_waits
from airflow_provider_bkitsm.triggers.conclusion import Conclusion
from airflow_provider_bkitsm.triggers.on_kill import KilledWait, was_killed
from airflow_provider_bkitsm.triggers.task_instance import TaskInstanceXComs
from airflow_provider_bkitsm.triggers.wait_log import WaitLog
from airflow_provider_bkitsm.version_compat import AIRFLOW_V_3_3_PLUS

if TYPE_CHECKING:
    from airflow.sdk import Context
    from jinja2 import Environment

    from airflow_provider_bkitsm.itsm.models import TicketState
    from airflow_provider_bkitsm.tickets.poller import TicketWait
    from airflow_provider_bkitsm.tickets.reminder_sending import TicketReminders

# A worker of the version before reads it as an error.
_ON_A_WORKER = {
    "look": True,
    "sn": None,
    "error": "this wait begins on a worker, which cannot",
    "kind": "ItsmError",
}
# Arguments that an earlier version's trigger did not take: they are there only where they are set.
_LATER = ("opened_by", "reminders", "escalate_to")


class ItsmTicketTrigger(VerdictPolicyMixin, BaseTrigger):
    """Asks ITSM for one ticket until it is decided or the deadline has passed.

    Fires once. An approval may end the task; all else hands it to a worker with ``{"verdict": {...}}`` (see
    :class:`~airflow_provider_bkitsm.itsm.verdict.Verdict`), or with ``{"error": "...", "kind": "<class name>"}``
    when the wait cannot go on.

    :param ticket_sn: number of the ticket.
    :param bkitsm_conn_id: connection of type ``bkitsm``.
    :param poll_interval: seconds between two looks; errors back off from there.
    :param approval_timeout: time from the ticket's creation to the deadline, seconds or a timedelta; None waits
        for ever.
    :param verdict_field: see :class:`~airflow_provider_bkitsm.itsm.verdict.VerdictPolicy`; None takes the
        connection's setting.
    :param verdict_value: likewise.
    :param require_evidence: likewise.
    :param accept_automatic: likewise.
    :param forbid_self_approval: likewise.
    :param min_approvers: likewise.
    :param requester: who asks, besides those of whom the record of the ticket says it.
    :param ends_task: whether an approval may end the task without a worker.
    :param after_worker: a worker has just deferred to this trigger.
    :param withdraw_when_killed: whether the ticket ends when the wait is ended from outside.
    :param opened_by: id of the task of this run whose ticket this has to be, or ``anyone``; see
        :class:`~airflow_provider_bkitsm.tickets.ownership.AwaitedTicket`.
    :param reminders: when to remind of the ticket and to escalate it, and with what: JSON text, as
        a sensor's ``reminders.as_text`` writes it.
    :param escalate_to: names of the further approvers, in any spelling of several people.
    """

    # Where thousands wait, each value that a trigger keeps of its own lengthens every full garbage collection of
    # the triggerer: what most never have is a value of the class.
    _unrendered: Exception | None = None
    _fired = False
    _killed: KilledWait | None = None
    _wait: Wait
    _wait_log: WaitLog | None = None
    _notes = TaskInstanceXComs(None)
    _title = ""
    _reminded: TicketReminders | None = None

    def __init__(
        self,
        *,
        ticket_sn: str,
        bkitsm_conn_id: str,
        poll_interval: float,
        approval_timeout: timedelta | float | str | None,
        verdict_field: str | None = None,
        verdict_value: str | None = None,
        require_evidence: bool | None = None,
        accept_automatic: bool | None = None,
        forbid_self_approval: bool | None = None,
        min_approvers: int | None = None,
        requester: str | None = None,
        ends_task: bool = False,
        after_worker: bool = False,
        withdraw_when_killed: bool = False,
        opened_by: str | None = None,
        reminders: str | None = None,
        escalate_to: Any = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.ticket_sn = ticket_sn
        self.bkitsm_conn_id = bkitsm_conn_id
        self.poll_interval = poll_interval
        self.approval_timeout = approval_timeout
        self.verdict_field = verdict_field
        self.verdict_value = verdict_value
        self.require_evidence = require_evidence
        self.accept_automatic = accept_automatic
        self.forbid_self_approval = forbid_self_approval
        self.min_approvers = min_approvers
        self.requester = requester
        self.ends_task = ends_task
        self.after_worker = after_worker
        self.withdraw_when_killed = withdraw_when_killed
        self.opened_by = opened_by
        self.reminders = reminders
        self.escalate_to = escalate_to
        # Rendered, a number no longer says that an XCom, which others can write, has brought it.
        self._number_is_stored = isinstance(ticket_sn, str) and not is_template(ticket_sn)

    @property
    def log(self) -> Any:
        """Return the one logger of this class: Airflow's own are one each, of nine objects."""
        return self.logger()

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return class path and arguments; none of them is a secret."""
        return f"{type(self).__module__}.{type(self).__qualname__}", {
            "ticket_sn": self.ticket_sn,
            "bkitsm_conn_id": self.bkitsm_conn_id,
            "poll_interval": self.poll_interval,
            "approval_timeout": self.approval_timeout,
            "ends_task": self.ends_task,
            "after_worker": self.after_worker,
            "withdraw_when_killed": self.withdraw_when_killed,
            **{name: value for name in _LATER if (value := getattr(self, name)) is not None},
            **self.verdict_settings,
        }

    def render_template_fields(self, context: Context, jinja_env: Environment | None = None) -> None:
        """Render the arguments; where that fails, a worker renders them. What a worker has rendered stays.

        In a triggerer Airflow cannot read the XComs of every run: some run ids break the request. By itself it
        renders there what is not defined as nothing, as no worker does.
        """
        if self.after_worker:
            return
        try:
            super().render_template_fields(context, jinja_env or _strict_jinja())
        except Exception as error:
            self._unrendered = error

    def _not_rendered(self) -> Exception | str | None:
        """Return the error of rendering the arguments, or one of them that is a template still, if there is one.

        Airflow renders a trigger where the DAG, as it is by now, lets the task begin in the triggerer. An edited
        DAG may not, while a wait of the DAG before goes on.
        """
        if self._unrendered is not None or self.after_worker:
            return self._unrendered
        arguments = map(str, self.serialize()[1].values())
        return next(filter(is_template, arguments), None)

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, then fire once."""
        if (why := self._not_rendered()) is not None:
            self.log.info("A worker begins this wait, its arguments cannot be rendered here: %s", why)
            yield TriggerEvent(_ON_A_WORKER)  # type: ignore[no-untyped-call]
            return
        self._notes = TaskInstanceXComs(self.task_instance)
        began = monotonic()
        looks: TicketWait | None = None
        step: Done | Failed | None = None
        try:
            looks = await self._begin()
            # The look is awaited here and nowhere deeper, and what it brings is not kept: thousands wait so, and
            # each coroutine in between, and each state, would lengthen every full garbage collection.
            while step is None:
                try:
                    step = await self._take_in(looks, await looks.look(within=_seconds_to(self._wait.deadline)))
                except Exception as error:
                    step = _end(self._missed(error, polled=True))
                if step is None:
                    await self._renew()
        except ItsmError as error:
            step = Failed(error=error)
        except Exception as error:
            self.log.exception("The wait for ITSM ticket %s stopped", self.ticket_sn)
            step = Failed(error=ItsmError(f"{type(error).__name__}: {error}"))
        finally:
            self._remind_no_longer()
            if looks is not None:
                await looks.end()
        event = await self._event_in_time(step, began)
        self._fired = True
        await self._forget_if_ended(step)
        yield event

    async def _event_in_time(self, step: Done | Failed, began: float) -> TriggerEvent:
        """Return what ends the wait, no earlier than the task may go back to a worker, where it does.

        A callback that comes meanwhile may see that it may, and end the wait.
        """
        pause = began + self._pause(HANDOVER_SECONDS)
        ends_here = self.ends_task and isinstance(step, Done) and step.verdict.outcome is Outcome.APPROVED
        if not ends_here:
            await asyncio.sleep(max(0.0, pause - monotonic()))
        event = await self._conclusion().event(step)
        if not isinstance(event, TaskSuccessEvent):
            await asyncio.sleep(max(0.0, pause - monotonic()))
        return event

    def _pause(self, seconds: float) -> float:
        """Return how long to leave a scheduler its time, which there is none of in ``dag.test()``."""
        return seconds if self.after_worker and self.trigger_id is not None else 0.0

    async def on_kill(self) -> None:
        """End the ticket if the task was ended from outside while it waited (P5); Airflow calls this since 3.3.

        :mod:`airflow_provider_bkitsm.triggers.on_kill` does that, and knows which ticket stays as it is.
        """
        if self._fired or self.task_instance is None:
            return
        if self._killed is None:
            self._killed = self._killed_wait()
        await self._killed.end_ticket()

    async def cleanup(self) -> None:
        """Wait on for the withdrawal, or begin it: a second cancel may have come before ``on_kill``, or during it.

        An older Airflow comes only here, after every end of a trigger, restarts included.
        """
        if self._killed is not None and AIRFLOW_V_3_3_PLUS:
            await self._killed.outlast_cancels()
        elif was_killed() if AIRFLOW_V_3_3_PLUS else self.withdraw_when_killed:
            await self.on_kill()

    def _killed_wait(self) -> KilledWait:
        return KilledWait(
            ticket=self._awaited(self.ticket_sn),
            withdraws=self.withdraw_when_killed,
            task_instance=self.task_instance,
            trigger_id=self.trigger_id,
            notes=self._notes,
            wait_log=self._wait_log,
            log=self.log,
            forget=self._forget_wait,
        )

    async def _remember_wait(self, sn: str) -> None:
        """Store that this task waits; one that a worker has deferred is stored already, as a rule."""
        if self.task_instance is None:
            return
        where = self._task_key()
        record = WaitRecord(
            installation=installation(),
            bkitsm_conn_id=self.bkitsm_conn_id,
            sn=sn,
            opened_by=self.opened_by,
            withdraw=self.withdraw_when_killed,
            ti_id=self._ti_id(),
            remind_by=self._remind_by(),
            **where,
        )
        try:
            await call_store(lambda: open_wait_store().begin(record))
        except Exception as error:
            self.log.warning("That task %s waits could not be stored: %s. %s", record, error, NOT_MADE_UP_FOR)

    def _remind_by(self) -> str | None:
        """Return what sends the task's reminders, as it is stored for the pages."""
        senders = json.loads(self.reminders).get("remind_by") if self.reminders else None
        return json.dumps(senders) if senders else None

    def _task_key(self) -> dict[str, Any]:
        names = {name: str(getattr(self.task_instance, name, "")) for name in ("dag_id", "run_id", "task_id")}
        return {**names, "map_index": map_index(self.task_instance)}

    def _ti_id(self) -> str:
        return str(getattr(self.task_instance, "id", ""))

    async def _forget_if_ended(self, step: Done | Failed) -> None:
        """Delete the wait's record where the ticket has ended.

        Another ticket may be open: if the task is ended before a worker has it, the record ends the ticket.
        """
        if isinstance(step, Done) and step.verdict.outcome.progress is not None:
            await self._forget_wait()

    async def _forget_wait(self) -> None:
        """Delete the wait's record before the task goes on: what ends the task later ended no wait."""
        if self.task_instance is None:
            return
        key = wait_key(**self._task_key())
        try:
            await call_store(lambda: open_wait_store().end(key))
        except Exception as error:
            self.log.warning("The record of this wait could not be deleted: %s", error)

    async def _begin(self) -> TicketWait:
        """Register the wait, then begin it.

        :raises ItsmError: there is no number to wait for, or no time that is one.
        """
        from airflow_provider_bkitsm.tickets.poller import TicketWait

        sn = await self._number()
        # For its error: where the opening is read, an error only costs the deadline its exact start.
        approval_time(self.approval_timeout)
        opened, dialect = await self._opening(sn)
        self._wait = Wait(interval=self.poll_interval, deadline=self._after(opened or datetime.now(UTC)))
        await self._register(sn)
        await self._remember_wait(sn)
        # The first look comes after both: it sees what was decided before a callback could find us, or found us
        # when it was too early to go back to a worker.
        await asyncio.sleep(self._pause(FIRST_PAUSE_SECONDS))
        self._wait_log = WaitLog(self.log, sn=sn, wait=self._wait)
        looks = TicketWait(
            self.bkitsm_conn_id,
            sn=sn,
            interval=self.poll_interval,
            created_at=opened,
            dated=self._needs_opening,
            dialect=dialect,
            notes=self._notes,
            steps=True,
            beside=watching_abandoned_waits,
        )
        looks.begin()
        return looks

    async def _number(self) -> str:
        """Return the ticket's number; a record has it where a clean-up has deleted the XCom."""
        try:
            return ticket_number(self.ticket_sn)
        except ItsmError:
            found = None
            if self.task_instance is not None:
                found = await call_store(self._recorded_number)
            if found is None:
                raise
        self.ticket_sn = found
        return found

    def _recorded_number(self) -> str | None:
        """Return the number of the ticket that the opener has opened, or that this try has waited for. Blocks."""
        reason, found = NUMBER_LOST, read_opened_ticket(self._awaited())
        if found is None:
            key = wait_key(**self._task_key())
            reason, found = NUMBER_KEPT, open_wait_store().number_of(key, ti_id=self._ti_id())
        if found is not None:
            self.log.warning("%s", reason.format(sn=found, opener=self.opened_by))
        return found

    async def _opening(self, sn: str) -> tuple[datetime | None, str | None]:
        """Return when a ticket was opened, and in which dialect, as far as it is recorded.

        The time is by our own clock, by which a deadline is counted: ITSM's may differ.
        """

        def read() -> tuple[datetime | None, str | None]:
            opened = read_opened_at(sn, self.bkitsm_conn_id) if self._needs_opening else None
            return opened, read_stored_dialect(sn, self.bkitsm_conn_id)

        try:
            return await call_store(read)
        except ItsmError as error:
            self.log.warning("%s: the deadline goes by ITSM's clock", error)
            return None, None

    def _see_steps(self, steps: StepsRead) -> None:
        """Say in the log whom the ticket asks, and note it for the approvals pages."""
        status = steps.status
        if self._wait_log is not None:
            self._wait_log.steps(status, steps.stalled)
        snapshot = TicketSnapshot(
            progress=status.progress,
            read_at=datetime.now(UTC),
            title=self._title,
            ticket_url=status.ticket_url,
            step=status.step_names,
            approvers=status.waits_for,
            stalled=steps.stalled,
            deadline=self._wait.deadline,
        )
        self._notes.see(ticket_number(self.ticket_sn), self.bkitsm_conn_id, snapshot)

    async def _register(self, sn: str) -> None:
        """Register the wait for callbacks. Clears ``ends_task`` where tasks are mapped over this task's result."""
        if self.task_instance is None:
            return
        if not self.after_worker:
            await self._notes.forget_results(sn)
        self.ends_task = self.ends_task and not is_mapped_over(getattr(self, "task", None))
        await self._notes.register(sn, self._waiter())

    async def _renew(self) -> None:
        if self.task_instance is not None:
            await self._notes.renew(ticket_number(self.ticket_sn), self._waiter())

    def _waiter(self) -> Waiter:
        return Waiter(
            ti_id=self._ti_id(),
            conn_id=self.bkitsm_conn_id,
            ends_task=self.ends_task,
            after_worker=self.after_worker,
            approval_seconds=None if (time := self._time) is None else time.total_seconds(),
            **self.verdict_settings,
        )

    async def _take_in(self, looks: TicketWait, news: TicketState | StepsRead) -> Done | Failed | None:
        """Take in the ticket's state or its steps; return what ends the wait, if anything does."""
        if isinstance(news, StepsRead):
            self._see_steps(news)
            return None
        return await self._take_in_state(looks, news)

    async def _take_in_state(self, looks: TicketWait, row: TicketState) -> Done | Failed | None:
        try:
            self._title = row.title
            if not self.after_worker:
                await self._notes.show(row.ticket_url)
            policy = await looks.hook.verdict_policy(**self.verdict_settings)
            verdict = await looks.hook.run(verdict_of(row, policy))
            if looks.created_at is not None:
                self._wait.deadline = self._after(looks.created_at)
            looks.known = row.current_status
            self._remind_of(looks)
        except Exception as error:
            step = self._missed(error)
            # The poll paces itself. Whatever else is read for one ticket has this pause.
            if isinstance(step, Pause):
                looks.rest(step.seconds / 2)
            return _end(step)
        step = self._wait.saw(verdict, datetime.now(UTC))
        if isinstance(step, Pause) and self._wait_log is not None:
            self._wait_log.begun(row.ticket_url, called_back=self._notes.is_called_back(row.title))
        return _end(step)

    @property
    def _time(self) -> timedelta | None:
        return approval_time(self.approval_timeout)

    @property
    def _needs_opening(self) -> bool:
        """Whether it counts when the ticket was opened."""
        return self._time is not None or self.reminders is not None

    def _remind_of(self, looks: TicketWait) -> None:
        """Have the people who decide be reminded, from when it is known on when the ticket was opened."""
        opened = looks.created_at
        if self.reminders is None or self._reminded is not None or opened is None:
            return
        from airflow_provider_bkitsm.tickets.reminder_sending import ticket_reminders
        from airflow_provider_bkitsm.tickets.reminder_watch import reminder_watch

        try:
            self._reminded = ticket_reminders(
                self.reminders,
                escalate_to=self.escalate_to,
                awaited=self._awaited(looks.sn),
                policy_settings=self.verdict_settings,
                opened=opened,
                deadline=self._after(opened),
                title=lambda: self._title,
                dialect=looks.dialect,
                handed_over=partial(looks.poller.read_steps, looks.sn),
                task_id=str(getattr(self.task_instance, "task_id", "")),
                map_index=map_index(self.task_instance),
            )
        except Exception as error:
            self.log.warning("Nobody will be reminded of ITSM ticket %s: %s", looks.sn, printable(str(error)))
            self.reminders = None
            return
        reminder_watch().add(self._reminded)

    def _remind_no_longer(self) -> None:
        if self._reminded is not None:
            from airflow_provider_bkitsm.tickets.reminder_watch import reminder_watch

            reminder_watch().discard(self._reminded)

    def _missed(self, error: Exception, *, polled: bool = False) -> Step:
        """Take in that the ticket could not be read."""
        self.log.warning("ITSM ticket %s could not be read: %s", self.ticket_sn, printable(str(error)))
        reason = error if isinstance(error, ItsmError) else ItsmError(f"{type(error).__name__}: {error}")
        return self._wait.missed(reason, datetime.now(UTC), polled=polled)

    def _conclusion(self) -> Conclusion:
        return Conclusion(
            ticket=self._awaited(),
            task=WaitingTask(**self._task_key()),
            task_instance=self.task_instance,
            settings=self.verdict_settings,
            ends_task=self.ends_task,
            after_worker=self.after_worker,
            number_is_stored=self._number_is_stored,
            interval=self.poll_interval,
            notes=self._notes,
            log=self.log,
        )

    def _awaited(self, sn: str = "") -> AwaitedTicket:
        where = {name: str(getattr(self.task_instance, name, "")) for name in ("dag_id", "run_id")}
        return AwaitedTicket(sn=sn, bkitsm_conn_id=self.bkitsm_conn_id, opened_by=self.opened_by, **where)

    def _after(self, start: datetime) -> datetime | None:
        """Return the deadline of a ticket opened at ``start``; the wait's own start is its latest guess."""
        time = self._time
        return None if time is None else start + time


@cache
def _strict_jinja() -> Environment:
    from jinja2 import StrictUndefined
    from jinja2.sandbox import SandboxedEnvironment

    return SandboxedEnvironment(undefined=StrictUndefined, cache_size=0)


def _end(step: Step) -> Done | Failed | None:
    return None if isinstance(step, Pause) else step


def _seconds_to(moment: datetime | None) -> float | None:
    return None if moment is None else (moment - datetime.now(UTC)).total_seconds()
