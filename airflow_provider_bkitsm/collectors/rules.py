# SPDX-License-Identifier: Apache-2.0
"""The names no column may have: the log platform's own columns, and words of its query languages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

_WORDS = """
    __dist_01 __dist_03 __dist_05 __dist_07 __dist_09 __ext __ext_json __parse_failure __shard_key__
    __unique_key__ add all alter and any as asc badescape badregex badstring begin bk_biz_id bk_cloud_id
    bk_cmdb_level_id bk_cmdb_level_name bk_host_id bk_supplier_id boundparam by cloud_id cloudid colon comma
    company_id continuous create d database databases datetime default delete desc destinations diagnostics
    distinct div dot doublecolon drop dteventtimestamp dteventtimestampnanos duration durationval e end eof eq
    eqregex every exists explain false field filename for from group groups gseindex gt gte i ident if illegal
    in inf insert integer into ip items iterationindex key keys kill limit log lparen lt lte measurement
    measurements mul name neq neqregex not number offset on or order password path plat_id policies policy
    privileges queries query read regex replication repo resample retention revoke rparen select semicolon
    series server serverip set shard shards show signature slimit soffset stats string sub subscription
    subscriptions tag tagkey time timestamp to true utctime values view where wineventactivityid wineventapi
    wineventchannel wineventcomputername wineventdata wineventid wineventkeywords wineventlevel wineventopcode
    wineventprocesspid wineventprocessthreadid wineventproviderguid wineventrecordid wineventrelatedactivityid
    wineventtask wineventtimecreated wineventuserdata wineventuserdomain wineventuseridentifier wineventusername
    wineventusertype wineventversion with write ws
"""
RESERVED_NAMES = frozenset(_WORDS.split())
"""In lower case; the platform compares without regard to case."""


def is_reserved(name: str) -> bool:
    """Whether the log platform refuses a field of this name."""
    return name.lower() in RESERVED_NAMES


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
