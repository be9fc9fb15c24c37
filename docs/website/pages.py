# SPDX-License-Identifier: Apache-2.0
"""Makes pages of the site from Markdown that is read in the repository too.

There a link may lead to any file; on the site it can be followed to pages only. A line that is nothing but a link
to a file beside the pages shows the file itself, and the API page has whole docstrings, not their first sentences,
in Chinese on the Chinese site.
"""

from __future__ import annotations

import inspect
import pkgutil
import re
import unicodedata
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform
from sphinx.util import logging

from tools.public_api_zh import chinese, lacking
from tools.public_names import own_members

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
# File at the root: the page that shows it.
FROM_ROOT = {ROOT / "CONTRIBUTING.md": "contributing.md", ROOT / "CHANGELOG.md": "changes.md"}

_log = logging.getLogger(__name__)
_CODE = re.compile(r"(^ *```.*?^ *```$)", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\((?!https?:|#)([^)\s#]+)(#[^)\s]+)?\)")
_FILE = re.compile(r"(?<=\n\n)\[`([^`]+)`\]\((\.\./[^)\s#]+\.(?:py|md))\)(?=\n(?:\n|\Z))")
_DOCSTRING = re.compile(
    r"^<!-- docstring: (\S+)(?: with ([\w ]+))? -->\n.*?^<!-- end -->$", re.MULTILINE | re.DOTALL
)
_ANCHOR = re.compile(r'<a id="([^"]+)"></a>')


def shown(text: str, folder: Path) -> str:
    """Return what the site shows of a page's Markdown.

    :param text: the page.
    :param folder: where its links begin.
    """
    text = _FILE.sub(lambda found: _file(found[1], folder / found[2]), text)
    prose_and_code = _CODE.split(text)
    prose_and_code[::2] = [_LINK.sub(lambda found: _link(found, folder), prose) for prose in prose_and_code[::2]]
    return _DOCSTRING.sub(_docstring, "".join(prose_and_code))


def _file(name: str, path: Path) -> str:
    """Return a file as a part of a page: code is folded up, and a page has no title of its own."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        return shown(re.sub(r"\A# .*\n", "", text), path.parent)
    return f"<details><summary><code>{name}</code></summary>\n\n```python\n{text}```\n\n</details>"


def _link(found: re.Match[str], folder: Path) -> str:
    """Return a link to a page of the same language; any other file that is there becomes its path."""
    label, name, anchor = found.groups("")
    target = (folder / name).resolve()
    page = FROM_ROOT.get(target) or (target.name if target.parent in {DOCS, DOCS / "zh"} else "")
    if page.endswith(".md"):
        return f"[{label}]({page}{anchor})"
    if DOCS in target.parents or ROOT not in target.parents or not target.exists():
        return found[0]  # Sphinx knows what to do, or complains.
    path = target.relative_to(ROOT).as_posix()
    return label if path in label else f"{label} (`{path}`)"


def _docstring(found: re.Match[str]) -> str:
    path, members = found[1], (found[2] or "").split()
    thing = pkgutil.resolve_name(path)
    kind = "module" if inspect.ismodule(thing) else "class" if inspect.isclass(thing) else "function"
    if members == ["all"]:
        members = own_members(thing) if inspect.isclass(thing) else [""]
    option = f"   :members: {', '.join(members)}\n" if members else ""
    return f"```{{eval-rst}}\n.. auto{kind}:: {path}\n{option}```"


def slug(heading: str) -> str:
    """Return the anchor that is made of a heading."""
    plain = unicodedata.normalize("NFKD", heading).encode("ascii", "ignore").decode()
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", plain).strip().lower())


class Anchors(SphinxTransform):
    """Gives a heading the anchor that stands before it, else the one that is made of it, as its first id.

    A page in another language has the same ones that way.
    """

    # Before MyST makes its anchors the last ids.
    default_priority = 690

    def apply(self, **_: Any) -> None:
        """Change the headings of one page."""
        anchors = self.document.myst_slugs
        self.env.metadata[self.env.docname]["myst_slugs"] = anchors
        before = ""
        for node in list(self.document.findall(lambda node: isinstance(node, nodes.paragraph | nodes.section))):
            if isinstance(node, nodes.section):
                self._name(node, before, anchors)
                before = ""
            elif found := _ANCHOR.fullmatch(node.astext()):
                before = found[1]
                node.parent.remove(node)

    def _name(self, section: nodes.section, before: str, anchors: dict[str, Any]) -> None:
        made = section.get("slug", "")
        anchors.pop(made, None)
        if anchor := before or made:
            section["slug"] = anchor
            section["ids"].insert(0, anchor)
            self.document.ids[anchor] = section
            anchors[anchor] = (section.line, anchor, section[0].astext())


def _read(app: Sphinx, docname: str, source: list[str]) -> None:
    source[0] = shown(source[0], Path(app.srcdir))
    if docname == app.config.root_doc:
        pages = "\n".join(page for _, group in app.config.navigation for page in group)
        source[0] += f"\n\n```{{toctree}}\n:hidden:\n\n{pages}\n```\n"


def _navigation(app: Sphinx, _page: str, _template: str, context: dict[str, Any], _tree: Any) -> None:
    titles = app.env.titles
    context["navigation"] = [
        (caption, [(page, titles[page].astext()) for page in pages if page in titles])
        for caption, pages in app.config.navigation
    ]


def _signature(_app: Sphinx, kind: str, *about: Any) -> tuple[str, str] | None:
    """Leave out the parameters that the API page has above the docstring."""
    *_, parameters, _returns = about
    return ("", "") if parameters and kind in {"class", "exception", "function"} else None


def _in_chinese(app: Sphinx, _kind: str, name: str, _thing: Any, _options: Any, lines: list[str]) -> None:
    """Put a docstring into the site's language; a passage that has no Chinese fails the build."""
    if app.config.language == "zh_CN":
        for passage in lacking(lines):
            _log.warning("%s: there is no Chinese in tools/public_api_zh.json of: %s", name, passage)
        lines[:] = chinese(lines)


def setup(app: Sphinx) -> dict[str, Any]:
    """Have Sphinx make pages so."""
    app.add_config_value("navigation", [], "env", list)
    app.add_transform(Anchors)
    app.connect("source-read", _read)
    app.connect("html-page-context", _navigation)
    app.connect("autodoc-process-signature", _signature)
    app.connect("autodoc-process-docstring", _in_chinese)
    return {"parallel_read_safe": True}
