# SPDX-License-Identifier: Apache-2.0
"""The pages' own threads."""

from __future__ import annotations

import asyncio
import threading

import pytest

from airflow_provider_bkitsm.plugins.concurrency import Background, SharedCache, in_thread


async def test_what_blocks_does_not_block_the_event_loop():
    released = threading.Event()
    waiting = asyncio.create_task(in_thread(released.wait))
    await asyncio.sleep(0)
    released.set()
    assert await waiting is True


async def test_pages_get_a_few_threads_of_their_own():
    names = await asyncio.gather(*(in_thread(lambda: threading.current_thread().name) for _ in range(20)))
    assert len(set(names)) <= 2
    assert all(name.startswith("bkitsm-pages") for name in names)


async def test_an_error_reaches_who_asked():
    with pytest.raises(KeyError):
        await in_thread({}.__getitem__, 1)


# Sharing an answer for a moment.


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


async def test_for_who_wants_it_at_once_an_answer_is_good_for_longer():
    reads = Reads()
    await reads.ask()
    reads.now = 10
    assert await reads.remembering.get("k", reads.read, seconds=15) == 1
    assert await reads.ask() == 2


async def test_who_has_an_answer_that_is_good_waits_for_no_read_under_way():
    reads, reading = Reads(), asyncio.Event()

    async def endless() -> int:
        reading.set()
        await asyncio.Event().wait()
        return 0

    await reads.ask()
    reads.now = 10
    under_way = asyncio.create_task(reads.remembering.get("k", endless))
    await reading.wait()
    assert await asyncio.wait_for(reads.remembering.get("k", reads.read, seconds=15), 10) == 1
    under_way.cancel()


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


async def test_what_was_just_read_outlasts_the_reads_of_others():
    """A page reads its person's value, waits for other reads, and only then looks at it."""
    reads = Reads()
    for number in range(99):
        await reads.ask(str(number))
    assert await reads.ask("mine") == 100
    for number in range(99):
        await reads.ask(f"other {number}")
        assert reads.remembering.last("mine") == 100


# Reads that outlast a request.


async def test_a_task_goes_on_behind_who_has_waited_for_it():
    background, released, done = Background(), asyncio.Event(), asyncio.Event()

    async def work() -> None:
        await released.wait()
        done.set()

    background.start("group", work())
    await background.settle(["group", "none"], seconds=0.01)
    assert (background.running("group"), done.is_set()) == (1, False)
    # A task that is late is waited for no more.
    await asyncio.wait_for(background.settle(["group"], seconds=0.01), 10)
    released.set()
    await background.settle(["group"], seconds=60)
    assert (background.running("group"), done.is_set()) == (0, True)


async def test_an_error_of_a_task_is_in_the_log_without_its_text(caplog):
    background = Background()

    async def work() -> None:
        raise OSError("postgresql://user:secret@host")

    background.start("group", work())
    await background.settle(["group"], seconds=60)
    await asyncio.sleep(0)
    assert "OSError" in caplog.text
    assert "secret" not in caplog.text
