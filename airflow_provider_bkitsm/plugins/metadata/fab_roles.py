# SPDX-License-Identifier: Apache-2.0
"""The roles of the FAB auth manager that read DAGs and see no plugin, from its tables in Airflow's database."""

from __future__ import annotations

from sqlalchemy import column, select, table

from airflow_provider_bkitsm.plugins.metadata.airflow_models import create_session

_READ, _TASKS, _PLUGINS = "can_read", "Task Instances", "Plugins"
_ROLE = table("ab_role", column("id"), column("name"))
_HAS = table("ab_permission_view_role", column("role_id"), column("permission_view_id"))
_GRANT = table("ab_permission_view", column("id"), column("permission_id"), column("view_menu_id"))
_ACTION = table("ab_permission", column("id"), column("name"))
_RESOURCE = table("ab_view_menu", column("id"), column("name"))


def has_roles() -> bool:
    """Whether there are roles: the first start of an API server makes FAB's own.

    :raises SQLAlchemyError: there are no tables of FAB, or the database cannot be used.
    """
    with create_session(scoped=False) as session:
        return session.execute(select(_ROLE.c.id).limit(1)).first() is not None


def roles_without_plugins() -> frozenset[str]:
    """Return the roles that may read task instances and not plugins: Airflow shows them no page of a plugin.

    :raises SQLAlchemyError: there are no tables of FAB, or the database cannot be used.
    """
    query = (
        select(_ROLE.c.name.label("role"), _RESOURCE.c.name.label("resource"))
        .join(_HAS, _HAS.c.role_id == _ROLE.c.id)
        .join(_GRANT, _GRANT.c.id == _HAS.c.permission_view_id)
        .join(_ACTION, _ACTION.c.id == _GRANT.c.permission_id)
        .join(_RESOURCE, _RESOURCE.c.id == _GRANT.c.view_menu_id)
        .where(_ACTION.c.name == _READ, _RESOURCE.c.name.in_((_TASKS, _PLUGINS)))
    )
    with create_session(scoped=False) as session:
        pairs = {(row.role, row.resource) for row in session.execute(query)}
    return frozenset(role for role, resource in pairs if resource == _TASKS and (role, _PLUGINS) not in pairs)
