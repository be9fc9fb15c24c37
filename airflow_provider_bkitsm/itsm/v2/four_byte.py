# SPDX-License-Identifier: Apache-2.0
"""Characters of four bytes in UTF-8, such as emoji and rare Han: what is sent to ITSM in their place. Pure.

ITSM's database may be utf8mb3, which stores three bytes at most. A title with such a character is refused; a
field's text is accepted, and the flow of the ticket then never starts: it asks nobody and cannot be ended. So a
character is spelled by its code point, ``[U+1F680]``, wherever ITSM stores a text, and read back where ITSM's
answers are parsed. A text that has this spelling of its own gets one more plus, and so comes back as it was.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from enum import StrEnum
from typing import Any, TypeVar

from airflow_provider_bkitsm.itsm.errors import ItsmInvalidRequestError
from airflow_provider_bkitsm.itsm.protocol import Call
from airflow_provider_bkitsm.itsm.v2.html_filter import stored_title
from airflow_provider_bkitsm.itsm.v2.validation import MESSAGE_LIMIT, TITLE_LIMIT, check_dynamic_fields

T = TypeVar("T")

_SPELLING = r"\[U\+(\+*)((?:[1-9A-F]|10)[0-9A-F]{4})\]"
_SPELLED = re.compile(_SPELLING)
_FOUR_BYTES = re.compile("[\U00010000-\U0010ffff]")
_TO_ESCAPE = re.compile(f"{_FOUR_BYTES.pattern}|{_SPELLING}")
# Names of people, numbers and addresses: whatever else is in such a place is wrong in any spelling.
_NO_TEXTS = frozenset(
    {"sn", "tag", "meta", "service_id", "state_id", "creator", "operator", "approver", "username", "processors"}
)
# What ITSM stores as JSON takes every character.
_DEFINITIONS = frozenset({"import_service/", "update_service/"})
_CUT = frozenset({"action_message", "comments"})


class FourByte(StrEnum):
    """What becomes of a four-byte character in a text for ITSM: the connection's extra ``four_byte``."""

    ESCAPE = "escape"
    REFUSE = "refuse"
    SEND = "send"


def escaped(text: str) -> str:
    """Spell every four-byte character by its code point; ``unescaped`` returns the same text again."""
    return _TO_ESCAPE.sub(_escape, text)


def unescaped(text: str) -> str:
    """Return the characters that ``escaped`` spelled."""
    return _SPELLED.sub(_unescape, text) if "[U+" in text else text


def fitting(text: str, limit: int) -> str:
    """Return the longest beginning of a text that has at most ``limit`` characters when it is escaped."""
    while (excess := len(escaped(text)) - limit) > 0:
        # A character takes at most nine more when it is escaped.
        text = text[: len(text) - max(1, excess // 10)]
    return text


def fitting_title(title: str, limit: int) -> str:
    """Return the longest beginning of a title that has at most ``limit`` characters as it is sent and stored."""
    title = fitting(title, limit)
    while len(stored_title(escaped(title))) > limit:
        title = title[:-1]
    return title


def prepared(call: Call[T], policy: FourByte) -> Call[T]:
    """Return a call as it is sent: the texts of a write without four-byte characters, as the policy says.

    Reads and objects are left alone: ITSM stores the object of a CUSTOM-FORM and the rows of a TABLE as JSON. An
    object that is neither, which ITSM stores as Python's text of it, is gone through to its depth.

    :raises ItsmInvalidRequestError: the policy refuses a character, or a text is too long when it is escaped.
    """
    if policy is FourByte.SEND or not call.is_write or call.body is None or call.path in _DEFINITIONS:
        return call
    convert = _refused if policy is FourByte.REFUSE else _escaped_at
    texts = {key: value for key, value in call.body.items() if key not in _NO_TEXTS}
    body = {**call.body, **{key: _converted(key, value, convert) for key, value in texts.items()}}
    if body == call.body:
        return call
    _check_lengths(body)
    messages = {key: escaped(fitting(call.body[key], MESSAGE_LIMIT)) for key in _CUT & body.keys()}
    return replace(call, body=body | messages)


def escaped_value(value: Any) -> Any:
    """Return the value of a form's field as it is sent where four-byte characters are spelled."""
    return _field("fields", {"value": value}, _escaped_at)["value"]


_Convert = Callable[[str, str], str]


def _escaped_at(_place: str, text: str) -> str:
    return escaped(text)


def _refused(place: str, text: str) -> str:
    found = _FOUR_BYTES.search(text)
    if found is None:
        return text
    raise ItsmInvalidRequestError(
        f"{place} holds {found[0]} ({_code_point(found[0])}, character {found.start() + 1}), which takes four"
        " bytes in ITSM's database, and the connection's extra four_byte is refuse. Nothing was sent to ITSM"
    )


def _converted(place: str, value: Any, convert: _Convert) -> Any:
    if isinstance(value, str):
        return convert(place, value)
    if place in ("fields", "dynamic_fields") and isinstance(value, list):
        return [_field(place, field, convert) for field in value]
    if isinstance(value, Mapping):
        return {_converted(place, key, convert): _converted(place, one, convert) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_converted(place, one, convert) for one in value]
    return value


def _field(kind: str, field: Any, convert: _Convert) -> Any:
    if not isinstance(field, Mapping):
        return field
    place = f"{'field' if kind == 'fields' else 'dynamic field'} {str(field.get('key') or field.get('name'))!r}"
    return {
        key: one if key == "value" and _is_stored_as_json(one) else _converted(place, one, convert)
        for key, one in field.items()
    }


def _is_stored_as_json(value: Any) -> bool:
    """Whether a field's value is the object of a CUSTOM-FORM or the rows of a TABLE."""
    if isinstance(value, Mapping):
        return "form_data" in value
    return isinstance(value, list) and bool(value) and all(isinstance(row, Mapping) for row in value)


def _check_lengths(body: Mapping[str, Any]) -> None:
    check_dynamic_fields(body.get("dynamic_fields") or ())
    for field in body.get("fields") or ():
        title = field.get("value")
        if field.get("key") == "title" and isinstance(title, str):
            length = max(len(title), len(stored_title(title)))
            if length > TITLE_LIMIT:
                raise ItsmInvalidRequestError(
                    f"title has {length} characters once its four-byte characters are spelled, as in [U+1F680],"
                    f" ITSM takes at most {TITLE_LIMIT}; nothing was sent"
                )


def _escape(found: re.Match[str]) -> str:
    return f"[U++{found[1]}{found[2]}]" if found[2] else f"[{_code_point(found[0])}]"


def _unescape(found: re.Match[str]) -> str:
    pluses, code_point = found.groups()
    return f"[U+{pluses[1:]}{code_point}]" if pluses else chr(int(code_point, 16))


def _code_point(character: str) -> str:
    return f"U+{ord(character):X}"
