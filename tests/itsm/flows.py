# SPDX-License-Identifier: Apache-2.0
"""Driving a flow without any network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from airflow_provider_bkitsm.itsm.protocol import Call


def drive(flow: Any, answer: Callable[[Call[Any]], Any]) -> Any:
    """Run a flow to its end; ``answer`` gives each call's data, or the error to raise."""
    try:
        call = next(flow)
        while True:
            said = answer(call)
            call = flow.throw(said) if isinstance(said, Exception) else flow.send(call.parse(said))
    except StopIteration as stop:
        return stop.value
