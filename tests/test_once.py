# SPDX-License-Identifier: Apache-2.0
"""What is costly to make is made once for all workers."""

from __future__ import annotations

import subprocess
import sys
from uuid import uuid4

import pytest

from tests.once import made_once, run_folder

_CHILD = "import sys; from tests.once import made_once; print(made_once(sys.argv[1], lambda: b'child').decode())"


def test_it_is_made_once_for_all_processes():
    name = f"test-{uuid4().hex}"
    assert made_once(name, lambda: b"parent") == b"parent"
    child = subprocess.run([sys.executable, "-c", _CHILD, name], capture_output=True, text=True, check=True)
    assert child.stdout.strip() == "parent"
    assert made_once(name, lambda: b"again") == b"parent"
    assert run_folder().is_dir()


def test_what_could_not_be_made_is_tried_again():
    name = f"test-{uuid4().hex}"
    with pytest.raises(ZeroDivisionError):
        made_once(name, lambda: bytes(1 // 0))
    assert made_once(name, lambda: b"made") == b"made"
