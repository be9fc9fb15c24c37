# SPDX-License-Identifier: Apache-2.0
"""Ending the ticket of a wait that was ended from outside, and only then (promise P5).

Airflow cancels a trigger again at each sync, about once a second, also while the trigger's ``on_kill`` runs. So a
withdrawal is a task of its own, which no cancel of the trigger reaches. What it cannot finish is in the log, and
its wait's record stays, by which it is made up for: see :mod:`airflow_provider_bkitsm.triggers.abandoned_waits`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Any, TypeVar

from asgiref.sync import sync_to_async

from airflow_provider_bkitsm import telemetry
from airflow_provider_bkitsm.hooks.itsm import ItsmAsyncHook
from airflow_provider_bkitsm.itsm.actions import call_off, read_status
from airflow_provider_bkitsm.itsm.errors import ItsmConflictError, ItsmOutcomeUnknownError, ItsmUnavailableError
from airflow_provider_bkitsm.tickets.ownership_records import read_another_dialect
from airflow_provider_bkitsm.tickets.waits import TaskFate, end_reason, task_fate

log = logging.getLogger(__name__)

T = TypeVar("T")

_MAY_PASS = (ItsmConflictError, ItsmOutcomeUnknownError, ItsmUnavailableError)
# A ticket that was just opened can be ended only once its flow has started; Airflow allows 30 s.
_ATTEMPTS, UNTIL_STARTED_SECONDS = 10, 1.0
# So long a trigger waits for its withdrawal, and so long a withdrawal may take; the first keeps the trigger's log
# open.
HOLD_SECONDS, LONGEST_SECONDS = 60.0, 300.0
_STORE_SECONDS = 30.0
_MADE_UP_FOR = (
    "As long as the task stays ended, the next look at waits that were left tries again: one a minute in each"
    " triggerer with a wait on this connection, and CollectorReconcileOperator"
)

# An event loop refers to its tasks only weakly.
_UNFINISHED: set[asyncio.Task[None]] = set()


class Withdrawal:
    """The end of one ticket, under way in a task of its own."""

    def __init__(self, work: Coroutine[Any, Any, None], *, sn: str) -> None:
        loop = asyncio.get_running_loop()
        self._sn = sn
        self._until = loop.time() + HOLD_SECONDS
        self._task = loop.create_task(_logged(work, sn))
        _UNFINISHED.add(self._task)
        self._task.add_done_callback(_finished)

    @property
    def is_over(self) -> bool:
        """Whether nothing more is done."""
        return self._task.done()

    async def outlast_cancels(self) -> None:
        """Wait for the end of the withdrawal, however often the one who waits is cancelled, but not for ever."""
        loop = asyncio.get_running_loop()
        while not self._task.done() and (left := self._until - loop.time()) > 0:
            try:
                await asyncio.wait({self._task}, timeout=left)
            except asyncio.CancelledError:
                continue
        if not self._task.done():
            log.warning("ITSM ticket %s is not ended yet; the triggerer goes on with it", self._sn)

    def raise_error(self) -> None:
        """Raise what has stopped the withdrawal, if anything has by now."""
        if self._task.done() and not self._task.cancelled():
            self._task.result()


def _finished(task: asyncio.Task[None]) -> None:
    _UNFINISHED.discard(task)
    if not task.cancelled():
        # It is in the log; asyncio is not to say so once more.
        task.exception()


async def _logged(work: Coroutine[Any, Any, None], sn: str) -> None:
    try:
        async with asyncio.timeout(LONGEST_SECONDS):
            await work
    except asyncio.CancelledError:
        log.warning("%s", _left_open(sn, "the triggerer stopped before the ticket was ended"))
        raise
    except Exception as error:
        log.warning("%s", _left_open(sn, f"{type(error).__name__}: {error}"))
        raise


def _left_open(sn: str, why: str) -> str:
    return f"ITSM ticket {sn} MAY STILL BE OPEN, its withdrawal is not finished: {why}. {_MADE_UP_FOR}"


async def give_up(task_instance: Any, *, sn: str, conn_id: str) -> TaskFate:
    """End a ticket whose task was ended from outside; return what became of the task.

    :raises Exception: the task's state or the ticket could not be read, and the ticket is as it was.
    """
    async with ItsmAsyncHook(conn_id) as hook:
        for left in range(_ATTEMPTS - 1, -1, -1):
            # Asked each time: somebody may clear the task meanwhile, which then waits for this ticket.
            states = await task_states(task_instance)
            fate = task_fate(states)
            if fate is not TaskFate.ENDED:
                break
            try:
                await end_ticket(hook, sn, end_reason(_name(task_instance), states))
                break
            except _MAY_PASS as error:
                if left == 0:
                    raise
                log.info("ticket %s cannot be ended yet: %s", sn, error)
                await asyncio.sleep(UNTIL_STARTED_SECONDS)
    if fate is TaskFate.GONE:
        log.warning(
            "ITSM ticket %s stays as it is: Airflow does not have the task %s any more (%s), and nothing shows"
            " that a person wanted its end. A task that comes back waits on",
            sn,
            _name(task_instance),
            ", ".join(map(str, states)) or "no such task",
        )
    return fate


async def end_ticket(hook: ItsmAsyncHook, sn: str, why: str) -> None:
    """End a ticket; one that has ended is left as it is.

    :param why: the remark in ITSM.
    :raises ItsmAnotherDialectError: another ITSM may have a ticket of that number, which is not touched (P6).
    """
    spoken = (await hook.aget_conn()).gateway.dialect.name
    read = partial(read_another_dialect, sn, hook.bkitsm_conn_id, spoken=spoken)
    if another := await in_time(read, seconds=_STORE_SECONDS):
        raise another
    if (await hook.run(read_status(sn))).progress.has_ended:
        return
    account = (await hook.aget_conn()).gateway.username
    status = await hook.run(call_off(sn=sn, account=account, action_message=why))
    log.info("ticket %s is %s: %s", sn, status.current_status, why)
    telemetry.withdrawn(hook.bkitsm_conn_id, status)


def _name(task: Any) -> str:
    index = f"[{task.map_index}]" if task.map_index is not None and task.map_index >= 0 else ""
    return f"{task.dag_id}.{task.task_id}{index}, run {task.run_id}"


async def task_states(task_instance: Any) -> list[str | None]:
    """Ask Airflow for the state of a task instance; nothing where there is none any more."""
    one = task_instance
    found = await ask_states(one.dag_id, run_ids=[one.run_id], task_ids=[one.task_id], map_index=one.map_index)
    return [state for tasks in found.values() for state in tasks.values()]


async def ask_states(
    dag_id: str, *, run_ids: list[str], task_ids: list[str], map_index: int | None = None
) -> Mapping[str, Mapping[str, str | None]]:
    """Ask Airflow for the states of tasks, by run and task id."""
    from airflow.sdk.execution_time import task_runner
    from airflow.sdk.execution_time.comms import GetTaskStates, TaskStatesResult

    question = GetTaskStates(dag_id=dag_id, run_ids=run_ids, task_ids=task_ids, map_index=map_index)
    answer = await asyncio.shield(task_runner.SUPERVISOR_COMMS.asend(question))
    if not isinstance(answer, TaskStatesResult):
        raise RuntimeError(f"Airflow does not tell the state of task {', '.join(task_ids)}: {answer}")
    return answer.task_states


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
