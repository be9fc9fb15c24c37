# SPDX-License-Identifier: Apache-2.0
"""Ending, in a triggerer, the tickets of abandoned waits (promise P5).

A wait is abandoned if its task was ended while no triggerer ran, or if its withdrawal was not finished.
"""

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
from airflow_provider_bkitsm.hooks.store import call_store
from airflow_provider_bkitsm.itsm.errors import ItsmError
from airflow_provider_bkitsm.tickets.approval_store import installation
from airflow_provider_bkitsm.tickets.waits import (
    RECORD_KEPT,
    TaskFate,
    WaitRecord,
    end_reason,
    open_wait_store,
    state_questions,
    task_fate,
)
from airflow_provider_bkitsm.tickets.withdrawal import async_withdraw_if_open
from airflow_provider_bkitsm.triggers.task_instance import ask_states, task_states

log = logging.getLogger(__name__)

# A task's own triggerer has the first minute for its withdrawal.
WATCH_SECONDS = 60.0


async def withdraw_abandoned(conn_id: str) -> list[str]:
    """End the tickets of a connection whose tasks were ended while they waited; return the tickets' numbers."""
    waits = await call_store(partial(_waiting, conn_id))
    abandoned: list[WaitRecord] = []
    for question in state_questions(waits):
        answer = await ask_states(question.dag_id, run_ids=question.run_ids, task_ids=question.task_ids)
        abandoned += question.not_waiting(answer)
    return await _end_each(conn_id, abandoned) if abandoned else []


async def _end_each(conn_id: str, waits: list[WaitRecord]) -> list[str]:
    ended = []
    async with ItsmAsyncHook(conn_id) as hook:
        for wait in waits:
            try:
                if await _end(hook, wait):
                    ended.append(wait.sn)
            except Exception as error:
                log.warning("ITSM ticket %s, for which %s has waited, is not ended yet: %s", wait.sn, wait, error)
    return ended


def _waiting(conn_id: str) -> list[WaitRecord]:
    return open_wait_store().waiting(installation(), bkitsm_conn_id=conn_id)


async def _end(hook: ItsmAsyncHook, wait: WaitRecord) -> bool:
    states = await task_states(wait)
    if task_fate(states) is not TaskFate.ENDED:
        return False
    withdraws = await call_store(wait.withdraws)
    if withdraws:
        await async_withdraw_if_open(hook, sn=wait.sn, why=end_reason(wait, states))
    try:
        await call_store(lambda: open_wait_store().end_of(wait))
    except ItsmError as error:
        log.warning("%s: %s", RECORD_KEPT.format(sn=wait.sn), error)
    return withdraws


@dataclass
class _Watcher:
    """The asyncio task that watches one connection in one event loop, and for how many waits it does so."""

    task: asyncio.Task[None]
    users: int = field(default=1)


_WATCHERS: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, _Watcher]] = WeakKeyDictionary()


@asynccontextmanager
async def watching_abandoned_waits(conn_id: str) -> AsyncIterator[None]:
    """Watch a connection for abandoned waits, once for all waits of this event loop, until the last has left."""
    loop = asyncio.get_running_loop()
    here = _WATCHERS.setdefault(loop, {})
    if conn_id in here:
        here[conn_id].users += 1
    else:
        # In a context of its own: its messages belong to the log of the triggerer, not to that of one trigger.
        here[conn_id] = _Watcher(loop.create_task(_watch(conn_id), context=Context()))
    try:
        yield
    finally:
        here[conn_id].users -= 1
        if not here[conn_id].users:
            here.pop(conn_id).task.cancel()


async def _watch(conn_id: str) -> None:
    while True:
        await asyncio.sleep(WATCH_SECONDS)
        try:
            await withdraw_abandoned(conn_id)
        except Exception as error:
            log.warning("abandoned waits of connection %s could not be searched for: %s", conn_id, error)
