# SPDX-License-Identifier: Apache-2.0
"""Driving a flow without any network."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from airflow_provider_bkitsm.itsm import protocol
from airflow_provider_bkitsm.itsm.dialect import Dialect, DialectCall
from airflow_provider_bkitsm.itsm.errors import ItsmError
from airflow_provider_bkitsm.itsm.protocol import Call
from airflow_provider_bkitsm.itsm.v2.dialect import V2

decode = partial(protocol.decode, codes=V2.codes)


def drive(flow: Any, answer: Callable[[Call[Any]], Any], *, dialect: Dialect = V2) -> Any:
    """Run a flow to its end; ``answer`` gives each call's data, or the error to raise."""
    try:
        step = next(flow)
        while True:
            try:
                result = _result(step, answer, dialect)
            except ItsmError as error:
                step = flow.throw(error)
            else:
                step = flow.send(result)
    except StopIteration as stop:
        return stop.value


def _result(step: Any, answer: Callable[[Call[Any]], Any], dialect: Dialect) -> Any:
    if isinstance(step, DialectCall):
        return drive(step.of(dialect), answer, dialect=dialect)
    data = answer(step)
    if isinstance(data, Exception):
        raise data
    return step.parse(data)
