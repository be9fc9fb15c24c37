# SPDX-License-Identifier: Apache-2.0
"""The Chinese of what ``docs/api.md`` takes from the code: ``public_api_zh.json``, passage by passage.

A passage is a paragraph, an item of a list or what a field such as ``:param sn:`` says, on one line. The file has
each passage once, whichever docstrings hold it. The page takes it there, and so does the site, which has whole
docstrings.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

CATALOGUE = Path(__file__).with_suffix(".json")
_CODE = re.compile(r"(?::\w+:)?(?<!`)(?:``[^`]+``|`[^`]+`)(?!`)")
_MARK = re.compile(r" *(?::[^:`]+:(?=\s|$)|[-*](?= )) *")


@dataclass(frozen=True, kw_only=True)
class Passage:
    """A passage of a docstring.

    :param mark: what stands before its text: blanks, and the name of a field or the dot of a list's item.
    """

    mark: str
    text: str


def passages(lines: Iterable[str]) -> Iterator[Passage | None]:
    """Yield the passages of a docstring without its indentation, and None for each empty line."""
    mark, words = "", ""
    for line in lines:
        found = _MARK.match(line)
        if words and (found or not line.strip()):
            yield Passage(mark=mark, text=words)
            words = ""
        if not line.strip():
            yield None
        elif words:
            words = f"{words} {line.strip()}"
        else:
            mark = found[0] if found else line[: len(line) - len(line.lstrip())]
            words = line[len(mark) :].strip()
    if words:
        yield Passage(mark=mark, text=words)


def chinese(lines: Sequence[str]) -> list[str]:
    """Return a docstring in Chinese; a passage that the catalogue lacks stays English."""
    return ["" if one is None else f"{one.mark}{_set_off(translated(one.text))}" for one in passages(lines)]


def _set_off(text: str) -> str:
    """Return reStructuredText in which code is known as such beside Chinese: by escaped blanks around it."""
    return _CODE.sub(lambda found: rf"\ {found[0]}\ ", text)


def lacking(lines: Iterable[str]) -> Iterator[str]:
    """Yield the passages of a docstring that have no Chinese."""
    return (one.text for one in passages(lines) if one is not None and one.text not in catalogue())


def translated(text: str) -> str:
    """Return a passage in Chinese; in English where the catalogue lacks it."""
    return catalogue().get(text, text)


@cache
def catalogue() -> Mapping[str, str]:
    """Return the Chinese of each passage."""
    found: dict[str, str] = json.loads(CATALOGUE.read_text(encoding="utf-8"))
    return found
