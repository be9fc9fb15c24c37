# SPDX-License-Identifier: Apache-2.0
"""``python -m airflow_provider_bkitsm.cli COMMAND``: what ``airflow bkitsm COMMAND`` does, on every Airflow."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Sequence
from importlib import import_module

from airflow_provider_bkitsm.cli.definition import COMMANDS, GROUP_HELP, readable, readable_options
from airflow_provider_bkitsm.translation import spell_what_output_lacks


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command."""
    spell_what_output_lacks()
    parser = ArgumentParser(prog="python -m airflow_provider_bkitsm.cli", description=readable(GROUP_HELP))
    commands = parser.add_subparsers(dest="command", required=True)
    for name, (_, about, arguments) in COMMANDS.items():
        command = commands.add_parser(name, help=readable(about), description=readable(about))
        for flags, options in arguments:
            command.add_argument(*flags, **readable_options(options))
    given = parser.parse_args(argv)
    module, function = COMMANDS[given.command][0].split(".")
    getattr(import_module(f"airflow_provider_bkitsm.cli.{module}"), function)(given)


if __name__ == "__main__":
    main()
