# SPDX-License-Identifier: Apache-2.0
"""What a task asks people in a ticket, and the one digest of it. Pure.

The digest is compared whole, Airflow to Airflow: when a cleared task comes back to an open ticket, when a task joins
a shared approval, and after an approval, with what would run now. Two questions have one digest only where every
value has the same type and the same characters; see ``encode``.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked, of whom, in whose name, and where the answer is read. Templates are rendered.

    :param title: as the DAG's author wrote it, without a marker.
    :param fields: the service's submit form by key, without the title and without a digest.
    :param service_id: None with ``fast_approval``.
    :param creator: who asks.
    :param processors: ``meta.state_processors``: approvers that take the place of the flow's own, by node.
    :param policy: where the verdict is read, as the task says it.
    """

    title: str
    fields: Mapping[str, Any]
    service_id: int | str | None = None
    fast_approval: bool = False
    creator: str = ""
    processors: Mapping[str, Any] = field(default_factory=dict)
    policy: Mapping[str, Any] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """``sha256:`` and the hex digest of all of it."""
        return _digest(self._asked() | {"creator": self.creator})

    @property
    def asked_digest(self) -> str:
        """The digest of what is asked of whom, whoever asks: another creator is no reason to ask people again."""
        return _digest(self._asked())

    def _asked(self) -> dict[str, Any]:
        return {
            "title": self.title,
            "fields": self.fields,
            "service_id": None if self.service_id is None else str(self.service_id),
            "fast_approval": self.fast_approval,
            "processors": self.processors,
            "policy": {name: value for name, value in self.policy.items() if value is not None},
        }


def encode(value: Any) -> Any:
    """Return a JSON value that two values share only if they are the same.

    ``1``, ``1.0``, ``"1"``, ``True`` and ``Decimal("1")`` stay different, and so do composed and decomposed
    characters (NFC, NFD) and aware and naive times. A tuple is a list, since Airflow's native templates make one of
    the other; a mapping's order does not matter. Every container is tagged, so that none can look like another.
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, Mapping):
        pairs = [[encode(key), encode(one)] for key, one in value.items()]
        return ["mapping", *sorted(pairs, key=_text)]
    if isinstance(value, list | tuple):
        return ["list", *map(encode, value)]
    if isinstance(value, Set):
        return ["set", *sorted(map(encode, value), key=_text)]
    return _scalar(value)


def _scalar(value: Any) -> list[Any]:
    if isinstance(value, float):
        return ["float", repr(float(value))]
    if isinstance(value, Decimal):
        return ["decimal", str(value)]
    if isinstance(value, datetime | date | time):
        # Every kind of datetime is one: pendulum's may come back from a store as Python's own.
        kind = "datetime" if isinstance(value, datetime) else type(value).__name__.lower()
        return [kind, value.isoformat()]
    if isinstance(value, timedelta):
        return ["timedelta", repr(value.total_seconds())]
    if isinstance(value, bytes | bytearray):
        return ["bytes", base64.b64encode(bytes(value)).decode()]
    return ["other", type(value).__name__, str(value)]


def _text(encoded: Any) -> str:
    return json.dumps(encoded, separators=(",", ":"))


def _digest(value: Any) -> str:
    return f"sha256:{hashlib.sha256(_text(encode(value)).encode()).hexdigest()}"
