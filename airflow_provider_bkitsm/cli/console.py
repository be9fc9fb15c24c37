# SPDX-License-Identifier: Apache-2.0
"""What the commands share: how they begin, what they print, and with which exit code they end.

Exit codes: 0 done, or all is well; 1 not done, or something is not well; 2 ITSM or the connection cannot be used.
"""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence
from functools import wraps
from typing import Any, NoReturn, Protocol, TextIO

from airflow.cli.simple_table import AirflowConsole
from airflow.utils.cli import suppress_logs_and_warning
from airflow.utils.providers_configuration_loader import providers_configuration_loaded

from airflow_provider_bkitsm.itsm.errors import ItsmError, printable
from airflow_provider_bkitsm.version_compat import AirflowException

NOT_DONE, UNUSABLE = 1, 2


class Command(Protocol):
    """A function that Airflow's command line calls."""

    def __call__(self, args: Namespace) -> None:
        """Run the command."""


def command(function: Command) -> Command:
    """Read connections as Airflow's own commands do, and end with a line and an exit code, not a traceback."""

    @suppress_logs_and_warning
    @providers_configuration_loaded
    @wraps(function)
    def run(args: Namespace) -> None:
        # Without it, connections kept in Airflow's database are not found.
        os.environ["_AIRFLOW_PROCESS_CONTEXT"] = "server"
        try:
            function(args)
        except (ItsmError, AirflowException, OSError, ValueError) as error:
            end(f"{error}", UNUSABLE)

    return run


def end(message: str, code: int) -> NoReturn:
    """End the command with a line on the standard error."""
    print_line(message, to=sys.stderr)
    sys.exit(code)


def print_line(line: str, *, to: TextIO | None = None) -> None:
    """Print one line."""
    (to or sys.stdout).write(f"{printable(line)}\n")


def print_rows(rows: Sequence[Mapping[str, Any]], *, output: str) -> None:
    """Print rows as Airflow's own commands do: ``table``, ``json``, ``yaml`` or ``plain``.

    What others wrote moves no cursor of a terminal, and is no markup there; JSON and YAML quote by themselves.
    """
    quotes = output in ("json", "yaml")
    shown = [{name: value if quotes else printable(str(value)) for name, value in row.items()} for row in rows]
    AirflowConsole(markup=False).print_as(shown, output=output)
