# SPDX-License-Identifier: Apache-2.0
"""``airflow bkitsm ...``: what Airflow's command line is told (3.2 and later). Nothing heavy is imported."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.cli.cli_config import CLICommand

HISTORY_HELP = "Tell everything that happened to a collector's applications, in order"

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
    (
        ("-o", "--output"),
        {
            "choices": ("table", "json", "yaml", "plain"),
            "default": "table",
            "help": "Output format (default: table, which shortens what an event brought)",
        },
    ),
    (("-v", "--verbose"), {"action": "store_true", "help": "Make logging output more verbose"}),
)
"""Flags and options of ``history``, as argparse takes them."""


def get_bkitsm_cli_commands() -> list[CLICommand]:
    """Return the provider's commands; named by ``cli`` in the provider info."""
    from airflow.cli.cli_config import ActionCommand, Arg, GroupCommand, lazy_load_command

    history = ActionCommand(
        name="history",
        help=HISTORY_HELP,
        func=lazy_load_command("airflow_provider_bkitsm.cli.history.history"),
        args=[Arg(flags, **options) for flags, options in HISTORY],  # type: ignore[no-untyped-call]
    )
    return [GroupCommand(name="bkitsm", help="BlueKing ITSM: approvals and log collectors", subcommands=[history])]
