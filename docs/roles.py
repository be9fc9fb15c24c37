# SPDX-License-Identifier: Apache-2.0
"""Lets MkDocs show docstrings that name others as Sphinx does: ``:class:`~package.module.Name```."""

from __future__ import annotations

import re
from typing import Any

import griffe

_ROLE = re.compile(r":(?:class|func|meth|mod|attr):`(~?)([\w.]+)`")


def links(text: str) -> str:
    """Turn roles into links where the API pages have what they name, and into its name elsewhere."""
    return _ROLE.sub(_link, text)


def _link(found: re.Match[str]) -> str:
    short, name = found.groups()
    shown = name.rpartition(".")[2] if short or name.startswith(".") else name
    return f'<autoref identifier="{name}" optional><code>{shown}</code></autoref>'


class Roles(griffe.Extension):
    """Rewrites every docstring once it is read."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite an object's docstring."""
        if obj.docstring:
            obj.docstring.value = links(obj.docstring.value)
