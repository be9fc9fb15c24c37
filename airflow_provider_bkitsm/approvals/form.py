# SPDX-License-Identifier: Apache-2.0
"""A ticket's form as the approver read it: each field a text, or the rows of a custom form."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from airflow_provider_bkitsm.itsm.models import FormField

# ITSM lists these with every ticket; they say nothing about what is asked.
_ITSMS_OWN = frozenset({"title", "impact", "urgency", "priority", "current_status", "bk_biz_id"})

Line = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A field: its name, and a text or the rows of a custom form."""

    name: str
    text: str = ""
    rows: tuple[Line, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)


def shown_form(fields: Iterable[FormField]) -> tuple[Shown, ...]:
    """Return the fields that are filled in, each key once."""
    filled = {one.key: one for one in fields if one.value not in (None, "", [], {})}
    return tuple(shown_field(one) for key, one in filled.items() if key not in _ITSMS_OWN)


def shown_field(field: FormField) -> Shown:
    """Return one field. What ITSM displays for a choice is shown, not its key."""
    name = field.name or field.key
    rows = _custom_form(field.value)
    if rows:
        return Shown(name=name, rows=rows)
    displayed = field.display_value if field.display_value not in (None, "") else field.value
    return Shown(name=name, text=as_text(displayed))


def as_text(value: object) -> str:
    """Return a text as it is, anything else as JSON a person can read."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=1, default=str)


def _custom_form(value: object) -> tuple[Line, ...]:
    """Return the rows of a CUSTOM-FORM, an object or its JSON text.

    See docs/log-platform-behaviour.md#collectors-details.
    """
    blocks = _object(value).get("form_data")
    if not isinstance(blocks, list):
        return ()
    return tuple(_line(line) for block in blocks if isinstance(block, Mapping) for line in _lines(block))


def _object(value: object) -> Mapping[str, Any]:
    if isinstance(value, str) and value.lstrip().startswith("{"):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return {}
    return value if isinstance(value, Mapping) else {}


def _lines(block: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    inner = block.get("children")
    lines = inner if isinstance(inner, list) and inner else [block]
    return [line for line in lines if isinstance(line, Mapping)]


def _line(line: Mapping[str, Any]) -> Line:
    value = line.get("value")
    label = as_text(line.get("label") or "").rstrip(":： ")
    return label, "" if value is None else as_text(value)
