# SPDX-License-Identifier: Apache-2.0
"""Sharing an answer for a moment."""

from __future__ import annotations

import asyncio

import pytest

from airflow_provider_bkitsm.plugins.concurrency import SharedCache


class Reads:
    def __init__(self) -> None:
        self.now = 0.0
        self.count = 0
        self.remembering: SharedCache[int] = SharedCache(3, clock=lambda: self.now)

    async def ask(self, key: str = "k") -> int:
        return await self.remembering.get(key, self.read)

    async def read(self) -> int:
        await asyncio.sleep(0)
        self.count += 1
        return self.count


async def test_those_who_ask_together_share_one_answer():
    reads = Reads()
    assert set(await asyncio.gather(*(reads.ask() for _ in range(9)))) == {1}


async def test_an_answer_is_good_for_a_moment():
    reads = Reads()
    assert [await reads.ask(), await reads.ask()] == [1, 1]
    reads.now = 3
    assert await reads.ask() == 2


async def test_nobody_gets_the_answer_to_another_question():
    reads = Reads()
    assert [await reads.ask("a"), await reads.ask("b"), await reads.ask("a")] == [1, 2, 1]


async def test_an_error_is_not_remembered():
    reads = Reads()

    async def broken() -> int:
        raise OSError("broken")

    with pytest.raises(OSError, match="broken"):
        await reads.remembering.get("k", broken)
    assert await reads.ask() == 1


async def test_what_is_remembered_does_not_grow_for_ever():
    reads = Reads()
    for number in range(1000):
        await reads.ask(str(number))
    assert len(reads.remembering._entries) <= 100
    assert len(reads.remembering._locks) <= 101
