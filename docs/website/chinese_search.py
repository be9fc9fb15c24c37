# SPDX-License-Identifier: Apache-2.0
"""Finds Chinese words, which no space separates, without a dictionary: by each two characters in a row."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.search.en import SearchEnglish

_HAN = "\u4e00-\u9fff"
_WORD = re.compile(rf"[{_HAN}]+|[^\W{_HAN}]+")


class SearchChinese(SearchEnglish):
    """Has English words as in English, and of Chinese ones each character and each pair."""

    lang = "zh"
    js_splitter_code = Path(__file__).with_suffix(".js").read_text(encoding="utf-8")

    def split(self, text: str) -> list[str]:
        """Return the words of a text."""
        words = []
        for word in _WORD.findall(text):
            if re.match(f"[{_HAN}]", word):
                words += [*word, *(word[at : at + 2] for at in range(len(word) - 1))]
            else:
                words.append(word)
        return words


def setup(app: Sphinx) -> dict[str, Any]:
    """Have Sphinx search so in Chinese."""
    app.add_search_language(SearchChinese)
    return {"parallel_read_safe": True}
