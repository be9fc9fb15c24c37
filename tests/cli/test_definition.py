# SPDX-License-Identifier: Apache-2.0
"""What Airflow's command line is told."""

from __future__ import annotations

import subprocess
import sys

import pytest

from airflow_provider_bkitsm.cli.definition import get_bkitsm_cli_commands


@pytest.fixture
def arguments():
    (group,) = get_bkitsm_cli_commands()
    (history,) = group.subcommands
    assert (group.name, history.name) == ("bkitsm", "history")
    return history.args


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
