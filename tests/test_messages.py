# SPDX-License-Identifier: Apache-2.0
"""Texts of ITSM and of the log platform are arguments of a message, never its format string."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import airflow_provider_bkitsm

PACKAGE = Path(airflow_provider_bkitsm.__file__).parent
LEVELS = {"debug": 0, "info": 0, "warning": 0, "error": 0, "exception": 0, "critical": 0, "log": 1}


def foreign_formats(tree: ast.AST) -> Iterator[str]:
    """Yield the log calls whose format string is no literal, and the formatting of anything but a literal."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            at = LEVELS.get(node.func.attr)
            is_log = at is not None and ast.unparse(node.func.value).rpartition(".")[2] in ("log", "logger")
            if is_log and not (len(node.args) > at and isinstance(node.args[at], ast.Constant)):
                yield f"line {node.lineno}: {ast.unparse(node)}"
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod) and isinstance(node.right, ast.Tuple):
            yield f"line {node.lineno}: {ast.unparse(node)}"


@pytest.mark.parametrize(
    ("code", "is_found"),
    [
        ("self.log.info(said)", True),
        ("self.log.info(verdict.describe())", True),
        ('log.warning(f"no: {error}")', True),
        ("log.log(level, str(error))", True),
        ("self.log.info('%s', said)", False),
        ("log.log(level, '%s', error)", False),
    ],
)
def test_what_is_looked_for(code, is_found):
    assert bool(list(foreign_formats(ast.parse(code)))) is is_found


def test_no_text_from_elsewhere_is_a_format_string():
    """A platform's refusal may hold a percent sign: "storage cluster is 95% full"."""
    found = {
        str(path.relative_to(PACKAGE)): formats
        for path in PACKAGE.rglob("*.py")
        if (formats := list(foreign_formats(ast.parse(path.read_text(encoding="utf-8")))))
    }
    assert found == {}
