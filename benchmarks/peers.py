# SPDX-License-Identifier: Apache-2.0
"""What others do while they wait for a ticket: the triggers ours is measured against."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import cache
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

if TYPE_CHECKING:
    import httpx
    from airflow.providers.http.triggers.http import HttpSensorTrigger


class IdleTrigger(BaseTrigger):
    """Waits for nothing: what any trigger costs."""

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return class path and arguments."""
        return f"{__name__}.IdleTrigger", {}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Never fire."""
        await asyncio.Event().wait()
        yield TriggerEvent(None)  # type: ignore[no-untyped-call]


class PlainTicketTrigger(BaseTrigger):
    """Asks for its own ticket, once per interval, as a trigger is usually written.

    :param url: ITSM's root, without trailing slash.
    :param headers: what identifies the caller.
    """

    def __init__(self, *, sn: str, url: str, headers: dict[str, str], interval: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.sn = sn
        self.url = url
        self.headers = headers
        self.interval = interval

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return class path and arguments."""
        arguments = {"sn": self.sn, "url": self.url, "headers": self.headers, "interval": self.interval}
        return f"{__name__}.PlainTicketTrigger", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Fire when the ticket is no longer open."""
        while await self._status() == "RUNNING":
            await asyncio.sleep(self.interval)
        yield TriggerEvent(self.sn)  # type: ignore[no-untyped-call]

    async def _status(self) -> str:
        async with _AT_A_TIME:
            answer = await _client().get(
                f"{self.url}/get_ticket_status/", params={"sn": self.sn}, headers=self.headers
            )
        return str(answer.json()["data"]["current_status"])


def http_sensor_trigger(*, sn: str, interval: float) -> HttpSensorTrigger:
    """Return what ``HttpSensor(deferrable=True)`` waits with.

    It waits as long as the answer is 404, and for nothing else: with a ``response_check``, which a ticket's
    status would need, the sensor is not deferrable. So it asks for a page that is not there.
    """
    from airflow.providers.http.triggers.http import HttpSensorTrigger

    return HttpSensorTrigger(
        endpoint="no_such_call/", http_conn_id="itsm_http", method="GET", data={"sn": sn}, poke_interval=interval
    )


@cache
def _client() -> httpx.AsyncClient:
    """Return one HTTP client for all plain triggers: the best they can do."""
    import httpx

    return httpx.AsyncClient(timeout=30)


# More than the client has connections would only queue inside it, which costs it dearly.
_AT_A_TIME = asyncio.Semaphore(50)
