# SPDX-License-Identifier: Apache-2.0
"""Asking for many tickets in several calls: ITSM names no limit, but gateways and databases have one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from airflow_provider_bkitsm.itsm.protocol import Call, Flow

T = TypeVar("T")
DEFAULT_SIZE = 50


def chunks(values: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Cut into pieces of at most ``size``."""
    return (values[start : start + size] for start in range(0, len(values), size))


def is_too_large(call: Call[Any], size: int) -> bool:
    """Whether a call asks for more than ``size`` tickets."""
    return call.batch is not None and len((call.body or {})[call.batch]) > size


def in_batches(call: Call[T], size: int) -> Flow[T]:
    """Ask in pieces of ``size`` and join the rows: T is a tuple of rows that have a ``sn``.

    A row that another piece already brought, for a sn written in two ways, is left out. Two rows of one piece
    stay: ITSM really holds that number twice.
    """
    name, body = str(call.batch), call.body or {}
    joined: Any = ()
    for sns in chunks(body[name], size):
        rows = yield replace(call, body={**body, name: list(sns)})
        known = {row.sn for row in joined}
        joined += tuple(row for row in rows if row.sn not in known)
    result: T = joined
    return result
