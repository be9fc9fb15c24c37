# SPDX-License-Identifier: Apache-2.0
"""What the plugin does in each process of an API server from its start to its end.

The app behind ``/bkitsm`` is built at its first request, which may never come. The notes on waiting tasks are kept
from the start: Airflow runs the lifespan of every FastAPI app that it mounts.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, tzinfo
from functools import partial
from random import SystemRandom
from time import monotonic
from typing import TYPE_CHECKING, Protocol
from zoneinfo import ZoneInfo

from fastapi import FastAPI

from airflow_provider_bkitsm import settings
from airflow_provider_bkitsm.approvals.task_note import NoteStyle
from airflow_provider_bkitsm.itsm.errors import ItsmConfigurationError
from airflow_provider_bkitsm.version_compat import airflow_conf

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

log = logging.getLogger(__name__)

ROUND_SECONDS = 20.0
"""Seconds between two looks at the notes, on average; each process draws its own."""
_LONGEST_PAUSE_SECONDS = 600.0
# How much longer than a step of a round the rest after it takes: callbacks and pages go first.
_REST = 3.0
_RANDOM = SystemRandom()


class LazyApp(FastAPI):
    """App that builds the real one at its first request, and keeps the notes on waiting tasks.

    :param build: returns the real app, the same each time.
    """

    def __init__(self, build: Callable[[], ASGIApp]) -> None:
        super().__init__(lifespan=_lifespan, openapi_url=None)
        self._build = build

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        await self._build()(scope, receive, send)


@asynccontextmanager
async def _lifespan(_app: FastAPI) -> AsyncIterator[None]:
    keeping = asyncio.create_task(_keep_notes())
    try:
        yield
    finally:
        keeping.cancel()
        with suppress(asyncio.CancelledError):
            await keeping


class Notes(Protocol):
    """The notes on waiting tasks; see :class:`~airflow_provider_bkitsm.plugins.metadata.TaskNotes`."""

    def steps(self) -> Iterator[int]:
        """Bring them up to date in steps, each of which blocks; yield how many each has changed."""
        ...


async def _keep_notes() -> None:
    """Keep the notes as ``[bkitsm] waiting_note`` says; no error of it may stop an API server."""
    try:
        style = note_style()
        notes = await asyncio.to_thread(partial(_open_notes, style))
        await keep_up_to_date(notes, once=style is None, seconds=ROUND_SECONDS)
    except ItsmConfigurationError as error:
        log.error("Waiting tasks have no notes: %s", error)
    except Exception:
        log.exception("Waiting tasks have no notes")


def note_style() -> NoteStyle | None:
    """Return how notes are written; None for no notes.

    :raises ItsmConfigurationError: ``[bkitsm] waiting_note`` has another value.
    """
    language = settings.waiting_note()
    if language is None:
        return None
    base_url = str(airflow_conf().get("api", "base_url", fallback="") or "")
    return NoteStyle(language=language, base_url=base_url, time_zone=_time_zone())


def _time_zone() -> tzinfo:
    """Return Airflow's default time zone. ``system`` is UTC here: machines may differ, and notes must not."""
    name = str(airflow_conf().get("core", "default_timezone", fallback="utc") or "utc")
    try:
        return UTC if name.lower() in {"utc", "system"} else ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # no such zone
        return UTC


def _open_notes(style: NoteStyle | None) -> Notes:
    from airflow_provider_bkitsm.plugins.metadata import TaskNotes

    return TaskNotes(style)


async def keep_up_to_date(notes: Notes, *, seconds: float, once: bool = False) -> None:
    """Bring the notes up to date again and again; after failures in a row ever more seldom.

    :param seconds: between two rounds, on average.
    :param once: end after the first round that works.
    """
    failures = 0
    while True:
        await asyncio.sleep(min(seconds * 2**failures, _LONGEST_PAUSE_SECONDS) * _RANDOM.uniform(0.5, 1.5))
        try:
            changed = await _bring_up_to_date(notes)
        except Exception as error:
            # Its text is left out: it may hold the address of a database.
            log.log(
                logging.WARNING if not failures else logging.DEBUG,
                "The notes on waiting tasks could not be kept: %s",
                type(error).__name__,
            )
            failures += 1
            continue
        failures = 0
        log.debug("%d notes on waiting tasks were changed", changed)
        if once:
            return


async def _bring_up_to_date(notes: Notes) -> int:
    """Take all steps of a round, with a rest after each; return how many notes were changed."""
    steps, changed, began = notes.steps(), 0, monotonic()
    while (step := await asyncio.to_thread(next, steps, None)) is not None:
        changed += step
        await asyncio.sleep(_REST * (monotonic() - began))
        began = monotonic()
    return changed
