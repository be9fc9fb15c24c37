# SPDX-License-Identifier: Apache-2.0
"""Ending a ticket that nobody waits for any more (promise P5), on a worker and in the triggerer.

A decision that came first stands. A ticket of another ITSM, which may have the same number, is never touched (P6).
What cannot be ended now is tried again by one retry policy.

Airflow cancels a trigger again at each sync, about once a second, also while the trigger's ``on_kill`` runs. So in
the triggerer a :class:`Withdrawal` is an asyncio task of its own, which no cancel of the trigger reaches. If it
fails, the log says so, and the record of the wait stays: see
:mod:`airflow_provider_bkitsm.triggers.abandoned_waits`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, ClassVar

from tenacity import (
    AsyncRetrying,
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    stop_after_attempt,
    wait_fixed,
)

from airflow_provider_bkitsm import telemetry
from airflow_provider_bkitsm.hooks.itsm import ItsmAsyncHook, ItsmHook
from airflow_provider_bkitsm.hooks.store import call_store
from airflow_provider_bkitsm.itsm.actions import read_status, withdraw_or_terminate
from airflow_provider_bkitsm.itsm.dialect import DialectFlow
from airflow_provider_bkitsm.itsm.errors import (
    ItsmAnotherDialectError,
    ItsmConflictError,
    ItsmError,
    ItsmOutcomeUnknownError,
    ItsmUnavailableError,
)
from airflow_provider_bkitsm.itsm.models import TicketStatus
from airflow_provider_bkitsm.itsm.verdict import Verdict, VerdictPolicy
from airflow_provider_bkitsm.itsm.verdict_reading import read_verdict
from airflow_provider_bkitsm.tickets.ownership_records import read_another_dialect
from airflow_provider_bkitsm.tickets.round_end import record_withdrawal
from airflow_provider_bkitsm.tickets.waits import TaskFate, end_reason, task_fate

log = logging.getLogger(__name__)

# ITSM ends a new ticket only once the ticket's flow has started, which takes a second or two. Airflow gives
# ``on_kill`` 30 s.
ATTEMPTS = 10
RETRY_SECONDS = 1.0
_NEXT_TRY = (
    "As long as the task stays ended, the next look at abandoned waits tries again: one a minute in each triggerer"
    " with a wait on this connection, and CollectorReconcileOperator"
)

TaskStates = list[str | None]
"""Airflow's states of one task instance; empty where Airflow does not have it."""


def retry_policy(sn: str) -> dict[str, Any]:
    """Return the arguments of tenacity for ending a ticket. A second end of the same ticket does no harm."""
    return {
        "retry": retry_if_exception_type((ItsmConflictError, ItsmOutcomeUnknownError, ItsmUnavailableError)),
        "stop": stop_after_attempt(ATTEMPTS),
        "wait": wait_fixed(RETRY_SECONDS),
        "before_sleep": partial(_log_failure, sn),
        "reraise": True,
    }


def _log_failure(sn: str, state: RetryCallState) -> None:
    log.info("ticket %s cannot be ended yet: %s", sn, state.outcome and state.outcome.exception())


# -- on a worker ---------------------------------------------------------------------------------------------


def withdraw(hook: ItsmHook, *, sn: str, why: str, sleep: Callable[[float], None] = time.sleep) -> TicketStatus:
    """End a ticket; see :func:`~airflow_provider_bkitsm.itsm.actions.withdraw_or_terminate`.

    :param why: the reason, which the ticket's log shows.
    :raises ItsmAnotherDialectError: the ticket is of another ITSM; nothing was asked.
    :raises ItsmConflictError: ITSM allows neither to withdraw nor to terminate the ticket.
    :raises ItsmOutcomeUnknownError: ITSM's answers are lost; a retry is safe.
    """
    refuse_another_dialect(hook, sn)
    account = hook.gateway.username

    def withdraw_once() -> TicketStatus:
        return hook.run(withdraw_or_terminate(sn=sn, account=account, action_message=why))

    status = Retrying(**retry_policy(sn), sleep=sleep)(withdraw_once)
    _note_end(hook.bkitsm_conn_id, sn, why, status)
    record_withdrawal(hook.bkitsm_conn_id, sn, why=why, status=status)
    return status


def withdraw_on_timeout(hook: ItsmHook, *, sn: str, why: str, policy: VerdictPolicy) -> Verdict:
    """End a ticket whose time is over, and return its verdict. A decision that came first counts.

    A ticket that ITSM lets nobody end stays open; a warning is logged.

    :raises ItsmAnotherDialectError: the ticket is of another ITSM; nothing was asked.
    :raises ItsmError: whether the ticket has ended is not known; a retry is safe.
    """
    try:
        withdraw(hook, sn=sn, why=why)
    except ItsmAnotherDialectError:
        raise
    except ItsmError as error:
        if error.retry_safe or isinstance(error, ItsmOutcomeUnknownError):
            raise
        log.warning("ticket %s STAYS OPEN, nobody waits for it any more: %s", sn, error)
    verdict = hook.run(read_verdict(sn, policy))
    return verdict if verdict.outcome.is_decision else verdict.timed_out()


def withdraw_if_open(hook: ItsmHook, *, sn: str, why: str) -> bool:
    """Try once to end a ticket; return False for a ticket that had ended.

    :raises ItsmAnotherDialectError: the ticket is of another ITSM; nothing was asked.
    :raises ItsmError: as ``withdraw``.
    """
    refuse_another_dialect(hook, sn)
    status = hook.run(_withdraw_open(sn=sn, account=hook.gateway.username, why=why))
    if status is not None:
        _note_end(hook.bkitsm_conn_id, sn, why, status)
        record_withdrawal(hook.bkitsm_conn_id, sn, why=why, status=status)
    return status is not None


def refuse_another_dialect(hook: ItsmHook, sn: str) -> None:
    """Raise ``ItsmAnotherDialectError`` for a ticket of another ITSM: this ITSM may have the same number (P6)."""
    spoken = hook.gateway.dialect.name
    if another := read_another_dialect(sn, hook.bkitsm_conn_id, spoken=spoken):
        raise another


def _withdraw_open(*, sn: str, account: str, why: str) -> DialectFlow[TicketStatus | None]:
    """End a ticket; None for a ticket that had ended."""
    if (yield from read_status(sn)).progress.has_ended:
        return None
    return (yield from withdraw_or_terminate(sn=sn, account=account, action_message=why))


def _note_end(conn_id: str, sn: str, why: str, status: TicketStatus) -> None:
    """Log and count the end of a ticket."""
    log.info("ticket %s is %s: %s", sn, status.current_status, why)
    telemetry.withdrawn(conn_id, status)


# -- in the triggerer ----------------------------------------------------------------------------------------


async def withdraw_on_kill(
    conn_id: str, *, sn: str, task: str, read_states: Callable[[], Awaitable[TaskStates]]
) -> TaskFate:
    """End the ticket of a task that was ended from outside; return what became of the task.

    :param task: the task instance's name for the log and for the remark in ITSM.
    :param read_states: asks Airflow for the states of the task instance.
    :raises Exception: the task's state or the ticket could not be read, and the ticket is as it was.
    """

    async def withdraw_once() -> TaskStates:
        # The state is read at each attempt: a task that was cleared meanwhile waits for this ticket.
        states = await read_states()
        if task_fate(states) is TaskFate.ENDED:
            await async_withdraw_if_open(hook, sn=sn, why=end_reason(task, states))
        return states

    async with ItsmAsyncHook(conn_id) as hook:
        states: TaskStates = await AsyncRetrying(**retry_policy(sn))(withdraw_once)
    fate = task_fate(states)
    if fate is TaskFate.GONE:
        log.warning(
            "ITSM ticket %s stays as it is: Airflow does not have the task %s any more (%s), and nothing shows"
            " that a person wanted its end. A task that comes back waits on",
            sn,
            task,
            ", ".join(map(str, states)) or "no such task",
        )
    return fate


async def async_withdraw_if_open(hook: ItsmAsyncHook, *, sn: str, why: str) -> None:
    """Try once to end a ticket in an event loop; see :func:`withdraw_if_open`."""
    gateway = (await hook.aget_conn()).gateway
    read = partial(read_another_dialect, sn, hook.bkitsm_conn_id, spoken=gateway.dialect.name)
    if another := await call_store(read):
        raise another
    status = await hook.run(_withdraw_open(sn=sn, account=gateway.username, why=why))
    if status is not None:
        _note_end(hook.bkitsm_conn_id, sn, why, status)
        await call_store(partial(record_withdrawal, hook.bkitsm_conn_id, sn, why=why, status=status))


class Withdrawal:
    """The end of one ticket as an asyncio task of its own.

    :cvar hold_seconds: how long a trigger waits for its withdrawal. As long the trigger's log stays open.
    :cvar longest_seconds: how long a withdrawal may take.
    :cvar under_way: the withdrawals of this process; an event loop refers to its tasks only weakly.
    """

    hold_seconds: ClassVar[float] = 60.0
    longest_seconds: ClassVar[float] = 300.0
    under_way: ClassVar[set[asyncio.Task[None]]] = set()

    def __init__(self, work: Coroutine[Any, Any, None], *, sn: str) -> None:
        loop = asyncio.get_running_loop()
        self._sn = sn
        self._until = loop.time() + self.hold_seconds
        self._work = work
        self._task = loop.create_task(self._run())
        self.under_way.add(self._task)
        # Not in the task itself: a task that is cancelled before its first step runs none of its code.
        self._task.add_done_callback(self._report)

    @property
    def is_over(self) -> bool:
        """Whether nothing more is done."""
        return self._task.done()

    async def outlast_cancels(self) -> None:
        """Wait for the end of the withdrawal, however often the waiting trigger is cancelled, but not for ever."""
        loop = asyncio.get_running_loop()
        while not self._task.done() and (left := self._until - loop.time()) > 0:
            try:
                await asyncio.wait({self._task}, timeout=left)
            except asyncio.CancelledError:
                continue
        if not self._task.done():
            log.warning("ITSM ticket %s is not ended yet; the triggerer goes on with it", self._sn)

    def raise_error(self) -> None:
        """Raise the error that stopped the withdrawal, if there is one by now."""
        if self._task.done() and not self._task.cancelled():
            self._task.result()

    async def _run(self) -> None:
        async with asyncio.timeout(self.longest_seconds):
            await self._work

    def _report(self, task: asyncio.Task[None]) -> None:
        """Log what kept the ticket from being ended; asyncio need not log it again."""
        self.under_way.discard(task)
        self._work.close()
        if task.cancelled():
            why = "the triggerer stopped before the ticket was ended"
        elif (error := task.exception()) is not None:
            why = f"{type(error).__name__}: {error}"
        else:
            return
        log.warning(
            "ITSM ticket %s MAY STILL BE OPEN, its withdrawal is not finished: %s. %s", self._sn, why, _NEXT_TRY
        )
