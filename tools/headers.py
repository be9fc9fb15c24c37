# SPDX-License-Identifier: Apache-2.0
"""Every Python file says its licence in its first line: ``make headers`` adds it, ``make lint`` checks it.

Files without a line of code have nothing to license.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HEADER = "# SPDX-License-Identifier: Apache-2.0"


def lacking() -> list[Path]:
    """Return the repository's Python files without the header, new ones included."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\n")
    return [path for path in map(Path, listed) if path.is_file() and _lacks(path.read_text())]


def _lacks(text: str) -> bool:
    return bool(text.strip()) and HEADER not in text.splitlines()[:2]


def with_header(text: str) -> str:
    """Return a file's text with the header, below a line that names its interpreter."""
    first, _, rest = text.partition("\n")
    return f"{first}\n{HEADER}\n{rest}" if first.startswith("#!") else f"{HEADER}\n{text}"


def main(*arguments: str) -> int:
    """Add the header where it lacks, or with ``--check`` name those files; return how the process ends."""
    found = lacking()
    for path in found:
        if "--check" in arguments:
            print(f"{path}: the first line is not {HEADER!r}; make headers adds it")
        else:
            path.write_text(with_header(path.read_text()))
    return int("--check" in arguments and bool(found))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
