# SPDX-License-Identifier: Apache-2.0
"""Asking an ITSM that may be down."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from airflow_provider_bkitsm.plugins import itsm_reader
from airflow_provider_bkitsm.plugins.itsm_reader import ItsmReader
from tests.callback.conftest import gateway_of

CONN = "bkitsm_default"


class Clock:
    now = datetime(2026, 11, 24, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def itsm(sandbox, clock) -> ItsmReader:
    async def gateway(conn_id: str):
        return gateway_of(sandbox) if conn_id == CONN else None

    return ItsmReader(gateway=gateway, clock=clock)


async def count(hook) -> int:
    return (await hook.get_tickets(sns=["REQ1"])).count


async def test_an_answer_is_returned(itsm):
    assert await itsm.ask(CONN, count) == 0
    assert not itsm.is_paused(CONN)


async def test_a_failure_is_none_and_followed_by_a_pause(itsm, sandbox, clock):
    sandbox.fault("get_tickets", "html")
    assert await itsm.ask(CONN, count) is None
    assert itsm.is_paused(CONN)
    assert await itsm.ask(CONN, count) is None
    assert len(sandbox.requests("get_tickets")) == 1
    clock.now += timedelta(seconds=16)
    assert await itsm.ask(CONN, count) == 0


async def test_a_connection_that_is_not_there_pauses_no_other(itsm):
    assert await itsm.ask("nowhere", count) is None
    assert await itsm.ask(CONN, count) == 0


async def test_a_silent_itsm_is_not_waited_for(itsm, monkeypatch):
    monkeypatch.setattr(itsm_reader, "ITSM_SECONDS", 0.05)

    async def never(_hook) -> None:
        await asyncio.sleep(3600)

    assert await itsm.ask(CONN, never) is None
