# SPDX-License-Identifier: Apache-2.0
"""What holds for every page: its links lead somewhere, its code is tested, the commands it names are there."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
# Whose code other tests run as it stands.
RUN_ELSEWHERE = {"README.md", "README.zh-CN.md", "testing-your-dags.md"}
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)


def _prose(text: str) -> str:
    return re.sub(r"^ *```.*?^ *```$", "", text, flags=re.DOTALL | re.MULTILINE)


def _anchors(path: Path) -> set[str]:
    """Return where a link into a file may lead: a heading of a page, a function of a module."""
    if path.suffix == ".py":
        return set(re.findall(r"^(?:async )?def (\w+)", path.read_text(), re.MULTILINE))
    headings = re.findall(r"^#+ (.+)$", _prose(path.read_text()), re.MULTILINE)
    words = (re.sub(r"[^\w\s-]", "", heading).strip().lower() for heading in headings)
    return {re.sub(r"[-\s]+", "-", one) for one in words}


def _commands(text: str) -> str:
    blocks = re.findall(r"```console\n(.*?)```", text, re.DOTALL)
    return "\n".join([*blocks, *re.findall(r"`([^`\n]+)`", _prose(text))])


@each_page
def test_every_link_leads_somewhere(page):
    for link in re.findall(r"\]\((?!https?:)([^)\s]+)\)", _prose(page.read_text())):
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), link
        assert not anchor or anchor in _anchors(target), link


@each_page
def test_python_on_a_page_is_tested_code(page):
    """It is included from a file; ``tests/test_docs_examples.py`` and ``tests/test_dags.py`` load those."""
    for block in re.findall(r"^ *```python\n(.*?)^ *```$", page.read_text(), re.DOTALL | re.MULTILINE):
        if page.name in RUN_ELSEWHERE:
            continue
        found = re.fullmatch(r'\s*--8<-- "((?:dags|tests/docs_examples)/\w+\.py)(?::(\w+))?"\s*', block)
        assert found, f"not included from a tested file: {block}"
        path, section = found.groups()
        source = (ROOT / path).read_text()
        assert not section or f"# --8<-- [start:{section}]" in source


@each_page
def test_the_commands_a_page_names_are_there(page):
    commands = _commands(page.read_text())
    assert set(re.findall(r"^make ([a-z][a-z-]*)", commands, re.MULTILINE)) <= TARGETS
    for module in re.findall(r"\bpython3? -m ([\w.]+)", commands):
        assert find_spec(module), module
