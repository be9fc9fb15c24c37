# SPDX-License-Identifier: Apache-2.0
"""Tests mirror the package: the file with a module's tests is found by the module's name."""

from __future__ import annotations

from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
PACKAGE = TESTS.parent / "airflow_provider_bkitsm"
# The sandbox is tested by what it answers, and so are the files at the root and in the folders of long tests.
ROOMS = sorted(
    {
        file.parent.relative_to(PACKAGE)
        for file in PACKAGE.rglob("*.py")
        if file.parent != PACKAGE and file.relative_to(PACKAGE).parts[0] != "sandbox"
    }
)


def _names(folder: Path) -> set[str]:
    return {file.stem.strip("_") for file in folder.glob("*.py") if not file.stem.startswith("test_")}


@pytest.mark.parametrize("room", ROOMS, ids=str)
def test_a_test_file_begins_with_the_name_of_a_module(room):
    """Of the package's, or of one that only tests use and that stands beside it."""
    modules = _names(PACKAGE / room) | _names(TESTS / room)
    files = [file.stem.removeprefix("test_") for file in (TESTS / room).glob("test_*.py")]
    assert [one for one in files if not any(one == name or one.startswith(f"{name}_") for name in modules)] == []
