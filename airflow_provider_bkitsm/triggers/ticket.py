"""``ItsmTicketTrigger``: waits for a ticket's decision in the triggerer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_bkitsm.itsm.errors import ItsmError
from airflow_provider_bkitsm.itsm.verdict import verdict_of
from airflow_provider_bkitsm.itsm.waiting import Done, Failed, Pause, Step, Wait
from airflow_provider_bkitsm.tasks import ReadsVerdict

if TYPE_CHECKING:
    from airflow_provider_bkitsm.hooks.poller import Wait as Looks

# A trigger that fires in the first moments after a deferral can get its task failed by the executor's late
# report about the worker that deferred it. The sensor has looked just before, so nothing is lost by waiting.
_FIRST_PAUSE = 5.0


class ItsmTicketTrigger(ReadsVerdict, BaseTrigger):
    """Asks ITSM for one ticket until it is decided or the deadline has passed.

    Fires once: ``{"verdict": {...}}`` (see :class:`~airflow_provider_bkitsm.itsm.verdict.Verdict`), or
    ``{"error": "...", "kind": "<class name>"}`` when the wait cannot go on.

    :param ticket_sn: number of the ticket.
    :param bkitsm_conn_id: connection of type ``bkitsm``.
    :param poll_interval: seconds between two looks; errors back off from there.
    :param approval_timeout: seconds from the ticket's creation to the deadline; None waits for ever.
    :param verdict_field: see :class:`~airflow_provider_bkitsm.itsm.verdict.VerdictPolicy`; None takes the
        connection's setting.
    :param verdict_value: likewise.
    :param require_evidence: likewise.
    :param ends_task: whether an approval that ITSM calls back about may end the task without a worker.
    """

    def __init__(
        self,
        *,
        ticket_sn: str,
        bkitsm_conn_id: str,
        poll_interval: float,
        approval_timeout: float | None,
        verdict_field: str | None = None,
        verdict_value: str | None = None,
        require_evidence: bool | None = None,
        ends_task: bool = False,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.ticket_sn = ticket_sn
        self.bkitsm_conn_id = bkitsm_conn_id
        self.poll_interval = poll_interval
        self.approval_timeout = approval_timeout
        self.verdict_field = verdict_field
        self.verdict_value = verdict_value
        self.require_evidence = require_evidence
        self.ends_task = ends_task

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return class path and arguments; none of them is a secret."""
        return f"{type(self).__module__}.{type(self).__qualname__}", {
            "ticket_sn": self.ticket_sn,
            "bkitsm_conn_id": self.bkitsm_conn_id,
            "poll_interval": self.poll_interval,
            "approval_timeout": self.approval_timeout,
            "ends_task": self.ends_task,
            **self.verdict_settings,
        }

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, then fire once."""
        try:
            payload = await self._wait()
        except Exception as error:
            self.log.exception("The wait for ITSM ticket %s stopped", self.ticket_sn)
            payload = _event(Failed(error=ItsmError(f"{type(error).__name__}: {error}")))
        yield TriggerEvent(payload)  # type: ignore[no-untyped-call]

    async def _wait(self) -> dict[str, Any]:
        from airflow_provider_bkitsm.hooks.poller import waiting

        wait = Wait(interval=self.poll_interval, deadline=self._after(datetime.now(UTC)))
        await self._register()
        # The first look comes after both: it sees what was decided before a callback could find us, or found us
        # when it was too early to go back to a worker.
        await asyncio.sleep(_FIRST_PAUSE)
        step: Step = Pause(seconds=0)
        dated = self.approval_timeout is not None
        async with waiting(
            self.bkitsm_conn_id, sn=self.ticket_sn, interval=self.poll_interval, dated=dated
        ) as looks:
            while isinstance(step, Pause):
                step = await self._look(looks, wait)
        return _event(step)

    async def _register(self) -> None:
        from airflow_provider_bkitsm.callback.registering import callbacks_wanted, register
        from airflow_provider_bkitsm.callback.waiters import Waiter

        task_instance = self.task_instance
        if task_instance is None:
            return
        waiter = Waiter(
            ti_id=str(task_instance.id),
            conn_id=self.bkitsm_conn_id,
            ends_task=self.ends_task,
            **self.verdict_settings,
        )
        try:
            if callbacks_wanted():
                await register(task_instance, self.ticket_sn, waiter)
        except Exception as error:
            self.log.warning("ITSM's callback will not find this task, polling will: %r", error)

    async def _look(self, looks: Looks, wait: Wait) -> Step:
        try:
            row = await looks.look(within=_seconds_to(wait.deadline))
            policy = await looks.hook.verdict_policy(**self.verdict_settings)
            verdict = await looks.hook.run(verdict_of(row, policy))
            if looks.created_at is not None:
                wait.deadline = self._after(looks.created_at)
        except Exception as error:
            self.log.warning("ITSM ticket %s could not be read: %s", self.ticket_sn, error)
            known = error if isinstance(error, ItsmError) else ItsmError(f"{type(error).__name__}: {error}")
            return wait.missed(known, datetime.now(UTC))
        return wait.saw(verdict, datetime.now(UTC))

    def _after(self, start: datetime) -> datetime | None:
        """Return the deadline of a ticket opened at ``start``; the wait's own start is its latest guess."""
        return None if self.approval_timeout is None else start + timedelta(seconds=self.approval_timeout)


def _seconds_to(moment: datetime | None) -> float | None:
    return None if moment is None else max(0.0, (moment - datetime.now(UTC)).total_seconds())


def _event(step: Done | Failed) -> dict[str, Any]:
    if isinstance(step, Done):
        return {"verdict": step.verdict.as_dict()}
    return {"error": str(step.error), "kind": type(step.error).__name__}
