# SPDX-License-Identifier: Apache-2.0
"""What the commands share: how they begin, what they print, and with which exit code they end.

What people read is in the language of the process' locale (``LC_ALL``, ``LC_MESSAGES``, ``LANG``), what scripts
read (``-o json``, ``-o yaml``) is English everywhere. A message that an error brings along is never translated. An
output that lacks a character, such as an ASCII one, gets it spelled.

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

from airflow_provider_bkitsm.cli.cures import NOT_DEFINED, cure_of, with_cure
from airflow_provider_bkitsm.itsm.errors import ItsmError, printable
from airflow_provider_bkitsm.translation import (
    Language,
    Text,
    reader_language,
    spell_what_output_lacks,
    verbatim,
)
from airflow_provider_bkitsm.version_compat import AirflowException, AirflowNotFoundException

NOT_DONE, UNUSABLE = 1, 2
STRUCTURED = ("json", "yaml")
"""Formats that scripts read."""


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
        spell_what_output_lacks()
        # Without it, connections kept in Airflow's database are not found.
        os.environ["_AIRFLOW_PROCESS_CONTEXT"] = "server"
        try:
            function(args)
        except ItsmError as error:
            end(verbatim(error), UNUSABLE, cure=cure_of(error))
        except AirflowNotFoundException as error:
            end(verbatim(error), UNUSABLE, cure=NOT_DEFINED)
        except (AirflowException, OSError, ValueError) as error:
            end(_message_of(error), UNUSABLE)

    return run


def _message_of(error: Exception) -> Text:
    """Return the message of an error: a text where a command raised it."""
    message = error.args[0] if error.args else ""
    return message if isinstance(message, Text) else verbatim(error)


def end(message: Text, code: int, *, cure: Text | None = None) -> NoReturn:
    """End the command with a line on the standard error.

    :param cure: what to do about it.
    """
    write_line(with_cure(message, cure, reader_language()), to=sys.stderr)
    sys.exit(code)


def print_line(line: Text, *, to: TextIO | None = None) -> None:
    """Print one line in the reader's language."""
    write_line(line.into(reader_language()), to=to)


def write_line(line: str, *, to: TextIO | None = None) -> None:
    """Print one line as it is."""
    (to or sys.stdout).write(f"{printable(line)}\n")


def print_rows(rows: Sequence[Mapping[Text, Any]], *, output: str) -> None:
    """Print rows as Airflow's own commands do: ``table``, ``json``, ``yaml`` or ``plain``.

    What others wrote moves no cursor of a terminal, and is no markup there; JSON and YAML quote by themselves.
    """
    if output in STRUCTURED:
        print_data([{str(name): value for name, value in row.items()} for row in rows], output=output)
    elif not rows:
        print_line(Text("No data found"))
    else:
        language = reader_language()
        cells = [{name.into(language): _cell(value, language) for name, value in row.items()} for row in rows]
        AirflowConsole(markup=False).print_as(cells, output=output)


def print_data(rows: Sequence[Mapping[str, Any]], *, output: str) -> None:
    """Print rows for scripts, as ``json`` or ``yaml``."""
    AirflowConsole(markup=False).print_as(rows, output=output)


def _cell(value: object, language: Language) -> str:
    return printable(value.into(language) if isinstance(value, Text) else value)
