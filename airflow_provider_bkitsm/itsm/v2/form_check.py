# SPDX-License-Identifier: Apache-2.0
"""A submit form checked against its service's own description, before any ticket exists. Pure.

What the server refuses is refused here, with the place and what to give instead; so is what it accepts and then
cannot work with: a word in a number field makes a ticket whose flow hangs and asks nobody. What the server accepts
and can work with passes. Choices that ITSM fetches from elsewhere (an API, a dictionary) cannot be checked here.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from airflow_provider_bkitsm.itsm.errors import ItsmInvalidRequestError
from airflow_provider_bkitsm.itsm.form import UNSTORABLE, excerpt, is_storable
from airflow_provider_bkitsm.itsm.people import join_people, read_person
from airflow_provider_bkitsm.itsm.v2 import four_byte
from airflow_provider_bkitsm.itsm.v2.html_filter import stored_title, unclosed_element
from airflow_provider_bkitsm.itsm.v2.models import ServiceField
from airflow_provider_bkitsm.itsm.v2.validation import TITLE_LIMIT

# ITSM's built-in approval service; get_service_detail does not offer it by a fixed number.
FAST_APPROVAL_FIELDS = tuple(
    ServiceField(key=key, type=kind)
    for key, kind in (("title", "STRING"), ("APPROVER", "MEMBERS"), ("APPROVAL_CONTENT", "TEXT"))
)
_TITLE = "title"
_READ_PEOPLE: dict[str, Callable[[str, object], str]] = {"MEMBERS": join_people, "MEMBER": read_person}
_SHOWN_UNLESS = 0
_ALWAYS = "G_INT_1"
_STRICT_DATES = {"AFTER_DATE", "BEFORE_DATE", "AFTER_TIME", "BEFORE_TIME"}
_DATE_FORMATS = {"DATE": "%Y-%m-%d", "DATETIME": "%Y-%m-%d %H:%M:%S"}
_DATE_WORDS = {"DATE": "a date such as 2026-12-01", "DATETIME": "a time such as 2026-12-01 08:00:00"}
# Other spellings of a date that people read; ITSM stores a date as it is given.
_SPELLED_DATE = re.compile(
    r"(\d{4})[-/.年](\d{1,2})[-/.月](\d{1,2})日?(?:[T ]+(\d{1,2}):(\d{1,2})(?::(\d{1,2}))?)?"
)
_CHOICES_SHOWN = 20


def checked_form(fields: Iterable[ServiceField], form: Mapping[str, Any]) -> dict[str, Any]:
    """Return a form as it is sent: names of people in ITSM's spelling, hidden required fields given as empty.

    :param fields: the service's submit form.
    :raises ItsmInvalidRequestError: the form cannot be sent; all problems are named, each with its field.
    """
    by_key = {field.key: field for field in fields}
    sent, problems = _with_people(by_key, form)
    for key, field in by_key.items():
        if key not in sent and _needs_empty_value(field, sent):
            sent[key] = None if field.type == "INT" else ""
    problems += [(key, f"holds {UNSTORABLE}") for key, value in sent.items() if not is_storable(value)]
    problems += _problems(by_key, sent, skipped=dict(problems))
    if problems:
        raise _refusal(by_key, sent, problems)
    return sent


def with_people(types: Mapping[str, str], form: Mapping[str, Any]) -> dict[str, Any]:
    """Return a form with its people in ITSM's spelling: those of ``APPROVER``, and of fields of a type for people.

    :param types: of the fields by key, as far as they are known.
    :raises ItsmInvalidRequestError: something in such a field cannot be a person's name.
    """
    known = {field.key: field.type for field in FAST_APPROVAL_FIELDS} | dict(types)
    readers = {key: _READ_PEOPLE[kind] for key, kind in known.items() if kind in _READ_PEOPLE}
    return {key: readers[key](key, value) if key in readers else value for key, value in form.items()}


def _with_people(
    by_key: Mapping[str, ServiceField], form: Mapping[str, Any]
) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """Return the form with its names normalised, and what is wrong with them."""
    sent, problems = dict(form), []
    for key, value in form.items():
        read = _READ_PEOPLE.get(by_key[key].type) if key in by_key else None
        if read is None or value is None:
            continue
        try:
            sent[key] = read(key, value)
        except ItsmInvalidRequestError as error:
            problems.append((key, error.message.removeprefix(key).lstrip(": ").rpartition(";")[0]))
    return sent, problems


def _problems(
    by_key: Mapping[str, ServiceField], form: Mapping[str, Any], *, skipped: Mapping[str, str]
) -> list[tuple[str, str]]:
    found = [(key, "unknown to this service") for key in sorted(set(form) - set(by_key))]
    for key, field in by_key.items():
        if key in skipped:
            continue
        if key in form:
            problem = _problem(field, form)
        else:
            problem = "required, but missing" if _is_required(field) and not field.default else None
        if problem:
            found.append((key, problem))
    return found


def _problem(field: ServiceField, form: Mapping[str, Any]) -> str | None:
    value = form[field.key]
    if _is_required(field) and _is_empty(value) and _is_hidden(field, form) is False:
        return "required, but empty"
    rule = _title_problem if field.key == _TITLE else _RULES.get(field.type)
    return (rule(field, value) if rule else None) or _pattern_problem(field, value)


def _is_required(field: ServiceField) -> bool:
    return field.validate_type == "REQUIRE"


def _is_empty(value: object) -> bool:
    return value in (None, [], {}, ()) or (isinstance(value, str) and not value.strip())


# --- conditions ------------------------------------------------------------------------------------------------


def _needs_empty_value(field: ServiceField, form: Mapping[str, Any]) -> bool:
    """Whether a field that is not given must be sent as empty: ITSM demands the keys of hidden fields, too."""
    return _is_required(field) and not field.default and _is_hidden(field, form) is not False


def _is_hidden(field: ServiceField, form: Mapping[str, Any]) -> bool | None:
    """Whether a field is hidden: ``show_type`` 0 hides it where its ``show_conditions`` hold; None is unknown."""
    if str(field.show_type) != str(_SHOWN_UNLESS):
        return False
    expressions = field.show_conditions.get("expressions")
    if not isinstance(expressions, list) or not expressions:
        return None
    results = [_holds(one, form) if isinstance(one, Mapping) else None for one in expressions]
    decisive = field.show_conditions.get("type") == "or"
    if decisive in results:
        return decisive
    return None if None in results else not decisive


_COMPARISONS: dict[object, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}


def _holds(expression: Mapping[str, Any], form: Mapping[str, Any]) -> bool | None:
    """Whether one condition holds; None where it compares what is not given, or in a way not known here."""
    key = expression.get("key")
    if key == _ALWAYS:
        return True
    compare = _COMPARISONS.get(expression.get("condition"))
    sides = (form.get(str(key)), expression.get("value"))
    if compare is None or None in sides:
        return None
    if str(expression.get("type")).upper() in ("INT", "NUMBER"):
        numbers = [_number(side) for side in sides]
        return None if None in numbers else compare(*numbers)
    is_text = all(isinstance(side, str | int) for side in sides) and compare in (operator.eq, operator.ne)
    return compare(*map(str, sides)) if is_text else None


# --- rules by type ---------------------------------------------------------------------------------------------


def _title_problem(_field: ServiceField, title: object) -> str | None:
    if not isinstance(title, str):
        return f"must be text, not {excerpt(title)}"
    if len(title) > TITLE_LIMIT:
        return f"has {len(title)} characters, ITSM takes at most {TITLE_LIMIT}"
    swallowing = unclosed_element(title)
    if swallowing:
        return f"holds <{swallowing}> without its end, which swallows the rest of the title"
    stored = len(stored_title(title))
    if stored > TITLE_LIMIT:
        return (
            f"has {stored} characters as ITSM stores it (a quote takes 6, < and > take 4), more than"
            f" {TITLE_LIMIT}: the ticket would never start"
        )
    return None


def _number_problem(_field: ServiceField, value: object) -> str | None:
    if value is None or _number(value) is not None:
        return None
    if value == "":
        return "must be a number; leave it out or give null, for an empty text makes the flow hang"
    return f"must be a number, not {excerpt(value)}: ITSM takes it, and the flow then hangs"


def _number(value: object) -> float | None:
    """Return the number that ITSM reads from a value, which it keeps as text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _date_problem(field: ServiceField, value: object) -> str | None:
    if value in (None, ""):
        return None
    is_strict = field.regex in _STRICT_DATES
    if isinstance(value, str) and _is_date(value, _DATE_FORMATS[field.type] if is_strict else None):
        return None
    return f"must be {_DATE_WORDS[field.type]}, not {excerpt(value)}"


def _is_date(text: str, strict: str | None) -> bool:
    try:
        spelled = _SPELLED_DATE.fullmatch(text.strip())
        if strict:
            datetime.strptime(text, strict)
        elif spelled:
            year, month, day, hour, minute, second = (int(part or 0) for part in spelled.groups())
            datetime(year, month, day, hour, minute, second)
        else:
            datetime.fromisoformat(text.strip())
    except ValueError:
        return False
    return True


def _choice_problem(field: ServiceField, value: object) -> str | None:
    keys = choice_names(field)
    if value == "" or keys is None or (str(value) in keys and not isinstance(value, bool)):
        return None
    return _wrong_choice(field, [value], "must be the key of one choice")


def _choices_problem(field: ServiceField, value: object) -> str | None:
    if value == "":
        return None
    if not isinstance(value, str):
        joined = ",".join(map(str, value)) if isinstance(value, list | tuple) else "a,b"
        return f"must be the keys of its choices in one text, such as {joined!r}, not {excerpt(value)}"
    keys, given = choice_names(field), value.split(",")
    wrong = [one for one in given if keys is not None and one not in keys]
    return (
        _wrong_choice(field, wrong, "must be keys of its choices with commas between, no blanks")
        if wrong
        else None
    )


def choice_names(field: ServiceField) -> dict[str, str] | None:
    """Return the names of the choices by key; None where only ITSM knows them."""
    if field.source_type not in (None, "", "CUSTOM") or (not field.choice and not field.source_type):
        return None
    return {str(one["key"]): str(one.get("name", "")) for one in field.choice if "key" in one}


def _tree_problem(field: ServiceField, value: object) -> str | None:
    ids = set(_tree_ids(field.choice))
    if value == "" or field.source_type not in (None, "", "CUSTOM") or not ids or str(value) in ids:
        return None
    return f"must be the id of one of its choices, not {excerpt(value)}"


def _tree_ids(nodes: Iterable[Any]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, Mapping):
            yield from [str(node["id"])] if "id" in node else []
            yield from _tree_ids(node.get("children") or ())


def _wrong_choice(field: ServiceField, wrong: Iterable[object], rule: str) -> str:
    keys = choice_names(field) or {}
    by_spelling = {name: key for key, name in keys.items()} | {key.lower(): key for key in keys}
    hints = [by_spelling.get(str(one).strip()) or by_spelling.get(str(one).strip().lower()) for one in wrong]
    hint = "".join(f"; give {key!r}" for key in dict.fromkeys(filter(None, hints)))
    given = ", ".join(map(excerpt, wrong))
    return f"{rule}, not {given}{hint} (choices: {_listed_choices(keys) or 'none'})"


def _table_problem(field: ServiceField, value: object) -> str | None:
    if not value:
        return None
    if not isinstance(value, list | tuple) or not all(isinstance(row, Mapping) for row in value):
        return f"must be a list of objects, one for each row, not {excerpt(value)}"
    columns = field.choice if field.type == "TABLE" else field.meta.get("columns") or ()
    required = {one.get("key"): one.get("name") for one in columns if one.get("required") is True}
    empty = [
        f"row {number}: {key} ({required[key]}) is required"
        for number, row in enumerate(value, start=1)
        for key, cell in row.items()
        if key in required and not cell
    ]
    return "; ".join(empty) or None


def _pattern_problem(field: ServiceField, value: object) -> str | None:
    if not field.custom_regex or value in (None, ""):
        return None
    try:
        fits = re.match(field.custom_regex, str(value))
    except re.error:
        return None
    return None if fits else f"must match {field.custom_regex!r}, as the service demands, not {excerpt(value)}"


_RULES: dict[str, Callable[[ServiceField, object], str | None]] = {
    "INT": _number_problem,
    "DATE": _date_problem,
    "DATETIME": _date_problem,
    "SELECT": _choice_problem,
    "RADIO": _choice_problem,
    "MULTISELECT": _choices_problem,
    "CHECKBOX": _choices_problem,
    "TREESELECT": _tree_problem,
    "TABLE": _table_problem,
    "CUSTOMTABLE": _table_problem,
}

# --- titles ----------------------------------------------------------------------------------------------------


def fitting_title(title: str, room: int) -> str:
    """Return a title cut so that it fits as it is sent and as it is stored, without a tag that swallows its end.

    :param room: how many characters the title may take in either form.
    """
    title = four_byte.fitting_title(title, room)
    while swallowing := unclosed_element(title):
        title = four_byte.fitting_title(re.sub(f"<(?={swallowing})", "", title, flags=re.IGNORECASE), room)
    return title


# --- the error -------------------------------------------------------------------------------------------------


def _refusal(
    by_key: Mapping[str, ServiceField], form: Mapping[str, Any], problems: list[tuple[str, str]]
) -> ItsmInvalidRequestError:
    lines = [f"- {key}: {problem}" for key, problem in problems]
    if set(form) ^ set(by_key):
        lines += ["The service's fields:", *(f"  {_described_field(field)}" for field in by_key.values())]
    return ItsmInvalidRequestError("the ticket's form cannot be sent; no ticket was opened:").with_lines(lines)


def _described_field(field: ServiceField) -> str:
    """Return a field's key with its name, type, whether it is required, and its choices."""
    name = f" ({field.name})" if field.name and field.name != field.key else ""
    facts = [field.type or "of unknown type", "required" if _is_required(field) else "optional"]
    keys = choice_names(field) if field.type in ("SELECT", "RADIO", "MULTISELECT", "CHECKBOX") else None
    if keys:
        facts.append(f"choices {_listed_choices(keys)}")
    return f"{field.key}{name}: {', '.join(facts)}"


def _listed_choices(keys: Mapping[str, str]) -> str:
    listed = [f"{key!r} ({name})" if name and name != key else repr(key) for key, name in keys.items()]
    more = [f"and {len(listed) - _CHOICES_SHOWN} more"] if len(listed) > _CHOICES_SHOWN else []
    return ", ".join(listed[:_CHOICES_SHOWN] + more)
