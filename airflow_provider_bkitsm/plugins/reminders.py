# SPDX-License-Identifier: Apache-2.0
"""Reminds approvers for a person on a page: ITSM has no call that does it for an open ticket.

It is sent with what the waiting task names, or else with what the administrator does. Either is foreign code: it
may hang, and its errors may hold anything. A DAG's author may run no code in the API server. So of a task's own
only those are loaded that are this provider's, or that the administrator names.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Hashable
from dataclasses import asdict
from functools import cache
from importlib import import_module
from time import monotonic
from typing import Any

from fastapi import HTTPException

from airflow_provider_bkitsm import settings
from airflow_provider_bkitsm.approvals.rows import TaskKey
from airflow_provider_bkitsm.hooks.store import has_store
from airflow_provider_bkitsm.itsm.errors import ItsmError
from airflow_provider_bkitsm.tickets.reminder import Reminder
from airflow_provider_bkitsm.tickets.senders import SenderSpec, ThreadPerCall, load_sender, read_senders
from airflow_provider_bkitsm.tickets.waits import open_wait_store, wait_key

log = logging.getLogger(__name__)

Remind = Callable[..., object]

NOT_CONFIGURED = "Airflow has no function that sends reminders"
JUST_SENT = "The approvers were reminded less than a minute ago"
BUSY = "Too many reminders are being sent; try again later"
NO_ANSWER = "The reminder may not have been sent: its function does not answer"
NOT_SENT = "The reminder was not sent: its function failed"
REFUSALS = (NOT_CONFIGURED, JUST_SENT, BUSY, NO_ANSWER, NOT_SENT)

_PAUSE_SECONDS = 60.0
_MOST_AT_ONCE = 4
_REMEMBERED = 10_000


def reminder() -> Remind | None:
    """Import the function that ``[bkitsm] remind`` names; None when there is none. Blocks."""
    return _import(settings.remind())


@cache
def _import(name: str) -> Remind | None:
    """Import the function once. A failure is logged once, without the text of its error."""
    if not name:
        return None
    module, _, function_name = name.rpartition(".")
    try:
        function = getattr(import_module(module), function_name)
    except Exception as error:
        log.warning("[bkitsm] remind cannot be imported (%s); nobody can send reminders", type(error).__name__)
        return None
    if not callable(function):
        log.warning("[bkitsm] remind names no function; nobody can send reminders")
        return None
    imported: Remind = function
    return imported


def page_senders(task: TaskKey) -> tuple[SenderSpec, ...]:
    """Return what a page sends a reminder of a task's ticket with; none where nothing may. Blocks."""
    own = _own_senders([task]).get(task, ())
    if own:
        return own
    return () if reminder() is None else (SenderSpec(path=settings.remind()),)


def reminded_by_page(tasks: Collection[TaskKey]) -> Collection[TaskKey]:
    """Return those of many tasks of whose tickets a page can send a reminder. Blocks."""
    return frozenset(tasks) if reminder() is not None else frozenset(_own_senders(tasks))


def _own_senders(tasks: Collection[TaskKey]) -> dict[TaskKey, tuple[SenderSpec, ...]]:
    """Return what waiting tasks name, by the records of their waits; a page never creates the store."""
    if not has_store():
        return {}
    keys = {wait_key(**asdict(task)): task for task in tasks}
    try:
        stored = open_wait_store().remind_by(keys)
    except ItsmError as error:
        log.warning("What tasks remind with could not be read: %s", error)
        return {}
    named = {keys[key]: tuple(filter(_may_be_loaded, read_senders(text))) for key, text in stored.items()}
    return {task: specs for task, specs in named.items() if specs}


def _may_be_loaded(spec: SenderSpec) -> bool:
    return spec.is_own or spec.path in (settings.remind(), *settings.remind_by_allowed())


def send_with(senders: tuple[SenderSpec, ...], message: Reminder) -> None:
    """Send a message with each sender. Blocks."""
    for spec in senders:
        load_sender(spec)(message)


class Reminders:
    """Calls the function at most once a minute for a ticket, a few calls at a time, with a time limit.

    :param seconds: how long a caller waits for the function. The thread cannot be stopped and goes on.
    :param clock: seconds, never going back.
    """

    def __init__(self, *, seconds: float = 10.0, clock: Callable[[], float] = monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._sent: dict[Hashable, float] = {}
        # It takes no thread of the pages, and never delays the server's exit.
        self._threads = ThreadPerCall(most=_MOST_AT_ONCE)

    @property
    def has_room(self) -> bool:
        """Whether a further function may be called."""
        return self._threads.has_room

    async def send(self, function: Remind, ticket: Hashable, **what: Any) -> None:
        """Call the function.

        :param ticket: the ticket that the reminder is about.
        :param what: the function's arguments.
        :raises HTTPException: the function was not called, failed, or did not return in time.
        """
        self._take_turn(ticket)
        try:
            async with asyncio.timeout(self._seconds):
                await asyncio.wrap_future(self._threads.submit(function, **what))
        except TimeoutError:
            raise HTTPException(504, NO_ANSWER) from None
        except Exception as error:
            log.warning("[bkitsm] remind failed for %s: %s", ticket, type(error).__name__)
            raise HTTPException(502, NOT_SENT) from None

    def _take_turn(self, ticket: Hashable) -> None:
        now = self._clock()
        if now - self._sent.get(ticket, -_PAUSE_SECONDS) < _PAUSE_SECONDS:
            raise HTTPException(429, JUST_SENT, headers={"Retry-After": str(int(_PAUSE_SECONDS))})
        if not self.has_room:
            raise HTTPException(503, BUSY)
        if len(self._sent) >= _REMEMBERED:
            self._sent.clear()
        self._sent[ticket] = now
