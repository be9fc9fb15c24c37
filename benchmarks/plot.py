# SPDX-License-Identifier: Apache-2.0
"""A plot without a plotting library: bars on a logarithmic scale, as SVG."""

from __future__ import annotations

import math
from collections.abc import Mapping
from html import escape

_WIDTH, _BAR, _GAP, _LABEL, _HEAD = 760, 20, 8, 250, 34


def bars(panels: Mapping[str, Mapping[str, float]]) -> str:
    """Return panels of bars below each other.

    :param panels: title of a panel -> name of a bar -> its length.
    """
    top, parts = 10, []
    for title, values in panels.items():
        parts.append(f'<text x="10" y="{top + 16}" font-weight="bold">{escape(title)}, logarithmic</text>')
        top += _HEAD
        longest = max(values.values())
        for name, value in values.items():
            parts += _bar(name, value, longest, top)
            top += _BAR + _GAP
        top += _GAP
    style = "font-family:sans-serif;font-size:13px;background:white"
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {top}" style="{style}">'
    return "\n".join([head, *parts, "</svg>", ""])


def _bar(name: str, value: float, longest: float, top: int) -> list[str]:
    width = _length(value, longest) * (_WIDTH - _LABEL - 90)
    baseline = top + _BAR - 5
    return [
        f'<text x="10" y="{baseline}">{escape(name)}</text>',
        f'<rect x="{_LABEL}" y="{top}" width="{width:.0f}" height="{_BAR}" fill="#4a7a8c"/>',
        f'<text x="{_LABEL + width + 6:.0f}" y="{baseline}">{value:,.3g}</text>'
        if value < 100  # noqa: PLR2004 - from here on whole numbers say enough
        else f'<text x="{_LABEL + width + 6:.0f}" y="{baseline}">{value:,.0f}</text>',
    ]


def _length(value: float, longest: float) -> float:
    """Return a bar's share of the width: four powers of ten from end to end."""
    return max(0.0, 1 + math.log10(value / longest) / 4) if value > 0 else 0.0
