# SPDX-License-Identifier: Apache-2.0
"""English texts that can be read in Chinese as well: what the commands print, and the sandbox's pages.

The English text is the key of the catalogue, ``translation_zh.json``. A :class:`Text` is its English text:
in logs, errors, JSON and YAML it stays so, and where a person reads it, it is put ``into`` that person's language.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from functools import cache, reduce
from typing import Any, Literal, Self

Language = Literal["en", "zh"]

_LOCALE_VARIABLES = ("LC_ALL", "LC_MESSAGES", "LANG")
"""Variables that name a process' language. The first that is set and not empty counts, as everywhere in POSIX."""


class Text(str):
    """An English text, with a Chinese one in the catalogue.

    :param template: the key; ``{name}`` in it stands for a value.
    :param values: by name. A text among them is translated too, anything else is the same in every language.
    """

    template: str
    values: Mapping[str, object]

    def __new__(cls, template: str, /, **values: object) -> Self:
        """Return the English text."""
        text = super().__new__(cls, template.format(**values))
        text.template, text.values = template, values
        return text

    def into(self, language: Language) -> str:
        """Return the text in a language; in English where the catalogue lacks it."""
        return template_in(self.template, language).format(**values_in(self.values, language))

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        # A copy, and what is stored or sent elsewhere, is an ordinary string.
        return str, (str(self),)


def template_in(template: str, language: Language) -> str:
    """Return a template in a language; the English one where the catalogue lacks it."""
    return template if language == "en" else catalogue().get(template, template)


def values_in(values: Mapping[str, object], language: Language) -> dict[str, object]:
    """Return the values of a template, with the texts among them in a language."""
    return {name: value.into(language) if isinstance(value, Text) else value for name, value in values.items()}


def verbatim(message: object) -> Text:
    """Return what is the same in every language: the message of an error, the words of a server."""
    return Text("{message}", message=message)


def listing(texts: Iterable[str]) -> Text:
    """Return texts with commas between them."""
    found = [verbatim(one) for one in texts]
    return (
        reduce(lambda first, rest: Text("{first}, {rest}", first=first, rest=rest), found) if found else Text("")
    )


@cache
def catalogue() -> Mapping[str, str]:
    """Return the Chinese texts by their English ones; read for the first text that is put into Chinese."""
    import json
    from pathlib import Path

    return dict(json.loads(Path(__file__).with_name("translation_zh.json").read_text("utf-8")))


def reader_language() -> Language:
    """Return the language of whoever reads what this process prints; English where its output lacks Chinese."""
    language = language_of(os.environ)
    return language if language == "en" or _holds_chinese(getattr(sys.stdout, "encoding", None)) else "en"


def _holds_chinese(encoding: str | None) -> bool:
    try:
        "审批".encode(encoding or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def spell_what_output_lacks() -> None:
    """Have this process spell the characters that its output has no code for (``\\u5ba1``): else they end it."""
    for stream in (sys.stdout, sys.stderr):
        # What takes the place of a stream may have any shape.
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def language_of(environment: Mapping[str, Any]) -> Language:
    """Return the language of a process by its environment: Chinese for a locale that begins with ``zh``."""
    named = next((value for name in _LOCALE_VARIABLES if (value := environment.get(name))), "")
    return "zh" if str(named).lower().startswith("zh") else "en"
