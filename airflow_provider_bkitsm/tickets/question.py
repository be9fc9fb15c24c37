# SPDX-License-Identifier: Apache-2.0
"""What a task asks people in a ticket, and the one digest of it. Pure.

The digest is compared whole, Airflow to Airflow: when a cleared task comes back to an open ticket, when a task
joins a shared approval, and after an approval, with what would run now. Two questions have one digest only where
every value has the same type and the same characters; see ``encode``.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any
from uuid import UUID

from airflow_provider_bkitsm.itsm.errors import ItsmInvalidRequestError

# Far more than any form holds; what is beyond holds itself, or was made to keep a worker busy.
_DEEPEST, _MOST = 100, 1_000_000
_JSON_INTEGERS = 2**63
_MICROSECOND = timedelta(microseconds=1)
_GIVE = "give texts, numbers, lists and mappings. Nothing was sent to ITSM, and a retry is refused again"


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked, of whom, in whose name, and where the answer is read. Templates are rendered.

    :param title: as the DAG's author wrote it, without a marker.
    :param fields: the service's submit form by key, without the title and without a digest.
    :param service_id: None with ``fast_approval``.
    :param creator: who asks.
    :param processors: ``meta.state_processors``: approvers that take the place of the flow's own, by node.
    :param policy: where the verdict is read, as the task says it.
    :param items: of an approval that tasks share, one for each of them; the ticket lists them all.
    """

    title: str
    fields: Mapping[str, Any]
    service_id: int | str | None = None
    fast_approval: bool = False
    creator: str = ""
    processors: Mapping[str, Any] = field(default_factory=dict)
    policy: Mapping[str, Any] = field(default_factory=dict)
    items: Sequence[Any] = ()

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
            **({"items": list(self.items)} if self.items else {}),
        }

    @property
    def listed_items(self) -> str:
        """What the ticket shows of the items: a line for each, with its number and its whole digest."""
        return "\n".join(
            f"{number}. {item_text(item)} {item_digest(item)}" for number, item in enumerate(self.items, 1)
        )


def item_digest(item: Any) -> str:
    """Return ``sha256:`` and the hex digest of one item of a shared approval."""
    return _digest({"item": item})


def item_text(item: Any) -> str:
    """Return an item as one line, for people."""
    text = item if isinstance(item, str) else json.dumps(item, ensure_ascii=False, sort_keys=True, default=str)
    return " ".join(text.split())


def encode(value: Any) -> Any:
    """Return a JSON value that two values share only if they are the same.

    ``1``, ``1.0``, ``"1"``, ``True`` and ``Decimal("1")`` stay different, and so do composed and decomposed
    characters (NFC, NFD), ``0.0`` and ``-0.0``, aware and naive times. Every container is tagged, so that none can
    look like another.

    Alike on purpose: a tuple, a mapped task's results and a list, since Airflow's native templates make one of the
    other; mappings and sets in any order; a text or number and its subclass (an ``Enum`` of texts, ``Markup``),
    since ITSM is sent the same; every class of times, since pendulum's may come back from a store as Python's own.

    :raises ItsmInvalidRequestError: a value has no text that says all of it, or nests too deeply.
    """
    return _Encoder().encode(value, depth=0)


class _Encoder:
    """Encodes one value, and counts what it holds."""

    def __init__(self) -> None:
        self._count = 0

    def encode(self, value: Any, *, depth: int) -> Any:
        self._count += 1
        if depth > _DEEPEST or self._count > _MOST:
            raise ItsmInvalidRequestError(
                f"the question nests more than {_DEEPEST} levels deep, or holds more than {_MOST} values; {_GIVE}"
            )
        if isinstance(value, Mapping):
            # Not items(): a run's ``params`` hold their values in objects, and give only the values themselves.
            pairs = [[self.encode(one, depth=depth + 1) for one in (key, value[key])] for key in value]
            return ["mapping", *sorted(pairs, key=_text)]
        if isinstance(value, Set):
            return ["set", *sorted(self._each(value, depth), key=_text)]
        if isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray | memoryview):
            return ["list", *self._each(value, depth)]
        if isinstance(value, Enum) and not isinstance(value, str | int | float):
            return ["enum", type(value).__name__, self.encode(value.value, depth=depth + 1)]
        return _scalar(value)

    def _each(self, values: Sequence[Any] | Set[Any], depth: int) -> list[Any]:
        return [self.encode(one, depth=depth + 1) for one in values]


def _scalar(value: Any) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        # Python refuses to write very long integers as decimals.
        return int(value) if abs(value) < _JSON_INTEGERS else ["int", hex(value)]
    if isinstance(value, float):
        return ["float", float.__repr__(value)]
    if isinstance(value, date | time | timedelta):
        return _time(value)
    return _other(value)


def _time(value: date | time | timedelta) -> list[Any]:
    # The base classes' own texts: subclasses may write themselves in another way.
    if isinstance(value, datetime):
        return ["datetime", datetime.isoformat(value)]
    if isinstance(value, date):
        return ["date", date.isoformat(value)]
    if isinstance(value, time):
        return ["time", time.isoformat(value)]
    return ["timedelta", timedelta.__floordiv__(value, _MICROSECOND)]


def _other(value: Any) -> list[Any]:
    if isinstance(value, bytes | bytearray | memoryview):
        return ["bytes", base64.b64encode(bytes(value)).decode()]
    if isinstance(value, Decimal):
        return ["decimal", Decimal.__str__(value)]
    if isinstance(value, UUID | PurePath):
        return ["uuid" if isinstance(value, UUID) else "path", str(value)]
    # An object's text may leave out a part of it, or hold its address, which is another one in every try.
    raise ItsmInvalidRequestError(
        f"the question holds a {type(value).__module__}.{type(value).__qualname__}, which cannot be compared from"
        f" one try to the next; {_GIVE}"
    )


def _text(encoded: Any) -> str:
    return json.dumps(encoded, separators=(",", ":"))


def _digest(value: Any) -> str:
    return f"sha256:{hashlib.sha256(_text(encode(value)).encode()).hexdigest()}"
