# SPDX-License-Identifier: Apache-2.0
"""Each page has its Chinese version in ``docs/zh/``, which says the same, section by section."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest

from benchmarks.translation import slug

ROOT = Path(__file__).resolve().parents[1]
DOCS, ZH = ROOT / "docs", ROOT / "docs" / "zh"
# Pages whose English text is a file at the root, which a page of the site may only name.
FROM_ROOT = {"contributing.md": ROOT / "CONTRIBUTING.md", "changes.md": ROOT / "CHANGELOG.md"}
ENGLISH = {path.name: path for path in DOCS.glob("*.md")} | FROM_ROOT
CHINESE = sorted(ZH.glob("*.md"))

_CODE = re.compile(r"^( *)```.*?^\1```$", re.DOTALL | re.MULTILINE)
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_HEADING = re.compile(r'(?:^<a id="([^"]+)"></a>\n\n)?^(#+) (.+)$', re.MULTILINE)
_INLINE_CODE = re.compile(r"`[^`\n]+`")
_TARGET = re.compile(r"\]\(([^)\s]+)\)")
_FIGURE = re.compile(r"\d[\d,.]*\d|\d")


@dataclass(frozen=True, kw_only=True)
class Section:
    """A heading, and what stands below it until the next one.

    :param anchor: what stands before the heading, else what its words make.
    :param explicit: whether it stands there.
    """

    path: Path
    level: int
    title: str
    anchor: str
    explicit: bool
    code: Sequence[str]
    prose: str

    @property
    def lines(self) -> str:
        """The prose with each paragraph, item and row on one line, since pages break their lines differently."""
        return re.sub(r"(?<!\n)\n *(?!\n| *(?:[-*|]|\d+\.) )", " ", self.prose)


def _sections(path: Path, text: str) -> list[Section]:
    """Return the sections of a page; what stands above its title is the first one's."""
    blocks = [found[0] for found in _CODE.finditer(text)]
    # A heading in a code block is none.
    masked = _CODE.sub("\0", text)
    found = list(_HEADING.finditer(masked))
    if not found:
        return []
    anchors = _unique([heading[1] or slug(heading[3]) for heading in found])
    ends = [one.start() for one in found[1:]] + [len(masked)]
    sections: list[Section] = []
    for heading, anchor, end in zip(found, anchors, ends, strict=True):
        prose = masked[heading.end() : end]
        sections.append(
            Section(
                path=path,
                level=len(heading[2]),
                title=heading[3],
                anchor=heading[1] or anchor,
                explicit=heading[1] is not None,
                code=[blocks.pop(0) for _ in range(prose.count("\0"))],
                prose=prose,
            )
        )
    return sections


def _unique(anchors: Iterable[str]) -> list[str]:
    """Return anchors as the site and a forge have them: one that a heading above has gets a number."""
    taken: list[str] = []
    for anchor in anchors:
        others = (f"{anchor}-{number}" for number in count(1))
        taken.append(anchor if anchor not in taken else next(other for other in others if other not in taken))
    return taken


def _blocks(section: Section) -> list[str]:
    """Return what stands between empty lines, from top to bottom."""
    kinds = {"\0": "code", "|": "table", "-": "list", "<": "mark"}
    prose = re.sub(r'^<a id="[^"]+"></a>$', "", section.prose, flags=re.MULTILINE)
    return [kinds.get(block[0], "paragraph") for block in re.split(r"\n\s*\n", prose.strip()) if block]


def _tables(section: Section) -> list[int]:
    """Return the number of cells of each row."""
    rows = re.findall(r"^ *\|.*$", section.prose, re.MULTILINE)
    return [len(re.findall(r"(?<!\\)\|", row)) - 1 for row in rows]


def _items(section: Section) -> list[str]:
    """Return the marks of the list items; a number that none precedes is a sentence's, and begins a line."""
    marks = re.findall(r"^ *([-*]|\d+\.)(?= )", section.prose, re.MULTILINE)
    return [one for one in marks if one in {"-", "*", "1."} or f"{int(one[:-1]) - 1}." in marks]


def _links(section: Section) -> list[str]:
    """Return where the links and pictures lead, as the English pages have it."""
    targets = _TARGET.findall(_INLINE_CODE.sub("", section.lines))
    return [_destination(section.path, one) for one in targets]


def _destination(page: Path, link: str) -> str:
    if re.match(r"[a-z]+:", link):
        return link
    name, _, anchor = link.partition("#")
    target = (page.parent / name).resolve() if name else page
    if target.parent == ZH:
        target = DOCS / target.name
    if target.parent == DOCS:
        target = FROM_ROOT.get(target.name, target)
    english = target.as_posix().replace("README.zh-CN.md", "README.md").removeprefix(f"{ROOT}/")
    return f"{english}#{anchor}" if anchor else english


def _inline_code(section: Section) -> list[str]:
    return _INLINE_CODE.findall(section.lines)


def _figures(section: Section) -> list[str]:
    prose = _COMMENT.sub("", _TARGET.sub("]", _INLINE_CODE.sub("", section.lines)))
    return _FIGURE.findall(f"{section.title} {prose}")


IN_ORDER: dict[str, Callable[[Section], Sequence[object]]] = {
    "blocks": _blocks,
    "code blocks": lambda section: section.code,
    "marks": lambda section: _COMMENT.findall(section.prose),
    "cells of the tables' rows": _tables,
    "list items": _items,
}
# A sentence may name them in another order.
IN_ANY_ORDER: dict[str, Callable[[Section], list[str]]] = {
    "links": _links,
    "inline code": _inline_code,
    "figures": _figures,
}


def differences(english: Path, english_text: str, chinese: Path, chinese_text: str) -> Iterator[str]:
    """Say where a Chinese page does not follow the English one, the headings first, then from top to bottom."""
    pages = _sections(english, english_text), _sections(chinese, chinese_text)
    levels = [[section.level for section in page] for page in pages]
    if levels[0] != levels[1]:
        at = _first(*levels)
        here, there = (f"{'#' * page[at].level} {page[at].title}" if at < len(page) else "none" for page in pages)
        yield f"heading {at + 1} differs: {here!r} in English, {there!r} in Chinese"
        return
    for here, there in zip(*pages, strict=True):
        for difference in _between(here, there):
            yield f"{there.title!r} ({here.title!r}): {difference}"


def _between(here: Section, there: Section) -> Iterator[str]:
    if here.level > 1 and (not there.explicit or there.anchor != here.anchor):
        yield f'<a id="{here.anchor}"></a> and an empty line have to stand before the heading'
    for what, ordered in IN_ORDER.items():
        parts = ordered(here), ordered(there)
        if parts[0] != parts[1]:
            at = _first(*parts)
            one, other = (repr(part[at]) if at < len(part) else "none" for part in parts)
            yield f"{what} differ: number {at + 1} is {one} in English and {other} in Chinese"
    for what, listed in IN_ANY_ORDER.items():
        counts = Counter(listed(here)), Counter(listed(there))
        lacking, extra = counts[0] - counts[1], counts[1] - counts[0]
        # Chinese writes numbers in digits that English spells out.
        if lacking or (extra and what != "figures"):
            yield f"{what} differ: only in English {sorted(lacking)}, only in Chinese {sorted(extra)}"
    if untranslated := _untranslated(there):
        yield f"still in English: {untranslated!r}"


def _first(one: Sequence[object], other: Sequence[object]) -> int:
    """Return the place of the first difference."""
    pairs = zip(one, other, strict=False)
    return next((at for at, (left, right) in enumerate(pairs) if left != right), min(len(one), len(other)))


def _untranslated(section: Section) -> str:
    """Return a paragraph or an item that has words and no Chinese, or nothing."""
    for line in section.lines.splitlines():
        words = re.sub(r"<[^>]+>", "", _TARGET.sub("]", _INLINE_CODE.sub("", line)))
        if re.search(r"(?:[A-Za-z]{2,}\W+){4}", words) and not re.search(r"\||[\u4e00-\u9fff]", words):
            return line
    return ""


@pytest.mark.parametrize("name", sorted(ENGLISH))
def test_a_page_has_a_chinese_version(name):
    english = ENGLISH[name].relative_to(ROOT)
    assert (ZH / name).exists(), f"{english} has no Chinese version: write docs/zh/{name}"


@pytest.mark.parametrize("path", CHINESE, ids=lambda path: path.name)
def test_a_chinese_page_is_the_version_of_an_english_one(path):
    assert path.name in ENGLISH, (
        f"docs/zh/{path.name} has no English page: remove it, or name it as the page is named"
    )


@pytest.mark.parametrize("name", [path.name for path in CHINESE if path.name in ENGLISH])
def test_a_chinese_page_says_what_the_english_one_says(name):
    english, chinese = ENGLISH[name], ZH / name
    texts = english.read_text(encoding="utf-8"), chinese.read_text(encoding="utf-8")
    first = next(differences(english, texts[0], chinese, texts[1]), None)
    assert first is None, (
        f"docs/zh/{name}, {first}. Change docs/zh/{name} until it follows {english.relative_to(ROOT)} there"
    )


@pytest.mark.parametrize("path", CHINESE, ids=lambda path: path.name)
def test_a_link_of_a_chinese_page_leads_to_a_chinese_page(path):
    """Where there is one; a page that is still missing is named by the first test."""
    prose = _INLINE_CODE.sub("", _CODE.sub("", path.read_text(encoding="utf-8")))
    for link in re.findall(r"\]\((?![a-z]+:|#)([^)#\s]+)", prose):
        target = (path.parent / link).resolve()
        missing = target.parent == ZH and target.name in ENGLISH
        assert target.exists() or missing, f"docs/zh/{path.name}: {link} leads nowhere"
        english = target.parent == DOCS and target.name != path.name and (ZH / target.name).exists()
        assert not english, f"docs/zh/{path.name}: {link} leads to the English page, write {target.name}"


TEXT = """# Waiting

A wait of 5 s, see [the poll](callback.md#configuration) and [code](../dags/x.py). The answer is
200. It has `a long
name`.

## When it ends

```console
# no heading
```

- one `sn`
- two

<!-- mark -->

| a | b |
| --- | --- |
| c \\| d | [Readme](../README.md) |
"""
SAME = """# 等待

等待 5 s，见[代码](../../dags/x.py)和[轮询](callback.md#configuration)。应答是 200，带有 `a long name`。

<a id="when-it-ends"></a>

## 何时结束

```console
# no heading
```

- 一个 `sn`
- 2 个

<!-- mark -->

| 甲 | 乙 |
| --- | --- |
| 丙 \\| 丁 | [说明](../../README.zh-CN.md) |
"""


def _first_difference(chinese: str) -> str | None:
    return next(differences(DOCS / "waiting.md", TEXT, ZH / "waiting.md", chinese), None)


def test_a_version_that_says_the_same_has_no_difference():
    assert _first_difference(SAME) is None


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("## 何时", "### 何时", "heading 2 differs: '## When it ends' in English, '### 何时结束' in Chinese"),
        ("## 何时结束", "何时结束", "heading 2 differs: '## When it ends' in English, 'none' in Chinese"),
        ("- 2 个", "- 2 个\n\n## 更多", "heading 3 differs: 'none' in English, '## 更多' in Chinese"),
        ("when-it-ends", "it-ends", "'何时结束' ('When it ends'): <a id=\"when-it-ends\"></a>"),
        ('<a id="when-it-ends"></a>\n', "", '<a id="when-it-ends"></a> and an empty line'),
        ('"></a>\n\n', '"></a>\n', '<a id="when-it-ends"></a> and an empty line'),
        ("# no heading", "# 没有标题", "code blocks differ: number 1"),
        (
            "```console\n# no heading\n```",
            "",
            "blocks differ: number 1 is 'code' in English and 'list' in Chinese",
        ),
        ("<!-- mark -->", "<!-- 标记 -->", "marks differ: number 1"),
        ("| 丙 \\| 丁 |", "| 丙 |  丁 |", "cells of the tables' rows differ: number 3 is 2 in English and 3"),
        (
            "- 2 个\n",
            "- 2 个\n\n更多。\n",
            "blocks differ: number 3 is 'mark' in English and 'paragraph' in Chinese",
        ),
        ("- 2 个\n", "", "list items differ: number 2 is '-' in English and none in Chinese"),
        ("- 2 个", "1. 2 个", "list items differ: number 2 is '-' in English and '1.' in Chinese"),
        (
            "callback.md#configuration",
            "callback.md",
            "only in English ['docs/callback.md#configuration'], only in Chinese ['docs/",
        ),
        ("../../dags", "../dags", "only in English ['dags/x.py'], only in Chinese ['docs/dags/x.py']"),
        ("`sn`", "单号", "inline code differ: only in English ['`sn`'], only in Chinese []"),
        ("5 s", "6 s", "figures differ: only in English ['5'], only in Chinese ['6']"),
        ("等待 5 s，见", "A wait of 5 s, see ", None),
        ("- 2 个", "- And two more of them", "still in English: '- And two more of them'"),
    ],
)
def test_a_change_is_found_and_named(before, after, words):
    assert before in SAME
    first = _first_difference(SAME.replace(before, after))
    assert first is None if words is None else words in first


@pytest.mark.parametrize(
    ("page", "link"),
    [
        (DOCS / "index.md", "contributing.md#rules"),
        (DOCS / "index.md", "../CONTRIBUTING.md#rules"),
        (ROOT / "CONTRIBUTING.md", "#rules"),
        (ZH / "contributing.md", "#rules"),
        (ZH / "index.md", "contributing.md#rules"),
        (ZH / "index.md", "../../CONTRIBUTING.md#rules"),
    ],
)
def test_a_page_made_of_a_file_at_the_root_is_that_file(page, link):
    assert _destination(page, link) == "CONTRIBUTING.md#rules"
