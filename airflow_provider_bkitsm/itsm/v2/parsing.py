# SPDX-License-Identifier: Apache-2.0
"""Turning an answer's ``data`` into models: the base of all models, the odd types ITSM uses, and the parsers.

Whatever a server sends ends in a model or an :class:`~.errors.ItsmUnexpectedAnswerError`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from typing import Annotated, Any, TypeVar
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    StrictStr,
    ValidationError,
    model_validator,
)

from airflow_provider_bkitsm.itsm.errors import ItsmUnexpectedAnswerError, printable

_ZERO_DATE = "0000-00-00"  # MySQL's way to say "none"
_KEYS_SHOWN = 10
# A list with more rows than these that cannot be read is no list of what was asked for.
_MOST_UNREADABLE = 1_000
_TEXTS_OF_A_FIELD = frozenset({"key", "type", "name"})


def from_shanghai(value: object) -> object:
    """Turn ``YYYY-MM-DD HH:MM:SS[.ffffff]`` without offset into aware UTC; empty text into None."""
    if not isinstance(value, str):
        return value
    if not value.strip() or value.startswith(_ZERO_DATE):
        return None
    try:
        moment = datetime.fromisoformat(value)
        return (moment if moment.tzinfo else moment.replace(tzinfo=_shanghai())).astimezone(UTC)
    except OverflowError:
        raise ValueError("a time no calendar has") from None


def to_shanghai(moment: datetime) -> str:
    """Turn an aware time into the text ITSM's filters understand (docs/itsm-behaviour.md#times)."""
    return moment.astimezone(_shanghai()).strftime("%Y-%m-%d %H:%M:%S")


@cache
def _shanghai() -> ZoneInfo:
    return ZoneInfo("Asia/Shanghai")


def _names(value: object) -> object:
    """Split ITSM's ``",admin,carol,"`` into names."""
    return tuple(name for name in value.split(",") if name) if isinstance(value, str) else value


def _word(text: str) -> str:
    """Refuse a word of ITSM's own that could not be shown as it is."""
    if text != printable(text):
        raise ValueError("a word of ITSM's holds what nobody can see")
    return text


def _list(value: object) -> object:
    """Read ITSM's empty object, its form of "none", as an empty list."""
    return () if value in ({}, None) else value


def _mapping(value: object) -> object:
    """Read ITSM's other forms of "nothing" as an empty object."""
    return {} if value in ("", [], None) else value


def _text(value: object) -> object:
    """Read a number as text: some servers number what others name."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _form_items(value: object) -> object:
    """Keep the objects of a log entry's form; in a raw one, a key of these names may hold anything."""
    if not isinstance(value, list | tuple):
        return ()
    return tuple(_form_item(item) if isinstance(item, dict) else item for item in value if _is_object(item))


def _form_item(item: dict[Any, Any]) -> dict[str, Any]:
    return {
        key: value
        for key, value in item.items()
        if isinstance(key, str) and (key not in _TEXTS_OF_A_FIELD or isinstance(value, str))
    }


def _is_object(item: object) -> bool:
    return isinstance(item, dict | BaseModel)


ShanghaiTime = Annotated[datetime, BeforeValidator(from_shanghai)]
TimeOrNone = Annotated[datetime | None, BeforeValidator(from_shanghai)]
# What is named in logs and compared nowhere: a step, a person.
Name = Annotated[str, AfterValidator(printable)]
Names = Annotated[tuple[Name, ...], BeforeValidator(_names)]
# What ITSM itself writes and logs hold without further ado: a ticket's number, a status.
Word = Annotated[StrictStr, AfterValidator(_word)]
Text = Annotated[str, BeforeValidator(_text)]
Mappings = Annotated[tuple[dict[str, Any], ...], BeforeValidator(_list)]
Meta = Annotated[dict[str, Any], BeforeValidator(_mapping)]
none_as_list = BeforeValidator(_list)
form_items = BeforeValidator(_form_items)


class ItsmModel(BaseModel):
    """Base of all answers: frozen, unknown keys kept, and a null where a key may be absent counts as absent."""

    model_config = ConfigDict(frozen=True, extra="allow", hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, data: Any) -> Any:
        if not isinstance(data, dict) or None not in data.values():
            return data
        optional = {key for key, field in cls.model_fields.items() if not field.is_required()}
        return {key: value for key, value in data.items() if value is not None or key not in optional}


M = TypeVar("M", bound=ItsmModel)


def one(model: type[M]) -> Callable[[object], M]:
    """Return a parser of one object."""

    def parse(data: object) -> M:
        try:
            return model.model_validate(data)
        except ValidationError as error:
            raise _unexpected(model, error) from None

    return parse


def many(model: type[M]) -> Callable[[object], tuple[M, ...]]:
    """Return a parser of a list of objects; its error has the rows that could be read."""
    parse_one = one(model)

    def parse(data: object) -> tuple[M, ...]:
        if not isinstance(data, list):
            raise ItsmUnexpectedAnswerError(f"expected a list of {model.__name__} from ITSM")
        rows: list[M] = []
        wrong: list[tuple[str | None, str]] = []
        for row in data:
            try:
                rows.append(parse_one(row))
            except ItsmUnexpectedAnswerError as error:
                wrong.append((_sn(row), error.message))
            if len(wrong) > _MOST_UNREADABLE:
                raise ItsmUnexpectedAnswerError(wrong[0][1])
        if wrong:
            unreadable = frozenset(sn for sn, _ in wrong if sn)
            raise ItsmUnexpectedAnswerError(wrong[0][1], rows=tuple(rows), unreadable=unreadable)
        return tuple(rows)

    return parse


def _sn(row: object) -> str | None:
    sn = row.get("sn") if isinstance(row, dict) else None
    return sn if isinstance(sn, str) else None


def texts(data: object) -> tuple[str, ...]:
    """Parse a list of texts."""
    if not isinstance(data, list) or not all(isinstance(one, str) for one in data):
        raise ItsmUnexpectedAnswerError("expected a list of texts from ITSM")
    return tuple(data)


def nothing(_data: object) -> None:
    """Parse the answer of an operation, which says nothing (``[]``)."""


def _unexpected(model: type[ItsmModel], error: ValidationError) -> ItsmUnexpectedAnswerError:
    wrong = sorted({".".join(map(str, problem["loc"])) or "the whole answer" for problem in error.errors()})
    more = "" if len(wrong) <= _KEYS_SHOWN else f" and {len(wrong) - _KEYS_SHOWN} more"
    named = ", ".join(wrong[:_KEYS_SHOWN])[:500]
    return ItsmUnexpectedAnswerError(f"ITSM's {model.__name__} is not as known, see: {named}{more}")
