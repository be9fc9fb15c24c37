# SPDX-License-Identifier: Apache-2.0
"""A clock that moves when a test says so, for everything that opens tickets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta, tzinfo
from types import SimpleNamespace
from unittest.mock import patch

from airflow_provider_bkitsm.collectors import migrations
from airflow_provider_bkitsm.hooks import bklog
from airflow_provider_bkitsm.sensors import ticket as sensor
from airflow_provider_bkitsm.tickets import opener, withdrawal
from airflow_provider_bkitsm.tickets.approval_request import ApprovalRequest

BEGIN = datetime(2026, 1, 5, 4, 0, tzinfo=UTC)


class Clock:
    """Virtual time; aware UTC."""

    def __init__(self) -> None:
        self._passed = 0.0

    def now(self) -> datetime:
        """Return the time."""
        return BEGIN + timedelta(seconds=self._passed)

    def timestamp(self) -> float:
        """Return the time in seconds since the epoch."""
        return self.now().timestamp()

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._passed += seconds


@contextmanager
def virtual_time(clock: Clock, sleep: Callable[[float], None]) -> Iterator[None]:
    """Let the package read this clock, and sleep by this function."""

    class Moment(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return clock.now().astimezone(tz)

    with ExitStack() as stack:
        for module in (opener, migrations, sensor):
            stack.enter_context(patch.object(module, "datetime", Moment))
        stack.enter_context(sleeping_by(sleep))
        yield


@contextmanager
def sleeping_by(sleep: Callable[[float], None]) -> Iterator[None]:
    """Let the package sleep by this function."""
    with ExitStack() as stack:
        for sleeper in (opener.TicketOpener.__init__, ApprovalRequest.__init__, withdrawal.withdraw):
            stack.enter_context(patch.dict(sleeper.__kwdefaults__, {"sleep": sleep}))
        stack.enter_context(patch.object(bklog, "time", SimpleNamespace(sleep=sleep)))
        yield
