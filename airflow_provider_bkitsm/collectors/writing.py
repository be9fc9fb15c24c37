# SPDX-License-Identifier: Apache-2.0
"""Writing a changed row over the one that was read, and its audit entry, in the caller's transaction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection
from sqlalchemy import exc as sql

from airflow_provider_bkitsm.collectors.database import UNTOUCHED
from airflow_provider_bkitsm.collectors.errors import StoreRaceLost
from airflow_provider_bkitsm.collectors.row import CollectorRow
from airflow_provider_bkitsm.collectors.tables import (
    audit_table,
    collector_table,
    of_collector,
    owner_values,
    row_values,
)


def write(
    connection: Connection,
    row: CollectorRow,
    stored: CollectorRow,
    *,
    event: str,
    actor: str | None,
    detail: Mapping[str, Any],
) -> None:
    """Write ``stored`` over ``row``, and what happened into the audit.

    :raises StoreRaceLost: ``row`` is not the stored one any more.
    """
    (_insert if row.version == 0 else _update)(connection, row, stored)
    entry = _audit_values(row, stored) | {"event": event, "actor": actor, "detail": detail}
    connection.execute(audit_table.insert().values(**entry))


def _insert(connection: Connection, row: CollectorRow, stored: CollectorRow) -> None:
    try:
        connection.execute(collector_table.insert().values(**row_values(stored)))
    except sql.IntegrityError:
        raise _lost(row) from None


def _update(connection: Connection, row: CollectorRow, stored: CollectorRow) -> None:
    key = of_collector(collector_table, row.bklog_conn_id, row.collector_config_id)
    unchanged = collector_table.c.version == row.version
    change = collector_table.update().where(key, unchanged).values(**row_values(stored))
    if connection.execute(change).rowcount != 1:
        raise _lost(row)


def _lost(row: CollectorRow) -> StoreRaceLost:
    return StoreRaceLost(f"{row.name} was changed by another. {UNTOUCHED}; a retry is safe.")


def _audit_values(row: CollectorRow, stored: CollectorRow) -> dict[str, Any]:
    return {
        "bklog_conn_id": stored.bklog_conn_id,
        "collector_config_id": stored.collector_config_id,
        "version": stored.version,
        "application": stored.application,
        "from_state": row.state.value,
        "to_state": stored.state.value,
        "ticket_sn": stored.ticket_sn,
        **owner_values(stored.owner),
        "at": stored.updated_at,
    }
