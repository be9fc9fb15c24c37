# SPDX-License-Identifier: Apache-2.0
"""What BK-ITSM v2 stores of a text, and the text that people meant by what is stored. Pure.

ITSM runs titles and most field values through an HTML filter before it stores them: quotes and stray angle
brackets become entities, entities become characters, tags of a short list stay, all others vanish, as comments do,
and newlines next to markup and at both ends are dropped. ``&`` is never escaped. Values of TEXT and FILE fields,
objects, and approvers' remarks are stored as they are. See docs/itsm-fields.md#the-html-filter.

The filter's own reading of HTML is repeated here by hand. The standard library's parser reads unclosed and broken
markup otherwise since 2025, and ITSM's server runs on an older one.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Mapping
from html import escape, unescape
from typing import Any

_RAW_TYPES = frozenset({"TEXT", "FILE"})
"""Field types whose texts ITSM stores as they are."""

_OBJECT_TYPES = frozenset({"CUSTOM-FORM", "TABLE"})
"""Field types whose objects and lists ITSM stores as they are; of other types it stores Python's text of them."""

TITLE_TYPE = "STRING"

_ENTITY_BY_CHARACTER = {"<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#039;"}
_CHARACTER_BY_ENTITY = {entity: character for character, entity in _ENTITY_BY_CHARACTER.items()}
_ESCAPED = str.maketrans(_ENTITY_BY_CHARACTER)
_ENTITY = re.compile("|".join(map(re.escape, _CHARACTER_BY_ENTITY)))

_EMPTY_TAGS = frozenset({"img", "hr", "br", "embed"})
_BLOCK_TAGS = frozenset({"p", "div", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "pre", "ul", "ol", "li"})
_TABLE_TAGS = frozenset({"table", "caption", "thead", "tbody", "tr", "th", "td"})
_WORD_TAGS = frozenset({"a", "span", "b", "strong", "em", "u", "s", "small", "sub", "sup", "q", "code"})
_KEPT_TAGS = _EMPTY_TAGS | _BLOCK_TAGS | _TABLE_TAGS | _WORD_TAGS
_KEPT_ATTRIBUTES = frozenset({"id", "style", "class", "name"})
_OWN_ATTRIBUTES = {
    "img": frozenset({"src", "width", "height", "alt", "align"}),
    "a": frozenset({"href", "target", "rel", "title"}),
    "embed": frozenset({"src", "width", "height", "type", "allowfullscreen", "loop", "play", "wmode", "menu"}),
    "table": frozenset({"border", "cellpadding", "cellspacing"}),
}
_ADDRESS = {"a": "href", "embed": "src"}
_SWITCH = ("true", "false")
_CHOICES: dict[str, dict[str, tuple[str, ...]]] = {
    "a": {"target": ("_blank", "_self")},
    "embed": {
        "type": ("application/x-shockwave-flash",),
        "wmode": ("transparent", "window", "opaque"),
        "play": _SWITCH,
        "loop": _SWITCH,
        "menu": _SWITCH,
        "allowfullscreen": _SWITCH,
    },
}
_ADDED = {"embed": {"allowscriptaccess": "never", "allownetworking": "none"}}
_WEB_ADDRESS = re.compile(r"(http|https|ftp)://.", re.I | re.S)
_STYLE_MARKUP = re.compile(r"\\|&#|/\*|\*/")
_STYLE_EXPRESSION = re.compile(".*".join("expression"))

# Elements whose content is text up to their end tag.
_CDATA_TAGS = frozenset({"script", "style"})
_NAME = r"([a-zA-Z][^\t\n\r\f />\x00]*)"
_GAP = r"(?:\s|/(?!>))*"
_ATTRIBUTE_NAME = r"""(?<=['"\s/])[^\s/>][^\s/=>]*"""
_ATTRIBUTE_VALUE = r"""'[^']*'|"[^"]*"|(?!['"])[^>\s]*"""
_TAG_NAME = re.compile(_NAME + _GAP)
_SPACE_OR_SLASH = re.compile(_GAP)
_START_TAG = re.compile(
    rf"<{_NAME}(?:[\s/]*(?:{_ATTRIBUTE_NAME}(?:\s*=+\s*(?:{_ATTRIBUTE_VALUE})\s*)?{_GAP})*)?\s*"
)
_ATTRIBUTE = re.compile(rf"({_ATTRIBUTE_NAME})(\s*=+\s*({_ATTRIBUTE_VALUE}))?{_GAP}")
_END_TAG = re.compile(r"</\s*([a-zA-Z][-.a-zA-Z0-9:_]*)\s*>")
_COMMENT_END = re.compile(r"--\s*>")
_SECTION_NAME = re.compile(r"[a-zA-Z][-_.a-zA-Z0-9]*\s*")
_SECTION_END = {name: re.compile(r"\]\s*\]\s*>") for name in ("temp", "cdata", "ignore", "include", "rcdata")} | {
    name: re.compile(r"\]\s*>") for name in ("if", "else", "endif")
}
_UNFINISHED = -1


def as_stored(value: Any, field_type: str) -> Any:
    """Return what ITSM stores of a value given for a field of this type.

    :param value: as ``create_ticket`` is given it; whether ITSM accepts it is not checked.
    """
    if isinstance(value, str):
        return value if field_type in _RAW_TYPES else filtered(value)
    if value is None or field_type in _OBJECT_TYPES:
        return value
    return str(value)


def stored_title(title: str) -> str:
    """Return a title as ITSM stores it once the ticket's flow has started.

    If it is longer than 128 characters, though the title itself is not, the flow never starts.
    """
    return filtered(title)


def as_plain(text: str, field_type: str) -> str:
    """Return a text as it has to be sent so that people see it as it is, with what looks like markup.

    Else tags vanish from it, such as the names of groups in a regular expression, ``(?P<level>...)``.
    """
    return text if field_type in _RAW_TYPES else escape(text, quote=False)


def as_shown(text: str) -> str:
    """Return the text that people meant by what ITSM stores: its entities decoded, once.

    What the filter has removed is not to be had. The result is text, never markup: show it as text.
    """
    return _ENTITY.sub(lambda found: _CHARACTER_BY_ENTITY[found[0]], text)


def value_as_shown(value: Any, field_type: str) -> Any:
    """Return what people meant by the stored value of a field of this type; anything but a text as it is."""
    if field_type in _RAW_TYPES or not isinstance(value, str):
        return value
    return as_shown(value)


def filtered(text: str) -> str:
    """Return a text as ITSM's HTML filter leaves it."""
    try:
        pieces = list(_Filter(text).pieces())
    except _UnreadableError:
        return text
    return "".join(piece.strip("\n") for piece in pieces)


def unclosed_element(text: str) -> str | None:
    """Return the name of an element, script or style, that swallows all that is put behind a text."""
    reader = _Filter(text)
    try:
        deque(reader.pieces(), maxlen=0)
    except _UnreadableError:
        return None
    return reader.cdata


class _UnreadableError(Exception):
    """The filter fails on such a text, which ITSM then stores as it is."""


class _Filter:
    """One pass over one text; yields what is kept of it, piece by piece.

    ``cdata`` is the element whose content is read as text up to its end; None outside of one.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._open: list[str] = []
        self.cdata: str | None = None

    def pieces(self) -> Iterator[str]:
        at, end = 0, len(self._text)
        while at < end:
            start = self._next_markup(at)
            if start is None:
                return
            if at < start:
                yield self._data(at, start)
            if start == end:
                return
            kept, at = self._markup(start)
            yield kept

    def _next_markup(self, at: int) -> int | None:
        """Return where markup goes on, or the text's end; None when the rest is an unclosed script and is lost."""
        if self.cdata is None:
            start = self._text.find("<", at)
            return len(self._text) if start < 0 else start
        end_tag = re.compile(rf"</\s*{self.cdata}\s*>", re.I).search(self._text, at)
        return end_tag.start() if end_tag else None

    def _data(self, start: int, end: int) -> str:
        text = self._text[start:end]
        return (text if self.cdata else unescape(text)).translate(_ESCAPED)

    def _markup(self, start: int) -> tuple[str, int]:
        """Read what begins with an angle bracket; return what is kept of it, and where the text goes on."""
        kept, end = self._tag_or_comment(start)
        if end != _UNFINISHED:
            return kept, end
        end = self._text.find(">", start + 1) + 1 or self._text.find("<", start + 1)
        end = end if end > 0 else start + 1
        return self._data(start, end), end

    def _tag_or_comment(self, start: int) -> tuple[str, int]:
        if tag := _START_TAG.match(self._text, start):
            return self._start_tag(start, tag)
        if self._text.startswith("</", start):
            return self._end_tag(start)
        if self._text.startswith(("<!", "<?"), start):
            return "", self._end_of_comment(start)
        return _ENTITY_BY_CHARACTER["<"], start + 1

    def _end_of_comment(self, start: int) -> int:
        """Return where a comment, declaration or processing instruction ends; nothing of it is kept."""
        text = self._text
        if text.startswith("<!--", start):
            return _end_of(_COMMENT_END, text, start + 4)
        if text.startswith("<![", start):
            return self._marked_section(start)
        return self._after(">", start + (9 if text[start : start + 9].lower() == "<!doctype" else 2))

    def _after(self, mark: str, start: int) -> int:
        return self._text.find(mark, start) + 1 or _UNFINISHED

    def _marked_section(self, start: int) -> int:
        name = _SECTION_NAME.match(self._text, start + 3)
        if (name.end() if name else start + 3) == len(self._text):
            return _UNFINISHED
        kind = name[0].strip().lower() if name else ""
        if kind not in _SECTION_END:
            raise _UnreadableError
        return _end_of(_SECTION_END[kind], self._text, start + 3)

    def _start_tag(self, start: int, match: re.Match[str]) -> tuple[str, int]:
        end = self._end_of_start_tag(match.end())
        if end == _UNFINISHED:
            return "", end
        tag, attributes = match[1].lower(), {}
        at = _end_of(_SPACE_OR_SLASH, self._text, match.end(1))
        while at < end and (found := _ATTRIBUTE.match(self._text, at)):
            attributes[found[1].lower()] = _attribute_value(found)
            at = found.end()
        closing = self._text[at:end].strip()
        if closing not in (">", "/>"):
            return self._text[start:end].translate(_ESCAPED), end
        if tag in _CDATA_TAGS and closing == ">":
            self.cdata = tag
        return self._kept_tag(tag, attributes), end

    def _end_of_start_tag(self, end: int) -> int:
        """Return where a start tag ends whose attributes do at ``end``."""
        rest = self._text[end : end + 2]
        if rest[:1] == ">":
            return end + 1
        if rest == "/>":
            return end + 2
        return _UNFINISHED if re.match("[a-zA-Z=/]|$", rest) else end

    def _kept_tag(self, tag: str, attributes: dict[str, str | None]) -> str:
        if tag not in _KEPT_TAGS:
            return ""
        if tag not in _EMPTY_TAGS:
            self._open.append(tag)
        return f"<{tag}{_written(tag, attributes)}{' /' if tag in _EMPTY_TAGS else ''}>"

    def _end_tag(self, start: int) -> tuple[str, int]:
        end = self._after(">", start + 1)
        if end == _UNFINISHED:
            return "", end
        if exact := _END_TAG.match(self._text, start):
            self.cdata = None
            return self._closed(exact[1].lower()), end
        name = _TAG_NAME.match(self._text, start + 2)
        if name is None:
            return "", start + 3 if self._text.startswith("</>", start) else self._after(">", start + 2)
        return self._closed(name[1].lower()), self._text.find(">", name.end()) + 1

    def _closed(self, tag: str) -> str:
        """Return an end tag if it closes the last open one; others vanish."""
        if not self._open or self._open[-1] != tag:
            return ""
        self._open.pop()
        return f"</{tag}>"


def _end_of(pattern: re.Pattern[str], text: str, start: int) -> int:
    found = pattern.search(text, start)
    return found.end() if found else _UNFINISHED


def _attribute_value(found: re.Match[str]) -> str | None:
    """Return an attribute's value without its quotes; None for an attribute without ``=``."""
    value = found[3]
    if not found[2]:
        return None
    if value[:1] in ("'", '"') and value[:1] == value[-1:]:
        value = value[1:-1]
    return unescape(value)


def _written(tag: str, attributes: Mapping[str, str | None]) -> str:
    """Return the attributes of a kept tag as the filter writes them."""
    allowed = _KEPT_ATTRIBUTES | _OWN_ATTRIBUTES.get(tag, frozenset())
    kept = {name: value for name, value in attributes.items() if name in allowed}
    if style := kept.get("style"):
        kept["style"] = _STYLE_EXPRESSION.sub("_", _STYLE_MARKUP.sub("_", style))
    address = _ADDRESS.get(tag)
    if address in kept:
        kept[address] = _web_address(kept[address])
    if tag == "a":
        kept.setdefault("target", "_blank")
    for name, choices in _CHOICES.get(tag, {}).items():
        if name in kept and kept[name] not in choices:
            del kept[name]
    return "".join(f' {name}="{_attribute_text(value)}"' for name, value in (kept | _ADDED.get(tag, {})).items())


def _web_address(address: str | None) -> str:
    if address is None:
        raise _UnreadableError
    return address if _WEB_ADDRESS.match(address) else f"http://{address}"


def _attribute_text(value: str | None) -> str:
    if value is None:
        raise _UnreadableError
    return value.translate(_ESCAPED)
