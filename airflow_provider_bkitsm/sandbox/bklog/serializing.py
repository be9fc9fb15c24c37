# SPDX-License-Identifier: Apache-2.0
"""How the log platform's web framework reads JSON: it converts where it can, and refuses the rest by its place.

A reader takes a value and returns it as the platform uses it. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

Read = Callable[[Any], Any]
Validate = Callable[[dict[str, Any]], dict[str, Any]]

_TRUE = frozenset({"t", "y", "yes", "true", "on", "1", 1})
_FALSE = frozenset({"f", "n", "no", "false", "off", "0", 0})
_WHOLE_FLOAT = re.compile(r"\.0*\s*$")
_LONGEST_NUMBER = 1000
_ABSENT: Final = object()


class Invalid(Exception):
    """A value that is refused.

    :param places: the message by place, e.g. ``fields[0].is_delete``; "" is the value itself.
    """

    def __init__(self, places: Mapping[str, str]) -> None:
        super().__init__(str(dict(places)))
        self.places = dict(places)


def invalid(message: str) -> Invalid:
    """Return the refusal of a value as a whole."""
    return Invalid({"": message})


def text(*, blank: bool = False, trim: bool = True) -> Read:
    """Read a text; a number is a text too.

    :param blank: an empty one is taken.
    :param trim: blanks around it are dropped.
    """

    def read(value: Any) -> str:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise invalid("不是有效的字符串。")
        found = str(value).strip() if trim else str(value)
        if not blank and not found.strip():
            raise invalid("该字段不能为空。")
        if "\x00" in found or any("\ud800" <= one <= "\udfff" for one in found):
            raise invalid("字符串中不允许此字符。")
        return found

    return read


def whole(*, least: int | None = None) -> Read:
    """Read a whole number, also from a text or from a float without a fraction."""

    def read(value: Any) -> int:
        spelled = str(value)
        if len(spelled) > _LONGEST_NUMBER:
            raise invalid("字符串值太长。")
        try:
            number = int(_WHOLE_FLOAT.sub("", spelled))
        except ValueError:
            raise invalid("请填写合法的整数值。") from None
        if least is not None and number < least:
            raise invalid(f"请确保该值大于或者等于 {least}。")
        return number

    return read


def flag(value: Any) -> bool:
    """Read a yes or no, also from its many spellings."""
    spelled = value.lower() if isinstance(value, str) else value
    if isinstance(spelled, str | int | float):
        if spelled in _TRUE:
            return True
        if spelled in _FALSE:
            return False
    raise invalid("不是合法的布尔值。")


def choice(*allowed: Any) -> Read:
    """Read one of several values, compared as texts."""
    by_text = {str(one): one for one in allowed}

    def read(value: Any) -> Any:
        if str(value) not in by_text:
            raise invalid(f"“{value}” 不是合法选项。")
        return by_text[str(value)]

    return read


def anything(value: Any) -> Any:
    """Read whatever JSON can spell."""
    return value


def mapping(value: Any) -> dict[str, Any]:
    """Read an object with any keys."""
    if not isinstance(value, dict):
        raise invalid("期望是一个字典类型。")
    return value


def nullable(read: Read) -> Read:
    """Read the same, or null."""
    return lambda value: None if value is None else read(value)


def listed(read: Read = anything) -> Read:
    """Read a list, each item alike."""

    def read_list(value: Any) -> list[Any]:
        if not isinstance(value, list):
            raise invalid("期望是一个列表类型。")
        found: list[Any] = []
        places: dict[str, str] = {}
        for number, item in enumerate(value):
            try:
                found.append(_given(read, item))
            except Invalid as problem:
                places |= _below(f"[{number}]", problem)
        if places:
            raise Invalid(places)
        return found

    return read_list


@dataclass(frozen=True, kw_only=True)
class Key:
    """A key of an object.

    :param default: what an absent key stands for; without one the key stays absent, or is missed.
    """

    read: Read
    required: bool = False
    default: Any = _ABSENT


def required(read: Read) -> Key:
    """Return a key that must be there."""
    return Key(read=read, required=True)


def optional(read: Read, default: Any = _ABSENT) -> Key:
    """Return a key that may be absent."""
    return Key(read=read, default=default)


def structure(keys: Mapping[str, Key], validate: Validate = lambda values: values) -> Read:
    """Read an object by its keys; others are dropped.

    :param validate: judges an object all of whose keys are right.
    """

    def read(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise invalid("无效数据。期待为字典类型。")
        found: dict[str, Any] = {}
        places: dict[str, str] = {}
        for name, key in keys.items():
            try:
                one = _read_key(key, value.get(name, _ABSENT))
            except Invalid as problem:
                places |= _below(name, problem)
            else:
                found |= {} if one is _ABSENT else {name: one}
        if places:
            raise Invalid(places)
        return validate(found)

    return read


def _read_key(key: Key, value: Any) -> Any:
    if value is not _ABSENT:
        return _given(key.read, value)
    if key.required:
        raise invalid("该字段是必填项。")
    return key.default.copy() if isinstance(key.default, list) else key.default


def _given(read: Read, value: Any) -> Any:
    """Read a value; null is only for those that take it."""
    try:
        return read(value)
    except Invalid:
        if value is None:
            raise invalid("该字段不能为 null。") from None
        raise


def _below(name: str, problem: Invalid) -> dict[str, str]:
    return {
        f"{name}{'.' if place and not place.startswith('[') else ''}{place}": message
        for place, message in problem.places.items()
    }
