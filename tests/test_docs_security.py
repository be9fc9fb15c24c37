# SPDX-License-Identifier: Apache-2.0
"""The page on security: whatever it says is held, a test holds, and the page names that test.

That the tests are there is checked with all links, in ``test_docs.py``.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "security.md").read_text()
# Sections by who somebody is; their tables say what holds what they try.
ACTORS = (
    "An application on the gateway",
    "A user of ITSM",
    "Who writes DAGs",
    "Who can write XComs of a DAG",
    "Who reaches the callback",
    "Who can write the store",
)
_TEST = re.compile(r"\]\(\.\./tests/\w[\w/]*\.py#test_\w+\)")


def _section(title: str) -> str:
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


@pytest.mark.parametrize("actor", ACTORS)
def test_what_is_held_is_tested(actor):
    rows = [line for line in _section(actor).splitlines() if line.startswith("| ")][2:]
    assert rows
    untested = [row for row in rows if not _TEST.search(row) and "as above" not in row]
    assert not untested


@pytest.mark.parametrize("actor", ACTORS)
def test_what_is_not_held_is_said(actor):
    assert "Not held" in _section(actor)
