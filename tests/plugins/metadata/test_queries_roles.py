# SPDX-License-Identifier: Apache-2.0
"""The roles of the FAB auth manager, in tables as FAB has them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from airflow_provider_bkitsm.plugins.metadata.airflow_models import create_session
from airflow_provider_bkitsm.plugins.metadata.queries import roles_without_plugins
from tests.plugins.database import airflow_database

TABLES = {
    "ab_role": "id INTEGER, name TEXT",
    "ab_permission_view_role": "id INTEGER, permission_view_id INTEGER, role_id INTEGER",
    "ab_permission_view": "id INTEGER, permission_id INTEGER, view_menu_id INTEGER",
    "ab_permission": "id INTEGER, name TEXT",
    "ab_view_menu": "id INTEGER, name TEXT",
}
ROLES = {
    "Admin": [("can_read", "Task Instances"), ("can_read", "Plugins")],
    "Viewer": [("can_read", "Task Instances"), ("can_read", "DAGs")],
    "Editor": [("can_read", "Task Instances"), ("can_edit", "Plugins")],
    "Plugins only": [("can_read", "Plugins")],
    "Public": [],
}


@pytest.fixture
def airflow(tmp_path) -> Iterator[None]:
    with airflow_database(tmp_path, f"sqlite:///{tmp_path / 'airflow.db'}"):
        yield


def fill() -> None:
    actions, resources, grants = ["can_read", "can_edit"], ["Task Instances", "Plugins", "DAGs"], []
    with create_session() as session:
        for table, columns in TABLES.items():
            session.execute(text(f"CREATE TABLE {table} ({columns})"))

        def insert(table: str, *values: object) -> None:
            marks = ", ".join(f":v{number}" for number in range(len(values)))
            given = {f"v{number}": value for number, value in enumerate(values)}
            session.execute(text(f"INSERT INTO {table} VALUES ({marks})"), given)

        for table, names in (("ab_permission", actions), ("ab_view_menu", resources), ("ab_role", list(ROLES))):
            for number, name in enumerate(names):
                insert(table, number, name)
        for role, pairs in enumerate(ROLES.values()):
            for action, resource in pairs:
                grant = (actions.index(action), resources.index(resource))
                if grant not in grants:
                    grants.append(grant)
                    insert("ab_permission_view", len(grants) - 1, *grant)
                insert("ab_permission_view_role", 0, grants.index(grant), role)


def test_roles_that_read_tasks_and_no_plugins_are_found(airflow):
    fill()
    assert roles_without_plugins() == {"Viewer", "Editor"}


def test_without_fabs_tables_it_is_an_error(airflow):
    with pytest.raises(SQLAlchemyError):
        roles_without_plugins()
