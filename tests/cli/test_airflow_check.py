# SPDX-License-Identifier: Apache-2.0
"""Roles as the configured auth manager has them; the rest is in ``test_check``."""

from __future__ import annotations

from sqlalchemy import text

from airflow_provider_bkitsm.cli.airflow_check import check_roles
from airflow_provider_bkitsm.plugins.metadata.airflow_models import create_session
from tests.plugins.database import airflow_database
from tests.plugins.metadata.test_queries_roles import fill

FAB = "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager"


def test_fabs_roles_are_read_from_airflows_database(tmp_path, monkeypatch):
    with airflow_database(tmp_path, f"sqlite:///{tmp_path / 'airflow.db'}"):
        monkeypatch.setenv("AIRFLOW__CORE__AUTH_MANAGER", FAB)
        fill()
        (found,) = check_roles()
    assert "airflow roles add-perms Editor Viewer -a can_read -r Plugins" in found.cure


def test_that_fab_has_no_roles_yet_is_not_taken_for_roles_that_see_everything(tmp_path, monkeypatch):
    """As between ``airflow db migrate`` and the first start of an API server."""
    with airflow_database(tmp_path, f"sqlite:///{tmp_path / 'airflow.db'}"):
        monkeypatch.setenv("AIRFLOW__CORE__AUTH_MANAGER", FAB)
        fill()
        with create_session() as session:
            session.execute(text("DELETE FROM ab_role"))
        (found,) = check_roles()
    assert (found.level, "no roles yet" in found.text) == ("warning", True)
    assert "airflow sync-perm" in found.cure
