# SPDX-License-Identifier: Apache-2.0
"""Threads for what blocks: pages get a few, and so database connections, of their own.

Callbacks and Airflow's pages keep theirs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import Any, TypeVar

T = TypeVar("T")

_THREADS = 2


async def in_thread(blocking: Callable[..., T], *arguments: Any) -> T:
    """Run a blocking function in one of the pages' threads."""
    return await asyncio.get_running_loop().run_in_executor(_threads(), partial(blocking, *arguments))


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_THREADS, thread_name_prefix="bkitsm-pages")
