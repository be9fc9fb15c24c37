# SPDX-License-Identifier: Apache-2.0
"""The lowest versions that may be installed are above known holes, as far as every supported Airflow allows."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
# The first versions without a known hole.
SAFE = {
    "certifi": "2024.7.4",
    "cryptography": "44.0.1",
    "h11": "0.16",
    "jinja2": "3.1.6",
    "python-multipart": "0.0.18",
    "requests": "2.32.4",
    "starlette": "0.49.1",
}
# Airflow 3.1 keeps FastAPI below 0.118, and that keeps Starlette below 0.49. The hole is in ranges of files: what
# serves no file by Starlette has none.
KEPT_LOW_BY_AIRFLOW = {"starlette": {"constraints/airflow-3.1.txt"}}
CONSTRAINTS = ["constraints.txt", *(f"constraints/{file.name}" for file in (ROOT / "constraints").glob("*.txt"))]


def floors() -> dict[str, Version]:
    """Return the lowest version of each package that ``pyproject.toml`` names, whatever it is for."""
    listed = [
        *PROJECT["dependencies"],
        *(one for extra in PROJECT["optional-dependencies"].values() for one in extra),
    ]
    return {
        required.name: Version(bound.version)
        for required in map(Requirement, listed)
        for bound in required.specifier
        if bound.operator == ">="
    }


@pytest.mark.parametrize("name", sorted(SAFE.keys() - KEPT_LOW_BY_AIRFLOW.keys()))
def test_no_version_with_a_known_hole_may_be_installed(name):
    assert floors()[name] >= Version(SAFE[name])


@pytest.mark.parametrize("file", CONSTRAINTS)
def test_nothing_is_tested_with_a_known_hole(file):
    lines = (ROOT / file).read_text("utf-8").splitlines()
    pinned = dict(line.split(" ;")[0].split("==") for line in lines if "==" in line.split(" ;")[0])
    low = {name for name, safe in SAFE.items() if Version(pinned[name]) < Version(safe)}
    assert low == {name for name, files in KEPT_LOW_BY_AIRFLOW.items() if file in files}


def test_no_file_is_served_by_starlette():
    package = ROOT / "airflow_provider_bkitsm"
    texts = {file: file.read_text("utf-8") for file in package.rglob("*.py")}
    assert [file for file, text in texts.items() if "FileResponse" in text or "StaticFiles" in text] == []
