# SPDX-License-Identifier: Apache-2.0
"""Builders of ITSM's calls about services; see :mod:`~airflow_provider_bkitsm.itsm.calls`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_bkitsm.itsm import models, parsing
from airflow_provider_bkitsm.itsm.checks import without_none
from airflow_provider_bkitsm.itsm.errors import ItsmInvalidRequestError
from airflow_provider_bkitsm.itsm.protocol import Call


def get_services(
    *, display_type: str | None = None, display_role: str | None = None
) -> Call[tuple[models.Service, ...]]:
    """List services; the log platform's own has ``display_role`` LOG_SEARCH and ``display_type`` API."""
    params = without_none({"display_type": display_type, "display_role": display_role})
    return Call(method="GET", path="get_services/", params=params, parse=parsing.many(models.Service))


def get_service_detail(service_id: int | str) -> Call[models.ServiceDetail]:
    """Ask for a service's submit form."""
    return Call(
        method="GET",
        path="get_service_detail/",
        params={"service_id": str(service_id)},
        parse=parsing.one(models.ServiceDetail),
    )


def get_service_catalogs(
    *, project_key: str | None = None, has_service: bool | None = None
) -> Call[tuple[models.ServiceCatalog, ...]]:
    """Ask for the tree of catalogues."""
    params = without_none({"project_key": project_key, "has_service": "true" if has_service else None})
    return Call(
        method="GET", path="get_service_catalogs/", params=params, parse=parsing.many(models.ServiceCatalog)
    )


def get_service_roles(
    service_id: int | str, *, ticket_creator: str | None = None, every_step: bool = False
) -> Call[tuple[models.ServiceRole, ...]]:
    """Ask who acts where; an ``id`` is the state_id that ``meta.state_processors`` takes.

    :param every_step: ITSM's ``all``: steps that people do not choose for, too.
    """
    wanted = {"service_id": str(service_id), "ticket_creator": ticket_creator, "all": "1" if every_step else None}
    return Call(
        method="GET",
        path="get_service_roles/",
        params=without_none(wanted),
        parse=parsing.many(models.ServiceRole),
        needs_verified_user=True,
    )


def get_workflow_detail(workflow_id: int | str) -> Call[models.Workflow]:
    """Ask for a flow's version, as named by ``get_service_detail``.

    ITSM's published gateway definition misspells the backend path of this call, so the gateway
    answers with ITSM's page for unknown paths. The ESB's definition is right.
    """
    return Call(
        method="GET",
        path="get_workflow_detail",
        params={"workflow_id": str(workflow_id)},
        parse=parsing.one(models.Workflow),
        needs_verified_user=True,
        esb_fallback=True,
    )


def import_service(service: Mapping[str, Any]) -> Call[models.Service]:
    """Create a service from an export: ``key``, ``name``, ``catalog_id``, ``workflow``, ... ."""
    return _write("import_service/", service, models.Service, needed=("key", "name", "catalog_id", "workflow"))


def update_service(service_id: int, service: Mapping[str, Any]) -> Call[models.Service]:
    """Replace a service's flow; open tickets keep the version they run on."""
    body = {**service, "id": service_id}
    return _write("update_service/", body, models.Service, needed=("key", "name", "catalog_id", "workflow"))


def create_service_catalog(
    *,
    name: str,
    project_key: str,
    parent__id: int | None = None,
    parent_key: str | None = None,
    desc: str | None = None,
) -> Call[models.ServiceCatalog]:
    """Create a catalogue below a parent, named by id or key."""
    body = without_none(
        {
            "name": name,
            "project_key": project_key,
            "parent__id": parent__id,
            "parent_key": parent_key,
            "desc": desc,
        }
    )
    return _write("create_service_catalog/", body, models.ServiceCatalog, needed=("name", "project_key"))


def _write(
    path: str, body: Mapping[str, Any], model: type[parsing.M], *, needed: tuple[str, ...]
) -> Call[parsing.M]:
    missing = [key for key in needed if body.get(key) in (None, "")]
    if missing:
        raise ItsmInvalidRequestError(f"{path.rstrip('/')} needs {', '.join(missing)}; nothing was sent to ITSM")
    return Call(method="POST", path=path, body=body, parse=parsing.one(model), is_write=True)
