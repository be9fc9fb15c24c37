# SPDX-License-Identifier: Apache-2.0
"""The committed list of mutants that may survive, each with its reason: ``allowed.toml`` beside this module."""

from __future__ import annotations

import tomllib
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.mutation.mutants import Mutant

LIST = Path(__file__).with_name("allowed.toml")
Key = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class Allowed:
    """Reasons by function and change, and the functions whose texts are sentences for people."""

    reasons: dict[Key, str]
    sentences: frozenset[str]

    def reason(self, mutant: Mutant) -> str | None:
        """Return why this mutant may survive; None where nobody said so."""
        return self.reasons.get((mutant.function, mutant.change))

    def is_prose(self, mutant: Mutant) -> bool:
        """Whether only the words of a message are different."""
        return mutant.is_text and (mutant.is_raised or mutant.function in self.sentences)

    def stale(self, mutants: Iterable[Mutant]) -> list[Key]:
        """Return what is listed without need."""
        return sorted(self.reasons.keys() - {(one.function, one.change) for one in mutants if one.is_left})

    def table(self, mutants: Iterable[Mutant]) -> str:
        """Return the survivors on the list as a Markdown table, by reason and function."""
        found: dict[tuple[str, str], int] = defaultdict(int)
        for one in mutants:
            if one.is_left and (why := self.reason(one)):
                found[why, one.function] += 1
        rows = [f"| {why} | `{function}` | {number} |" for (why, function), number in sorted(found.items())]
        return "\n".join(["| Why it survives | Where | Number |", "| --- | --- | ---: |", *rows, ""])


def read_allowed(path: Path = LIST) -> Allowed:
    """Read the list: ``sentences``, and groups with a reason each, in them the changes of each function."""
    told = tomllib.loads(path.read_text(encoding="utf-8"))
    listed = [
        ((function, change), group["why"])
        for group in told["allowed"]
        for function, changes in group["mutants"].items()
        for change in changes
    ]
    if len(dict(listed)) != len(listed):
        raise ValueError(f"{path.name} names a mutant twice")
    return Allowed(reasons=dict(listed), sentences=frozenset(told["sentences"]))
