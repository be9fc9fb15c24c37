# SPDX-License-Identifier: Apache-2.0
"""What goes out to the gateway and what comes back, the same for every transport."""

from __future__ import annotations

import json
import math
import os
import socket
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from airflow_provider_bkitsm.hooks.connection import Gateway
from airflow_provider_bkitsm.itsm.errors import ItsmInvalidRequestError
from airflow_provider_bkitsm.itsm.protocol import Call

# What asks for a longer pause is taken to mean this one: a gateway counts in seconds and minutes.
LONGEST_PAUSE = 3600.0


@dataclass(frozen=True, kw_only=True)
class Request:
    """A call as it is sent; ``headers`` hold the authorization: never log them."""

    method: str
    url: str
    params: Mapping[str, str] | None
    headers: Mapping[str, str]
    body: bytes | None


@dataclass(frozen=True, kw_only=True)
class Reply:
    """A raw HTTP answer; ``retry_after`` is the pause it asks for, in seconds."""

    status_code: int
    content_type: str | None
    body: bytes
    request_id: str | None = None
    retry_after: float | None = None
    gateway: Gateway | None = None


class NoAnswerError(Exception):
    """The network gave no answer.

    ``sent`` is False only when the request surely never left. ``dropped`` says that an open connection was cut,
    as happens to a kept one that the gateway closes just when it is used again, ``late`` that the answer did
    not come in time. The error's own text is left out: it may hold a proxy's credentials. The
    reasons that an operating system or TLS gives are named.
    """

    def __init__(self, gateway: Gateway, error: Exception, *, sent: bool, dropped: bool, late: bool) -> None:
        super().__init__(f"connection {gateway.conn_id!r}: no answer from {gateway.root} ({reason_of(error)})")
        self.sent = sent
        self.dropped = dropped
        self.late = late

    def calls_for_another(self, call: Call[Any]) -> bool:
        """Whether sending the call again, on a new connection, is both safe and promising."""
        return self.dropped and not call.is_write


def reason_of(error: BaseException) -> str:
    """Return why there was no answer: the kind of error, and the reason that TLS or the operating system gives."""
    kind = type(error).__name__
    for cause in causes(error):
        if isinstance(cause, ssl.SSLError):
            return _tls_reason(cause)
        if isinstance(cause, socket.gaierror):
            return f"{kind}: the host's name cannot be resolved"
        if isinstance(cause, OSError) and cause.errno:
            return f"{kind}: {os.strerror(cause.errno)}"
    return kind


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and all it came from; requests and urllib3 keep that in their arguments."""
    left, seen = [error], set()
    while left:
        one = left.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        linked = (one.__cause__, one.__context__, getattr(one, "reason", None), *one.args)
        left += [other for other in linked if isinstance(other, BaseException)]


def _tls_reason(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"TLS: certificate verify failed: {error.verify_message or 'no reason given'}. The connection's extra"
            " 'verify' takes the path of a CA bundle that knows the certificate's issuer"
        )
    return f"TLS: {(error.reason or 'handshake failed').replace('_', ' ').lower()}. Is the port the one of https?"


def write(gateway: Gateway, call: Call[Any]) -> Request:
    """Return a call as it is sent.

    :raises ItsmInvalidRequestError: its body is not JSON.
    """
    body, headers = None, gateway.headers()
    if call.body is not None:
        try:
            body = json.dumps(call.body, allow_nan=False).encode()
        except (TypeError, ValueError, RecursionError) as error:
            raise ItsmInvalidRequestError(
                f"{call.path.rstrip('/')}: what was given is not JSON ({type(error).__name__}); nothing was sent"
            ) from None
        headers["Content-Type"] = "application/json"
    return Request(method=call.method, url=gateway.url(call), params=call.params, headers=headers, body=body)


def read(status_code: int, headers: Mapping[str, str], body: bytes, *, gateway: Gateway | None = None) -> Reply:
    """Return an answer of a gateway; ``headers`` are looked up without regard to case."""
    return Reply(
        status_code=status_code,
        content_type=headers.get("Content-Type"),
        body=body,
        request_id=headers.get("X-Bkapi-Request-Id"),
        retry_after=asked_pause(headers, datetime.now(UTC)),
        gateway=gateway,
    )


def asked_pause(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return the pause an answer asks for, in seconds from ``now``; None when it names none that makes sense.

    ``Retry-After`` is a number of seconds or an HTTP date; ``X-Bkapi-RateLimit-Reset`` a number.
    """
    named = (headers.get("Retry-After"), headers.get("X-Bkapi-RateLimit-Reset"))
    pauses = (_seconds(text, now) for text in named if text)
    return next((min(pause, LONGEST_PAUSE) for pause in pauses if pause is not None), None)


def _seconds(text: str, now: datetime) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return _until(text, now)
    return value if value >= 0 and math.isfinite(value) else None


def _until(text: str, now: datetime) -> float | None:
    try:
        moment = parsedate_to_datetime(text)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    return max((moment.replace(tzinfo=moment.tzinfo or UTC) - now).total_seconds(), 0.0)
