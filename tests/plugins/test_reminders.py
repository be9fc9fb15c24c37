# SPDX-License-Identifier: Apache-2.0
"""A foreign function that sends reminders: when it is called, and what is told of its failures."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading

import pytest
from fastapi import HTTPException

from airflow_provider_bkitsm.plugins import reminders
from airflow_provider_bkitsm.plugins.reminders import Reminders, reminder

SECRET = "hook-token-7"


def fails(**_what: object) -> None:
    raise RuntimeError(f"POST https://chat.example.com/?key={SECRET} failed")


@pytest.fixture
def remind(monkeypatch):
    return lambda name: monkeypatch.setenv("AIRFLOW__BKITSM__REMIND", name)


async def refused(sending) -> HTTPException:
    with pytest.raises(HTTPException) as raised:
        await sending
    return raised.value


def test_a_function_is_found_by_its_name(remind):
    remind(f"{__name__}.fails")
    assert reminder() is fails


@pytest.mark.parametrize("name", ["", "nowhere", "no.such.module", f"{__name__}.nothing", f"{__name__}.SECRET"])
def test_anything_else_is_none(remind, name, caplog):
    reminders._import.cache_clear()
    remind(name)
    assert [reminder(), reminder()] == [None, None]
    assert len(caplog.records) == bool(name)


async def test_it_is_told_everything_in_another_thread():
    told = []

    def function(**what: object) -> None:
        told.append((what, threading.current_thread().name))

    await Reminders().send(function, "REQ1", sn="REQ1", approvers=["alice"])
    assert told == [({"sn": "REQ1", "approvers": ["alice"]}, "bkitsm-remind")]


async def test_a_ticket_is_reminded_of_once_a_minute():
    now = [0.0]
    waiting = Reminders(clock=lambda: now[0])
    await waiting.send(list, "REQ1")
    assert (await refused(waiting.send(list, "REQ1"))).status_code == 429
    await waiting.send(list, "REQ2")
    now[0] = 60.0
    await waiting.send(list, "REQ1")


async def test_two_at_once_are_one():
    waiting, sent = Reminders(), []
    both = [waiting.send(lambda: sent.append(1), "REQ1") for _ in range(2)]
    results = await asyncio.gather(*both, return_exceptions=True)
    assert (len(sent), [type(one).__name__ for one in results]) == (1, ["NoneType", "HTTPException"])


async def test_p8_a_failure_is_told_without_its_words(caplog):
    caplog.set_level(logging.DEBUG)
    said = await refused(Reminders().send(fails, "REQ1"))
    assert (said.status_code, said.detail) == (502, reminders.NOT_SENT)
    assert "RuntimeError" in caplog.text
    assert SECRET not in caplog.text + str(said.__cause__)


async def test_one_that_ends_its_thread_has_failed_and_the_next_is_sent():
    waiting = Reminders()
    for number in range(reminders._MOST_AT_ONCE + 1):
        said = await refused(waiting.send(sys.exit, f"REQ{number}"))
        assert (said.status_code, said.detail) == (502, reminders.NOT_SENT)


async def test_one_that_hangs_is_given_up_and_few_may():
    waiting, end = Reminders(seconds=0.05), threading.Event()
    for number in range(reminders._MOST_AT_ONCE):
        said = await refused(waiting.send(end.wait, f"REQ{number}"))
        assert (said.status_code, said.detail) == (504, reminders.NO_ANSWER)
    assert (await refused(waiting.send(end.wait, "REQ_more"))).detail == reminders.BUSY
    end.set()
    while not waiting.has_room:
        await asyncio.sleep(0.01)
    await waiting.send(list, "REQ_more")
