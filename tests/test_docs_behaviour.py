# SPDX-License-Identifier: Apache-2.0
"""Comments point to facts that a clone has: headings of ``docs/itsm-behaviour.md`` and other pages.

A pointer is written as its path from the root of the repository: an editor opens it, and a search for its heading
finds every place that rests on the fact.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from tests.test_docs import anchors

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("airflow_provider_bkitsm", "benchmarks", "dags", "demo", "docs", "tests", "tools")
KINDS = {".css", ".html", ".js", ".md", ".py", ".sh", ".toml", ".yaml", ".yml"}
# The pages of facts, and the level of heading a fact has there.
FACTS = {"itsm-behaviour.md": "####", "log-platform-behaviour.md": "###"}
MARKS = ("*(measured)*", "*(source)*", "*(documented)*", "*(assumed)*")
POINTER = re.compile(r"(?<![\w/.])docs/([\w.-]+\.md)(?:#([\w-]+))?")
# Where facts were once looked up: numbers and names of notes that are not in this repository.
_BLANK = r"\s+(?:#\s*)?"
LOST = re.compile(
    rf"\b(?i:reference|trap|issue)s?{_BLANK}#?\d|(?<![\w.])W\d{{1,2}}\b"
    r"|\.\./shared|\b(?:bklog|bkitsm)-observed|\b(?:bkitsm-(?:api|v4)|bklog-collector|evidence|design|redesign)\.md"
)


@cache
def _files() -> list[Path]:
    every = (ROOT.glob("*"), *((ROOT / folder).rglob("*") for folder in FOLDERS))
    return sorted(
        path
        for found in every
        for path in found
        if (path.suffix in KINDS or path.name == "Makefile") and path != Path(__file__).resolve()
    )


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _problem(page: str, anchor: str) -> str:
    path = ROOT / "docs" / page
    if not path.is_file():
        return "no such page"
    return "" if not anchor or anchor in anchors(path) else "no such heading"


def _facts(page: str) -> dict[str, str]:
    level = FACTS[page]
    parts = re.split(rf"^{level} (.+)$", _text(ROOT / "docs" / page), flags=re.MULTILINE)[1:]
    texts = (re.split(r"^#", one, flags=re.MULTILINE)[0] for one in parts[1::2])
    return dict(zip(parts[::2], texts, strict=True))


def test_every_pointer_leads_to_a_heading():
    pointers = [(path, *found) for path in _files() for found in POINTER.findall(_text(path))]
    lost = [
        f"{path.relative_to(ROOT)}: docs/{page}#{anchor}: {problem}"
        for path, page, anchor in pointers
        if (problem := _problem(page, anchor))
    ]
    assert not lost
    assert len([page for _, page, anchor in pointers if page in FACTS and anchor]) > 60


def test_nothing_points_to_what_a_clone_does_not_have():
    lost = [f"{path.relative_to(ROOT)}: {found[0]}" for path in _files() for found in LOST.finditer(_text(path))]
    assert not lost


@pytest.mark.parametrize(
    "text",
    [
        "(reference 4.1.1)",
        "# Reference 2.3.",
        "Rules: reference\n    # 4.7",
        "(trap 15)",
        "(W13)",
        "see issue 14",
        "../shared/contract",
        "evidence.md, section 4",
        "bklog-observed",
    ],
)
def test_a_pointer_out_of_the_repository_is_noticed(text):
    assert LOST.search(text)


@pytest.mark.parametrize("text", ["a reference to it", "a trap for clients", "docs/itsm-behaviour.md", "V3W12"])
def test_other_words_are_no_pointers(text):
    assert not LOST.search(text)


@pytest.mark.parametrize("page", FACTS)
def test_every_fact_says_how_sure_it_is(page):
    facts = _facts(page)
    assert len(facts) > 5
    assert not [heading for heading, text in facts.items() if not any(mark in text for mark in MARKS)]


@pytest.mark.parametrize("page", FACTS)
def test_a_heading_of_facts_is_there_once(page):
    headings = re.findall(r"^#+ (.+)$", _text(ROOT / "docs" / page), re.MULTILINE)
    assert len(headings) == len(anchors(ROOT / "docs" / page))
