# SPDX-License-Identifier: Apache-2.0
"""Asking ITSM for a page that must come although ITSM is down: within a short time, and not again right after."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from airflow_provider_bkitsm.callback.itsm import GatewayHook
from airflow_provider_bkitsm.hooks.connection import Gateway
from airflow_provider_bkitsm.itsm.errors import ItsmError

log = logging.getLogger(__name__)
T = TypeVar("T")

ITSM_SECONDS = 3.0
_PAUSE_AFTER_FAILURE = timedelta(seconds=15)


class Asking:
    """What one API server process asks; for one event loop.

    :param gateway: reads a connection; awaited, since it asks the database.
    :param clock: aware.
    """

    def __init__(
        self,
        *,
        gateway: Callable[[str], Awaitable[Gateway | None]],
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._gateway = gateway
        self.clock = clock
        self._failed: dict[str, datetime] = {}

    def is_paused(self, conn_id: str) -> bool:
        """Whether a connection's ITSM did not answer just before."""
        failed = self._failed.get(conn_id)
        return failed is not None and self.age(failed) < _PAUSE_AFTER_FAILURE

    def age(self, moment: datetime) -> timedelta:
        """Return how long ago a moment was."""
        return self.clock() - moment

    async def ask(self, conn_id: str, question: Callable[[GatewayHook], Awaitable[T]]) -> T | None:
        """Return the answer to a question; None when there is none in time."""
        if self.is_paused(conn_id):
            return None
        try:
            async with asyncio.timeout(ITSM_SECONDS):
                return await self._ask(conn_id, question)
        except (ItsmError, TimeoutError) as error:
            log.warning("ITSM could not be asked on %s: %s", conn_id, str(error) or "no answer in time")
            self._failed[conn_id] = self.clock()
            return None

    async def _ask(self, conn_id: str, question: Callable[[GatewayHook], Awaitable[T]]) -> T:
        gateway = await self._gateway(conn_id)
        if gateway is None:
            raise ItsmError("there is no such connection")
        hook = GatewayHook(gateway)
        async with hook:
            return await question(hook)
