# SPDX-License-Identifier: Apache-2.0
"""Ending the ticket of a wait that a person gave up, and only then (promise P5)."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from airflow_provider_bkitsm import telemetry
from airflow_provider_bkitsm.hooks.itsm import ItsmAsyncHook
from airflow_provider_bkitsm.itsm.actions import call_off, read_status
from airflow_provider_bkitsm.itsm.errors import ItsmConflictError, ItsmOutcomeUnknownError, ItsmUnavailableError

log = logging.getLogger(__name__)

# By whom Airflow does not say: a person, or a dagrun_timeout.
_WHY = "The Airflow task that waited for this ticket was ended, or its run"
_MAY_PASS = (ItsmConflictError, ItsmOutcomeUnknownError, ItsmUnavailableError)
# A ticket that was just opened can be ended only once its flow has started; Airflow allows 30 s.
_ATTEMPTS, _UNTIL_STARTED = 10, 1.0
# Cleared, about to run again, or merely moved to another triggerer: somebody waits, or will.
_GOES_ON = frozenset({None, "scheduled", "queued", "running", "restarting", "deferred", "up_for_retry"})
_GOES_ON |= {"up_for_reschedule", "awaiting_input"}


async def give_up(task_instance: Any, *, sn: str, conn_id: str) -> None:
    """End a ticket whose task a person marked as failed or successful, or whose run was deleted.

    :raises Exception: the task's state or the ticket could not be read, and the ticket is as it was.
    """
    async with ItsmAsyncHook(conn_id) as hook:
        for left in range(_ATTEMPTS - 1, -1, -1):
            # Asked each time: the person may clear the task meanwhile, which then waits for this ticket.
            if await _goes_on(task_instance):
                break
            try:
                await _end(hook, sn)
                break
            except _MAY_PASS:
                if left == 0:
                    raise
                await asyncio.sleep(_UNTIL_STARTED)


async def _end(hook: ItsmAsyncHook, sn: str) -> None:
    if (await hook.run(read_status(sn))).progress.has_ended:
        return
    account = (await hook.aget_conn()).gateway.username
    status = await hook.run(call_off(sn=sn, account=account, action_message=_WHY))
    log.info("ticket %s is %s: %s", sn, status.current_status, _WHY)
    telemetry.withdrawn(hook.bkitsm_conn_id, status)


async def _goes_on(task_instance: Any) -> bool:
    states = await task_states(task_instance)
    return any(state in _GOES_ON for state in states)


async def task_states(task_instance: Any) -> list[str | None]:
    """Ask Airflow for the state of a task instance; nothing where there is none any more."""
    from airflow.sdk.execution_time import task_runner
    from airflow.sdk.execution_time.comms import GetTaskStates, TaskStatesResult

    one = task_instance
    question = GetTaskStates(
        dag_id=one.dag_id, run_ids=[one.run_id], task_ids=[one.task_id], map_index=one.map_index
    )
    answer = await asyncio.shield(task_runner.SUPERVISOR_COMMS.asend(question))
    if not isinstance(answer, TaskStatesResult):
        raise RuntimeError(f"Airflow does not tell the state of task {one.task_id}: {answer}")
    return [state for tasks in answer.task_states.values() for state in tasks.values()]
