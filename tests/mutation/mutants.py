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
_SMALL = ast.Name | ast.operator | ast.cmpop | ast.boolop | ast.unaryop


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """One changed function; ``change`` shows the smallest piece of source that tells what is different."""

    function: str
    change: str
    status: str
    is_text: bool = False
    in_error: bool = False


def read(folder: Path) -> Iterator[Mutant]:
    """Read every mutant of a run."""
    for meta in sorted(folder.glob(f"{PACKAGE}/**/*.meta")):
        codes = json.loads(meta.read_text(encoding="utf-8"))["exit_code_by_key"]
        sources = _functions(meta.with_suffix("")) if codes else {}
        yield from (_mutant(key, code, sources) for key, code in codes.items())


def status_of(exit_code: int | None) -> str:
    """Say how a mutant fared."""
    return _STATUS.get(exit_code) or ("timeout" if exit_code in _TIMEOUTS else "killed")


def compare(before: ast.AST, after: ast.AST) -> list[tuple[ast.AST, ast.AST]]:
    """Return the two sources piece by piece, from the whole to the smallest that holds all that differs."""
    path = [(before, after)]
    while type(before) is type(after):
        ours, theirs = list(ast.iter_child_nodes(before)), list(ast.iter_child_nodes(after))
        pairs = [both for both in zip(ours, theirs, strict=False) if ast.dump(both[0]) != ast.dump(both[1])]
        if len(ours) != len(theirs) or len(pairs) != 1:
            break
        before, after = pairs[0]
        path.append((before, after))
    return path


def _functions(path: Path) -> dict[str, ast.AST]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = {one.name: one for one in ast.walk(tree) if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)}
    for name, one in found.items():
        if "__mutmut_" in name:
            one.name = "f"
    return dict(found)


def _mutant(key: str, exit_code: int | None, sources: dict[str, ast.AST]) -> Mutant:
    module, _, name = key.rpartition(".")
    parts = _NAME.fullmatch(name)
    if parts is None:
        raise ValueError(f"not a mutant's name: {key}")
    path = compare(sources[name.rpartition("_")[0] + "_orig"], sources[name])
    where = (module.removeprefix(f"{PACKAGE}."), parts["of"], parts["name"])
    return Mutant(
        function=".".join(filter(None, where)),
        change=" => ".join(ast.unparse(one) for one in _shown(path)),
        status=status_of(exit_code),
        is_text=all(_is_text(one) for one in path[-1]),
        in_error=any(isinstance(one, ast.Raise) for one, _ in path),
    )


def _shown(path: list[tuple[ast.AST, ast.AST]]) -> tuple[ast.AST, ast.AST]:
    """Return the smallest pieces that can be understood by themselves."""
    return next(both for both in reversed(path) if not isinstance(both[0], _SMALL) and not _is_number(both[0]))


def _is_number(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and not isinstance(node.value, str)


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value.strip()
