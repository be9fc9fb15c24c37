# SPDX-License-Identifier: Apache-2.0
"""What holds for every page: its links lead somewhere, its code is tested, the commands it names are there."""

from __future__ import annotations

import re
import textwrap
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
# Whose code other tests run as it stands, or, for the API, compare with the package.
RUN_ELSEWHERE = {"README.md", "README.zh-CN.md", "testing-your-dags.md", "api.md"}
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)


def _prose(text: str) -> str:
    return re.sub(r"^ *```.*?^ *```$", "", text, flags=re.DOTALL | re.MULTILINE)


def anchors(path: Path) -> set[str]:
    """Return where a link into a file may lead: a heading of a page, a function of a module."""
    if path.suffix == ".py":
        return set(re.findall(r"^(?:async )?def (\w+)", path.read_text(), re.MULTILINE))
    text = _prose(path.read_text())
    words = (re.sub(r"[^\w\s-]", "", one).strip().lower() for one in re.findall(r"^#+ (.+)$", text, re.MULTILINE))
    return {re.sub(r"[-\s]+", "-", one) for one in words} | set(re.findall(r'<a id="([^"]+)"', text))


def _commands(text: str) -> str:
    blocks = re.findall(r"```console\n(.*?)```", text, re.DOTALL)
    return "\n".join([*blocks, *re.findall(r"`([^`\n]+)`", _prose(text))])


@each_page
def test_every_link_leads_somewhere(page):
    for link in re.findall(r"\]\((?!https?:)([^)\s]+)\)", _prose(page.read_text())):
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def _sections(path: Path) -> list[str]:
    """Return the parts of an example that pages show, without the marks that they lie between."""
    source = path.read_text()
    names = re.findall(r"# --8<-- \[start:(\w+)\]", source)
    parts = [source.split(f"[start:{name}]\n")[1].split(f"[end:{name}]")[0] for name in names]
    plain = ("".join(line for line in part.splitlines(True) if "# --8<--" not in line) for part in parts)
    return [textwrap.dedent(one.rpartition("\n")[0]).strip() for one in plain]


TESTED = {one for path in (ROOT / "tests" / "docs_examples").glob("*.py") for one in _sections(path)}


@each_page
def test_python_on_a_page_is_tested_code(page):
    """It is a part of a file that ``tests/test_docs_examples.py`` loads."""
    if page.name in RUN_ELSEWHERE:
        return
    for block in re.findall(r"^ *```python\n(.*?)^ *```$", page.read_text(), re.DOTALL | re.MULTILINE):
        assert textwrap.dedent(block).strip() in TESTED, f"not a part of a tested file: {block}"


@each_page
def test_a_page_can_be_read_where_nothing_is_included(page):
    assert "--8<--" not in page.read_text()


@pytest.mark.parametrize("name", ["quick-start.md", "zh/quick-start.md"])
def test_the_quick_starts_settings_are_the_tested_ones(name):
    settings = (ROOT / "tests" / "docs_examples" / "settings.sh").read_text()
    assert f"```console\n{settings}```" in (ROOT / "docs" / name).read_text()


@each_page
def test_the_commands_a_page_names_are_there(page):
    commands = _commands(page.read_text())
    assert set(re.findall(r"^make ([a-z][a-z-]*)", commands, re.MULTILINE)) <= TARGETS
    for module in re.findall(r"\bpython3? -m ([\w.]+)", commands):
        assert find_spec(module), module
