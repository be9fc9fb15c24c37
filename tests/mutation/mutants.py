# SPDX-License-Identifier: Apache-2.0
"""The mutants that mutmut made, and how they fared, read from its folder ``mutants/``."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PACKAGE = "airflow_provider_bkitsm"
_NAME = re.compile(r"(?:x_|xǁ(?P<of>\w+?)ǁ)(?P<name>\w+)__mutmut_\d+")
# mutmut's exit codes: what is none of these was noticed by a failing test.
_STATUS = {0: "survived", 5: "no tests", 33: "no tests", None: "not run"}
_TIMEOUTS = frozenset({-24, 24, 36, 152, 255})
# Pieces too small to be understood by themselves.
_SMALL = ast.Name | ast.operator | ast.cmpop | ast.boolop | ast.unaryop


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """One changed function.

    :param name: as mutmut calls it.
    :param function: module, class and function, without the package.
    :param change: the smallest piece of source that tells what is different, before and after.
    :param is_text: the words of a text with blanks are different, and nothing else.
    :param is_raised: it is in a ``raise``.
    """

    name: str
    function: str
    change: str
    status: str
    is_text: bool = False
    is_raised: bool = False

    @property
    def is_left(self) -> bool:
        """Whether no test noticed it."""
        return self.status in ("survived", "no tests")


def read(folder: Path, module: str) -> Iterator[Mutant]:
    """Read every mutant of a module."""
    meta = folder.joinpath(PACKAGE, *module.split(".")).with_suffix(".py.meta")
    codes = json.loads(meta.read_text(encoding="utf-8"))["exit_code_by_key"]
    sources = functions(meta.with_suffix("").read_text(encoding="utf-8")) if codes else {}
    yield from (mutant(name, status_of(code), sources) for name, code in codes.items())


def status_of(exit_code: int | None) -> str:
    """Say how a mutant fared."""
    return _STATUS.get(exit_code) or ("timeout" if exit_code in _TIMEOUTS else "killed")


def functions(source: str) -> dict[str, ast.AST]:
    """Return every function of a module that mutmut wrote, by name; the names themselves are taken out."""
    found = {
        one.name: one
        for one in ast.walk(ast.parse(source))
        if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef) and "__mutmut_" in one.name
    }
    for one in found.values():
        one.name = ""
    return dict(found)


def mutant(name: str, status: str, sources: dict[str, ast.AST]) -> Mutant:
    """Compare a mutant with the function it was made from."""
    module, _, short = name.rpartition(".")
    parts = _NAME.fullmatch(short)
    if parts is None:
        raise ValueError(f"not a mutant's name: {name}")
    path = compare(sources[short.rpartition("_")[0] + "_orig"], sources[short])
    where = (module.removeprefix(f"{PACKAGE}."), parts["of"], parts["name"])
    return Mutant(
        name=name,
        function=".".join(filter(None, where)),
        change=" => ".join(ast.unparse(one) for one in _shown(path)),
        status=status,
        is_text=all(map(_is_text, path[-1])),
        is_raised=any(isinstance(one, ast.Raise) for one, _ in path),
    )


def compare(before: ast.AST, after: ast.AST) -> list[tuple[ast.AST, ast.AST]]:
    """Return two sources piece by piece, from the whole to the smallest that holds all that differs."""
    path = [(before, after)]
    while type(before) is type(after):
        ours, theirs = list(ast.iter_child_nodes(before)), list(ast.iter_child_nodes(after))
        pairs = [both for both in zip(ours, theirs, strict=False) if ast.dump(both[0]) != ast.dump(both[1])]
        if len(ours) != len(theirs) or len(pairs) != 1:
            break
        before, after = pairs[0]
        path.append((before, after))
    return path


def _shown(path: list[tuple[ast.AST, ast.AST]]) -> tuple[ast.AST, ast.AST]:
    return next(both for both in reversed(path) if not _is_small(both[0]))


def _is_small(node: ast.AST) -> bool:
    is_word = isinstance(node, ast.Constant) and (not isinstance(node.value, str) or len(node.value) <= 1)
    return is_word or isinstance(node, _SMALL)


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value.strip()
