# SPDX-License-Identifier: Apache-2.0
"""Lists of people: every spelling an author or a template may give, turned into the one that ITSM understands.

ITSM asks several people only if they are given as ``alice,bob``. It accepts a list, JSON text, ``alice;bob`` and
``alice, bob`` as well, and then asks persons named ``['alice'`` or `` bob``, who do not exist. Pure.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Set

from airflow_provider_bkitsm.itsm.errors import ItsmInvalidRequestError
from airflow_provider_bkitsm.itsm.form import excerpt, read_literal

NOBODY = frozenset({"", "system"})
"""What platforms of this maker call themselves where they act as a user; see ``person_key``."""

# ITSM stores a ticket's creator in a column of this length.
NAME_LIMIT = 64
_SEPARATORS = re.compile(r"[,;，；、\r\n]")  # noqa: RUF001
# What a template renders of a list: JSON text or Python's own.
_LITERAL = re.compile(r"\s*[\[({\"']")
_NOT_IN_A_NAME = frozenset("\"'`“”‘’()[]{}<>（）【】《》&/\\|=")  # noqa: RUF001
_DISPLAY_FORM = re.compile(r"([\w.@-]+)\s*[(（].*")
# What a template renders of nothing, as text or as JSON.
_NOTHING = frozenset({"None", "null"})
_SHOWN = 80


def read_people(field: str, given: object) -> tuple[str, ...]:
    """Return the names in any spelling of several people, each once, in their order; those of a set are sorted.

    :param field: what the names are given as, for the error.
    :param given: a list, tuple or set; a text with commas, semicolons (either of them full-width as well) or line
        ends between names; the JSON or Python text of a list; a number, which a native template makes of a name
        of digits; None.
    :raises ItsmInvalidRequestError: something in it cannot be a person's name.
    """
    return tuple(dict.fromkeys(_checked(field, name) for name in _names(field, given)))


def join_people(field: str, given: object) -> str:
    """Return names as ITSM takes them, ``alice,bob``; an empty text for nobody."""
    return ",".join(read_people(field, given))


def read_person(field: str, given: object) -> str:
    """Return the one name of a field that takes one person; an empty text for nobody.

    :raises ItsmInvalidRequestError: there are several, or it cannot be a name.
    """
    people = read_people(field, given)
    if len(people) > 1:
        raise _refusal(f"{field} takes one person, not {len(people)}: {', '.join(people)}")
    return people[0] if people else ""


def person_key(name: str) -> str:
    """Return what tells one person from another: ``Alice``, ``alice`` and ``alice(Alice Smith)`` are one.

    So are two forms in which Unicode writes one name, such as its full-width letters.
    """
    return same_spelling(name).partition("(")[0].strip()


def same_spelling(name: str) -> str:
    """Return what all spellings of a name share: neither case, nor Unicode's form, nor what nobody can see."""
    seen = (letter for letter in unicodedata.normalize("NFKC", name) if unicodedata.category(letter) != "Cf")
    return unicodedata.normalize("NFKC", "".join(seen).casefold()).strip()


def joined_names(*given: str | None) -> str | None:
    """Return everybody who is named, each once and in one order, with commas between them; None for nobody.

    What cannot be a name is kept, and is nobody's; what a template makes of nothing names nobody.
    """
    names = [name for text in given if text for name in _listed(str(text))]
    people = {key: name for name in names if (key := person_key(name)) and name not in _NOTHING}
    return ",".join(people[key] for key in sorted(people)) or None


def is_shown_as(shown: str, name: str) -> bool:
    """Whether ITSM shows a person so: some versions show ``name(name)``."""
    return shown == name or shown.startswith(f"{name}(")


def _names(field: str, given: object) -> Iterator[str]:
    """Yield the names in a value, not checked yet; empty ones are left out."""
    if given is None:
        return
    if isinstance(given, str):
        yield from _names_of_text(field, given)
    elif isinstance(given, int) and not isinstance(given, bool):
        yield str(given)
    elif isinstance(given, Iterable) and not isinstance(given, Mapping | bytes | bytearray):
        members = sorted(given, key=str) if isinstance(given, Set) else given
        for member in members:
            yield from _names(field, member)
    else:
        raise _refusal(f"{field} must be names of people, such as 'alice,bob', not {excerpt(given, _SHOWN)}")


def _names_of_text(field: str, text: str) -> Iterator[str]:
    listed = _literal(text)
    if listed is not None:
        yield from _names(field, listed)
        return
    yield from (name for part in _SEPARATORS.split(text) if (name := part.strip()))


def _listed(text: str) -> Iterator[str]:
    """Yield what stands between the separators of a text, or in the list that it spells."""
    listed = _literal(text)
    members = _SEPARATORS.split(text) if listed is None else (listed,) if isinstance(listed, str) else listed
    yield from (str(member).strip() for member in members)


def _literal(text: str) -> str | Iterable[object] | None:
    """Return the list or text that a rendered text spells; None where it spells none."""
    if not _LITERAL.match(text):
        return None
    value = read_literal(text)
    return value if isinstance(value, str | list | tuple | Set) else None


def _checked(field: str, name: str) -> str:
    reason = _why_no_name(name)
    if reason is None:
        return name
    display = _DISPLAY_FORM.fullmatch(name)
    hint = f"; give the login name only: {display[1]}" if display else ""
    raise _refusal(f"{field}: {excerpt(name, _SHOWN)} cannot be a person's name, {reason}{hint}")


def _why_no_name(name: str) -> str | None:
    """Return why a text is no name; None for one that may be."""
    if name in _NOTHING:
        return "it is what a template makes of a value that is not there"
    if any(letter.isspace() for letter in name):
        return "it holds a blank (names have commas between them)"
    wrong = sorted(set(name) & _NOT_IN_A_NAME)
    if wrong:
        return f"it holds {' '.join(wrong)}"
    if any(unicodedata.category(letter).startswith("C") for letter in name):
        return "it holds a control character"
    return f"it is longer than {NAME_LIMIT} characters" if len(name) > NAME_LIMIT else None


def _refusal(message: str) -> ItsmInvalidRequestError:
    return ItsmInvalidRequestError(f"{message}; nothing was sent to ITSM")
