"""Read what mutmut found; fail if a mutant survived that is neither prose nor on the list with its reason.

mutmut imports everything before it chooses a mutant, so what runs during the imports never meets one. A
survivor that nobody explains is therefore tried once more, in a process of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from tests.mutation.allowed import Allowed, read_allowed
from tests.mutation.mutants import PACKAGE, Mutant, read

FOLDER = Path("mutants")
PAGE = Path("docs/mutation.md")
_MARKS = "<!-- measured -->\n", "<!-- end -->\n"
_ORDER = ("killed", "killed alone", "timeout", "survived: prose of a message", "survived: see below", "survived")


def main() -> int:
    """Judge every mutant, print what is left unexplained, write the counts into the page."""
    allowed = read_allowed()
    judged = [_judged(one, allowed) for one in read(FOLDER)]
    unexplained = [one for one in judged if one.status in ("survived", "no tests", "not run")]
    stale = allowed.stale(judged)
    for one in unexplained:
        print(f"{one.status}: {one.function}: {one.change}  ({one.name})")
    for function, change in stale:
        print(f"on the list, but no survivor any more: {function}: {change}")
    if not (unexplained or stale):
        _write(_table(judged) + allowed.table())
    print(_table(judged))
    return bool(unexplained or stale)


def _judged(mutant: Mutant, allowed: Allowed) -> Mutant:
    """Return a mutant with the last word about it as its status."""
    if not mutant.is_left:
        return mutant
    if mutant.is_prose:
        return replace(mutant, status="survived: prose of a message")
    if allowed.reason(mutant):
        return replace(mutant, status="survived: see below")
    return replace(mutant, status="killed alone") if _dies_alone(mutant) else mutant


def _dies_alone(mutant: Mutant) -> bool:
    module = mutant.name.rpartition(".")[0].removeprefix(f"{PACKAGE}.")
    *rooms, name = module.split(".")
    test = Path("tests", *rooms, f"test_{name}.py")
    command = [sys.executable, "-m", "pytest", "-qx", "-p", "no:cacheprovider", str(test)]
    chosen = os.environ | {"MUTANT_UNDER_TEST": mutant.name, "PYTHONPATH": str(FOLDER.resolve())}
    return subprocess.run(command, cwd=FOLDER, env=chosen, capture_output=True, check=False).returncode == 1


def _table(judged: Iterable[Mutant]) -> str:
    counts = Counter(one.status for one in judged)
    rows = [f"| {status} | {counts[status]:,} |" for status in sorted(counts)]
    return "\n".join(["| Mutants | Number |", "| --- | ---: |", *rows, f"| **all** | {counts.total():,} |", ""])


def _write(measured: str) -> None:
    text = PAGE.read_text(encoding="utf-8")
    before, after = text.partition(_MARKS[0])[0], text.partition(_MARKS[1])[2]
    PAGE.write_text(f"{before}{_MARKS[0]}{measured}{_MARKS[1]}{after}", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
