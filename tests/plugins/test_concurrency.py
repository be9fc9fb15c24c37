# SPDX-License-Identifier: Apache-2.0
"""The pages' own threads."""

from __future__ import annotations

import asyncio
import threading

import pytest

from airflow_provider_bkitsm.plugins.concurrency import in_thread


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
