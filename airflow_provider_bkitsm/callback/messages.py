# SPDX-License-Identifier: Apache-2.0
"""The body of a callback, and the status and body of the answer to it."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Any, TypeGuard

from airflow_provider_bkitsm.hooks.connection import DIALECTS
from airflow_provider_bkitsm.itsm.models import CallbackBody
from airflow_provider_bkitsm.itsm.protocol import read_json

SIZE_LIMIT = 64 * 1024
_SN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}")
_TOKEN = re.compile(r"[!-~]{1,256}")


def is_number(value: object) -> TypeGuard[str]:
    """Whether a value can be a ticket's number."""
    return isinstance(value, str) and _SN.fullmatch(value) is not None


def read_notice(raw: bytes) -> CallbackBody | None:
    """Read a callback's body; None if its size or shape is wrong, or it is one of several dialects at once.

    Which dialect it should be written in is not known yet: the connection is read behind the signature's check.
    """
    if len(raw) > SIZE_LIMIT:
        return None
    try:
        body = read_json(raw)
    except (ValueError, RecursionError):
        return None
    if not isinstance(body, dict):
        return None
    read = [found for one in DIALECTS.values() if (found := one.read_callback(body)) is not None]
    if len(read) != 1 or not (is_number(read[0].sn) and _TOKEN.fullmatch(read[0].token)):
        return None
    return read[0]


class Result(StrEnum):
    """What became of a callback. The value is the tag under which the metric counts it."""

    RESUMED = "resumed"
    STILL_OPEN = "still_open"
    DUPLICATE = "duplicate"
    UNKNOWN = "unknown"
    LEFT_TO_POLL = "left_to_poll"
    ANSWERED_FIRST = "answered_first"
    UNAVAILABLE = "unavailable"
    FAILED = "failed"
    BUSY = "busy"
    REFUSED_SHAPE = "refused_shape"
    REFUSED_SIGNATURE = "refused_signature"
    REFUSED_EXPIRED = "refused_expired"
    REFUSED_TOKEN = "refused_token"  # noqa: S105
    REFUSED_MISDIRECTED = "refused_misdirected"


# Before the answer. Whatever comes to light after it, ITSM has read that its callback was accepted.
_REFUSED = frozenset({Result.REFUSED_SHAPE, Result.REFUSED_SIGNATURE, Result.REFUSED_EXPIRED})
_LATER = frozenset({Result.FAILED, Result.BUSY})
_ACCEPTED_BODY = {"result": True, "code": 0, "message": "success", "data": None}
_REFUSED_BODY = {"result": False, "code": 1, "message": "refused", "data": None}
_LATER_BODY = {"result": False, "code": 2, "message": "not now", "data": None}


def answer(result: Result) -> tuple[int, dict[str, Any]]:
    """Return the status and body that ITSM reads. Every refusal looks the same: an outsider learns nothing."""
    if result in _REFUSED:
        return 403, _REFUSED_BODY
    if result in _LATER:
        return 503, _LATER_BODY
    return 200, _ACCEPTED_BODY
