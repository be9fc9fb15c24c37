# SPDX-License-Identifier: Apache-2.0
"""What one wait is told, and when, against a running sandbox."""

from __future__ import annotations

import asyncio

import pytest

from airflow_provider_bkitsm.hooks.itsm import ItsmHook
from airflow_provider_bkitsm.itsm import errors
from airflow_provider_bkitsm.tickets.poller import TicketWait

FORM = {"title": "t", "APPROVER": "alice", "APPROVAL_CONTENT": "c"}
CONN = "bkitsm_default"


@pytest.fixture
def sn(connections) -> str:
    return ItsmHook().create_ticket(creator="robot", fields=FORM, fast_approval=True).sn


async def test_a_deadline_asks_before_its_turn(sn):
    async with TicketWait(CONN, sn=sn, interval=3600) as wait:
        await wait.look()
        assert (await wait.look(within=0.05)).sn == sn


async def test_who_knows_a_ticket_is_woken_only_by_news(sandbox, sn):
    async with TicketWait(CONN, sn=sn, interval=0.05) as wait:
        wait.known = (await wait.look()).current_status
        news = wait.look()
        while len(sandbox.requests("ticket_approval_result")) < 5:
            await asyncio.sleep(0.01)
        assert not news.done()
        await asyncio.to_thread(sandbox.approve, sn)
        assert (await news).current_status == "FINISHED"


async def test_p1_an_error_is_news(sandbox, sn):
    async with TicketWait(CONN, sn=sn, interval=0.05) as wait:
        wait.known = (await wait.look()).current_status
        sandbox.fault("ticket_approval_result", "refuse")
        with pytest.raises(errors.ItsmError):
            await wait.look()
        assert (await wait.look()).sn == sn


async def test_a_deadline_is_told_what_is_known(sn):
    async with TicketWait(CONN, sn=sn, interval=3600) as wait:
        wait.known = (await wait.look()).current_status
        assert (await wait.look(within=0.05)).current_status == "RUNNING"
