# SPDX-License-Identifier: Apache-2.0
"""A ticket's submit form as an author or a template may give it, read into value by key. Pure."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

from airflow_provider_bkitsm.itsm.errors import ItsmInvalidRequestError

UNSTORABLE = "half a character (a lone surrogate) or a NUL, which no database can hold"
_TEMPLATE_MARKS = ("{{", "{%", "{#")
_WANTED = 'must be a mapping of values by key, or ITSM\'s list of {"key": ..., "value": ...}'


def excerpt(value: object, limit: int = 60) -> str:
    """Return a value as an error shows it, at most ``limit`` characters of it."""
    text = repr(value)
    return text if len(text) <= limit else f"{text[:limit]}..."


def read_literal(text: str) -> object:
    """Return what a rendered text spells, in JSON or as Python writes it; None where it spells nothing."""
    for read in (json.loads, ast.literal_eval):
        try:
            return read(text.strip())
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
    return None


def is_storable(value: object) -> bool:
    """Whether every database can hold every text in a value: no NUL, and no half of a surrogate pair."""
    try:
        written = json.dumps(value, ensure_ascii=False, default=str)
        written.encode()
    except UnicodeEncodeError:
        return False
    except (TypeError, ValueError, RecursionError):
        # No JSON, which others refuse.
        return True
    # Behind a backslash that is meant as one, the same letters are a text of six characters.
    return "\\u0000" not in written.replace("\\\\", "")


def read_form(given: object, *, name: str = "fields") -> dict[str, Any]:
    """Return a form as value by key; None is an empty form.

    :param given: a mapping, ITSM's own list of ``{"key": ..., "value": ...}``, or the JSON or Python text of
        either, which a template renders.
    :param name: of the parameter, for the error.
    :raises ItsmInvalidRequestError: it is none of these.
    """
    form = _spelled(given) if isinstance(given, str) else given
    if form is None:
        return {}
    if isinstance(form, Mapping) and all(isinstance(key, str) for key in form):
        return dict(form)
    if isinstance(form, Sequence) and not isinstance(form, str | bytes):
        return _from_pairs(form, name)
    raise _refusal(f"{name} {_WANTED}, not {excerpt(given)}")


def form_types(given: object) -> dict[str, str]:
    """Return the types of a form's fields by key, as far as the form says them: whole field objects do.

    :param given: a form that :func:`read_form` takes.
    """
    form = _spelled(given) if isinstance(given, str) else given
    if not isinstance(form, Sequence) or isinstance(form, str | bytes):
        return {}
    return {one["key"]: one["type"] for one in form if isinstance(one.get("type"), str)}


def check_form_text(given: object, *, name: str = "fields") -> None:
    """Refuse a text that is neither a template nor a form, when the DAG is parsed.

    :raises ItsmInvalidRequestError: no template can make a form of it.
    """
    if isinstance(given, str) and not any(mark in given for mark in _TEMPLATE_MARKS):
        read_form(given, name=name)


def comparable(value: Any) -> Any:
    """Return a value whose JSON text is the same in every process: sets have no order of their own."""
    if isinstance(value, Mapping):
        return {key: comparable(one) for key, one in value.items()}
    if isinstance(value, Set):
        return sorted((comparable(one) for one in value), key=str)
    if isinstance(value, list | tuple):
        return [comparable(one) for one in value]
    return value


def _spelled(text: str) -> object:
    """Return what a rendered text spells; the text itself where it spells no mapping or list."""
    value = read_literal(text)
    return value if isinstance(value, Mapping | list | tuple) else text


def _from_pairs(pairs: Iterable[object], name: str) -> dict[str, Any]:
    """Read ITSM's list form; whole field objects, which carry more keys, are taken as well."""
    form: dict[str, Any] = {}
    for number, pair in enumerate(pairs):
        if not isinstance(pair, Mapping) or not isinstance(pair.get("key"), str) or "value" not in pair:
            raise _refusal(f"{name}[{number}] must be an object with key and value, not {excerpt(pair)}")
        if pair["key"] in form:
            raise _refusal(f"{name}[{number}] gives {pair['key']!r} a second time")
        form[pair["key"]] = pair["value"]
    return form


def _refusal(message: str) -> ItsmInvalidRequestError:
    return ItsmInvalidRequestError(f"{message}; no ticket was opened")
