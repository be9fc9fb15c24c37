# SPDX-License-Identifier: Apache-2.0
"""``airflow bkitsm ...``: the commands as Airflow's command line takes them (3.2 and later). Cheap to import."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.cli.cli_config import CLICommand

_VERBOSE: tuple[tuple[str, ...], dict[str, Any]] = (
    ("-v", "--verbose"),
    {"action": "store_true", "help": "Make logging output more verbose"},
)
_OUTPUT: tuple[tuple[str, ...], dict[str, Any]] = (
    ("-o", "--output"),
    {
        "choices": ("table", "json", "yaml", "plain"),
        "default": "table",
        "help": "Output format (default: table)",
    },
)
HISTORY_HELP = "Show everything that happened to a collector's applications, in order"

HISTORY: tuple[tuple[tuple[str, ...], dict[str, Any]], ...] = (
    (("collector_config_id",), {"type": int, "help": "The log platform's number of the collector"}),
    (
        ("--bklog-conn-id",),
        {"default": "bklog_default", "help": "Connection of the log platform (default: bklog_default)"},
    ),
    (
        ("--store-conn-id",),
        {"help": "Connection of the database of collector states (default: [bkitsm] store_conn_id)"},
    ),
    _OUTPUT,
    _VERBOSE,
)
"""Flags and options of ``history``, as argparse takes them."""

_CONNECTION: tuple[tuple[str, ...], dict[str, Any]] = (
    ("--bkitsm-conn-id",),
    {"default": "bkitsm_default", "help": "Connection of ITSM (default: bkitsm_default)"},
)
SERVICES_HELP = "List ITSM's services; of one, the fields of its form and an operator call to paste into a DAG"
SERVICES: tuple[tuple[tuple[str, ...], dict[str, Any]], ...] = (
    (("service",), {"nargs": "?", "help": "Number or name of one service (default: list all)"}),
    (("--name",), {"help": "List those whose name contains this text"}),
    _CONNECTION,
    _OUTPUT,
    _VERBOSE,
)
"""Flags and options of ``services``."""

IMPORT_HELP = "Create the shipped service for log collectors in ITSM and print its number; overwrites nothing"
IMPORT_SERVICE: tuple[tuple[tuple[str, ...], dict[str, Any]], ...] = (
    (("--name",), {"help": "Name of the service (default: as in the file)"}),
    (("--catalog-id",), {"type": int, "help": "ITSM's catalogue it goes into (default: the only one there is)"}),
    (("--file",), {"help": "Another export of a service, as JSON (default: the shipped one)"}),
    _CONNECTION,
    _VERBOSE,
)
"""Flags and options of ``import-service``."""

CHECK_HELP = "Check which operators an ITSM service fits, with the reasons why not"
CHECK_SERVICE: tuple[tuple[tuple[str, ...], dict[str, Any]], ...] = (
    (("service",), {"help": "Number or name of the service"}),
    (
        ("--for",),
        {
            "choices": ("all", "collector", "approval"),
            "default": "all",
            "dest": "purpose",
            "help": "CollectorApplyOperator, ItsmApprovalOperator, or both (default: all)",
        },
    ),
    _CONNECTION,
    _VERBOSE,
)
"""Flags and options of ``check-service``."""

COMMANDS: dict[str, tuple[str, str, tuple[tuple[tuple[str, ...], dict[str, Any]], ...]]] = {
    "history": ("history.history", HISTORY_HELP, HISTORY),
    "services": ("services.services", SERVICES_HELP, SERVICES),
    "import-service": ("services.import_service", IMPORT_HELP, IMPORT_SERVICE),
    "check-service": ("services.check_service", CHECK_HELP, CHECK_SERVICE),
}
"""Function below this package, help and arguments of each command."""


def get_bkitsm_cli_commands() -> list[CLICommand]:
    """Return the provider's commands; named by ``cli`` in the provider info."""
    from airflow.cli.cli_config import ActionCommand, Arg, GroupCommand, lazy_load_command

    commands = [
        ActionCommand(
            name=name,
            help=about,
            func=lazy_load_command(f"airflow_provider_bkitsm.cli.{function}"),
            args=[Arg(flags, **options) for flags, options in arguments],  # type: ignore[no-untyped-call]
        )
        for name, (function, about, arguments) in COMMANDS.items()
    ]
    return [GroupCommand(name="bkitsm", help="BlueKing ITSM: approvals and log collectors", subcommands=commands)]
