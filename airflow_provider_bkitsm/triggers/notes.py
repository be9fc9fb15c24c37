# SPDX-License-Identifier: Apache-2.0
"""What a wait writes on its own task instance: for the callback, for people, and for the tasks behind it."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from typing import Any

from airflow_provider_bkitsm.callback.waiters import POLLED_KEY, Waiter, wait_key, xcoms_of
from airflow_provider_bkitsm.hooks.callback import callbacks_wanted
from airflow_provider_bkitsm.itsm.verdict import Verdict
from airflow_provider_bkitsm.tasks import TICKET_URL_KEY

log = logging.getLogger(__name__)


class Notes:
    """The XComs of a waiting task instance; where there is none, nothing is written.

    :ivar registered: whether a callback finds the task.
    """

    def __init__(self, task_instance: Any) -> None:
        self._task_instance = task_instance
        self._shown = False
        self.registered = False

    async def register(self, sn: str, waiter: Waiter) -> None:
        """Let ITSM's callback find this task; where that fails, polling will do."""
        try:
            if callbacks_wanted():
                await self._push(wait_key(sn), waiter.as_dict())
                self.registered = True
        except Exception as error:
            log.warning("ITSM's callback will not find this task, polling will: %r", error)

    async def polled(self, conn_id: str) -> None:
        """Note for the approvals pages that ITSM answered a poll; of no account to the wait."""
        try:
            await self._push(POLLED_KEY, {"conn_id": conn_id, "at": datetime.now(UTC).isoformat()})
        except Exception as error:
            log.debug("when ITSM was polled could not be noted: %r", error)

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

    async def _push(self, key: str, value: Any) -> None:
        if self._task_instance is not None:
            await push_xcom(self._task_instance, key, value)


async def push_xcom(task_instance: Any, key: str, value: Any) -> None:
    """Write an XCom on a waiting task instance; only inside a triggerer.

    The message goes past any XCom backend: the API server reads Airflow's own table.
    """
    from airflow.sdk.execution_time import task_runner
    from airflow.sdk.execution_time.comms import SetXCom

    where = {name: getattr(task_instance, name) for name in ("dag_id", "run_id", "task_id", "map_index")}
    message = SetXCom(key=key, value=value, **where)
    # Shielded: on Airflow 3.1 a question to the supervisor that is cut short spoils the answer to the next one.
    await asyncio.shield(task_runner.SUPERVISOR_COMMS.asend(message))
