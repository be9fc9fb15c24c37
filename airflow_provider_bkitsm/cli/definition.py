# SPDX-License-Identifier: Apache-2.0
"""``airflow bkitsm ...``: the commands as Airflow's command line takes them (3.2 and later). Cheap to import."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_bkitsm.translation import Text, reader_language

if TYPE_CHECKING:
    from airflow.cli.cli_config import CLICommand

_VERBOSE: tuple[tuple[str, ...], dict[str, Any]] = (
    ("-v", "--verbose"),
    {"action": "store_true", "help": Text("Make logging output more verbose")},
)
_OUTPUT: tuple[tuple[str, ...], dict[str, Any]] = (
    ("-o", "--output"),
    {
        "choices": ("table", "json", "yaml", "plain"),
        "default": "table",
        "help": Text("Output format (default: table)"),
    },
)
HISTORY_HELP = Text("Show everything that happened to a collector's applications, in order")

HISTORY: tuple[tuple[tuple[str, ...], dict[str, Any]], ...] = (
    (("collector_config_id",), {"type": int, "help": Text("The log platform's number of the collector")}),
    (
        ("--bklog-conn-id",),
        {"default": "bklog_default", "help": Text("Connection of the log platform (default: bklog_default)")},
    ),
    (
        ("--store-conn-id",),
        {"help": Text("Connection of the database of collector states (default: bkitsm.store_conn_id)")},
    ),
    _OUTPUT,
    _VERBOSE,
)
"""Flags and options of ``history``, as argparse takes them."""

_CONNECTION: tuple[tuple[str, ...], dict[str, Any]] = (
    ("--bkitsm-conn-id",),
    {"default": "bkitsm_default", "help": Text("Connection of ITSM (default: bkitsm_default)")},
)
SERVICES_HELP = Text(
    "List ITSM's services; of one, the fields of its form and an operator call to paste into a DAG"
)
SERVICES: tuple[tuple[tuple[str, ...], dict[str, Any]], ...] = (
    (("service",), {"nargs": "?", "help": Text("Number or name of one service (default: list all)")}),
    (("--name",), {"help": Text("List those whose name contains this text")}),
    _CONNECTION,
    _OUTPUT,
    _VERBOSE,
)
"""Flags and options of ``services``."""

IMPORT_HELP = Text(
    "Create the shipped service for log collectors in ITSM and print its number; overwrites nothing"
)
IMPORT_SERVICE: tuple[tuple[tuple[str, ...], dict[str, Any]], ...] = (
    (("--name",), {"help": Text("Name of the service (default: as in the file)")}),
    (
        ("--catalog-id",),
        {"type": int, "help": Text("ITSM's catalogue it goes into (default: the only one there is)")},
    ),
    (("--file",), {"help": Text("Another export of a service, as JSON (default: the shipped one)")}),
    _CONNECTION,
    _VERBOSE,
)
"""Flags and options of ``import-service``."""

CHECK_HELP = Text("Check which operators an ITSM service fits, with the reasons why not")
CHECK_SERVICE: tuple[tuple[tuple[str, ...], dict[str, Any]], ...] = (
    (("service",), {"help": Text("Number or name of the service")}),
    (
        ("--for",),
        {
            "choices": ("all", "collector", "approval"),
            "default": "all",
            "dest": "purpose",
            "help": Text("CollectorApplyOperator, ItsmApprovalOperator, or both (default: all)"),
        },
    ),
    _CONNECTION,
    _VERBOSE,
)
"""Flags and options of ``check-service``."""

TICKETS_HELP = Text("List what waits for an approval; show, withdraw or open one ticket")
TICKETS: tuple[tuple[tuple[str, ...], dict[str, Any]], ...] = (
    (
        ("words",),
        {
            "nargs": "*",
            "metavar": "SN | withdraw SN | open",
            "help": Text(
                "A ticket's number to show it; withdraw and a number; open for a test ticket (default: list)"
            ),
        },
    ),
    (
        ("--bkitsm-conn-id", "--conn-id"),
        {"help": Text("Tickets of this connection (default: all; open: bkitsm_default)")},
    ),
    (("--dag-id",), {"help": Text("List those of this DAG")}),
    (("--approver",), {"help": Text("List those that wait for this person; open: whom the test ticket asks")}),
    (("--older-than",), {"help": Text("List those opened longer ago, such as 30m, 12h or 3d")}),
    (("--reason",), {"help": Text("Why a ticket is withdrawn, for ITSM's log")}),
    (
        ("--field",),
        {"action": "append", "metavar": "KEY=VALUE", "help": Text("A field of the test ticket's form")},
    ),
    _OUTPUT,
    _VERBOSE,
)
"""Flags and options of ``tickets``."""

AUDIT_HELP = Text("Export every approval round since a day: who asked, who decided, what, with which evidence")
AUDIT: tuple[tuple[tuple[str, ...], dict[str, Any]], ...] = (
    (
        ("--since",),
        {"required": True, "help": Text("Rounds asked for since this day or time (UTC), such as 2026-11-01")},
    ),
    (("--until",), {"help": Text("Up to the end of this day, or before this time (default: now)")}),
    (("--dag-id",), {"help": Text("Rounds of this DAG")}),
    (("--bkitsm-conn-id", "--conn-id"), {"help": Text("Rounds on this connection (default: all)")}),
    (
        ("--store-conn-id",),
        {"help": Text("Connection of the database of approval records (default: bkitsm.store_conn_id)")},
    ),
    (
        ("-o", "--output"),
        {
            "choices": ("csv", "json", "table", "yaml", "plain"),
            "default": "table",
            "help": Text("Output format; csv and json have every column (default: table)"),
        },
    ),
    _VERBOSE,
)
"""Flags and options of ``audit``."""

CHECK_ALL_HELP = Text("Check connections, grants, store, callback and roles; a line for each, with what to do")
CHECK_ALL: tuple[tuple[tuple[str, ...], dict[str, Any]], ...] = (
    (
        ("--bkitsm-conn-id", "--conn-id"),
        {"default": "bkitsm_default", "help": Text("Connection of ITSM (default: bkitsm_default)")},
    ),
    (
        ("--bklog-conn-id",),
        {"help": Text("Connection of the log platform (default: bklog_default, if there is one)")},
    ),
    (("--ticket",), {"action": "store_true", "help": Text("Open a real ticket as well, and withdraw it")}),
    (("--approver",), {"help": Text("Whom that ticket asks (default: the connection's user)")}),
    (
        ("-o", "--output"),
        {
            "choices": ("lines", "table", "json", "yaml", "plain"),
            "default": "lines",
            "help": Text("Output format (default: lines)"),
        },
    ),
    _VERBOSE,
)
"""Flags and options of ``check``."""

GROUP_HELP = Text("BlueKing ITSM: approvals and log collectors")
COMMANDS: dict[str, tuple[str, Text, tuple[tuple[tuple[str, ...], dict[str, Any]], ...]]] = {
    "history": ("audit.history", HISTORY_HELP, HISTORY),
    "services": ("services.services", SERVICES_HELP, SERVICES),
    "import-service": ("services.import_service", IMPORT_HELP, IMPORT_SERVICE),
    "check": ("check.check", CHECK_ALL_HELP, CHECK_ALL),
    "tickets": ("tickets.tickets", TICKETS_HELP, TICKETS),
    "audit": ("audit.audit", AUDIT_HELP, AUDIT),
    "check-service": ("services.check_service", CHECK_HELP, CHECK_SERVICE),
}
"""Function below this package, help and arguments of each command."""


def get_bkitsm_cli_commands() -> list[CLICommand]:
    """Return the provider's commands; named by ``cli`` in the provider info."""
    from airflow.cli.cli_config import ActionCommand, Arg, GroupCommand, lazy_load_command

    commands = [
        ActionCommand(
            name=name,
            help=readable(about),
            func=lazy_load_command(f"airflow_provider_bkitsm.cli.{function}"),
            args=[Arg(flags, **readable_options(options)) for flags, options in arguments],  # type: ignore[no-untyped-call]
        )
        for name, (function, about, arguments) in COMMANDS.items()
    ]
    return [GroupCommand(name="bkitsm", help=readable(GROUP_HELP), subcommands=commands)]


def readable_options(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options of an argument with its help in the language of this process."""
    return {**options, "help": readable(options["help"])}


def readable(text: Text) -> str:
    """Return a text of the help in the language of this process."""
    return text.into(reader_language())
