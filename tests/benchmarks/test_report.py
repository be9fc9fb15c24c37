# SPDX-License-Identifier: Apache-2.0
"""Each benchmark writes its own section of the page and leaves the others alone."""

from __future__ import annotations

import re

import pytest

from benchmarks.report import PAGE, publish, replaced, spread

TEXT = "# Page\n\n<!-- a -->\n<!-- /a -->\n\nbetween\n\n<!-- b -->\nold\n<!-- /b -->\nend\n"


def test_a_section_is_replaced_and_all_else_stays(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(TEXT)
    publish("b", "new \\1", page=page)
    publish("b", "newer", page=page)
    assert page.read_text() == TEXT.replace("<!-- b -->\nold\n<!-- /b -->", "<!-- b -->\n\nnewer\n\n<!-- /b -->")


def test_what_is_only_printed_changes_no_page(tmp_path, capsys):
    page = tmp_path / "page.md"
    page.write_text(TEXT)
    publish("b", "new", only_print=True, page=page)
    assert (page.read_text(), capsys.readouterr().out) == (TEXT, "new\n")


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
