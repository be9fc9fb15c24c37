# SPDX-License-Identifier: Apache-2.0
"""Mutate by mutmut what has changed; fail if a mutant is left that is neither prose nor on the list with a reason.

mutmut imports everything before it chooses a mutant, so what runs during the imports never meets one. A
survivor that nobody explains is therefore tried once more, in a process of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import groupby
from pathlib import Path

from tests.mutation.allowed import Allowed, read_allowed
from tests.mutation.counted import (
    ROOT,
    Counted,
    changed,
    digest_of,
    mutated_modules,
    name_of,
    read_counted,
    write_counted,
)
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
_NOTICED = ("killed", "alone", "timeout")


def main() -> int:
    """Count room by room, so that a run that is stopped loses nothing; write the page once all is explained."""
    allowed, modules = read_allowed(), mutated_modules()
    names = {*map(name_of, modules)}
    counted = {name: one for name, one in read_counted().items() if name in names}
    wrong: list[str] = []
    for _, room in groupby(changed(modules, counted), key=lambda module: module.parent):
        digests = {name_of(module): digest_of(module) for module in room}
        _mutate([*digests])
        for name, digest in digests.items():
            judged = [(_judge(one, allowed), one) for one in read(FOLDER, name)]
            unexplained = [_line(word, one) for word, one in judged if word not in _LABELS]
            wrong += unexplained
            if not unexplained:
                counted[name] = _count(digest, judged)
        write_counted(counted)
    left = [one for each in counted.values() for one in each.left]
    if not wrong:
        wrong += [f"listed, but no survivor: {where}: {change}" for where, change in allowed.stale(left)]
    counts = _table(counted, allowed)
    print(*wrong, counts, sep="\n")
    if not wrong:
        _write(f"{counts}\n{allowed.table(left)}")
    return bool(wrong)


def _line(word: str, mutant: Mutant) -> str:
    return f"{word}: {mutant.function}: {mutant.change}  ({mutant.name})"


def _mutate(names: Sequence[str]) -> None:
    """Let mutmut make and try the mutants of modules."""
    print("Mutating", *names, flush=True)
    command = [sys.executable, "-m", "mutmut", "run", "--max-children", "2"]
    subprocess.run([*command, *(f"{PACKAGE}.{name}.*" for name in names)], cwd=ROOT, check=True)


def _count(digest: str, judged: Sequence[tuple[str, Mutant]]) -> Counted:
    noticed = Counter(word for word, _ in judged if word in _NOTICED)
    left = tuple(one for word, one in judged if word not in _NOTICED)
    return Counted(digest=digest, noticed=dict(noticed), left=left)


def _judge(mutant: Mutant, allowed: Allowed) -> str:
    if not mutant.is_left:
        return mutant.status
    if word := _excuse(mutant, allowed):
        return word
    return "alone" if _dies_alone(mutant) else mutant.status


def _excuse(mutant: Mutant, allowed: Allowed) -> str:
    if allowed.is_prose(mutant):
        return "prose"
    return "allowed" if allowed.reason(mutant) else ""


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


def _table(counted: Mapping[str, Counted], allowed: Allowed) -> str:
    counts: Counter[str] = Counter()
    for one in counted.values():
        counts.update(one.noticed)
        counts.update(_excuse(mutant, allowed) or mutant.status for mutant in one.left)
    rows = [f"| {_LABELS.get(word, word)} | {counts[word]:,} |" for word in (*_LABELS, *(counts.keys() - _LABELS))]
    return "\n".join(["| Mutants | Number |", "| --- | ---: |", *rows, f"| **all** | {counts.total():,} |", ""])


def _write(measured: str) -> None:
    for page in (PAGE, PAGE.parent / "zh" / PAGE.name):
        text = page.read_text(encoding="utf-8")
        before, after = text.partition(_MARKS[0])[0], text.partition(_MARKS[1])[2]
        page.write_text(f"{before}{_MARKS[0]}{measured}{_MARKS[1]}{after}", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
