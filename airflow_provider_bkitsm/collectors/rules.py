# SPDX-License-Identifier: Apache-2.0
"""Kinds of values: how the log platform reads one, and what is wrong with one it does not take. Pure.

A kind is a small object; a ``Shape`` is the kind of an object with named keys. Every problem is one sentence that
begins with the place, and all problems are found at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

_LONGEST_VALUE = 120


class Kind:
    """Any JSON value."""

    wanted = "anything"

    def clean(self, value: Any) -> Any:
        """Return the value as the platform reads it; what it would not take is returned as it is."""
        return value

    def fits(self, value: Any) -> bool:  # noqa: ARG002
        """Whether the platform takes this value, and nothing is lost by that."""
        return True

    def problems(self, value: Any, place: str) -> Iterator[str]:
        """Say what is wrong with a value that was cleaned."""
        if not self.fits(value):
            yield f"{place} must be {self.wanted}, not {shown(value)}"


@dataclass(frozen=True)
class Whole(Kind):
    """A whole number. The platform also takes its text, and a float without a fraction: slips, both of them.

    :param minimum: the least number.
    """

    minimum: int | None = None
    wanted = "an integer"

    def fits(self, value: Any) -> bool:
        """Whether it is a whole number."""
        return isinstance(value, int) and not isinstance(value, bool)

    def problems(self, value: Any, place: str) -> Iterator[str]:
        """Say whether it is no whole number, or too small a one."""
        yield from super().problems(value, place)
        if self.minimum is not None and self.fits(value) and value < self.minimum:
            yield f"{place} must be at least {self.minimum}, not {value}"


class Flag(Kind):
    """True or false. The platform also reads 0 and 1, and many a word, which is refused as a slip."""

    wanted = "true or false"

    def clean(self, value: Any) -> Any:
        """Return a boolean for 0 and 1."""
        return bool(value) if type(value) is int and value in (0, 1) else value

    def fits(self, value: Any) -> bool:
        """Whether it is a boolean."""
        return isinstance(value, bool)


@dataclass(frozen=True)
class Text(Kind):
    """A text. The platform makes one of a number, and cuts blanks off both ends unless ``trim`` is False.

    :param blank: it may be empty.
    """

    blank: bool = True
    trim: bool = True

    @property
    def wanted(self) -> str:  # type: ignore[override]
        """What is wanted, for a message."""
        return "text" if self.blank else "a text that is not empty"

    def clean(self, value: Any) -> Any:
        """Return a number's text, and a text without the blanks around it."""
        if isinstance(value, int | float) and not isinstance(value, bool):
            value = str(value)
        return value.strip() if self.trim and isinstance(value, str) else value

    def fits(self, value: Any) -> bool:
        """Whether it is a text the platform can store."""
        return isinstance(value, str) and "\0" not in value and (self.blank or value != "")


@dataclass(frozen=True)
class Choice(Kind):
    """One of a few texts or numbers; the platform takes the text of a number too.

    :param trim: blanks around a text are cut off.
    """

    choices: tuple[str | int, ...]
    trim: bool = False

    @property
    def wanted(self) -> str:  # type: ignore[override]
        """What is wanted, for a message."""
        return f"one of {', '.join(map(str, self.choices))}"

    def clean(self, value: Any) -> Any:
        """Return the number whose text it is."""
        if not isinstance(value, str):
            return value
        value = value.strip() if self.trim else value
        return {str(choice): choice for choice in self.choices}.get(value, value)

    def fits(self, value: Any) -> bool:
        """Whether it is one of them; by type too, since True equals 1."""
        return any(value == choice and type(value) is type(choice) for choice in self.choices)


@dataclass(frozen=True)
class Items(Kind):
    """A list of values of one kind."""

    kind: Kind = field(default_factory=Kind)
    wanted = "a list"

    def clean(self, value: Any) -> Any:
        """Return the list with each item cleaned."""
        return [self.kind.clean(item) for item in value] if isinstance(value, list) else value

    def fits(self, value: Any) -> bool:
        """Whether it is a list."""
        return isinstance(value, list)

    def problems(self, value: Any, place: str) -> Iterator[str]:
        """Say what is wrong with the list, and with each item."""
        yield from super().problems(value, place)
        for index, item in enumerate(value if self.fits(value) else ()):
            yield from self.kind.problems(item, f"{place}[{index}]")


@dataclass(frozen=True)
class Shape(Kind):
    """An object. Keys it does not name are let through: a newer platform may know them.

    :param keys: the kind of each key's value.
    :param required: the keys that have to be there.
    :param nullable: the keys that may be null.
    """

    keys: Mapping[str, Kind] = field(default_factory=dict)
    required: frozenset[str] = frozenset()
    nullable: frozenset[str] = frozenset()
    wanted = "an object"

    def clean(self, value: Any) -> Any:
        """Return the object with each value cleaned."""
        if not isinstance(value, Mapping):
            return value
        return {key: self.keys[key].clean(item) if key in self.keys else item for key, item in value.items()}

    def fits(self, value: Any) -> bool:
        """Whether it is an object."""
        return isinstance(value, Mapping)

    def problems(self, value: Any, place: str) -> Iterator[str]:
        """Say what is wrong with the object, and with each of its values."""
        yield from super().problems(value, place)
        if not self.fits(value):
            return
        for key, kind in self.keys.items():
            there = f"{place}.{key}" if place else key
            if key not in value:
                if key in self.required:
                    yield f"{there} is missing"
            elif value[key] is not None or key not in self.nullable:
                yield from kind.problems(value[key], there)


def shown(value: Any) -> str:
    """Spell a value in a message, shortened."""
    text = repr(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"
