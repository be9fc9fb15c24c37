# SPDX-License-Identifier: Apache-2.0
"""The package as it was at another commit, to measure it beside the present one in one run."""

from __future__ import annotations

import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "airflow_provider_bkitsm"
# The last commit before approvals had records, and approved forms were read back.
BEFORE = "90a5bd4"


@contextmanager
def package_of(commit: str) -> Iterator[dict[str, str]]:
    """Give the environment in which Python imports the package as it was at a commit.

    :raises subprocess.CalledProcessError: the clone does not have that commit.
    """
    archive = subprocess.run(["git", "archive", commit, PACKAGE], cwd=ROOT, check=True, capture_output=True)
    with TemporaryDirectory(prefix="bkitsm-") as folder:
        with tarfile.open(fileobj=BytesIO(archive.stdout)) as packed:
            packed.extractall(folder, filter="data")
        yield importing(Path(folder))


def importing(folder: Path) -> dict[str, str]:
    """Return the environment in which Python imports the package from a folder, wherever it was started."""
    return {"PYTHONPATH": str(folder), "PYTHONSAFEPATH": "1"}
