# SPDX-License-Identifier: Apache-2.0
"""Each benchmark writes its own section of the page and leaves the others alone."""

from __future__ import annotations

import re

import pytest

from benchmarks.report import PAGE, publish, replaced, spread

TEXT = "# Page\n\n<!-- a -->\n<!-- /a -->\n\nbetween\n\n<!-- b -->\nold\n<!-- /b -->\nend\n"


@pytest.fixture
def page(tmp_path):
    (tmp_path / "zh").mkdir()
    for path in (tmp_path / "page.md", tmp_path / "zh" / "page.md"):
        path.write_text(TEXT)
    return tmp_path / "page.md"


def _with(section: str) -> str:
    return TEXT.replace("<!-- b -->\nold\n<!-- /b -->", f"<!-- b -->\n\n{section}\n\n<!-- /b -->")


def test_a_section_is_replaced_and_all_else_stays(page):
    publish("b", "new \\1", page=page)
    publish("b", "newer", page=page)
    assert page.read_text() == _with("newer")


def test_the_chinese_page_gets_the_section_too(page, capsys):
    publish("b", "2 waits begin at once. And 3 something.", page=page)
    assert (page.parent / "zh" / "page.md").read_text() == _with("2 个等待同时开始。And 3 something.")
    assert "translation.toml has no Chinese for: And {} something.\n" in capsys.readouterr().out


def test_what_is_only_printed_changes_no_page(page, capsys):
    publish("b", "new", only_print=True, page=page)
    assert (page.read_text(), (page.parent / "zh" / "page.md").read_text()) == (TEXT, TEXT)
    assert capsys.readouterr().out == "new\n"


def test_times_are_told_by_their_middle_and_their_end():
    assert spread([float(one) for one in range(11, 0, -1)]) == "6.00 | 10.00 | 11.00"


def test_a_section_that_is_missing_is_an_error():
    with pytest.raises(ValueError, match="no section 'c'"):
        replaced(TEXT, "c", "new")


def test_every_section_of_the_page_has_its_figures_and_its_command():
    sections = dict(re.findall(r"<!-- (\w+) -->(.*?)<!-- /\1 -->", PAGE.read_text(), re.DOTALL))
    assert sections
    assert all(text.strip() for text in sections.values())
    commands = {name: name.replace("_v4", " --dialect v4") for name in sections}
    assert all((PAGE.parents[1] / "benchmarks" / f"{one.split()[0]}.py").exists() for one in commands.values())
    assert all(f"python -m benchmarks.{one}" in PAGE.read_text() for one in commands.values())
