# SPDX-License-Identifier: Apache-2.0
"""Times as ITSM writes and reads them: Asia/Shanghai, without an offset (docs/itsm-behaviour.md#times)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

_SHANGHAI = timezone(timedelta(hours=8))


def shanghai(moment: float, *, microseconds: bool = False) -> str:
    """Return seconds since the epoch as ITSM writes them."""
    there = datetime.fromtimestamp(moment, tz=UTC).astimezone(_SHANGHAI).replace(tzinfo=None)
    return str(there if microseconds else there.replace(microsecond=0))


def maybe_shanghai(moment: float | None) -> str | None:
    """Return a time as ITSM writes it; None for what has not happened yet."""
    return None if moment is None else shanghai(moment)


def tenth_of_day(moment: float) -> int:
    """Return how many tenths of a second of its day in Shanghai have passed at a time since the epoch."""
    there = datetime.fromtimestamp(moment, tz=_SHANGHAI)
    return 10 * (there.hour * 3600 + there.minute * 60 + there.second) + there.microsecond // 100_000


def from_shanghai(text: str) -> float:
    """Read a time as ITSM's filters take it.

    :raises ValueError: it is none.
    """
    return datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=_SHANGHAI).timestamp()
