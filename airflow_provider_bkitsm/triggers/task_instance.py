# SPDX-License-Identifier: Apache-2.0
"""What a wait writes on its own task instance: for the callback, for people, and for the tasks behind it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from random import SystemRandom
from time import monotonic
from typing import Any

from airflow_provider_bkitsm.approvals.snapshot import SEEN_KEY, TicketSnapshot
from airflow_provider_bkitsm.callback.signature import callbacks_wanted
from airflow_provider_bkitsm.callback.waiters import (
    POLLED_KEY,
    RESULT_KEYS,
    RESUMED_KEY,
    Waiter,
    registration_key,
    xcoms_of,
)
from airflow_provider_bkitsm.hooks.connection_lookup import path_segment
from airflow_provider_bkitsm.itsm.idempotency import shows_marker
from airflow_provider_bkitsm.itsm.verdict import Verdict
from airflow_provider_bkitsm.mixins import TICKET_URL_KEY, VERDICT_KEY
from airflow_provider_bkitsm.version_compat import has_xcom_backend

log = logging.getLogger(__name__)

_RENEWED_SECONDS = 4 * 3600.0
_RANDOM = SystemRandom()


def _until_renewal() -> float:
    """Return seconds; thousands of waits began when their triggerer did, and are not to ask at once."""
    return _RENEWED_SECONDS * _RANDOM.uniform(0.5, 1.5)


# An event loop refers to its tasks only weakly.
_NOTES: set[asyncio.Task[None]] = set()


class TaskInstanceXComs:
    """The XComs of a waiting task instance; where there is none, nothing is written.

    :param clock: seconds of a clock that never goes back.
    :ivar registered: whether a callback finds the task.
    """

    __slots__ = ("_clock", "_renewed_at", "_shown", "_task_instance", "registered")

    def __init__(self, task_instance: Any, *, clock: Callable[[], float] = monotonic) -> None:
        self._task_instance = task_instance
        self._clock = clock
        self._renewed_at = clock() + _until_renewal()
        self._shown = False
        self.registered = False

    def is_called_back(self, title: str) -> bool:
        """Whether a callback finds this wait: a ticket with our mark was opened with a callback."""
        return self.registered and shows_marker(title)

    async def register(self, sn: str, waiter: Waiter) -> None:
        """Let ITSM's callback find this task; where that fails, polling will do."""
        try:
            if callbacks_wanted():
                await self._push(registration_key(sn), waiter.as_dict())
                self.registered = True
        except Exception as error:
            log.warning("ITSM's callback will not find this task, polling will: %r", error)

    async def renew(self, sn: str, waiter: Waiter) -> None:
        """Register again where a clean-up has deleted the registration; looked for a few times a day.

        Until then a callback finds the task by the wait's record. The approvals page needs the registration, and
        so does an API server that does not share the store.
        """
        now = self._clock()
        if now < self._renewed_at or not callbacks_wanted():
            return
        self._renewed_at = now + _until_renewal()
        try:
            if await self._pull(registration_key(sn)) is None:
                self._shown = False
                await self.register(sn, waiter)
        except Exception as error:
            log.debug("whether a callback still finds this task could not be read: %r", error)

    async def forget_results(self, sn: str) -> None:
        """Delete how an earlier round ended, before this one can be found by a callback.

        Airflow clears XComs only for tries that begin on a worker. A result about this round's own ticket is kept:
        a callback may have ended the task just now.
        """
        try:
            for key in (*RESULT_KEYS, *([VERDICT_KEY] if has_xcom_backend() else [])):
                stored = await self._pull(key)
                if stored is not None and not (isinstance(stored, Mapping) and stored.get("sn") == sn):
                    await self._delete(key)
        except Exception as error:
            log.warning("An earlier round's result could not be deleted: %r", error)

    async def polled(self, conn_id: str) -> None:
        """Note for the approvals pages that ITSM answered a poll; of no account to the wait."""
        try:
            await self._push(POLLED_KEY, {"conn_id": conn_id, "at": datetime.now(UTC).isoformat()})
        except Exception as error:
            log.debug("when ITSM was polled could not be noted: %r", error)

    async def end_by_callback(self, sn: str, trigger_id: int | None) -> str | None:
        """Return how the ticket stood when a callback ended this trigger's wait; None where none has ended it."""
        try:
            mark = await self._pull(RESUMED_KEY)
            if trigger_id is None or not isinstance(mark, Mapping) or mark.get("trigger_id") != trigger_id:
                return None
            verdict = Verdict.from_dict(await self._pull("return_value"))
        except Exception as error:
            log.debug("whether a callback has ended the wait could not be read: %r", error)
            return None
        outcome = mark.get("outcome")
        if (verdict.sn, str(verdict.outcome)) == (sn, outcome):
            return verdict.describe()
        return f"ITSM ticket {sn} is {outcome}" if outcome else f"a worker reads ITSM ticket {sn}"

    def see(self, sn: str, conn_id: str, snapshot: TicketSnapshot) -> None:
        """Note for the approvals pages how the ticket stands, for when ITSM is slow; in a task of its own."""
        task = asyncio.get_running_loop().create_task(self._note(sn, conn_id, snapshot))
        _NOTES.add(task)
        task.add_done_callback(_NOTES.discard)

    async def _note(self, sn: str, conn_id: str, snapshot: TicketSnapshot) -> None:
        try:
            await self._push(SEEN_KEY, snapshot.as_note(sn, conn_id))
        except Exception as error:
            log.debug("how the ticket stands could not be noted: %r", error)

    async def show(self, ticket_url: str) -> None:
        """Make the ticket's button appear, once."""
        if ticket_url and not self._shown:
            self._shown = True
            await self._push(TICKET_URL_KEY, ticket_url)

    async def conclude(self, verdict: Verdict) -> bool:
        """Write what an approved task leaves behind; False if that cannot be done here.

        Not as XComs of the event that ends the task: Airflow stores those as JSON inside JSON.
        """
        try:
            for key, value in xcoms_of(verdict).items():
                await self._push(key, value)
        except Exception as error:
            log.warning("The task ends on a worker, its XComs could not be written here: %r", error)
            return False
        return True

    async def _pull(self, key: str) -> Any:
        from airflow.sdk.execution_time.comms import GetXCom

        if self._task_instance is None:
            return None
        answer = await _ask(GetXCom(**_address(self._task_instance, key)))
        return getattr(answer, "value", None)

    async def _delete(self, key: str) -> None:
        from airflow.sdk.execution_time.comms import DeleteXCom

        await _ask(DeleteXCom(**_address(self._task_instance, key)))

    async def _push(self, key: str, value: Any) -> None:
        if self._task_instance is not None:
            await push_xcom(self._task_instance, key, value)


async def push_xcom(task_instance: Any, key: str, value: Any) -> None:
    """Write an XCom on a waiting task instance; only inside a triggerer.

    The message goes past any XCom backend: the API server reads Airflow's own table.
    """
    from airflow.sdk.execution_time.comms import SetXCom

    await _ask(SetXCom(value=value, **_address(task_instance, key)))


async def task_states(task_instance: Any) -> list[str | None]:
    """Ask Airflow for the state of a task instance; empty where Airflow does not have it any more."""
    one = task_instance
    found = await ask_states(one.dag_id, run_ids=[one.run_id], task_ids=[one.task_id], map_index=one.map_index)
    return [state for tasks in found.values() for state in tasks.values()]


async def ask_states(
    dag_id: str, *, run_ids: list[str], task_ids: list[str], map_index: int | None = None
) -> Mapping[str, Mapping[str, str | None]]:
    """Ask Airflow for the states of tasks, by run and task id."""
    from airflow.sdk.execution_time.comms import GetTaskStates, TaskStatesResult

    answer = await _ask(GetTaskStates(dag_id=dag_id, run_ids=run_ids, task_ids=task_ids, map_index=map_index))
    if not isinstance(answer, TaskStatesResult):
        raise RuntimeError(f"Airflow does not tell the state of task {', '.join(task_ids)}: {answer}")
    return answer.task_states


def _address(task_instance: Any, key: str) -> dict[str, Any]:
    """Return what names an XCom. Its key may hold a ticket's number, which anybody may have chosen."""
    ids = {name: getattr(task_instance, name) for name in ("dag_id", "run_id", "task_id")}
    segments = {name: path_segment(text, in_process=True) for name, text in {**ids, "key": key}.items()}
    return {**segments, "map_index": task_instance.map_index}


async def _ask(message: Any) -> Any:
    """Send a message to the supervisor, and return its answer."""
    from airflow.sdk.execution_time import task_runner

    # Shielded: on Airflow 3.1 a question to the supervisor that is cut short spoils the answer to the next one.
    return await asyncio.shield(task_runner.SUPERVISOR_COMMS.asend(message))
