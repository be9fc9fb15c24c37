# SPDX-License-Identifier: Apache-2.0
"""The result or error of an answer, and the retry policy of a call."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any, TypeVar

from tenacity import RetryCallState, retry_if_exception, stop_after_attempt, wait_exponential, wait_random

from airflow_provider_bkitsm.hooks.connection import Gateway
from airflow_provider_bkitsm.hooks.connection_form import GATEWAY_URLS
from airflow_provider_bkitsm.hooks.transport import NoAnswerError, Reply
from airflow_provider_bkitsm.itsm import errors
from airflow_provider_bkitsm.itsm.errors import (
    ItsmEndpointNotFoundError,
    ItsmError,
    ItsmRateLimitedError,
    ItsmUnavailableError,
)
from airflow_provider_bkitsm.itsm.protocol import Call, Front, decode
from airflow_provider_bkitsm.itsm.v2.dialect import V2

T = TypeVar("T")
_NOT_FOUND = 404
# What is shorter is part of any text.
_SHORTEST_SECRET = 8
# The 404 of API gateway and ESB, whatever the HTTP status.
_NO_SUCH_PATH = frozenset({"1640401", "1306404"})


def understand(call: Call[T], reply: Reply) -> T:
    """Return a call's result.

    :raises ItsmOutcomeUnknownError: the answer to a write does not show whether it was done.
    :raises ItsmError: the error that the answer reports, without the secrets of the call that it may quote.
    """
    try:
        return _read(call, reply)
    except ItsmError as error:
        of_connection = reply.gateway.secrets if reply.gateway else ()
        hidden = (one for one in (*call.secrets, *of_connection) if len(one) >= _SHORTEST_SECRET)
        raise error.without(hidden) from None


def _read(call: Call[T], reply: Reply) -> T:
    try:
        data = decode(
            reply.status_code,
            reply.content_type,
            reply.body,
            codes=(reply.gateway.dialect if reply.gateway else V2).codes,
            request_id=reply.request_id,
            retry_after=reply.retry_after,
        )
        return call.parse(data)
    except errors.ItsmRateLimitedError:
        raise
    except errors.ItsmUnavailableError as error:
        located = _located(reply, error)
        raise (_outcome_unknown(call, str(located)) if call.is_write else located) from None
    except errors.ItsmAuthenticationError as error:
        raise _located(reply, _with_grant(call, error)) from None
    except errors.ItsmPermissionError as error:
        message = denied(call, reply, error.message)
        raise type(error)(message, code=error.code, request_id=error.request_id) from None
    except errors.ItsmError as error:
        raise _located(reply, error) from None


def unanswered(call: Call[Any], error: NoAnswerError) -> errors.ItsmError:
    """Return the error of a call without an answer."""
    if call.is_write and error.sent:
        return _outcome_unknown(call, str(error))
    kind = errors.ItsmTimeoutError if error.late else errors.ItsmUnavailableError
    return kind(f"{error}; nothing was done")


def located(reply: Reply, message: str, *, is_no_path: bool = False) -> str:
    """Return a message with its connection and address; for a 404, with the question whether that is right."""
    gateway = reply.gateway
    if gateway is None:
        return message
    named = f"connection {gateway.conn_id!r}: {message} (from {gateway.root})"
    if not is_no_path and reply.status_code != _NOT_FOUND:
        return named
    examples = "; ".join(f"{kind}: {url}" for kind, url in GATEWAY_URLS.items())
    return f"{named}. Is the host the gateway's root, with its path? Examples: {examples}"


def denied(call: Call[Any], reply: Reply, message: str) -> str:
    """Return a refusal's message with its connection, and the call, app and user that lack the right."""
    gateway = reply.gateway
    caller = f", of app {gateway.app_code!r} as user {gateway.username!r}" if gateway else ""
    return f"{located(reply, message)}. The refused call is {call.path.rstrip('/')}{caller}"


def _located(reply: Reply, error: errors.ItsmError) -> errors.ItsmError:
    """Return an error with its connection in the message, where the gateway answered in place of ITSM."""
    is_not_found = reply.status_code == _NOT_FOUND and isinstance(error, ItsmEndpointNotFoundError)
    is_no_path = is_not_found or str(error.code) in _NO_SUCH_PATH
    is_of_itsm = error.code is not None or isinstance(error, errors.ItsmUnexpectedAnswerError)
    if is_of_itsm and not is_no_path and not isinstance(error, errors.ItsmAuthenticationError):
        return error
    message = located(reply, error.message, is_no_path=is_no_path)
    return type(error)(message, code=error.code, request_id=error.request_id)


def _outcome_unknown(call: Call[Any], why: str) -> errors.ItsmOutcomeUnknownError:
    return errors.ItsmOutcomeUnknownError(
        f"{call.path.rstrip('/')} was sent, but its answer was lost ({why}): it may or may not have been done"
    )


def _with_grant(call: Call[Any], error: errors.ItsmAuthenticationError) -> errors.ItsmAuthenticationError:
    if not call.needs_verified_user:
        return error
    return errors.ItsmAuthenticationError(
        f"{error.message}. {call.path.rstrip('/')} demands a verified user at the gateway: put an"
        " access_token into the connection's extra, or have the gateway's administrator exempt this app"
        " from user verification for it",
        code=error.code,
        request_id=error.request_id,
    )


log = logging.getLogger(__name__)

# The errors that a path which leads nowhere may have, and an outage as well: ITSM's page for unknown paths has
# HTTP 200 (docs/itsm-behaviour.md#crash-page).
LEADS_NOWHERE = (ItsmUnavailableError, ItsmEndpointNotFoundError)
DEFAULT_RETRIES = 2
# The hook makes no pause longer than this. The caller decides whether to wait longer.
_LONGEST_PAUSE = 30.0
_backoff = wait_exponential(multiplier=0.5, max=_LONGEST_PAUSE) + wait_random(0, 0.5)


def policy(call: Call[Any], gateway: Gateway, *, repeats: bool = True) -> dict[str, Any]:
    """Return tenacity's arguments for one call: how often it is repeated, after which pause, for which errors.

    The connection's extra ``read_retries`` is how often a read is repeated; default 2.

    :param repeats: False where the caller itself repeats the call when that is due.
    """
    once = call.is_write or falls_back(call, gateway) or not repeats
    retries = 0 if once else gateway.whole("read_retries", DEFAULT_RETRIES)
    return {
        "stop": stop_after_attempt(retries + 1),
        "wait": _pause,
        "retry": retry_if_exception(_is_worth_retrying),
        "reraise": True,
    }


def falls_back(call: Call[Any], gateway: Gateway) -> bool:
    """Whether a call that fails at the API gateway is made once more at the ESB."""
    return call.esb_fallback and call.door is None and gateway.front is Front.GATEWAY


def at_esb(call: Call[T], failure: ItsmError) -> Call[T]:
    """Return the call for the ESB, and log why.

    :raises ItsmError: ``failure``, unless it may mean that the call's path leads nowhere.
    """
    if not isinstance(failure, LEADS_NOWHERE):
        raise failure
    log.info("the API gateway cannot deliver %s (%s); asking the ESB", call.path.rstrip("/"), failure)
    return replace(call, door=Front.ESB)


def nowhere(call: Call[Any], failure: ItsmError, at_the_esb: ItsmError) -> ItsmError:
    """Return the error of a call that neither API gateway nor ESB delivers."""
    return type(at_the_esb)(
        f"{call.path.rstrip('/')}: the API gateway does not deliver it ({failure}), and the ESB does not either"
        f" ({at_the_esb}). If other calls are answered: ITSM's published gateway definition misspells this call's"
        " path; have it mended, or name the ESB's address in the connection's extra esb_url"
    )


def _is_worth_retrying(error: BaseException) -> bool:
    return isinstance(error, ItsmError) and error.retry_safe and _retry_after(error) <= _LONGEST_PAUSE


def _pause(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    return max(_backoff(state), _retry_after(error))


def _retry_after(error: BaseException | None) -> float:
    return (error.retry_after or 0.0) if isinstance(error, ItsmRateLimitedError) else 0.0
