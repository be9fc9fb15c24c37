# SPDX-License-Identifier: Apache-2.0
"""Writes the tables of ``docs/options.md``: the options of ``[bkitsm]`` and the extras of both connection types.

``make api`` writes them, ``tests/test_docs_options.py`` compares them with the code. Their one source is
``settings.py`` and ``hooks/connection_form.py``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from airflow_provider_bkitsm.hooks.connection_form import FIELDS
from airflow_provider_bkitsm.settings import OPTIONS, SECTION

PAGE = Path(__file__).resolve().parent.parent / "docs" / "options.md"
# No answer of ITSM v4 is behind an ESB, and its log proves no verdict in a form field.
_V2_ONLY = frozenset(
    {
        "service_id",
        "front",
        "esb_url",
        "bk_token",
        "bk_ticket_secret",
        "verdict_field",
        "verdict_value",
        "four_byte",
    }
)
_KINDS = {"string": "text", "integer": "whole number", "number": "number"}


def tables() -> Mapping[str, str]:
    """Return each table by the name of its marks in the page."""
    options = (_option(name, one) for name, one in OPTIONS.items())
    extras = {kind: [_extra(name, one, kind) for name, one in FIELDS[kind].items()] for kind in FIELDS}
    return {
        "options": _table(("Option", "Environment variable", "Default", "Meaning"), options),
        "bkitsm": _table(("Extra", "ITSM", "Value", "Default", "Meaning"), extras["bkitsm"]),
        "bklog": _table(("Extra", "Value", "Default", "Meaning"), extras["bklog"]),
    }


def page(text: str) -> str:
    """Return the page with its tables as the code has them."""
    for name, table in tables().items():
        before, mark, rest = text.partition(f"<!-- {name} -->\n")
        _, end, after = rest.partition("<!-- end -->")
        text = f"{before}{mark}\n{table}\n\n{end}{after}"
    return text


def _option(name: str, option: Mapping[str, Any]) -> tuple[str, ...]:
    example = f" Example: `{option['example']}`" if option["example"] else ""
    variable = f"`AIRFLOW__{SECTION}__{name}`".upper()
    return f"`{name}`", variable, _code(option["default"]), f"{option['description']}{example}"


def _extra(name: str, field: Mapping[str, Any], kind: str) -> tuple[str, ...]:
    meaning, _, default = field["description"].partition(" Default: ")
    meaning = re.sub(r"^v2: (\w)", lambda found: found[1].upper(), meaning).rstrip(".")
    itsm = (_itsm(field["label"], name),) if kind == "bkitsm" else ()
    return f"`{name}`", *itsm, _value(field["schema"]), _default(default), meaning


def _itsm(label: str, name: str) -> str:
    if label.endswith("(v4)"):
        return "v4"
    return "v2" if name in _V2_ONLY else "both"


def _value(schema: Mapping[str, Any]) -> str:
    if schema.get("format") == "password":
        return "secret"
    return ", ".join(f"`{one}`" for one in schema.get("enum", ())) or _KINDS[schema["type"][0]]


def _default(text: str) -> str:
    """A default of one word is a value; else it is described."""
    return text if " " in text or not text else _code(text)


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    cells = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(row)} |".replace("|  |", "| |") for row in cells)


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
