# SPDX-License-Identifier: Apache-2.0
"""``history``: everything that happened to a collector's applications, from the audit."""

from __future__ import annotations

from argparse import Namespace

from airflow_provider_bkitsm.cli.console import STRUCTURED, command, print_rows
from airflow_provider_bkitsm.collectors.history import SHORT, audit_rows
from airflow_provider_bkitsm.hooks.store import open_store
from airflow_provider_bkitsm.translation import Text, reader_language

_COLUMNS = {
    "when": Text("when"),
    "event": Text("event"),
    "from": Text("from"),
    "to": Text("to"),
    "ticket": Text("ticket"),
    "owner": Text("owner"),
    "actor": Text("actor"),
    "details": Text("details"),
}


@command
def history(args: Namespace) -> None:
    """Print a collector's audit, oldest first."""
    entries = open_store(args.store_conn_id).history(args.bklog_conn_id, args.collector_config_id)
    limit = SHORT if args.output == "table" else None
    rows = audit_rows(entries, limit=limit, language="en" if args.output in STRUCTURED else reader_language())
    print_rows([{_COLUMNS[name]: text for name, text in row.items()} for row in rows], output=args.output)
