# SPDX-License-Identifier: Apache-2.0
"""An answer, or the lack of one, turned into what the caller of a hook gets: a result or an ``ItsmError``."""

from __future__ import annotations

from typing import Any, TypeVar

from airflow_provider_bkitsm.hooks.connection_form import GATEWAY_URLS
from airflow_provider_bkitsm.hooks.exchange import NoAnswerError, Reply
from airflow_provider_bkitsm.itsm import errors
from airflow_provider_bkitsm.itsm.protocol import Call, decode

T = TypeVar("T")
_NOT_FOUND = 404
# The 404 of API gateway and ESB, whatever the HTTP status.
_NO_SUCH_PATH = frozenset({"1640401", "1306404"})


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
        located = _located(reply, error)
        raise (_unknown(call, str(located)) if call.is_write else located) from None
    except errors.ItsmAuthenticationError as error:
        raise _located(reply, _with_grant(call, error)) from None
    except errors.ItsmPermissionError as error:
        message = denied(call, reply, error.message)
        raise type(error)(message, code=error.code, request_id=error.request_id) from None
    except errors.ItsmError as error:
        raise _located(reply, error) from None


def unanswered(call: Call[Any], error: NoAnswerError) -> errors.ItsmError:
    """Return what a missing answer means for a call."""
    if call.is_write and error.sent:
        return _unknown(call, str(error))
    kind = errors.ItsmTimeoutError if error.late else errors.ItsmUnavailableError
    return kind(f"{error}; nothing was done")


def located(reply: Reply, message: str, *, is_no_path: bool = False) -> str:
    """Return a message with the connection it is about and its address; a 404 asks whether that is right."""
    gateway = reply.gateway
    if gateway is None:
        return message
    named = f"connection {gateway.conn_id!r}: {message} (from {gateway.root})"
    if not is_no_path and reply.status_code != _NOT_FOUND:
        return named
    examples = "; ".join(f"{kind}: {url}" for kind, url in GATEWAY_URLS.items())
    return f"{named}. Is the host the gateway's root, with its path? Examples: {examples}"


def denied(call: Call[Any], reply: Reply, message: str) -> str:
    """Return a refusal with its connection, and the call, app and user that the missing right is for."""
    gateway = reply.gateway
    caller = f", of app {gateway.app_code!r} as user {gateway.username!r}" if gateway else ""
    return f"{located(reply, message)}. The refused call is {call.path.rstrip('/')}{caller}"


def _located(reply: Reply, error: errors.ItsmError) -> errors.ItsmError:
    """Return an error with its connection, where the gateway has answered in ITSM's place."""
    is_no_path = reply.status_code == _NOT_FOUND or str(error.code) in _NO_SUCH_PATH
    is_of_itsm = error.code is not None or isinstance(error, errors.ItsmUnexpectedAnswerError)
    if is_of_itsm and not is_no_path and not isinstance(error, errors.ItsmAuthenticationError):
        return error
    message = located(reply, error.message, is_no_path=is_no_path)
    return type(error)(message, code=error.code, request_id=error.request_id)


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
