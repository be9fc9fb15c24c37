# SPDX-License-Identifier: Apache-2.0
"""Looking in a triggerer for waits that ended unseen: it was down when their tasks were ended, or gave up (P5)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import Context
from dataclasses import dataclass, field
from functools import partial
from weakref import WeakKeyDictionary

from airflow_provider_bkitsm.hooks.itsm import ItsmAsyncHook
from airflow_provider_bkitsm.tickets.approval_store import installation
from airflow_provider_bkitsm.tickets.waits import (
    TaskFate,
    WaitRecord,
    end_reason,
    open_wait_store,
    state_questions,
    task_fate,
)
from airflow_provider_bkitsm.triggers.giving_up import ask_states, end_ticket, in_time, task_states

log = logging.getLogger(__name__)

# A task's own triggerer gets the first minute.
SECONDS_BETWEEN_LOOKS = 60.0
_STORE_SECONDS = 30.0


async def withdraw_abandoned(conn_id: str) -> list[str]:
    """End the tickets of a connection whose tasks were ended while they waited; return their numbers."""
    waits = await in_time(partial(_waiting, conn_id), seconds=_STORE_SECONDS)
    left: list[WaitRecord] = []
    for question in state_questions(waits):
        answer = await ask_states(question.dag_id, run_ids=question.run_ids, task_ids=question.task_ids)
        left += question.not_waiting(answer)
    return await _end_each(conn_id, left) if left else []


async def _end_each(conn_id: str, left: list[WaitRecord]) -> list[str]:
    ended = []
    async with ItsmAsyncHook(conn_id) as hook:
        for wait in left:
            try:
                if await _end_left(hook, wait):
                    ended.append(wait.sn)
            except Exception as error:
                log.warning("ITSM ticket %s, for which %s has waited, is not ended yet: %s", wait.sn, wait, error)
    return ended


def _waiting(conn_id: str) -> list[WaitRecord]:
    return open_wait_store().waiting(installation(), bkitsm_conn_id=conn_id)


async def _end_left(hook: ItsmAsyncHook, wait: WaitRecord) -> bool:
    states = await task_states(wait)
    if task_fate(states) is not TaskFate.ENDED:
        return False
    withdraws = await in_time(wait.withdraws, seconds=_STORE_SECONDS)
    if withdraws:
        await end_ticket(hook, wait.sn, end_reason(wait, states))
    await in_time(partial(open_wait_store().end_of, wait), seconds=_STORE_SECONDS)
    return withdraws


@dataclass
class _Looker:
    """The one of an event loop and connection that looks, and for how many waits it does."""

    task: asyncio.Task[None]
    users: int = field(default=1)


_LOOKERS: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, _Looker]] = WeakKeyDictionary()


@asynccontextmanager
async def watching_abandoned_waits(conn_id: str) -> AsyncIterator[None]:
    """Let somebody look now and then as long as one of this event loop waits on a connection."""
    loop = asyncio.get_running_loop()
    here = _LOOKERS.setdefault(loop, {})
    if conn_id in here:
        here[conn_id].users += 1
    else:
        # In a context of its own: what it says belongs to the triggerer's log, and to no trigger's.
        here[conn_id] = _Looker(loop.create_task(_look_now_and_then(conn_id), context=Context()))
    try:
        yield
    finally:
        here[conn_id].users -= 1
        if not here[conn_id].users:
            here.pop(conn_id).task.cancel()


async def _look_now_and_then(conn_id: str) -> None:
    while True:
        await asyncio.sleep(SECONDS_BETWEEN_LOOKS)
        try:
            await withdraw_abandoned(conn_id)
        except Exception as error:
            log.warning("waits that were left on connection %s could not be looked for: %s", conn_id, error)
