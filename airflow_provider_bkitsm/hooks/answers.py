# SPDX-License-Identifier: Apache-2.0
"""An answer, or the lack of one, turned into what the caller of a hook gets: a result or an ``ItsmError``."""

from __future__ import annotations

from typing import Any, TypeVar

from airflow_provider_bkitsm.hooks.exchange import NoAnswerError, Reply
from airflow_provider_bkitsm.itsm import errors
from airflow_provider_bkitsm.itsm.protocol import Call, decode

T = TypeVar("T")


def understand(call: Call[T], reply: Reply) -> T:
    """Return a call's result.

    :raises ItsmOutcomeUnknownError: the answer to a write says nothing about it.
    :raises ItsmError: as the answer says.
    """
    try:
        data = decode(
            reply.status_code,
            reply.content_type,
            reply.body,
            request_id=reply.request_id,
            retry_after=reply.retry_after,
        )
        return call.parse(data)
    except errors.ItsmRateLimitedError:
        raise
    except errors.ItsmUnavailableError as error:
        raise (_unknown(call, str(error)) if call.is_write else error) from None
    except errors.ItsmAuthenticationError as error:
        raise _with_grant(call, error) from None


def unanswered(call: Call[Any], error: NoAnswerError) -> errors.ItsmError:
    """Return what a missing answer means for a call."""
    if call.is_write and error.sent:
        return _unknown(call, str(error))
    kind = errors.ItsmTimeoutError if error.late else errors.ItsmUnavailableError
    return kind(f"{error}; nothing was done")


def _unknown(call: Call[Any], why: str) -> errors.ItsmOutcomeUnknownError:
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
