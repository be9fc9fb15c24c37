# SPDX-License-Identifier: Apache-2.0
"""``history``: everything that happened to a collector's applications, from the audit."""

from __future__ import annotations

from argparse import Namespace

from airflow_provider_bkitsm.cli.console import command, print_rows
from airflow_provider_bkitsm.collectors.history import SHORT, audit_rows
from airflow_provider_bkitsm.hooks.store import open_store


@command
def history(args: Namespace) -> None:
    """Print a collector's audit, oldest first."""
    entries = open_store(args.store_conn_id).history(args.bklog_conn_id, args.collector_config_id)
    print_rows(audit_rows(entries, limit=SHORT if args.output == "table" else None), output=args.output)
