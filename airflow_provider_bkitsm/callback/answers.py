# SPDX-License-Identifier: Apache-2.0
"""What became of a callback, and what ITSM is told.

ITSM takes a callback for delivered when it reads HTTP 200 or 201 and a JSON ``code`` equal to the int 0; anything
else it lists as failed and never sends again. The poll finds those decisions. See
docs/itsm-behaviour.md#accepted-callback and docs/itsm-behaviour.md#failed-callbacks.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any


class Result(StrEnum):
    """What became of a callback; it is counted under this value."""

    RESUMED = "resumed"
    STILL_OPEN = "still_open"
    DUPLICATE = "duplicate"
    UNKNOWN = "unknown"
    LEFT_TO_POLL = "left_to_poll"
    ANSWERED_FIRST = "answered_first"
    UNAVAILABLE = "unavailable"
    FAILED = "failed"
    REFUSED_SHAPE = "refused_shape"
    REFUSED_SIGNATURE = "refused_signature"
    REFUSED_EXPIRED = "refused_expired"
    REFUSED_TOKEN = "refused_token"  # noqa: S105
    REFUSED_MISDIRECTED = "refused_misdirected"


_REFUSED = frozenset(one for one in Result if one.name.startswith("REFUSED_"))
_LATER = frozenset({Result.UNAVAILABLE, Result.FAILED})
_ACCEPTED_BODY = {"result": True, "code": 0, "message": "success", "data": None}
_REFUSED_BODY = {"result": False, "code": 1, "message": "refused", "data": None}
_LATER_BODY = {"result": False, "code": 2, "message": "not now", "data": None}


def answer(result: Result) -> tuple[int, dict[str, Any]]:
    """Return status and body; every refusal looks the same, so that an outsider learns nothing from it."""
    if result in _REFUSED:
        return 403, _REFUSED_BODY
    if result in _LATER:
        return 503, _LATER_BODY
    return 200, _ACCEPTED_BODY
