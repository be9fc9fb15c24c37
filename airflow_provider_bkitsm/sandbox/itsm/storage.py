# SPDX-License-Identifier: Apache-2.0
"""Values of a submit form: which ITSM refuses by field type, how it stores them, which stop its flow. Pure.

See docs/itsm-fields.md.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from airflow_provider_bkitsm.sandbox import refusals
from airflow_provider_bkitsm.sandbox.itsm.html_filter import filtered
from airflow_provider_bkitsm.sandbox.itsm.services import Field

EMPTY: tuple[object, ...] = (None, "", [], {})
_STRUCTURED = frozenset({"CUSTOM-FORM", "TABLE", "CUSTOMTABLE"})
_RAW_TEXT = frozenset({"TEXT", "FILE"})
_LAST_OF_THREE_BYTES = "\uffff"


def check_value(field: Field, value: Any, businesses: Collection[int]) -> None:
    """Check a value of the submit form, empty ones excepted.

    :param businesses: the businesses of the configuration platform, the choices of fields that ask it.
    :raises Refusal: ITSM does not open a ticket with it.
    """
    if field.from_cmdb:
        _check_one_of(field, value, {str(one) for one in businesses})
    elif check := _CHECKS.get(field.type):
        check(field, value)


def stored(field: Field, value: Any) -> Any:
    """Return a value as it is stored.

    Texts go through the HTML filter, except in TEXT and FILE fields. Anything else becomes Python's text of it,
    so that a JSON list of approvers is one odd name; structured fields keep lists and objects.
    """
    if isinstance(value, str):
        return value if field.type in _RAW_TEXT else filtered(value)
    if value is None or field.type in _STRUCTURED:
        return value
    return str(value)


def stops_the_flow(field: Field, value: Any) -> bool:
    """Whether the flow hangs at the submit step: an INT field that holds no number."""
    if field.type != "INT" or value is None:
        return False
    try:
        float(str(value))
    except ValueError:
        return True
    return False


def has_four_byte_characters(value: Any) -> bool:
    """Whether a stored text holds a character that a utf8mb3 database cannot store; JSON columns can."""
    return isinstance(value, str) and any(letter > _LAST_OF_THREE_BYTES for letter in value)


def _check_choice(field: Field, value: Any) -> None:
    if field.choice:
        _check_one_of(field, value, dict(field.choice))


def _check_one_of(field: Field, value: Any, keys: Collection[str]) -> None:
    if str(value) not in keys:
        raise refusals.cannot_create(f"【{field.name}】选项不匹配，请重新选择")


def _check_choices(field: Field, value: Any) -> None:
    if not isinstance(value, str):
        raise refusals.cannot_create(f"'{type(value).__name__}' object has no attribute 'split'")
    for one in value.split(","):
        _check_choice(field, one)


def _check_table(field: Field, value: Any) -> None:
    if not isinstance(value, list | dict | str):
        raise refusals.cannot_create(f"'{type(value).__name__}' object is not iterable")
    for number, row in enumerate(value, start=1):
        if not isinstance(row, dict):
            raise refusals.cannot_create(f"'{type(row).__name__}' object has no attribute 'items'")
        for key, name in field.required_cells:
            if key in row and row[key] in EMPTY:
                raise refusals.cannot_create(f"表格字段【{field.name}】的第【{number}】行【{name}】为必填项")


_CHECKS: dict[str, Callable[[Field, Any], None]] = {
    "SELECT": _check_choice,
    "RADIO": _check_choice,
    "MULTISELECT": _check_choices,
    "CHECKBOX": _check_choices,
    "TABLE": _check_table,
}
