# SPDX-License-Identifier: Apache-2.0
"""The page for administrators: what it shows to be copied is whole, and says where it was not run."""

from __future__ import annotations

import re
import shlex
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from airflow_provider_bkitsm.cli.airflow_findings import judge_roles
from airflow_provider_bkitsm.cli.definition import COMMANDS
from airflow_provider_bkitsm.settings import OPTIONS

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "docs" / "administration.md").read_text(encoding="utf-8")
AIRFLOW = re.findall(r"^apache-airflow==(\S+)", (ROOT / "constraints.txt").read_text(), re.MULTILINE)


def block(kind: str) -> str:
    (found,) = re.findall(rf"```{kind}\n(.*?)```", TEXT, re.DOTALL)
    return found


def section(heading: str) -> str:
    return TEXT.split(f"\n## {heading}\n")[1].split("\n## ")[0]


def test_the_roles_get_the_command_that_check_gives():
    assert f"\n{judge_roles('FabAuthManager', ['Viewer', 'User']).cure}\n" in section("Roles")


def bkitsm_commands() -> Iterator[list[str]]:
    for found in re.findall(r"`airflow bkitsm ([^`]+)`", TEXT):
        yield shlex.split(found)


@pytest.mark.parametrize("command", bkitsm_commands(), ids=" ".join)
def test_the_commands_of_the_provider_are_there(command):
    name, *arguments = command
    parser = ArgumentParser(exit_on_error=False)
    for flags, options in COMMANDS[name][2]:
        parser.add_argument(*flags, **options)
    parser.parse_args(arguments)


def test_the_charts_values_set_options_that_are_there():
    values = yaml.safe_load(block("yaml"))
    assert set(values["config"]["bkitsm"]) <= set(OPTIONS)
    connections = {one["envName"].removeprefix("AIRFLOW_CONN_").lower() for one in values["secret"]}
    assert {values["config"]["bkitsm"]["store_conn_id"], "bkitsm_default"} == connections
    assert [values["airflowVersion"]] == AIRFLOW


def test_the_image_is_of_the_airflow_that_the_tests_run_with():
    lines = block("dockerfile").splitlines()
    assert lines[0] == f"FROM apache/airflow:{AIRFLOW[0]}"
    assert block("dockerfile").count("[postgres]") == 1


@pytest.mark.parametrize("heading", ["An image", "Airflow's official chart"])
def test_what_was_not_run_says_so_first(heading):
    assert section(heading).strip().startswith("**Not run here**")
