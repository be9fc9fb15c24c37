# SPDX-License-Identifier: Apache-2.0
"""Reads are tried again when that may help; writes never are, since their answer may merely have been lost."""

from __future__ import annotations

from typing import Any

from tenacity import RetryCallState, retry_if_exception, stop_after_attempt, wait_exponential, wait_random

from airflow_provider_bkitsm.hooks.connection import Gateway
from airflow_provider_bkitsm.itsm.errors import ItsmError, ItsmRateLimitedError
from airflow_provider_bkitsm.itsm.protocol import Call

DEFAULT_RETRIES = 2
# A longer pause than this is the caller's to make: it knows what else waits.
_LONGEST_PAUSE = 30.0
_backoff = wait_exponential(multiplier=0.5, max=_LONGEST_PAUSE) + wait_random(0, 0.5)


def policy(call: Call[Any], gateway: Gateway) -> dict[str, Any]:
    """Return tenacity's arguments for one call: how often, how long between, and what for.

    The connection's extra ``read_retries`` says how often a read is repeated; default 2.
    """
    retries = 0 if call.is_write else gateway.whole("read_retries", DEFAULT_RETRIES)
    return {
        "stop": stop_after_attempt(retries + 1),
        "wait": _pause,
        "retry": retry_if_exception(_helps),
        "reraise": True,
    }


def _helps(error: BaseException) -> bool:
    asked = error.retry_after if isinstance(error, ItsmRateLimitedError) else None
    return isinstance(error, ItsmError) and error.retry_safe and (asked or 0.0) <= _LONGEST_PAUSE


def _pause(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    asked = error.retry_after if isinstance(error, ItsmRateLimitedError) else None
    return max(_backoff(state), asked or 0.0)
