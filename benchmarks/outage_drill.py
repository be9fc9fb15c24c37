# SPDX-License-Identifier: Apache-2.0
"""What an outage of ITSM costs, and when its decisions arrive: the real poll, on a simulated clock.

    python -m benchmarks.outage_drill [--quick]

2,000 waits share a poll when ITSM, or what is in front of it, fails for ten minutes. All tickets are decided
meanwhile. Nothing is sent: answers are made here and read by the provider's own code. More requests than one for
each ``poke_interval``, a decision that comes later than one ``poke_interval`` and five seconds after the recovery,
or one that never comes, end this with an error.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import random
import selectors
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, TypeVar

from airflow_provider_bkitsm.hooks.connection import Gateway
from airflow_provider_bkitsm.hooks.itsm import ItsmAsyncHook
from airflow_provider_bkitsm.hooks.responses import unanswered, understand
from airflow_provider_bkitsm.hooks.transport import NoAnswerError, Reply
from airflow_provider_bkitsm.itsm.errors import ItsmError
from airflow_provider_bkitsm.itsm.models import TicketState
from airflow_provider_bkitsm.itsm.protocol import Call
from airflow_provider_bkitsm.itsm.v2 import calls
from airflow_provider_bkitsm.itsm.v2.parsing import to_shanghai
from airflow_provider_bkitsm.tickets import poller
from benchmarks.report import machine, publish

T = TypeVar("T")

SECTION, CONN = "outage_drill", "drill"
INTERVAL, OUTAGE, SLACK = 60.0, 600.0, 5.0
# Long enough for each ticket's own check for a stall to be over.
_BEFORE, _AFTER = 900.0, 1200.0
_GATEWAY = Gateway(conn_id=CONN, root="https://itsm.example", app_code="drill", app_secret="-")

_STEP = {"state_id": 1, "name": "s", "processors_type": "PERSON", "processors": "alice"}
_STATUS = {"ticket_url": "", "operations": [], "current_status": "RUNNING", "current_steps": [_STEP]}


def _json(status: int, code: int, **headers: Any) -> Reply:
    body = {"result": False, "code": code, "message": "drill", "data": None}
    return Reply(status_code=status, content_type="application/json", body=json.dumps(body).encode(), **headers)


OUTAGES: dict[str, Reply | None] = {
    "connection refused": None,
    "HTTP 502 with the gateway's code 1650200": _json(502, 1650200),
    "HTTP 200 with the ESB's code 1306201": _json(200, 1306201),
    "HTTP 200 with a page of HTML": Reply(status_code=200, content_type="text/html", body=b"<html>down</html>"),
    "HTTP 429": _json(429, 1642902),
    "HTTP 429, Retry-After 30": _json(429, 1642902, retry_after=30.0),
}


class SimulatedLoop(asyncio.SelectorEventLoop):
    """An event loop whose time passes only while everybody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        super().__init__(_Sleepless(self))

    def time(self) -> float:
        """Return the simulated seconds."""
        return self.now


class _Sleepless(selectors.SelectSelector):
    def __init__(self, loop: SimulatedLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> Any:
        self._loop.now += max(timeout or 0.0, 0.0)
        return super().select(0 if timeout is not None else None)


@dataclass(kw_only=True)
class SimulatedItsm(ItsmAsyncHook):
    """ITSM behind a hook: down between two moments.

    :param seconds: what an answer about so many tickets takes, beside so many others.
    """

    down: Reply | None
    begins: float
    ends: float
    seconds: Callable[[int, int], float]
    decided_at: dict[str, float]
    sent_at: list[float] = field(default_factory=list)
    under_way: int = 0

    def __post_init__(self) -> None:
        super().__init__(CONN)

    async def send(self, call: Call[T]) -> T:
        """Answer as a server does, and read it as the hook does: states of tickets, their opening, or a step."""
        body = call.body or {}
        if call.path == "get_tickets/":
            sns = body["sns"]
            page = {"page": 1, "total_page": 1, "count": len(sns), "items": [_opened(sn) for sn in sns]}
            return understand(call, await self._reply(len(sns), lambda _: page))
        if (sns := body.get("sn")) is None:
            return understand(call, await self._reply(1, lambda _: _STATUS))
        return understand(call, await self._reply(len(sns), lambda now: [self._row(sn, now) for sn in sns]))

    async def aget_conn(self) -> Any:
        """Return what holds the connection's settings."""
        return SimpleNamespace(gateway=_GATEWAY)

    async def forget_connection(self) -> None:
        """Have nothing to forget."""

    def _row(self, sn: str, now: float) -> dict[str, Any]:
        status = "FINISHED" if now >= self.decided_at[sn] else "RUNNING"
        return {"sn": sn, "current_status": status, "approve_result": True, "title": "drill"}

    async def _reply(self, size: int, data: Callable[[float], Any]) -> Reply:
        loop = asyncio.get_running_loop()
        self.sent_at.append(loop.time())
        if self.begins <= loop.time() < self.ends:
            await asyncio.sleep(0.01)
            if self.down is None:
                refused = NoAnswerError(
                    _GATEWAY, ConnectionRefusedError(111), sent=False, dropped=False, late=False
                )
                raise unanswered(calls.ticket_approval_result(["-"]), refused)
            return self.down
        self.under_way += 1
        await asyncio.sleep(self.seconds(size, self.under_way))
        self.under_way -= 1
        body = {"result": True, "code": 0, "message": "", "data": data(loop.time())}
        return Reply(status_code=200, content_type="application/json", body=json.dumps(body).encode())


def _opened(sn: str) -> dict[str, Any]:
    return {"id": 1, "sn": sn, "title": "drill", "create_at": to_shanghai(datetime.now(UTC))}


@dataclass(frozen=True, kw_only=True)
class Drill:
    """What one outage cost, and when its decisions were seen, in seconds after the recovery."""

    requests: int
    first: float
    last: float
    unseen: int


def quick(_size: int, _beside: int) -> float:
    """Answer as a server that is not busy."""
    return 0.1


def as_measured(size: int, beside: int) -> float:
    """Answer as the measured server did: 1.5 s for 50 tickets, 6 s where four such questions came at once."""
    return size / 50 * 1.5 * beside


def drill(down: Reply | None, *, waits: int, phase: float, seconds: Callable[[int, int], float]) -> Drill:
    """Let ITSM fail once, beginning so many seconds into a round."""
    loop, chance = SimulatedLoop(), random.Random(phase)
    begins, ends = _BEFORE + phase, _BEFORE + phase + OUTAGE
    decided = {f"REQ{number:06d}": chance.uniform(begins, ends) for number in range(waits)}
    itsm = SimulatedItsm(down=down, begins=begins, ends=ends, seconds=seconds, decided_at=decided)
    seen: dict[str, float] = {}
    try:
        loop.run_until_complete(_wait_for_all(itsm, seen))
    finally:
        loop.close()
    after = [moment - ends for moment in seen.values()]
    return Drill(
        requests=sum(begins <= moment < ends for moment in itsm.sent_at),
        first=min((moment - ends for moment in itsm.sent_at if moment >= ends), default=float("inf")),
        last=max(after, default=float("inf")),
        unseen=waits - len(seen),
    )


async def _wait_for_all(itsm: SimulatedItsm, seen: dict[str, float]) -> None:
    loop = asyncio.get_running_loop()
    shared = poller.Poller(CONN)
    shared.hook = shared._questions = itsm
    poller._POLLERS.setdefault(loop, {})[CONN] = shared

    async def wait(sn: str) -> None:
        async with poller.TicketWait(CONN, sn=sn, interval=INTERVAL) as one:
            while sn not in seen:
                try:
                    state = await one.look()
                except ItsmError:
                    continue
                assert isinstance(state, TicketState)
                one.known = state.current_status
                if one.known == "FINISHED":
                    seen[sn] = loop.time()

    tasks = [loop.create_task(wait(sn)) for sn in itsm.decided_at]
    await asyncio.wait(tasks, timeout=itsm.ends + _AFTER)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def worst(drills: Sequence[Drill]) -> Drill:
    """Return the worst of each figure."""
    return Drill(
        requests=max(one.requests for one in drills),
        first=max(one.first for one in drills),
        last=max(one.last for one in drills),
        unseen=sum(one.unseen for one in drills),
    )


def report(waits: int, phases: int, seen: dict[str, Drill], slow: Drill) -> str:
    """Return the figures as the page shows them."""
    rows = [
        f"| {name} | {one.requests} | {one.first:.0f} s | {one.last:.0f} s | {one.unseen} |"
        for name, one in seen.items()
    ]
    return "\n".join(
        [
            f"{machine()}. Simulated clock; {waits:,} waits, `poke_interval` {INTERVAL:.0f} s, ten minutes of"
            f" outage in which all tickets are decided; the worst of {phases} outages that begin anywhere in a"
            " round. Answers take 0.1 s.",
            "",
            "| outage | requests in it | first question after it | last decision seen after it | never seen |",
            "| --- | ---: | ---: | ---: | ---: |",
            *rows,
            "",
            f"Targets: at most {OUTAGE / INTERVAL:.0f} requests (one for each `poke_interval`), everything seen"
            f" within {INTERVAL + SLACK:.0f} s of the recovery, nothing unseen.",
            "",
            "Where ITSM needs 1.5 s for 50 tickets and four times that for four such questions at once, as a real"
            f" one was measured, {waits:,} tickets take it a minute. There the first question comes"
            f" {slow.first:.0f} s and the last decision {slow.last:.0f} s after the recovery, with {slow.requests}"
            " requests in the outage.",
        ]
    )


def broken(seen: dict[str, Drill]) -> list[str]:
    """Return the outages that have missed a target."""
    most, latest = OUTAGE / INTERVAL, INTERVAL + SLACK
    return [name for name, one in seen.items() if one.requests > most or one.last > latest or one.unseen]


def main() -> None:
    """Drill each kind of outage."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few waits, and write nothing")
    quickly = parser.parse_args().quick
    logging.disable(logging.CRITICAL)
    waits = 200 if quickly else 2000
    phases = [1.0, 42.0] if quickly else [1.0, 13.0, 27.5, 42.0, 58.9]
    seen = {
        name: worst([drill(down, waits=waits, phase=phase, seconds=quick) for phase in phases])
        for name, down in OUTAGES.items()
    }
    slow = worst([drill(None, waits=waits, phase=phase, seconds=as_measured) for phase in phases])
    publish(SECTION, report(waits, len(phases), seen, slow), only_print=quickly)
    if missed := broken(seen):
        raise SystemExit(f"targets missed: {', '.join(missed)}")


if __name__ == "__main__":
    main()
