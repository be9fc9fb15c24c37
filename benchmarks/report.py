# SPDX-License-Identifier: Apache-2.0
"""Where figures are kept: ``docs/benchmarks.md``, a section for each benchmark, which writes only its own.

The page's Chinese version below ``docs/zh/`` gets the same section, translated.
"""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median

from benchmarks.translation import PHRASES, chinese, lacking

PAGE = Path(__file__).resolve().parents[1] / "docs" / "benchmarks.md"


def machine(*packages: str) -> str:
    """Return on what and with what was measured, in a line."""
    with_them = [f"{name} {version(name)}" for name in ("apache-airflow", *packages)]
    cores = f"{os.cpu_count()} cores ({_processor()})"
    return ", ".join([cores, f"{_memory()} GB", f"Python {platform.python_version()}", *with_them])


def publish(section: str, text: str, *, only_print: bool = False, page: Path = PAGE) -> None:
    """Print a result and put it between the markers of this section, on the page and on its Chinese version."""
    print(text)
    if only_print:
        return
    for path, part in ((page, text), (page.parent / "zh" / page.name, chinese(text))):
        path.write_text(replaced(path.read_text(encoding="utf-8"), section, part), encoding="utf-8")
    for phrase in lacking(text):
        print(f"{PHRASES.name} has no Chinese for: {phrase}")


def spread(seconds: Sequence[float]) -> str:
    """Return three cells of a table: the median, what 90 % kept, the longest."""
    ordered = sorted(seconds)
    return f"{median(ordered):.2f} | {ordered[int(0.9 * (len(ordered) - 1))]:.2f} | {ordered[-1]:.2f}"


def replaced(page: str, section: str, text: str) -> str:
    """Return the page with another text in a section; all else stays.

    :raises ValueError: the page has no such section.
    """
    begin, end = f"<!-- {section} -->", f"<!-- /{section} -->"
    found = re.search(f"{re.escape(begin)}.*?{re.escape(end)}", page, re.DOTALL)
    if found is None:
        raise ValueError(f"no section {section!r}")
    return f"{page[: found.start()]}{begin}\n\n{text.strip()}\n\n{end}{page[found.end() :]}"


def _processor() -> str:
    found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    return found[1].strip() if found else platform.machine()


def _memory() -> int:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9)
