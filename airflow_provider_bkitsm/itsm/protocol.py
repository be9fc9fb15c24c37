# SPDX-License-Identifier: Apache-2.0
"""One call and its answer: the shape of a request, and decoding what came back.

ITSM's HTTP status says nothing: business errors and even crash pages are HTTP 200. Success is a JSON object
with ``result`` true and a code of success; the API gateway in front answers with real statuses and its own codes.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Generic, Literal, TypeVar

from airflow_provider_bkitsm.itsm import errors

T = TypeVar("T")
_OK_STATUSES = frozenset({200, 201})
_SERVER_ERRORS = 500
_LONGEST_MESSAGE = 500
# 1640401 is the gateway's 404.
_GATEWAY_CODE = re.compile(r"16([45]\d\d)\d\d")


class Front(StrEnum):
    """The door calls go through: both lead to the same ITSM."""

    GATEWAY = "gateway"
    ESB = "esb"


@dataclass(frozen=True, kw_only=True)
class Call(Generic[T]):
    """A request to one endpoint, and how to read its ``data``.

    ``path`` is relative to the connection's gateway root and keeps ITSM's trailing slash (without it a POST
    is redirected into a GET). ``is_write`` marks calls that must never be blindly repeated. ``batch`` names the
    list in the body that may be sent in pieces. ``esb_fallback`` marks reads that the API gateway's published
    definition cannot deliver and the ESB can; ``door`` is where the call is sent, None the connection's own.
    ``file`` is sent as a form's file in place of a body: its field, its name, its content. ``secrets`` are the
    texts in it that no error may show, though an answer may quote them (promise P8).
    """

    method: Literal["GET", "POST"]
    path: str
    parse: Callable[[Any], T]
    params: Mapping[str, str] | None = None
    body: Mapping[str, Any] | None = field(default=None, repr=False)
    is_write: bool = False
    needs_verified_user: bool = False
    esb_path: str | None = None
    on_esb: bool = True
    batch: str | None = None
    esb_fallback: bool = False
    door: Front | None = None
    file: tuple[str, str, bytes] | None = None
    secrets: tuple[str, ...] = field(default=(), repr=False)

    def path_at(self, front: Front) -> str:
        """Return the path at a front; the ESB has names of its own, and lacks some calls.

        See docs/itsm-behaviour.md#names-at-the-fronts.

        :raises ItsmConfigurationError: the ESB does not offer this call.
        """
        if front is Front.GATEWAY:
            return self.path
        if not self.on_esb:
            raise errors.ItsmConfigurationError(
                f"the ESB does not offer {self.path.rstrip('/')}; use the API gateway's address. Nothing was sent"
            )
        return self.esb_path or self.path


# Several calls in a row that lead to one result: yields calls, is sent their parsed answers.
Flow = Generator[Call[Any], Any, T]


@dataclass(frozen=True, kw_only=True)
class Envelope:
    """The BlueKing envelope, shared by ITSM, the log platform, the ESB and the gateway."""

    ok: bool
    code: errors.Code | None
    message: str
    data: Any
    request_id: str | None


@dataclass(frozen=True, kw_only=True)
class Codes:
    """What a platform's own codes mean.

    :param own: what they look like: any other one is of the gateway, or of an outage in front of the platform.
    :param errors: by code.
    :param successes: those of an answer that is no error.
    :param ok_statuses: the HTTP statuses of such an answer.
    """

    own: re.Pattern[str]
    errors: Mapping[str, type[errors.ItsmError]]
    successes: frozenset[str] = frozenset({"0"})
    ok_statuses: frozenset[int] = _OK_STATUSES


# docs/itsm-behaviour.md#codes-of-the-fronts
_ERROR_BY_FRONT_CODE: dict[str, type[errors.ItsmError]] = {
    # API gateway
    "1640001": errors.ItsmAuthenticationError,
    "1640301": errors.ItsmPermissionError,
    "1640302": errors.ItsmPermissionError,
    "1640401": errors.ItsmEndpointNotFoundError,
    "1642901": errors.ItsmRateLimitedError,
    "1642902": errors.ItsmRateLimitedError,
    "1642903": errors.ItsmRateLimitedError,
    "1642904": errors.ItsmRateLimitedError,
    # ESB
    "1306000": errors.ItsmAuthenticationError,
    "1306401": errors.ItsmPermissionError,
    "1306402": errors.ItsmPermissionError,
    "1306403": errors.ItsmPermissionError,
    "1306404": errors.ItsmEndpointNotFoundError,
    "1306405": errors.ItsmEndpointNotFoundError,
    "1306429": errors.ItsmRateLimitedError,
    "1306201": errors.ItsmUnavailableError,
    "1306203": errors.ItsmUnavailableError,
    "1306206": errors.ItsmUnavailableError,
    "1306207": errors.ItsmUnavailableError,
    "1306208": errors.ItsmUnavailableError,
    "1306209": errors.ItsmUnavailableError,
}
_ERROR_BY_STATUS: dict[int, type[errors.ItsmError]] = {
    401: errors.ItsmAuthenticationError,
    403: errors.ItsmPermissionError,
    404: errors.ItsmEndpointNotFoundError,
    405: errors.ItsmEndpointNotFoundError,
    408: errors.ItsmUnavailableError,
    425: errors.ItsmUnavailableError,
    499: errors.ItsmUnavailableError,
    429: errors.ItsmRateLimitedError,
}


def decode(
    status_code: int,
    content_type: str | None,
    body: bytes,
    *,
    codes: Codes,
    request_id: str | None = None,
    retry_after: float | None = None,
) -> Any:
    """Return the envelope's ``data``, or raise the ``ItsmError`` its code, or else its status, stands for.

    ``request_id`` and ``retry_after`` are what the response headers said, if anything. No part of an answer
    that is not an envelope is ever shown: it could be a page of the gateway's own.
    """
    envelope = open_envelope(body, successes=codes.successes)
    if envelope is None:
        raise _without_envelope(status_code, content_type, request_id=request_id, retry_after=retry_after)
    if envelope.ok and status_code in codes.ok_statuses:
        return envelope.data
    kind = _error_by_envelope(status_code, str(envelope.code), codes)
    message = f"ITSM answered: {envelope.message[:_LONGEST_MESSAGE] or 'no message'}"
    raise _build(kind, message, envelope.code, envelope.request_id or request_id, retry_after)


def open_envelope(body: bytes, *, successes: frozenset[str] = frozenset({"0"})) -> Envelope | None:
    """Parse a BlueKing envelope; None when the body is anything else (an HTML page, nothing, plain JSON)."""
    try:
        answer = _storable(read_json(body), body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(answer, dict) or "result" not in answer:
        return None
    code = answer.get("code")
    known_code = isinstance(code, int | str) and not isinstance(code, bool)
    return Envelope(
        ok=answer["result"] is True and known_code and str(code) in successes,
        code=code if known_code else None,
        message=_message(answer),
        data=answer.get("data"),
        request_id=str(answer["request_id"]) if answer.get("request_id") else None,
    )


def _message(answer: Mapping[str, Any]) -> str:
    """Return what an answer says: some errors say in their ``data`` alone what is wrong."""
    data = answer.get("data")
    texts = (answer.get("message"), data.get("detail") if isinstance(data, dict) else None)
    return ": ".join(dict.fromkeys(str(text) for text in texts if text))


def read_json(text: bytes) -> Any:
    """Parse JSON that means one thing only (promise P3): no key twice in one object, no number but a finite one.

    JSON is UTF-8 (RFC 8259): in another encoding the same bytes would be another text to whoever looks for it.

    :raises ValueError: it is something else.
    """
    written = text.decode("utf-8-sig", errors="surrogatepass")
    return json.loads(written, object_pairs_hook=_unique, parse_constant=_finite, parse_float=_finite)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    read = dict(pairs)
    if len(read) != len(pairs):
        raise ValueError("a JSON object holds a key twice")
    return read


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a JSON number is not finite")
    return number


# As JSON spells them, and as bytes that Python's decoder lets pass.
_UNSTORABLE = re.compile(rb"\\ud|\\u0000|\xed[\xa0-\xbf]", re.IGNORECASE)


def _storable(answer: Any, body: bytes) -> Any:
    """Replace what JSON can spell and no log, XCom or database can store: halves of surrogate pairs, and NUL."""
    return _replaced(answer) if _UNSTORABLE.search(body) else answer


def _replaced(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode(errors="replace").decode().replace("\0", "?")
    if isinstance(value, list):
        return [_replaced(one) for one in value]
    if isinstance(value, dict):
        return _unique([(_replaced(key), _replaced(one)) for key, one in value.items()])
    return value


def _without_envelope(
    status_code: int, content_type: str | None, *, request_id: str | None, retry_after: float | None
) -> errors.ItsmError:
    kind = errors.ItsmUnavailableError if status_code in _OK_STATUSES else _error_by_status(status_code)
    what = (content_type or "no content type").split(";")[0][:80]
    message = f"expected ITSM's JSON envelope, got HTTP {status_code} with {what}"
    if status_code in range(300, 400):
        message += ": the connection's host redirects; use the gateway root itself"
    return _build(kind, message, None, request_id, retry_after)


def _error_by_envelope(status_code: int, code: str, codes: Codes) -> type[errors.ItsmError]:
    if status_code < _SERVER_ERRORS and code in codes.errors:
        return codes.errors[code]
    return error_by_code(status_code, code, own=codes.own)


def error_by_code(status_code: int, code: str, *, own: re.Pattern[str]) -> type[errors.ItsmError]:
    """Judge an envelope that is no success: an outage in front of a platform, or behind it, has a code as well.

    With a server's error as HTTP status nothing in the body is believed. A gateway's code holds its own status.
    With HTTP 200 only the platform's own codes, and those listed of gateway and ESB, are about the request.

    :param own: what the platform's own codes look like.
    """
    if status_code >= _SERVER_ERRORS:
        return errors.ItsmUnavailableError
    if code in _ERROR_BY_FRONT_CODE:
        return _ERROR_BY_FRONT_CODE[code]
    gateway = _GATEWAY_CODE.fullmatch(code)
    if gateway is not None:
        return _error_by_status(int(gateway[1]))
    is_own = own.fullmatch(code) is not None
    if is_own and _ERROR_BY_STATUS.get(status_code) is errors.ItsmEndpointNotFoundError:
        # The platform has taken the path: it lacks what the request names.
        return errors.ItsmInvalidRequestError
    about_the_request = status_code not in _OK_STATUSES or is_own
    return _error_by_status(status_code) if about_the_request else errors.ItsmUnavailableError


def _error_by_status(status_code: int) -> type[errors.ItsmError]:
    if status_code in _ERROR_BY_STATUS:
        return _ERROR_BY_STATUS[status_code]
    if status_code in range(300, 400):
        return errors.ItsmEndpointNotFoundError
    if status_code in _OK_STATUSES or status_code in range(400, 500):
        return errors.ItsmInvalidRequestError
    return errors.ItsmUnavailableError


def _build(
    kind: type[errors.ItsmError],
    message: str,
    code: errors.Code | None,
    request_id: str | None,
    retry_after: float | None,
) -> errors.ItsmError:
    if issubclass(kind, errors.ItsmRateLimitedError):
        return kind(message, code=code, request_id=request_id, retry_after=retry_after)
    return kind(message, code=code, request_id=request_id)


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
