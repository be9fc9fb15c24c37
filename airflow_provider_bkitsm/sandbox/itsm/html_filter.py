# SPDX-License-Identifier: Apache-2.0
"""The HTML filter through which ITSM sends texts before it stores them. Pure.

Known tags stay, with their harmless attributes; unknown tags vanish, their content stays. Entities are decoded;
then quotes and stray angle brackets are escaped, ampersands are not. Line breaks at both ends of each piece of
text are trimmed. An unclosed ``<script>`` or ``<style>`` swallows the rest. See
docs/itsm-fields.md#the-html-filter.
"""

from __future__ import annotations

import html
import re

_KEPT = frozenset(
    {
        *(
            "a",
            "img",
            "br",
            "strong",
            "b",
            "code",
            "pre",
            "p",
            "div",
            "em",
            "span",
            "h1",
            "h2",
            "h3",
            "h4",
            "h5",
            "h6",
            "blockquote",
        ),
        *(
            "ul",
            "ol",
            "tr",
            "th",
            "td",
            "hr",
            "li",
            "u",
            "embed",
            "s",
            "table",
            "thead",
            "tbody",
            "caption",
            "small",
            "q",
            "sup",
            "sub",
        ),
    }
)
_WITHOUT_END = frozenset({"img", "hr", "br", "embed"})
_COMMON_ATTRIBUTES = frozenset({"id", "style", "class", "name"})
_OWN_ATTRIBUTES = {
    "img": frozenset({"src", "width", "height", "alt", "align"}),
    "a": frozenset({"href", "target", "rel", "title"}),
    "embed": frozenset({"src", "width", "height", "type", "allowfullscreen", "loop", "play", "wmode", "menu"}),
    "table": frozenset({"border", "cellpadding", "cellspacing"}),
}
_LINKS = {"a": "href", "embed": "src"}
_TARGETS = frozenset({"_blank", "_self"})
_RAW_CONTENT = frozenset({"script", "style"})

_START = re.compile(r"""<([a-zA-Z][^\s/>\x00]*)((?:"[^"]*"|'[^']*'|[^'">])*)>""")
_END = re.compile(r"</\s*([a-zA-Z][^\s/>]*)[^>]*>")
_INVISIBLE = re.compile(r"<!--.*?--\s*>|<![^>]*>|<\?[^>]*>|</[^>]*>", re.DOTALL)
_ATTRIBUTE = re.compile(r"""([^\s/>=][^\s/>=]*)(?:\s*=\s*("[^"]*"|'[^']*'|[^\s>]*))?""")
_URL = re.compile(r"(http|https|ftp)://.+", re.IGNORECASE | re.DOTALL)
_ESCAPES = str.maketrans({"<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#039;"})


def filtered(text: str) -> str:
    """Return a text as ITSM stores it."""
    pieces: list[str] = []
    open_tags: list[str] = []
    place = 0
    while place < len(text):
        place = _next_piece(text, place, pieces, open_tags)
    return "".join(piece.strip("\n") for piece in pieces)


def _next_piece(text: str, place: int, pieces: list[str], open_tags: list[str]) -> int:
    """Append what the text has at a place, and return the place behind it."""
    if text[place] != "<":
        end = text.find("<", place)
        end = len(text) if end < 0 else end
        pieces.append(_escaped(text[place:end]))
        return end
    if found := _START.match(text, place):
        tag = found[1].lower()
        pieces.append(_start_tag(tag, found[2], open_tags))
        return _behind_raw(text, found.end(), tag, pieces) if tag in _RAW_CONTENT else found.end()
    if found := _END.match(text, place):
        tag = found[1].lower()
        if open_tags and open_tags[-1] == tag:
            pieces.append(f"</{open_tags.pop()}>")
        return found.end()
    if found := _INVISIBLE.match(text, place):
        return found.end()
    return _stray(text, place, pieces)


def _stray(text: str, place: int, pieces: list[str]) -> int:
    """Append an angle bracket that begins no tag, and with an unfinished tag the text behind it."""
    begins_tag = text[place + 1 : place + 2].isalpha() or text[place + 1 : place + 2] in {"/", "!", "?"}
    end = text.find("<", place + 1) if begins_tag else place + 1
    end = len(text) if end < 0 else end
    pieces.append(_escaped(text[place:end]))
    return end


def _behind_raw(text: str, place: int, tag: str, pieces: list[str]) -> int:
    """Append the content of a script or style; without its end tag, everything is lost."""
    end = re.compile(rf"</\s*{tag}\s*>", re.IGNORECASE).search(text, place)
    if end is None:
        return len(text)
    pieces.append(text[place : end.start()].translate(_ESCAPES))
    return end.start()


def _start_tag(tag: str, attributes: str, open_tags: list[str]) -> str:
    if tag not in _KEPT:
        return ""
    if tag not in _WITHOUT_END:
        open_tags.append(tag)
    kept = "".join(
        f' {name}="{value.translate(_ESCAPES)}"' for name, value in _attributes(tag, attributes).items()
    )
    return f"<{tag}{kept}{' /' if tag in _WITHOUT_END else ''}>"


def _attributes(tag: str, text: str) -> dict[str, str]:
    allowed = _COMMON_ATTRIBUTES | _OWN_ATTRIBUTES.get(tag, frozenset())
    found = {one[1].lower(): html.unescape((one[2] or "").strip("\"'")) for one in _ATTRIBUTE.finditer(text)}
    kept = {name: value for name, value in found.items() if name in allowed}
    link = _LINKS.get(tag)
    if link in kept and not _URL.match(kept[link]):
        kept[link] = f"http://{kept[link]}"
    if tag == "a" and kept.setdefault("target", "_blank") not in _TARGETS:
        del kept["target"]
    return kept


def _escaped(text: str) -> str:
    return html.unescape(text).translate(_ESCAPES)
