# SPDX-License-Identifier: Apache-2.0
"""The page on messages quotes what the package still says, and knows every reason and every error."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

from airflow_provider_bkitsm import exceptions
from airflow_provider_bkitsm.itsm.outcome import APPROVING, Reason
from tests.tables import table

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text()
MESSAGES, KINDS = PAGE.split("## Kinds of errors")
QUOTED = [
    quote
    for cell in re.findall(r"^\| (`[^|]+) \|", MESSAGES, re.MULTILINE)
    for quote in re.findall(r"`([^`]+)`", cell)
]
_VARIES = "…"
_PLACEHOLDER = re.compile(r"%[sr]|%\.\df|\{\w+\}")


def _text(node: ast.expr) -> str:
    """Return what a piece of source prints, with ``…`` for what differs."""
    if isinstance(node, ast.JoinedStr):
        return "".join(_VARIES if isinstance(one, ast.FormattedValue) else _text(one) for one in node.values)
    text = node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
    return _PLACEHOLDER.sub(_VARIES, text)


@cache
def _messages() -> list[str]:
    files = [*(ROOT / "airflow_provider_bkitsm").rglob("*.py")]
    trees = [ast.parse(path.read_text()) for path in files if "sandbox" not in path.parts]
    return [
        _text(node) for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant | ast.JoinedStr)
    ]


@table("quote", QUOTED)
def test_a_message_quoted_is_still_said(quote):
    """Parts between what differs are looked for in their order, in one message."""
    pattern = re.compile(".*".join(re.escape(part) for part in quote.split(_VARIES)), re.DOTALL)
    assert any(map(pattern.search, _messages())), f"no message of the package has these words: {quote}"


def test_every_error_is_there_with_whether_a_retry_is_safe():
    rows = re.findall(r"^\| (`.+`) \| (yes|no) \|", KINDS, re.MULTILINE)
    told = {name: safe == "yes" for names, safe in rows for name in re.findall(r"`(\w+)`", names)}
    known = {name: getattr(exceptions, name).retry_safe for name in exceptions.__all__ if name != "ItsmError"}
    assert told == known


def test_every_reason_why_a_ticket_is_not_approved_is_there():
    rows = PAGE.partition("| Reason |")[2].partition("\n\n")[0].splitlines()[2:]
    listed = [text for row in rows for text in re.findall(r"`([^`]+)`", row.split(" | ")[0])]
    assert sorted(listed) == sorted(reason.text for reason in set(Reason) - APPROVING - {Reason.OPEN})
