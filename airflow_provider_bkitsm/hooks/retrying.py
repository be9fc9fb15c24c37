# SPDX-License-Identifier: Apache-2.0
"""Reads are tried again when that may help, one of them at another door.

Writes never are, since their answer may merely have been lost.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any, TypeVar

from tenacity import RetryCallState, retry_if_exception, stop_after_attempt, wait_exponential, wait_random

from airflow_provider_bkitsm.hooks.connection import Gateway
from airflow_provider_bkitsm.itsm.errors import (
    ItsmEndpointNotFoundError,
    ItsmError,
    ItsmRateLimitedError,
    ItsmUnavailableError,
)
from airflow_provider_bkitsm.itsm.protocol import Call, Front

log = logging.getLogger(__name__)
T = TypeVar("T")

# What a path that leads nowhere is answered with: ITSM's page for unknown paths has HTTP 200
# (docs/itsm-behaviour.md#crash-page).
LEADS_NOWHERE = (ItsmUnavailableError, ItsmEndpointNotFoundError)
DEFAULT_RETRIES = 2
# A longer pause than this is the caller's to make: it knows what else waits.
_LONGEST_PAUSE = 30.0
_backoff = wait_exponential(multiplier=0.5, max=_LONGEST_PAUSE) + wait_random(0, 0.5)


def policy(call: Call[Any], gateway: Gateway) -> dict[str, Any]:
    """Return tenacity's arguments for one call: how often, how long between, and what for.

    The connection's extra ``read_retries`` says how often a read is repeated; default 2.
    """
    once = call.is_write or falls_back(call, gateway)
    retries = 0 if once else gateway.whole("read_retries", DEFAULT_RETRIES)
    return {
        "stop": stop_after_attempt(retries + 1),
        "wait": _pause,
        "retry": retry_if_exception(_helps),
        "reraise": True,
    }


def falls_back(call: Call[Any], gateway: Gateway) -> bool:
    """Whether a call that fails here is made once more at the ESB."""
    return call.esb_fallback and call.door is None and gateway.front is Front.GATEWAY


def at_esb(call: Call[T], failure: ItsmError) -> Call[T]:
    """Return a call that is made at the ESB, and write into the log why.

    :raises ItsmError: ``failure``, where it does not say that the call leads nowhere.
    """
    if not isinstance(failure, LEADS_NOWHERE):
        raise failure
    log.info("the API gateway cannot deliver %s (%s); asking the ESB", call.path.rstrip("/"), failure)
    return replace(call, door=Front.ESB)


def nowhere(call: Call[Any], failure: ItsmError, at_the_esb: ItsmError) -> ItsmError:
    """Return the error of a call that neither door delivers."""
    return type(at_the_esb)(
        f"{call.path.rstrip('/')}: the API gateway does not deliver it ({failure}), and the ESB does not either"
        f" ({at_the_esb}). ITSM's published gateway definition misspells this call's path; have it mended, or name"
        " the ESB's address in the connection's extra esb_url"
    )


def _helps(error: BaseException) -> bool:
    asked = error.retry_after if isinstance(error, ItsmRateLimitedError) else None
    return isinstance(error, ItsmError) and error.retry_safe and (asked or 0.0) <= _LONGEST_PAUSE


def _pause(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    asked = error.retry_after if isinstance(error, ItsmRateLimitedError) else None
    return max(_backoff(state), asked or 0.0)
