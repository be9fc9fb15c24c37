# SPDX-License-Identifier: Apache-2.0
"""What is costly to make is made once, for all workers of a test run."""

from __future__ import annotations

import atexit
import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp

_VARIABLE = "BKITSM_TEST_RUN"


def run_folder() -> Path:
    """Return the folder of this test run; whoever asks first makes it, for its child processes too."""
    folder = os.environ.get(_VARIABLE)
    if folder is None:
        folder = os.environ[_VARIABLE] = mkdtemp(prefix="bkitsm-run-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def made_once(name: str, make: Callable[[], bytes]) -> bytes:
    """Return what was made under a name; other processes wait while one makes it."""
    file = run_folder() / name
    with file.with_name(f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not file.exists():
            unfinished = file.with_name(f"{name}.unfinished")
            unfinished.write_bytes(make())
            unfinished.rename(file)
    return file.read_bytes()
