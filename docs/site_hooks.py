# SPDX-License-Identifier: Apache-2.0
"""What MkDocs does besides when it builds the site, see ``mkdocs.yml``.

Pages come from ``docs/`` and from two files at the root of the repository. They are read in the repository too,
where links may lead to any file; on the site only links between pages can be followed.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
# Page of the site: file at the root it is made of.
FROM_ROOT = {"contributing.md": "CONTRIBUTING.md", "changes.md": "CHANGELOG.md"}
# A line that is nothing but the link to a DAG: the site shows the file itself.
_DAG_LINE = re.compile(r"^\[`(dags/\w+\.py)`\]\(\.\./\1\)$", re.MULTILINE)
# An entry of the API page: a heading, what it is, and its first sentence between marks.
_ENTRY = re.compile(r"^### (\w+)\n(?=(?:(?!^##).)*?^<!-- docstring: (\S+))", re.MULTILINE | re.DOTALL)
_DOCSTRING = re.compile(
    r"^<!-- docstring: (\S+)(?: with ([\w ]+))? -->\n.*?^<!-- end -->$", re.MULTILINE | re.DOTALL
)
_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\((?!https?:|#)([^)\s]+)\)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Leave out of the navigation what is not there."""
    config.nav = _present(config.nav or [])
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made of files at the root."""
    for page, source in FROM_ROOT.items():
        if (ROOT / source).exists():
            files.append(File.generated(config, page, content=links_from_root((ROOT / source).read_text())))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """Show what the repository's pages only name: whole docstrings, a DAG that has a line of its own.

    Other links that lead out of ``docs/`` become the file's path.
    """
    markdown = _DOCSTRING.sub(_docstring, _ENTRY.sub(r"### \1 {#\2}\n", markdown))
    markdown = _DAG_LINE.sub('??? example "\\1"\n\n    ```python\n    --8<-- "\\1"\n    ```', markdown)
    return _LINK.sub(lambda found: _as_path(found) if found[2].startswith("../") else found[0], markdown)


def _docstring(found: re.Match[str]) -> str:
    path, members = found[1], (found[2] or "").split()
    # Without a list of members those are shown that have a docstring.
    shown = "inherited_members: true" if members == ["all"] else f"members: {json.dumps(members)}"
    return f"::: {path}\n    options: {{heading_level: 4, {shown}}}"


def _as_path(link: re.Match[str]) -> str:
    path = link[2].removeprefix("../").partition("#")[0]
    return link[1] if path in link[1] else f"{link[1]} (`{path}`)"


def links_from_root(text: str) -> str:
    """Rewrite the links of a file at the root: pages below ``docs/`` stay links, other files become text."""

    def rewritten(found: re.Match[str]) -> str:
        path = found[2].removeprefix("docs/")
        return f"[{found[1]}]({path})" if path != found[2] and ".md" in path else found[1]

    return _LINK.sub(rewritten, text)


def _present(nav: list[Any]) -> list[Any]:
    kept: list[Any] = []
    for entry in nav:
        ((title, target),) = entry.items()
        if isinstance(target, list):
            kept.append({title: _present(target)})
        elif _is_there(target):
            kept.append(entry)
    return kept


def _is_there(page: str) -> bool:
    return (ROOT / "docs" / page).exists() or (page in FROM_ROOT and (ROOT / FROM_ROOT[page]).exists())
