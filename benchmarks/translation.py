# SPDX-License-Identifier: Apache-2.0
"""The Chinese of what benchmarks and ``tests.chaos`` write into the pages: ``translation.toml``, phrase by phrase.

A phrase is a sentence, a heading or a cell of a table. Its figures are no part of it, so that the next measurement
finds the same phrases. What the file lacks stays English.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

PHRASES = Path(__file__).with_suffix(".toml")
# Code is a part of a phrase as it stands, figures and commits are not.
_CODE_OR_FIGURE = re.compile(r"(?P<code>`[^`]*`)|\b(?=[a-f]*\d)[0-9a-f]{7,40}\b|(?:(?<=[ (])-)?(?:\d[\d,.]*\d|\d)")
_SENTENCE_END = re.compile(r"(?<=\.) (?=[A-Z0-9`*])")
# What ``report.machine`` writes; the packages differ between benchmarks.
_MACHINE = re.compile(r"(\d+) cores \((.*?)\), (\d+) GB, (.*?)(?=;|\.$)")


def chinese(text: str) -> str:
    """Return a section's text in Chinese, each heading below the anchor that it has on the English page."""
    return "\n\n".join(_translated(block, _phrase) for block in text.strip().split("\n\n"))


def lacking(text: str) -> list[str]:
    """Return the phrases of a section that have words and no Chinese, as the file would name them."""
    missing: list[str] = []

    def note(phrase: str) -> str:
        template, _ = _template(_MACHINE.sub("", phrase))
        if template not in _phrases() and re.search(r"[A-Za-z]{3}", re.sub(r"`[^`]*`", "", template)):
            missing.append(template)
        return phrase

    for block in text.strip().split("\n\n"):
        _translated(block, note)
    return list(dict.fromkeys(missing))


def slug(heading: str) -> str:
    """Return the anchor of an English heading."""
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower())


@cache
def _phrases() -> dict[str, str]:
    parts = tomllib.loads(PHRASES.read_text(encoding="utf-8")).values()
    return {english: phrase for part in parts for english, phrase in part.items()}


def _translated(block: str, phrase: Callable[[str], str]) -> str:
    if block.startswith("|"):
        return "\n".join("|".join(_cells(row, phrase)) for row in block.split("\n"))
    if heading := re.fullmatch(r"(#+) (.+)", block):
        return f'<a id="{slug(heading[2])}"></a>\n\n{heading[1]} {phrase(heading[2])}'
    sentences = map(phrase, _SENTENCE_END.split(" ".join(block.split("\n"))))
    return re.sub(r"(?<=[。：]) ", "", " ".join(sentences))


def _cells(row: str, phrase: Callable[[str], str]) -> Iterator[str]:
    for cell in row.split("|"):
        words = cell.strip()
        yield cell.replace(words, phrase(words)) if words else cell


def _phrase(text: str) -> str:
    machine = _MACHINE.match(text)
    if machine:
        cores, processor, memory, packages = machine.groups()
        where = f"{cores} 核（{processor}），{memory} GB 内存，{packages.replace(', ', '、')}"
        return where + _phrase(text[machine.end() :])
    template, figures = _template(text)
    known = _phrases().get(template)
    return text if known is None else known.format(*figures)


def _template(text: str) -> tuple[str, list[str]]:
    """Return a phrase with ``{}`` for each of its figures, and these."""
    figures: list[str] = []

    def taken(found: re.Match[str]) -> str:
        if found["code"]:
            return found[0]
        figures.append(found[0])
        return "{}"

    return _CODE_OR_FIGURE.sub(taken, text), figures
