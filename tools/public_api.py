# SPDX-License-Identifier: Apache-2.0
"""Writes ``docs/api.md``: every public name, its parameters and their defaults, as the code has them.

``make api`` writes the page in both languages, ``tests/test_public_api.py`` compares it with the code. A public
name is one that ``tools/public_names.py`` lists. The page shows signatures and first sentences; the site shows
whole docstrings in their place, see ``docs/website/pages.py``. Their Chinese is in ``tools/public_api_zh.json``.
"""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import MISSING, fields, is_dataclass
from datetime import timedelta
from enum import Enum
from importlib import import_module
from pathlib import Path
from typing import Any, is_typeddict

from airflow_provider_bkitsm.itsm.v2 import calls
from airflow_provider_bkitsm.translation import Language
from tools.public_api_zh import Passage, catalogue, passages, translated
from tools.public_names import CALLS, PACKAGE, SECTIONS, Name, Section, names_of, own_members

_DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGES: dict[Language, Path] = {"en": _DOCS / "api.md", "zh": _DOCS / "zh" / "api.md"}
_WIDTH = 100
_EMPTY = inspect.Parameter.empty
# What Airflow alone asks a hook.
_FOR_AIRFLOW = frozenset({"get_connection_form_widgets", "get_ui_field_behaviour"})
_TITLE = "API"
_HEAD = """\
Every public name: where to import it from, its parameters and their defaults. `make api` writes this page, and a
test compares it with the code. What is not here may change in any version.

Operators and sensors also take what every Airflow task takes, and notifiers what every notifier takes."""
_COLUMNS = ("Error", "Below", "Means")


def page(language: Language = "en") -> str:
    """Return the whole page."""
    head = f"# {_TITLE}\n\n{_words(_HEAD, language)}\n"
    return "\n".join([head, *(_section(one, language) for one in SECTIONS)])


def texts() -> Iterator[str]:
    """Yield everything that the page and the site say in words, docstrings passage by passage."""
    yield from (_unwrapped(one) for one in _HEAD.split("\n\n"))
    yield from _COLUMNS
    for section in SECTIONS:
        yield from (section.title, _unwrapped(section.text))
    for docstring in _docstrings():
        yield from (one.text for one in passages(docstring.splitlines()) if one is not None)


def _docstrings() -> Iterator[str]:
    """Yield the docstrings of the public names and of their members."""
    for section in SECTIONS:
        for one in names_of(section):
            if _has_docstring(one):
                # A section that is a table ends with its whole module.
                is_whole = section.as_table or one.methods is None
                members = own_members(one.thing) if is_whole else one.methods or ()
                things = (getattr(one.thing, member) for member in members)
                documented = (thing for thing in things if inspect.isroutine(thing) or isinstance(thing, property))
                yield from (inspect.getdoc(thing) or "" for thing in (one.thing, *documented))
            if section.as_table:
                yield inspect.getdoc(import_module(one.module)) or ""


def _words(text: str, language: Language) -> str:
    """Return paragraphs of Markdown in a language."""
    if language == "en":
        return text
    return "\n\n".join(translated(_unwrapped(one)) for one in text.split("\n\n"))


def _unwrapped(text: str) -> str:
    return " ".join(text.split())


def _heading(level: int, title: str, language: Language) -> str:
    """Return a heading; a Chinese one below the anchor of the English one."""
    anchor = "" if language == "en" else f'<a id="{_slug(title)}"></a>\n\n'
    return f"{anchor}{'#' * level} {_words(title, language)}"


def _slug(title: str) -> str:
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", title).strip().lower())


def _section(section: Section, language: Language) -> str:
    names = list(names_of(section))
    entries = (_entry(one, language) for one in names)
    body = _table(names, language) if section.as_table else "\n".join(entries)
    return f"{_heading(2, section.title, language)}\n\n{_words(section.text, language)}\n\n{body}"


def _entry(one: Name, language: Language) -> str:
    code = f"from {one.module} import {one.name}\n\n{signature(one)}"
    return f"{_heading(3, one.name, language)}\n\n```python\n{code}\n```\n\n{_doc(one, language)}"


def _table(names: list[Name], language: Language) -> str:
    (module,) = {one.module for one in names}
    rows = [
        f"| `{one.name}` | `{one.thing.__mro__[1].__name__}` | {_first_paragraph(one.thing, language)} |"
        for one in names
    ]
    error = next(one for one in names if one.name == "ItsmError")
    code = f"```python\nfrom {error.module} import {error.name}\n\n{signature(error)}\n```\n"
    head = f"| {' | '.join(_words(one, language) for one in _COLUMNS)} |"
    return "\n".join([code, head, "| --- | --- | --- |", *rows, "", _marked(f"{module} with all", "")])


def _has_docstring(one: Name) -> bool:
    """Whether a name is a class or a function: a value has no docstring of its own."""
    return inspect.isclass(one.thing) or inspect.isroutine(inspect.unwrap(one.thing))


def _doc(one: Name, language: Language) -> str:
    """Return a thing's first paragraph."""
    if not _has_docstring(one):
        return ""
    methods = "all" if one.methods is None else " ".join(sorted(one.methods))
    return _marked(f"{one.path} with {methods}" if methods else one.path, _first_paragraph(one.thing, language))


def _marked(what: str, text: str) -> str:
    """Return text between marks: the site shows the whole docstring in its place."""
    return f"<!-- docstring: {what} -->\n{text}\n<!-- end -->\n"


def _first_paragraph(thing: Any, language: Language) -> str:
    first = next(passages(inspect.cleandoc(thing.__doc__ or "").splitlines()), None) or Passage(mark="", text="")
    return re.sub(r":\w+:`~?(?:[\w.]+\.)?(\w+)`", r"`\1`", _words(first.text, language)).replace("``", "`")


def signature(one: Name) -> str:
    """Return a name's definition as a stub: a function, a class with its constructor, or a value."""
    thing = one.thing
    if not inspect.isclass(thing):
        function = inspect.unwrap(thing)
        return _function(one.name, function) if inspect.isroutine(function) else f"{one.name} = {_value(thing)}"
    if is_typeddict(thing):
        return _lines(one.name, [f"{key}: {_type(kind)}" for key, kind in thing.__annotations__.items()])
    if issubclass(thing, Enum):
        return _lines(one.name, [f"{member.name} = {_value(member.value)}" for member in thing])
    if not any("__init__" in vars(cls) for cls in _ours(thing)):
        return f"class {one.name}({thing.__mro__[1].__name__}): ..."
    parts = [_call("def __init__", ["self", *constructor(thing)], "None")] if one.is_made_by_callers else []
    parts += [_member(name, member) for name, member in _members(thing, one.methods)]
    return "\n".join([f"class {one.name}:", *(_indented(part) for part in parts)])


def constructor(cls: type) -> list[str]:
    """Return the parameters of a class's constructor, and of those above it that take the rest of them."""
    positional: dict[str, str] = {}
    keywords: dict[str, str] = {}
    for one in (cls for cls in cls.__mro__ if "__init__" in vars(cls)):
        if not one.__module__.startswith(PACKAGE):
            break
        own = list(inspect.signature(vars(one)["__init__"]).parameters.values())[1:]
        for parameter in own:
            group = keywords if parameter.kind is parameter.KEYWORD_ONLY else positional
            if parameter.kind is not parameter.VAR_KEYWORD and parameter.name not in {**positional, **keywords}:
                group[parameter.name] = _parameter(parameter, one)
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in own):
            return [*positional.values(), *(["*", *keywords.values()] if keywords else [])]
    return [*positional.values(), *(["*", *keywords.values()] if keywords else []), "**kwargs: Any"]


def _ours(cls: type) -> list[type]:
    return [one for one in cls.__mro__ if one.__module__.startswith(PACKAGE)]


def _members(cls: type, wanted: frozenset[str] | None) -> Iterator[tuple[str, Any]]:
    """Yield the public methods and properties that our own classes give a class, but for ITSM's calls."""
    found: dict[str, Any] = {}
    for one in _ours(cls):
        for name, member in vars(one).items():
            if not name.startswith("_") and (inspect.isroutine(member) or isinstance(member, property)):
                found.setdefault(name, member)
    hidden = _FOR_AIRFLOW | {name for name, member in found.items() if _is_call(name, member)}
    return ((name, found[name]) for name in found if (name not in hidden if wanted is None else name in wanted))


def _is_call(name: str, method: Any) -> bool:
    """Whether a hook's method sends one of ITSM's calls: it has the docstring of the call."""
    return name in CALLS and method.__doc__ == getattr(calls, name).__doc__


def _member(name: str, member: Any) -> str:
    if isinstance(member, property):
        return f"{name}: {_type(inspect.signature(member.fget).return_annotation)}"  # type: ignore[arg-type]
    if isinstance(member, classmethod | staticmethod):
        return f"@{type(member).__name__}\n{_function(name, member.__func__)}"
    return _function(name, inspect.unwrap(member))


def _function(name: str, function: Any) -> str:
    found = inspect.signature(function)
    parameters: list[str] = []
    for one in found.parameters.values():
        if one.kind is one.KEYWORD_ONLY and "*" not in parameters:
            parameters.append("*")
        parameters.append(_parameter(one))
    is_async = inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)
    return _call(f"{'async ' if is_async else ''}def {name}", parameters, _type(found.return_annotation))


def _parameter(one: inspect.Parameter, owner: type | None = None) -> str:
    stars = "**" if one.kind is one.VAR_KEYWORD else "*" if one.kind is one.VAR_POSITIONAL else ""
    kind = "" if one.annotation is _EMPTY else f": {_type(one.annotation)}"
    if one.default is _EMPTY:
        return f"{stars}{one.name}{kind}"
    default = _value(one.default)
    if default == "<factory>" and is_dataclass(owner):
        factory = next(field.default_factory for field in fields(owner) if field.name == one.name)
        default = _value(None if factory is MISSING else factory())
    return f"{one.name}{kind} = {default}" if kind else f"{one.name}={default}"


def _type(annotation: Any) -> str:
    if annotation is _EMPTY or annotation is None:
        return "None"
    forward = getattr(annotation, "__forward_arg__", annotation)
    text = forward if isinstance(forward, str) else inspect.formatannotation(forward)
    return re.sub(r"\bcalls\.|\bmodels\.", "", text)


def _value(value: Any) -> str:
    if isinstance(value, Enum):
        return f"{type(value).__name__}.{value.name}"
    if isinstance(value, timedelta):
        return repr(value).removeprefix("datetime.")
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return str(getattr(value, "__name__", None) or repr(value))


def _call(head: str, parameters: list[str], returns: str) -> str:
    line = f"{head}({', '.join(parameters)}) -> {returns}: ..."
    if len(line) <= _WIDTH - 4:
        return line
    return "\n".join([f"{head}(", *(f"    {one}," for one in parameters), f") -> {returns}: ..."])


def _lines(name: str, lines: list[str]) -> str:
    return "\n".join([f"class {name}:", *(f"    {line}" for line in lines)])


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())


def main() -> int:
    """Write both pages; print what has no Chinese, and exit with 1 then."""
    for language, file in PAGES.items():
        file.write_text(page(language), encoding="utf-8")
    lacking = [one for one in dict.fromkeys(texts()) if one not in catalogue()]
    stale = sorted(set(catalogue()) - set(texts()))
    for title, found in (("without Chinese", lacking), ("no longer there", stale)):
        for one in found:
            print(f"{title}: {json.dumps(one)}", file=sys.stderr)
    return 1 if lacking or stale else 0


if __name__ == "__main__":
    sys.exit(main())
