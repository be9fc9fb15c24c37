# SPDX-License-Identifier: Apache-2.0
"""What the quick start says about installing is so: versions, extras, the constraints file of Airflow."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PAGE = (ROOT / "docs" / "quick-start.md").read_text(encoding="utf-8")
TESTED = re.findall(r"^apache-airflow==(\S+)", (ROOT / "constraints.txt").read_text(), re.MULTILINE)


@pytest.mark.parametrize("name", ["quick-start.md", "testing-your-dags.md"])
def test_the_airflow_that_a_page_installs_is_the_one_the_tests_run_with(name):
    text = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert set(re.findall(r"apache-airflow==([\d.]+)", text)) == set(TESTED)


def test_the_constraints_are_those_of_the_same_airflow_and_a_supported_python():
    ((airflow, python),) = re.findall(r"/constraints-([\d.]+)/constraints-([\d.]+)\.txt", PAGE)
    assert [airflow] == TESTED
    assert f"Programming Language :: Python :: {python}" in PROJECT["project"]["classifiers"]


def test_every_extra_for_users_is_named():
    table = PAGE.split("| Extra | Brings | For |\n")[1].split("\n\n")[0]
    for_us = PROJECT["tool"]["deptry"]["optional_dependencies_dev_groups"]
    assert set(re.findall(r"^\| `(\w+)`", table, re.MULTILINE)) == (
        set(PROJECT["project"]["optional-dependencies"]) - set(for_us)
    )


def test_the_provider_comes_after_what_the_constraints_file_pins():
    """It may need a later version of something than the file has."""
    commands = re.findall(r"pip install(?:[^\n]*\\\n)*[^\n]*", PAGE)
    (constrained,) = (one for one in commands if "--constraint" in one)
    assert "bkitsm" not in constrained
