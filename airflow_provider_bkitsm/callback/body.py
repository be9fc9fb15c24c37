# SPDX-License-Identifier: Apache-2.0
"""Reading the body of a callback: only what is needed, and nothing of it is believed."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TypeGuard

from airflow_provider_bkitsm.itsm.protocol import read_json

SIZE_LIMIT = 64 * 1024
_SN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}")
_TOKEN = re.compile(r"[!-~]{1,256}")
# Posted from inside operate_ticket, before that call answers (docs/itsm-behaviour.md#callback-inside-the-call).
_INSIDE_A_CALL = frozenset({"REVOKED", "TERMINATED"})


@dataclass(frozen=True, kw_only=True)
class Notice:
    """What a callback's body may say: which ticket, and proof that some ITSM sent it.

    ``inside_a_call`` is a claim like all the rest. It decides when the callback is answered, never what is done.
    """

    sn: str
    token: str = field(repr=False)
    inside_a_call: bool = False


def is_number(value: object) -> TypeGuard[str]:
    """Whether a value can be a ticket's number."""
    return isinstance(value, str) and _SN.fullmatch(value) is not None


def read_notice(raw: bytes) -> Notice | None:
    """Read a callback's body; None if its size or shape is wrong. Keys that are not used may be absent.

    See docs/itsm-behaviour.md#callbacks-body.
    """
    if len(raw) > SIZE_LIMIT:
        return None
    try:
        body = read_json(raw)
    except (ValueError, RecursionError):
        return None
    if not isinstance(body, dict):
        return None
    sn, token = body.get("sn"), body.get("token")
    if not (is_number(sn) and isinstance(token, str) and _TOKEN.fullmatch(token)):
        return None
    status = body.get("current_status")
    return Notice(sn=sn, token=token, inside_a_call=isinstance(status, str) and status in _INSIDE_A_CALL)
