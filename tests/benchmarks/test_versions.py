# SPDX-License-Identifier: Apache-2.0
"""Another commit's package is the one that is imported, wherever Python is started."""

from __future__ import annotations

import os
import subprocess
import sys

from benchmarks.versions import PACKAGE, ROOT, importing


def test_the_package_of_the_folder_is_imported(tmp_path):
    (tmp_path / PACKAGE).mkdir()
    (tmp_path / PACKAGE / "__init__.py").write_text("VERSION = 'earlier'\n")
    command = [sys.executable, "-c", f"import {PACKAGE} as one; print(one.VERSION)"]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | importing(tmp_path), capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "earlier"
