# SPDX-License-Identifier: Apache-2.0
"""What happens when a task that waits in a triggerer is ended from outside: its ticket ends (promise P5).

A person marks the task failed, successful or skipped, or ends its run. Airflow then calls the trigger's
``on_kill``. It does so as well when the API server has resumed the task, or when the task was cleared: so Airflow
is asked for the task's state before the ticket is touched.

Airflow cancels a trigger again at each sync, about once a second, also while the trigger's ``on_kill`` runs. So a
:class:`Withdrawal` is an asyncio task of its own, which no cancel of the trigger reaches. If it fails, the log
says so, and the record of the wait stays: see :mod:`airflow_provider_bkitsm.triggers.abandoned_waits`.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from tenacity import AsyncRetrying

from airflow_provider_bkitsm.hooks.itsm import ItsmAsyncHook
from airflow_provider_bkitsm.hooks.store import call_store
from airflow_provider_bkitsm.itsm.wait import ticket_number
from airflow_provider_bkitsm.mixins import map_index
from airflow_provider_bkitsm.tickets.ownership_records import read_ownership
from airflow_provider_bkitsm.tickets.waits import TaskFate, end_reason, task_fate, task_name
from airflow_provider_bkitsm.tickets.withdrawal import async_withdraw_if_open, retry_policy
from airflow_provider_bkitsm.triggers.task_instance import TaskInstanceXComs, task_states

if TYPE_CHECKING:
    from airflow_provider_bkitsm.tickets.ownership import AwaitedTicket
    from airflow_provider_bkitsm.triggers.wait_log import WaitLog

log = logging.getLogger(__name__)

_NEXT_TRY = (
    "As long as the task stays ended, the next look at abandoned waits tries again: one a minute in each triggerer"
    " with a wait on this connection, and CollectorReconcileOperator"
)

# The message of Airflow's cancel (``_USER_ACTION_CANCEL_MSG`` of its triggerer). Another one, of a later Airflow,
# would leave such a kill to the look at abandoned waits.
_KILLED = "__airflow_user_action__"

TaskStates = list[str | None]
"""Airflow's states of one task instance; empty where Airflow does not have it."""


def was_killed() -> bool:
    """Whether the trigger whose clean-up this is ends because of what somebody did to its task.

    A second cancel may interrupt the log's line about the first one: then ``on_kill`` was never called (seen in
    Airflow 3.3.2). A triggerer that stops cancels without a message, or with another one.
    """
    error = sys.exc_info()[1]
    return isinstance(error, asyncio.CancelledError) and error.args == (_KILLED,)


@dataclass(kw_only=True)
class KilledWait:
    """A wait that was ended from outside. A trigger makes it only then: thousands that wait have none.

    :param ticket: the ticket, and the run that waited for it; its number is as the trigger has it.
    :param withdraws: whether the ticket ends with the wait.
    :param task_instance: the task that waited.
    :param trigger_id: Airflow's id of the trigger.
    :param notes: what the wait has written on its task instance.
    :param wait_log: the log of the wait; None: the wait had not begun.
    :param log: the trigger's own logger, whose lines are on the page of the task.
    :param forget: deletes the record of the wait.
    """

    ticket: AwaitedTicket
    withdraws: bool
    task_instance: Any
    trigger_id: int | None
    notes: TaskInstanceXComs
    wait_log: WaitLog | None
    log: Any
    forget: Callable[[], Awaitable[None]]
    _withdrawal: Withdrawal | None = field(default=None, init=False)

    async def end_ticket(self) -> None:
        """End the ticket where that is wanted; the withdrawal goes on although the caller is cancelled.

        :raises Exception: the task's state or the ticket could not be read, and the ticket is as it was.
        """
        if not self.withdraws:
            await self._log_callback()
            return
        if self._withdrawal is None or self._withdrawal.is_over:
            self._withdrawal = Withdrawal(self._withdraw(), sn=self.ticket.sn)
        await self._withdrawal.outlast_cancels()
        self._withdrawal.raise_error()

    async def outlast_cancels(self) -> None:
        """Wait on for the withdrawal, if one has begun."""
        if self._withdrawal is not None:
            await self._withdrawal.outlast_cancels()

    async def _withdraw(self) -> None:
        """End the ticket, but never another task's, whatever number an XCom has brought (P6)."""
        await self._log_callback()
        ticket = replace(self.ticket, sn=ticket_number(self.ticket.sn))
        ownership = await call_store(partial(read_ownership, ticket))
        if not ownership.may_be_ended:
            self.log.warning("ITSM ticket %s stays as it is: %s", self.ticket.sn, ownership.text)
            return
        one = self.task_instance
        fate = await withdraw_on_kill(
            ticket.bkitsm_conn_id,
            sn=ticket.sn,
            task=task_name(one.dag_id, one.run_id, one.task_id, map_index(one)),
            read_states=partial(task_states, one),
        )
        if fate is TaskFate.ENDED:
            await self.forget()

    async def _log_callback(self) -> None:
        """Log that a callback has ended the wait, if one has: Airflow takes its end for a person's."""
        how = await self.notes.end_by_callback(self.ticket.sn, self.trigger_id)
        if how is not None and self.wait_log is not None:
            self.wait_log.ended_by_callback(how)


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
