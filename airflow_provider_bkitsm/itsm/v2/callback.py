# SPDX-License-Identifier: Apache-2.0
"""The body of a v2 callback. See docs/itsm-behaviour.md#callbacks-body."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_bkitsm.itsm.models import CallbackBody

# Posted from inside operate_ticket, before that call answers (docs/itsm-behaviour.md#callback-inside-the-call).
_INSIDE_A_CALL = frozenset({"REVOKED", "TERMINATED"})


def read_callback(body: Mapping[str, Any]) -> CallbackBody | None:
    """Read a callback's body; None if its shape is wrong. Keys that are not used may be absent."""
    sn, token, status = body.get("sn"), body.get("token"), body.get("current_status")
    if not (isinstance(sn, str) and isinstance(token, str)):
        return None
    inside_a_call = isinstance(status, str) and status in _INSIDE_A_CALL
    return CallbackBody(sn=sn, token=token, inside_a_call=inside_a_call, dialect="v2")
