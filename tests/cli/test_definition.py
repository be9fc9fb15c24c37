# SPDX-License-Identifier: Apache-2.0
"""What Airflow's command line is told."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import pytest

from airflow_provider_bkitsm.cli.definition import COMMANDS, get_bkitsm_cli_commands


@pytest.fixture
def arguments():
    (group,) = get_bkitsm_cli_commands()
    commands = {one.name: one for one in group.subcommands}
    assert group.name == "bkitsm"
    assert list(commands) == [
        "history",
        "services",
        "import-service",
        "check",
        "tickets",
        "audit",
        "check-service",
    ]
    return commands["history"].args


def test_every_command_leads_to_a_function():
    (group,) = get_bkitsm_cli_commands()
    for one in group.subcommands:
        module, function = COMMANDS[one.name][0].split(".")
        assert callable(getattr(import_module(f"airflow_provider_bkitsm.cli.{module}"), function))


def test_a_collector_is_all_that_is_needed(arguments):
    from argparse import ArgumentParser

    parser = ArgumentParser()
    for one in arguments:
        one.add_to_parser(parser)
    given = vars(parser.parse_args(["7"]))
    assert given == {
        "collector_config_id": 7,
        "bklog_conn_id": "bklog_default",
        "store_conn_id": None,
        "output": "table",
        "verbose": False,
    }
    with pytest.raises(SystemExit):
        parser.parse_args(["seven"])


def test_nothing_heavy_is_imported_to_tell_airflow():
    program = """
import sys
from airflow_provider_bkitsm.cli import definition
print([one for one in ("airflow.cli", "sqlalchemy", "requests", "httpx") if one in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
