# SPDX-License-Identifier: Apache-2.0
"""Collectors and their history from the approval store, for those who may read the DAG that applied."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from airflow_provider_bkitsm.approvals.machine import picture
from airflow_provider_bkitsm.collectors.row import CollectorRow, state_label
from airflow_provider_bkitsm.hooks.store import open_store, store_path
from airflow_provider_bkitsm.version_compat import airflow_conf

if TYPE_CHECKING:
    from airflow_provider_bkitsm.collectors.store import AuditEntry, CollectorStore

_LATEST = 2000


class Collectors:
    """The store, opened when it is first asked; every method blocks.

    :raises StoreUnavailable: the store's database cannot be used.
    """

    def listed(self, dag_ids: Collection[str]) -> list[CollectorRow]:
        """Return the collectors that DAGs of these applied for, the latest change first."""
        store = _store()
        rows = store.latest(_LATEST) if store else []
        return [row for row in rows if _is_of(row, dag_ids)]

    def one(self, bklog_conn_id: str, collector_config_id: int, dag_ids: Collection[str]) -> dict[str, Any] | None:
        """Return a collector with its picture and history; None when there is none these DAGs applied for."""
        store = _store()
        row = store.get(bklog_conn_id, collector_config_id) if store else None
        if store is None or row is None or not _is_of(row, dag_ids):
            return None
        history = store.history(bklog_conn_id, collector_config_id)
        steps = ((entry.from_state, entry.to_state) for entry in history if entry.application == row.application)
        return {
            **shown(row),
            "payload": row.etl_payload,
            "error": row.last_error or "",
            "picture": picture(row.state, steps).as_dict(),
            "history": [_entry(one) for one in history if one.owner is None or one.owner.dag_id in dag_ids],
        }


def shown(row: CollectorRow) -> dict[str, Any]:
    """Return a collector's line."""
    owner = row.owner
    return {
        "bklog_conn_id": row.bklog_conn_id,
        "collector_config_id": row.collector_config_id,
        "state": row.state.value,
        "zh": state_label(row.state, language="zh"),
        "en": state_label(row.state, language="en"),
        "sn": row.ticket_sn or "",
        "outcome": row.outcome.value if row.outcome else "",
        "digest": row.etl_digest or "",
        "application": row.application,
        "updated_at": row.updated_at.isoformat(),
        "dag_id": owner.dag_id if owner else "",
        "run_id": owner.run_id if owner else "",
        "task_id": owner.task_id if owner else "",
        "map_index": owner.map_index if owner else -1,
    }


def _entry(entry: AuditEntry) -> dict[str, Any]:
    return {
        "version": entry.version,
        "application": entry.application,
        "event": entry.event,
        "from_state": entry.from_state.value,
        "to_state": entry.to_state.value,
        "sn": entry.ticket_sn or "",
        "run_id": entry.owner.run_id if entry.owner else "",
        "reason": str(entry.detail.get("reason") or entry.detail.get("outcome") or ""),
        "at": entry.at.isoformat(),
    }


def _is_of(row: CollectorRow, dag_ids: Collection[str]) -> bool:
    return row.owner is not None and row.owner.dag_id in dag_ids


def _store() -> CollectorStore | None:
    """Open the store; a file that no worker has made yet is not made by looking."""
    named = airflow_conf().get("bkitsm", "store_conn_id", fallback="")
    return open_store() if named or store_path().exists() else None
