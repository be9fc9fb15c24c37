# SPDX-License-Identifier: Apache-2.0
"""``python -m tests.conformance.v4``: run the cases of ITSM v4, and print which assumptions they leaned on."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path

import pytest

from airflow_provider_bkitsm.itsm.v4.facts import Confidence
from tests.conformance.v4.cases import CASES, facts_of

_HERE = Path(__file__).parent
_FOLDERS = (_HERE, _HERE.parents[1] / "itsm" / "v4")
_HEADINGS = {
    Confidence.UNKNOWN: "Unknown, to be asked of a real site",
    Confidence.CONTRADICTED: "Sources disagree, both are taken",
    Confidence.ASSUMED: "Assumed, a real site has to show it",
    Confidence.ONE: "Shown by one client",
    Confidence.SEVERAL: "Shown by several clients",
}


class Passed:
    """Notes which cases have passed."""

    def __init__(self) -> None:
        self.cases: dict[str, list[int]] = {}
        self.passed: Counter[int] = Counter()
        self.failed: set[int] = set()

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        self.cases[item.nodeid] = [mark.args[0].number for mark in item.iter_markers("v4_case")]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        numbers = self.cases.get(report.nodeid, [])
        if report.failed:
            self.failed.update(numbers)
        elif report.when == "call":
            self.passed.update(numbers)


def report(passed: Mapping[int, int], *, failed: Collection[int]) -> str:
    """Return which facts the cases leaned on, the least sure first."""
    wrong = ", ".join(map(str, sorted(failed))) or "none"
    good = sorted(passed.keys() - set(failed))
    lines = [f"{len(good)} of {len(CASES)} cases passed, {len(failed)} failed: {wrong}"]
    heading = None
    for fact in facts_of(key for number in good for key in CASES[number].facts):
        if fact.confidence is not heading:
            heading = fact.confidence
            lines += ["", f"[{heading}] {_HEADINGS[heading]}"]
        cases = ", ".join(str(one) for one in good if fact.key in CASES[one].facts)
        sources = f" ({fact.sources})" if fact.sources else ""
        lines.append(f"  {fact.key}: {fact.text}{sources}; cases {cases}")
    return "\n".join(lines)


def main() -> int:
    """Run the cases."""
    noted = Passed()
    code = pytest.main(["-q", "-p", "no:cacheprovider", *map(str, _FOLDERS), *sys.argv[1:]], plugins=[noted])
    print(report(noted.passed, failed=noted.failed))  # noqa: T201 - this is a command's output
    return int(code)


if __name__ == "__main__":
    sys.exit(main())
