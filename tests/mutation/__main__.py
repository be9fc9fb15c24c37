# SPDX-License-Identifier: Apache-2.0
"""Read what mutmut found; fail if a mutant survived that is neither prose nor on the list with its reason.

mutmut imports everything before it chooses a mutant, so what runs during the imports never meets one. A
survivor that nobody explains is therefore tried once more, in a process of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path

from tests.mutation.allowed import Allowed, read_allowed
from tests.mutation.mutants import PACKAGE, Mutant, read

FOLDER = Path("mutants")
PAGE = Path("docs/mutation.md")
# pytest's exit codes: a test failed, or a module could not even be imported.
_FAILED = frozenset({1, 2})
_MARKS = "<!-- measured -->\n", "<!-- end -->\n"
# The last words about a mutant, as the page has them.
_LABELS = {
    "killed": "killed: a test failed",
    "alone": "killed in a process of its own: it runs while modules are imported",
    "timeout": "killed: the tests did not end",
    "prose": "survived: words of an error's message",
    "allowed": "survived: see the next table",
}


def main() -> int:
    """Judge every mutant; print what is left unexplained, or write the counts into the page."""
    allowed, mutants = read_allowed(), list(read(FOLDER))
    judged = [(_judge(one, allowed), one) for one in mutants]
    wrong = [f"{said}: {one.function}: {one.change}  ({one.name})" for said, one in judged if said not in _LABELS]
    wrong += [f"listed, but no survivor: {where}: {change}" for where, change in allowed.stale(mutants)]
    counts = _table(Counter(said for said, _ in judged))
    print(*wrong, counts, sep="\n")
    if not wrong:
        _write(f"{counts}\n{allowed.table(mutants)}")
    return bool(wrong)


def _judge(mutant: Mutant, allowed: Allowed) -> str:
    if not mutant.is_left:
        return mutant.status
    if allowed.is_prose(mutant):
        return "prose"
    if allowed.reason(mutant):
        return "allowed"
    return "alone" if _dies_alone(mutant) else mutant.status


def _dies_alone(mutant: Mutant) -> bool:
    """Whether the module's own tests fail with it, and do not fail without it."""
    *rooms, name = mutant.name.rpartition(".")[0].removeprefix(f"{PACKAGE}.").split(".")
    test = "/".join(["tests", *rooms, f"test_{name}.py"])
    return _exit_code(test, "") == 0 and _exit_code(test, mutant.name) in _FAILED


@cache
def _exit_code(test: str, chosen: str) -> int:
    command = [sys.executable, "-m", "pytest", "-qx", "-p", "no:cacheprovider", test]
    env = os.environ | {"MUTANT_UNDER_TEST": chosen, "PYTHONPATH": str(FOLDER.resolve())}
    return subprocess.run(command, cwd=FOLDER, env=env, capture_output=True, check=False).returncode


def _table(counts: Counter[str]) -> str:
    rows = [f"| {_LABELS.get(said, said)} | {counts[said]:,} |" for said in (*_LABELS, *(counts.keys() - _LABELS))]
    return "\n".join(["| Mutants | Number |", "| --- | ---: |", *rows, f"| **all** | {counts.total():,} |", ""])


def _write(measured: str) -> None:
    text = PAGE.read_text(encoding="utf-8")
    before, after = text.partition(_MARKS[0])[0], text.partition(_MARKS[1])[2]
    PAGE.write_text(f"{before}{_MARKS[0]}{measured}{_MARKS[1]}{after}", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
