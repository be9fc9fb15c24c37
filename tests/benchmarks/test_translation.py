# SPDX-License-Identifier: Apache-2.0
"""What programs write into the pages is on the Chinese pages too, phrase by phrase."""

from __future__ import annotations

import re
import tomllib
from collections import Counter

import pytest

from benchmarks.report import PAGE
from benchmarks.translation import PHRASES, chinese, lacking

WHOLE = {
    english: phrase for part in tomllib.loads(PHRASES.read_text()).values() for english, phrase in part.items()
}
SECTIONS = [
    pytest.param(page, name, text.strip(), id=f"{page}-{name}")
    for page in ("benchmarks.md", "reliability.md")
    for name, text in re.findall(r"<!-- (\w+) -->(.*?)<!-- /\1 -->", (PAGE.parent / page).read_text(), re.DOTALL)
]


@pytest.mark.parametrize(("page", "name", "text"), SECTIONS)
def test_a_section_is_on_the_chinese_page_as_it_is_translated(page, name, text):
    assert lacking(text) == [], f"write their Chinese into {PHRASES.name}"
    there = (PAGE.parent / "zh" / page).read_text()
    assert f"<!-- {name} -->\n\n{chinese(text)}\n\n<!-- /{name} -->" in there


@pytest.mark.parametrize(("english", "phrase"), WHOLE.items(), ids=range(len(WHOLE)))
def test_a_phrase_keeps_each_figure_and_all_code(english, phrase):
    figures = [f"<{number}>" for number in range(english.count("{}"))]
    filled = phrase.format(*figures)
    assert sorted(re.findall(r"<\d+>", filled)) == sorted(figures)
    assert Counter(re.findall(r"`[^`]+`", filled)) == Counter(re.findall(r"`[^`]+`", english))


def test_no_phrase_is_written_twice():
    keys = re.findall(r'^"(.+?)" = ', PHRASES.read_text(), re.MULTILINE)
    assert [one for one, times in Counter(keys).items() if times > 1] == []


@pytest.mark.parametrize(
    ("text", "translated"),
    [
        (
            "2 cores (Intel(R) Xeon(R)), 25 GB, Python 3.11.7, httpx 0.28.1; PostgreSQL. 200 waits begin at once.",
            "2 核（Intel(R) Xeon(R)），25 GB 内存，Python 3.11.7、httpx 0.28.1；PostgreSQL。200 个等待同时开始。",  # noqa: RUF001
        ),
        ("8 cores (x), 1 GB, Python 3.13.1.", "8 核（x），1 GB 内存，Python 3.13.1。"),
        (
            "### 1,000 waiting, 5 s interval",
            '<a id="1000-waiting-5-s-interval"></a>\n\n### 1,000 个等待，间隔 5 s',
        ),
        (
            "| call | now |\n| --- | ---: |\n| `get_tickets` | 2 |",
            "| 接口 | 现在 |\n| --- | ---: |\n| `get_tickets` | 2 |",
        ),
        ("| how | 2.5 ms (-1.5 to 1,000.0) |", "| 方式 | 2.5 ms（-1.5 至 1,000.0） |"),
        ("; before is commit 7c51d22.", "；改动前指提交 7c51d22。"),  # noqa: RUF001
    ],
)
def test_figures_code_and_the_machine_stay(text, translated):
    assert chinese(text) == translated
    assert lacking(text) == []


def test_words_without_a_translation_stay_english_and_are_named():
    text = "Nobody wrote 3 `words` down. Not measured yet.\n\n| new words | 5 ms | `code` |"
    assert chinese(text) == "Nobody wrote 3 `words` down. 尚未测量。\n\n| new words | 5 ms | `code` |"
    assert lacking(text) == ["Nobody wrote {} `words` down.", "new words"]
