# SPDX-License-Identifier: Apache-2.0
"""``history``: everything that happened to a collector's applications, from the audit."""

from __future__ import annotations

import os
from argparse import Namespace

from airflow.cli.simple_table import AirflowConsole
from airflow.utils.cli import suppress_logs_and_warning
from airflow.utils.providers_configuration_loader import providers_configuration_loaded

from airflow_provider_bkitsm.collectors.history import SHORT, audit_rows
from airflow_provider_bkitsm.hooks.store import open_store
from airflow_provider_bkitsm.itsm.errors import ItsmError
from airflow_provider_bkitsm.version_compat import AirflowException


@suppress_logs_and_warning
@providers_configuration_loaded
def history(args: Namespace) -> None:
    """Print a collector's audit, oldest first.

    :raises SystemExit: the store cannot be read; says why.
    """
    # As Airflow's own commands do, so that connections kept in its database are found too.
    os.environ["_AIRFLOW_PROCESS_CONTEXT"] = "server"
    try:
        entries = open_store(args.store_conn_id).history(args.bklog_conn_id, args.collector_config_id)
    except (ItsmError, AirflowException) as error:
        raise SystemExit(str(error)) from None
    limit = SHORT if args.output == "table" else None
    AirflowConsole().print_as(audit_rows(entries, limit=limit), output=args.output)
