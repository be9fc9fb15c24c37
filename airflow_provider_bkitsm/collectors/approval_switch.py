# SPDX-License-Identifier: Apache-2.0
"""Whether a collector of a business needs an approval at all: the log platform's FEATURE_COLLECTOR_ITSM. Pure.

There, any error turns the switch off, and with it the approval
(docs/log-platform-behaviour.md#switch-that-fails-open). Here the switch is off only if the setting is "off": a
setting that cannot be read is an error, and nothing goes on (P3).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from airflow_provider_bkitsm.itsm.errors import ItsmConfigurationError

_FOR_ALL = "collect_itsm"
_FOR_BUSINESSES = "collect_itsm_businesses"

_STATES = {"on": True, "off": False}
_BUSINESS = re.compile(r"\s*(-?[0-9]{1,18})\s*=\s*(\w+)\s*")


@dataclass(frozen=True, kw_only=True)
class Gate:
    """Whether an approval is needed, and the setting that decides it, spelled as in ``airflow.cfg``."""

    is_on: bool
    setting: str


def gate(for_all: str, for_businesses: str, *, bk_biz_id: int) -> Gate:
    """Return the gate of one business; its own entry wins.

    :param for_all: ``on`` or ``off``, in any case.
    :param for_businesses: exceptions such as ``2=off, 5=on``; empty for none.
    :raises ItsmConfigurationError: one of them cannot be read, even if the other alone would decide.
    """
    default, exceptions = _state(_FOR_ALL, for_all), dict(_exceptions(for_businesses))
    if bk_biz_id in exceptions:
        state, name = exceptions[bk_biz_id], f"{_FOR_BUSINESSES} has {bk_biz_id}"
    else:
        state, name = default, _FOR_ALL
    return Gate(is_on=state, setting=f"[bkitsm] {name} = {'on' if state else 'off'}")


def _exceptions(text: str) -> Iterator[tuple[int, bool]]:
    seen: set[int] = set()
    for entry in text.split(",") if text.strip() else ():
        found = _BUSINESS.fullmatch(entry)
        if found is None:
            raise _unreadable(_FOR_BUSINESSES, text, f"{entry.strip()!r} is no entry such as 2=off")
        business = int(found[1])
        if business in seen:
            raise _unreadable(_FOR_BUSINESSES, text, f"business {business} is in it twice")
        seen.add(business)
        yield business, _state(_FOR_BUSINESSES, found[2])


def _state(name: str, text: str) -> bool:
    try:
        return _STATES[text.strip().lower()]
    except KeyError:
        raise _unreadable(name, text, "a switch is on or off") from None


def _unreadable(name: str, text: str, why: str) -> ItsmConfigurationError:
    return ItsmConfigurationError(
        f"[bkitsm] {name} = {text!r} cannot be read: {why}. So it is not known whether an approval is needed: "
        "no ticket was opened and nothing was bypassed. Mend the setting; a retry reads it again"
    )
