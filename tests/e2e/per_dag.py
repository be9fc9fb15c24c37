# SPDX-License-Identifier: Apache-2.0
"""Airflow's simple auth manager, but one of its people knows one DAG only."""

from __future__ import annotations

from typing import Any

from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager

PERSON, DAG_ID = "single", "shown"


class PerDagAuthManager(SimpleAuthManager):
    """Everybody may what their role says; ``PERSON`` only with ``DAG_ID``."""

    def is_authorized_dag(self, *, method: Any, user: Any, details: Any = None, **entity: Any) -> bool:
        """Ask the role, and for a named DAG the name."""
        dag_id = details.id if details else None
        if user.username == PERSON and dag_id not in (None, DAG_ID):
            return False
        allowed: bool = super().is_authorized_dag(method=method, user=user, details=details, **entity)
        return allowed
