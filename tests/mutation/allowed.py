"""The committed list of mutants that may survive, each with its reason: ``allowed.toml`` beside this module."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tests.mutation.mutants import Mutant

Key = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class Allowed:
    """Reasons by function and change."""

    reasons: dict[Key, str]

    def reason(self, mutant: Mutant) -> str | None:
        """Return why this mutant may survive; None where nobody said so."""
        return self.reasons.get((mutant.function, mutant.change))

    def stale(self, mutants: Iterable[Mutant]) -> list[Key]:
        """Return what is listed without need."""
        return sorted(self.reasons.keys() - {(one.function, one.change) for one in mutants if one.is_left})
