# SPDX-License-Identifier: Apache-2.0
"""``ItsmTicketTrigger``: waits for a ticket's decision in the triggerer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.triggers.base import BaseTrigger, TaskSuccessEvent, TriggerEvent
from asgiref.sync import sync_to_async

from airflow_provider_bkitsm import telemetry
from airflow_provider_bkitsm.callback.waiters import Waiter, is_template
from airflow_provider_bkitsm.hooks.itsm import ItsmAsyncHook
from airflow_provider_bkitsm.itsm.errors import ItsmError, ItsmUnavailableError
from airflow_provider_bkitsm.itsm.idempotency import shows_marker
from airflow_provider_bkitsm.itsm.outcome import Outcome
from airflow_provider_bkitsm.itsm.read_back import confirm
from airflow_provider_bkitsm.itsm.stall import describe as describe_stall
from airflow_provider_bkitsm.itsm.verdict import Verdict
from airflow_provider_bkitsm.itsm.verdict_source import verdict_of
from airflow_provider_bkitsm.itsm.wait import Done, Failed, Pause, Step, Wait, approval_time, ticket_number
from airflow_provider_bkitsm.mixins import VerdictPolicyMixin, is_mapped_over
from airflow_provider_bkitsm.tickets.binding import AwaitedTicket, Binding, Claim
from airflow_provider_bkitsm.triggers.task_instance import TaskInstanceXComs
from airflow_provider_bkitsm.version_compat import AIRFLOW_V_3_3_PLUS, workers_do_no_more

if TYPE_CHECKING:
    from airflow_provider_bkitsm.itsm.models import TicketStatus
    from airflow_provider_bkitsm.tickets.poller import TicketWait

T = TypeVar("T")

# A trigger that fires in the first moments after a deferral can get its task failed by the executor's late
# report about the worker that deferred it. The sensor has looked just before, so nothing is lost by waiting.
_FIRST_PAUSE = 5.0
# The store may wait so long for its file; a triggerer has others to serve.
_STORE_SECONDS = 30.0


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
    :param ends_task: whether an approval may end the task without a worker.
    :param after_worker: a worker has just deferred to this trigger.
    :param withdraw_when_killed: whether the ticket ends when a person ends the wait.
    :param opened_by: id of the task of this run whose ticket this has to be, or ``anyone``; see
        :class:`~airflow_provider_bkitsm.tickets.binding.AwaitedTicket`.
    """

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
        ends_task: bool = False,
        after_worker: bool = False,
        withdraw_when_killed: bool = False,
        opened_by: str | None = None,
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
        self.ends_task = ends_task
        self.after_worker = after_worker
        self.withdraw_when_killed = withdraw_when_killed
        self.opened_by = opened_by
        # Rendered, a number no longer says that an XCom, which others can write, has brought it.
        self._number_is_stored = isinstance(ticket_sn, str) and not is_template(ticket_sn)
        self._fired = False
        self._time: timedelta | None = None
        self._notes = TaskInstanceXComs(None)

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
            **({"opened_by": self.opened_by} if self.opened_by is not None else {}),
            **self.verdict_settings,
        }

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, then fire once."""
        self._notes = TaskInstanceXComs(self.task_instance)
        try:
            step = await self._wait()
        except Exception as error:
            self.log.exception("The wait for ITSM ticket %s stopped", self.ticket_sn)
            step = Failed(error=ItsmError(f"{type(error).__name__}: {error}"))
        event = await self._event(step)
        self._fired = True
        yield event

    async def on_kill(self) -> None:
        """End the ticket if a person gave up the wait for it (P5); Airflow calls this since 3.3.

        It is called as well when the API server has resumed the task, or when the task was cleared.
        """
        from airflow_provider_bkitsm.triggers.giving_up import give_up

        if not self.withdraw_when_killed or self._fired or self.task_instance is None:
            return
        # Never another task's ticket, whatever number an XCom has brought (P6).
        if (await self._binding(self.ticket_sn)).claim is not Claim.FOREIGN:
            await give_up(self.task_instance, sn=ticket_number(self.ticket_sn), conn_id=self.bkitsm_conn_id)

    async def cleanup(self) -> None:
        """Do the same on an older Airflow, which comes here after every end of a trigger, restarts included."""
        if not AIRFLOW_V_3_3_PLUS:
            await self.on_kill()

    async def _wait(self) -> Done | Failed:
        from airflow_provider_bkitsm.tickets.poller import TicketWait

        try:
            sn, self._time = ticket_number(self.ticket_sn), approval_time(self.approval_timeout)
        except ItsmError as error:
            return Failed(error=error)
        opened = None if self._time is None else await self._opened_at(sn)
        wait = Wait(interval=self.poll_interval, deadline=self._after(opened or datetime.now(UTC)))
        await self._register(sn)
        # The first look comes after both: it sees what was decided before a callback could find us, or found us
        # when it was too early to go back to a worker.
        await asyncio.sleep(_FIRST_PAUSE if self.after_worker else 0)
        step = None
        looking = TicketWait(
            self.bkitsm_conn_id,
            sn=sn,
            interval=self.poll_interval,
            dated=self._time is not None and opened is None,
            note=partial(self._notes.polled, self.bkitsm_conn_id),
            on_stall=self._warn_of_stall,
        )
        async with looking as looks:
            while step is None:
                step = _end(await self._look(looks, wait))
        return step

    async def _opened_at(self, sn: str) -> datetime | None:
        """Return when a ticket was opened by our own clock, by which a deadline is counted: ITSM's may differ."""
        from airflow_provider_bkitsm.tickets.binding_records import read_opened_at

        try:
            return await in_time(partial(read_opened_at, sn, self.bkitsm_conn_id), seconds=_STORE_SECONDS)
        except ItsmError as error:
            self.log.warning("%s: the deadline goes by ITSM's clock", error)
            return None

    def _warn_of_stall(self, status: TicketStatus) -> None:
        self.log.warning("%s", describe_stall(self.ticket_sn, status.current_steps))

    async def _register(self, sn: str) -> None:
        if self.task_instance is None:
            return
        if not self.after_worker:
            await self._notes.forget_results(sn)
        self.ends_task = self.ends_task and not is_mapped_over(getattr(self, "task", None))
        waiter = Waiter(
            ti_id=str(self.task_instance.id),
            conn_id=self.bkitsm_conn_id,
            ends_task=self.ends_task,
            after_worker=self.after_worker,
            approval_seconds=None if self._time is None else self._time.total_seconds(),
            **self.verdict_settings,
        )
        await self._notes.register(sn, waiter)

    async def _look(self, looks: TicketWait, wait: Wait) -> Step:
        try:
            row = await looks.look(within=_seconds_to(wait.deadline))
            if not self.after_worker:
                await self._notes.show(row.ticket_url)
            policy = await looks.hook.verdict_policy(**self.verdict_settings)
            verdict = await looks.hook.run(verdict_of(row, policy))
            if looks.created_at is not None:
                wait.deadline = self._after(looks.created_at)
            looks.known = row.current_status
        except Exception as error:
            self.log.warning("ITSM ticket %s could not be read: %s", self.ticket_sn, error)
            known = error if isinstance(error, ItsmError) else ItsmError(f"{type(error).__name__}: {error}")
            return wait.missed(known, datetime.now(UTC))
        return wait.saw(verdict, datetime.now(UTC))

    async def _explained(self, error: ItsmError) -> ItsmError:
        """Return why a wait failed: its ticket may be of another dialect than the connection speaks now."""
        from airflow_provider_bkitsm.tickets.binding_records import read_another_dialect

        try:
            sn, conn_id = ticket_number(self.ticket_sn), self.bkitsm_conn_id
            async with ItsmAsyncHook(conn_id) as hook:
                spoken = (await hook.aget_conn()).gateway.dialect.name
            read = partial(read_another_dialect, sn, conn_id, spoken=spoken)
            return await in_time(read, seconds=_STORE_SECONDS) or error
        except Exception as unread:
            self.log.info("The dialect of ITSM ticket %s could not be read: %s", self.ticket_sn, unread)
            return error

    async def _event(self, step: Done | Failed) -> TriggerEvent:
        """Return what ends the wait: the task itself where nothing is lost by it, else a worker's next step."""
        if isinstance(step, Failed):
            reason = step.error if step.error.retry_safe else await self._explained(step.error)
            payload = {"error": str(reason), "kind": type(reason).__name__}
            return TriggerEvent(payload)  # type: ignore[no-untyped-call]
        try:
            counted = await self._as_it_counts(step.verdict)
        except ItsmError as error:
            self.log.warning("%s", error)
            return await self._event(Failed(error=error))
        self.log.info("%s", counted.describe())
        self._time_it(counted)
        verdict = counted.seen("poll", datetime.now(UTC))
        if await self._ends_here(verdict):
            return TaskSuccessEvent()
        return TriggerEvent({"verdict": verdict.as_dict()})  # type: ignore[no-untyped-call]

    async def _as_it_counts(self, verdict: Verdict) -> Verdict:
        """Return a verdict as it counts for this task: the approval of another task's ticket is none.

        A ticket without a record may be one of before there were records; that is for a worker to find out. So is
        what was sent to open a ticket of ours, where no record says it, and a worker has begun the wait.

        :raises ItsmError: the store cannot be read. Nothing is approved.
        """
        if verdict.outcome is not Outcome.APPROVED or self.task_instance is None:
            return verdict
        binding = await self._binding(verdict.sn)
        # The version before did not store who opens the ticket: then the DAG's code says it, on a worker.
        is_named = self.opened_by is not None or self._number_is_stored or binding.claim is Claim.OWN
        is_known = binding.request is not None or not (self.after_worker and shows_marker(verdict.title))
        self.ends_task = self.ends_task and binding.is_settled and is_named and is_known
        if not binding.is_settled:
            return verdict
        counted = binding.applied_to(verdict)
        # A worker reads the form back itself.
        return await self._read_back(counted, binding.request) if self.ends_task else counted

    async def _read_back(self, verdict: Verdict, request: Mapping[str, Any] | None) -> Verdict:
        """Return a verdict as it counts by what the ticket shows; where that cannot be read a worker tries."""
        try:
            async with ItsmAsyncHook(self.bkitsm_conn_id) as hook:
                return await hook.run(confirm(verdict, request))
        except ItsmError as error:
            self.log.warning("ITSM ticket %s could not be read back, a worker does it: %s", verdict.sn, error)
            self.ends_task = False
            return verdict

    async def _binding(self, sn: str) -> Binding:
        from airflow_provider_bkitsm.tickets.binding_records import read_binding

        where = {name: str(getattr(self.task_instance, name, "")) for name in ("dag_id", "run_id")}
        ticket = AwaitedTicket(
            sn=ticket_number(sn), bkitsm_conn_id=self.bkitsm_conn_id, opened_by=self.opened_by, **where
        )
        return await in_time(partial(read_binding, ticket), seconds=_STORE_SECONDS)

    def _time_it(self, verdict: Verdict) -> None:
        began = getattr(self.task_instance, "start_date", None)
        expected = self._notes.registered and shows_marker(verdict.title)
        telemetry.decided(verdict, conn_id=self.bkitsm_conn_id, way="poll", began=began, called_back=expected)

    async def _ends_here(self, verdict: Verdict) -> bool:
        """Whether the task is over with this event; all it leaves behind is written by then."""
        may_end = self.ends_task and self.task_instance is not None and workers_do_no_more()
        return may_end and verdict.outcome is Outcome.APPROVED and await self._notes.conclude(verdict)

    def _after(self, start: datetime) -> datetime | None:
        """Return the deadline of a ticket opened at ``start``; the wait's own start is its latest guess."""
        return None if self._time is None else start + self._time


def _end(step: Step) -> Done | Failed | None:
    return None if isinstance(step, Pause) else step


def _seconds_to(moment: datetime | None) -> float | None:
    return None if moment is None else max(0.0, (moment - datetime.now(UTC)).total_seconds())


async def in_time(blocking: Callable[[], T], *, seconds: float) -> T:
    """Return what a function returns that blocks, from a thread of its own, so long as nobody waits for ever.

    Not ``asyncio.to_thread``: on Airflow 3.1 only asgiref's threads can ask the triggerer for a connection.

    :raises ItsmUnavailableError: it took too long; it goes on by itself, and nobody hears of it.
    """
    running = asyncio.ensure_future(sync_to_async(blocking, thread_sensitive=False)())
    # Not cut short: on Airflow 3.1 a question that is spoils the answer to the next one.
    done, _ = await asyncio.wait({running}, timeout=seconds)
    if done:
        return running.result()
    running.add_done_callback(lambda late: late.cancelled() or late.exception())
    raise ItsmUnavailableError(
        f"The store of approval records did not answer in {seconds:g} s. The ticket is untouched; a retry is safe"
    )
