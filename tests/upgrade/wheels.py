# SPDX-License-Identifier: Apache-2.0
"""Wheels of versions before this one, built from this clone's history."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
# The last version before the modules moved: the last XComs, trigger rows and tables written by them as they were.
BEFORE_THE_MOVE = "289014b570cf586890af9d507ab4bfae9a4c9570"


def has_history(commit: str) -> bool:
    """Whether the version can be built: a clone may be shallow, an archive has no history at all."""
    if not (ROOT / ".git").exists() or importlib.util.find_spec("hatchling") is None:
        return False
    look = ["git", "cat-file", "-e", f"{commit}^{{commit}}"]
    found = subprocess.run(look, cwd=ROOT, check=False, capture_output=True)
    return found.returncode == 0


def install_wheel(commit: str, folder: Path) -> Path:
    """Build a version's wheel, and install it below a folder, without what it depends on; return where."""
    source, wheels, installed = (folder / name for name in ("source", "wheels", "installed"))
    source.mkdir(parents=True)
    tree = subprocess.run(["git", "archive", commit], cwd=ROOT, check=True, capture_output=True)
    subprocess.run(["tar", "-x", "-C", str(source)], input=tree.stdout, check=True)
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(wheels)]
    subprocess.run(build, cwd=source, check=True, capture_output=True)
    (wheel,) = wheels.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(installed)
    return installed
