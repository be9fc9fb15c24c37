# SPDX-License-Identifier: Apache-2.0
"""What the end of a wait in the triggerer means for its task.

An approval ends the task here where nothing is lost by it. All else hands the task to a worker, which counts the
verdict anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import TaskSuccessEvent, TriggerEvent

from airflow_provider_bkitsm import telemetry
from airflow_provider_bkitsm.hooks.itsm import ItsmAsyncHook
from airflow_provider_bkitsm.hooks.store import call_store
from airflow_provider_bkitsm.itsm.backpressure import backoff
from airflow_provider_bkitsm.itsm.confirmation import confirm, lacks_requester
from airflow_provider_bkitsm.itsm.errors import ItsmError
from airflow_provider_bkitsm.itsm.idempotency import shows_marker
from airflow_provider_bkitsm.itsm.outcome import Outcome
from airflow_provider_bkitsm.itsm.verdict import Verdict
from airflow_provider_bkitsm.itsm.wait import Done, Failed, ticket_number
from airflow_provider_bkitsm.tickets.ownership import AwaitedTicket, Ownership, OwnershipKind
from airflow_provider_bkitsm.tickets.ownership_records import read_ownership
from airflow_provider_bkitsm.tickets.round_end import WaitingTask, record_end
from airflow_provider_bkitsm.version_compat import airflow_can_finish_without_worker

if TYPE_CHECKING:
    from airflow_provider_bkitsm.triggers.task_instance import TaskInstanceXComs

_STORE_LOOKS = 6


@dataclass(kw_only=True)
class Conclusion:
    """Turns what ended a wait into the trigger's event.

    :param ticket: the ticket that the task waits for; only an approval of this one counts.
    :param task: the task that waits, by its names.
    :param task_instance: what Airflow gave the trigger of it; None where it gave nothing.
    :param settings: the task's settings of the verdict policy.
    :param ends_task: whether an approval may end the task without a worker.
    :param after_worker: whether a worker began the wait.
    :param number_is_stored: whether the ticket's number is in the trigger's stored arguments, which no other task
        can write.
    :param interval: seconds between two looks.
    :param notes: the task's XComs.
    :param log: the trigger's logger.
    """

    ticket: AwaitedTicket
    task: WaitingTask
    task_instance: Any
    settings: Mapping[str, Any]
    ends_task: bool
    after_worker: bool
    number_is_stored: bool
    interval: float
    notes: TaskInstanceXComs
    log: Any

    async def event(self, step: Done | Failed) -> TriggerEvent:
        """Return the event: the task's end where nothing is lost by it, else a worker's next step."""
        if isinstance(step, Failed):
            payload = {"error": str(step.error), "kind": type(step.error).__name__}
            return TriggerEvent(payload)  # type: ignore[no-untyped-call]
        try:
            counted = await self._once_it_counts(step.verdict)
        except ItsmError as error:
            return await self.event(Failed(error=error))
        self.log.info("%s", counted.describe())
        self._time_it(counted)
        verdict = counted.seen("poll", datetime.now(UTC))
        if await self._finishes_without_worker(verdict):
            return TaskSuccessEvent()
        return TriggerEvent({"verdict": verdict.as_event()})  # type: ignore[no-untyped-call]

    async def _once_it_counts(self, verdict: Verdict) -> Verdict:
        """Return a verdict as it counts for this task; an outage of the store is waited out for some looks.

        :raises ItsmError: it lasts, and nothing is approved.
        """
        failures = 0
        while True:
            try:
                return await self._as_it_counts(verdict)
            except ItsmError as error:
                self.log.warning("%s", error)
                failures += 1
                if failures == _STORE_LOOKS or not error.retry_safe:
                    raise
            await asyncio.sleep(backoff(self.interval, failures))

    async def _as_it_counts(self, verdict: Verdict) -> Verdict:
        """Return a verdict as it counts for this task: the approval of another task's ticket is none.

        Clears ``ends_task`` where only a worker can decide that. There are two such cases: the ticket has no
        record, and may be older than the records; or a worker has begun the wait, and no record has the request
        that opened the ticket.

        :raises ItsmError: the store cannot be read. Nothing is approved.
        """
        if verdict.outcome is not Outcome.APPROVED or self.task_instance is None:
            return verdict
        ownership = await self._ownership(verdict.sn)
        # The version before did not store who opens the ticket: then the DAG's code says it, on a worker.
        is_named = self.ticket.opened_by is not None or self.number_is_stored
        is_named = is_named or ownership.kind is OwnershipKind.OWN
        is_known = ownership.request is not None or not (self.after_worker and shows_marker(verdict.title))
        is_known = is_known and not lacks_requester(verdict, ownership.request, self.settings)
        self.ends_task = self.ends_task and ownership.is_settled and is_named and is_known
        if not ownership.is_settled:
            return verdict
        counted = ownership.applied_to(verdict)
        # A worker reads the form back itself.
        return await self._read_back(counted, ownership.request) if self.ends_task else counted

    async def _read_back(self, verdict: Verdict, request: Mapping[str, Any] | None) -> Verdict:
        """Return a verdict as it counts by what the ticket shows.

        Clears ``ends_task`` where ITSM cannot be read: a worker tries again.
        """
        try:
            async with ItsmAsyncHook(self.ticket.bkitsm_conn_id) as hook:
                return await hook.run(confirm(verdict, request, self.settings))
        except ItsmError as error:
            self.log.warning("ITSM ticket %s could not be read back, a worker does it: %s", verdict.sn, error)
            self.ends_task = False
            return verdict

    async def _ownership(self, sn: str) -> Ownership:
        return await call_store(partial(read_ownership, replace(self.ticket, sn=ticket_number(sn))))

    def _time_it(self, verdict: Verdict) -> None:
        telemetry.decided(
            verdict,
            conn_id=self.ticket.bkitsm_conn_id,
            way="poll",
            began=getattr(self.task_instance, "start_date", None),
            called_back=self.notes.is_called_back(verdict.title),
        )

    async def _finishes_without_worker(self, verdict: Verdict) -> bool:
        """Whether the task is over with this event; all it leaves behind is written by then."""
        may_end = self.ends_task and self.task_instance is not None and airflow_can_finish_without_worker()
        if not may_end or verdict.outcome is not Outcome.APPROVED:
            return False
        try:
            recorded = await call_store(partial(record_end, self.ticket.bkitsm_conn_id, verdict, self.task))
        except ItsmError as error:
            self.log.warning("The task ends on a worker, its approval could not be stored here: %s", error)
            return False
        return await self.notes.conclude(recorded)
