# SPDX-License-Identifier: Apache-2.0
"""ITSM's calls that ask about services, catalogues and flows (docs/itsm-behaviour.md#services)."""

from __future__ import annotations

from typing import Any

from airflow_provider_bkitsm.sandbox import refusals, service_views, workflow_views
from airflow_provider_bkitsm.sandbox.asked import Asked
from airflow_provider_bkitsm.sandbox.services import Service

_NO_OBJECT = (refusals.OBJECT_NOT_FOUND, "查找对象不存在")


async def get_services(asked: Asked) -> Any:
    """Services by display role, display type, catalogue and kind."""
    return [
        service_views.service_row(one)
        for one in asked.world.services.values()
        if one.listed and _wanted(one, asked)
    ]


async def get_service_detail(asked: Asked) -> Any:
    """A service's form."""
    return service_views.service_detail(_service(asked, *_NO_OBJECT))


async def get_service_roles(asked: Asked) -> Any:
    """Who acts where in a service."""
    return service_views.roles(_service(asked, refusals.SERVICE_NOT_FOUND, "服务不存在"))


async def get_service_catalogs(asked: Asked) -> Any:
    """The catalogue tree."""
    return asked.world.services.tree()


async def get_workflow_detail(asked: Asked) -> Any:
    """A flow's version; the gateway's own definition does not lead here.

    See docs/itsm-behaviour.md#names-at-the-fronts.
    """
    return workflow_views.workflow(_service(asked, *_NO_OBJECT, key="workflow_id"))


def _wanted(service: Service, asked: Asked) -> bool:
    has = {
        "display_role": service.display_role,
        "display_type": service.display_type,
        "catalog_id": service.catalog_id,
        "service_type": service.kind,
    }
    return all(str(value) == asked.args[key] for key, value in has.items() if asked.args.get(key))


def _service(asked: Asked, code: int, message: str, *, key: str = "service_id") -> Service:
    """Return the service of a number; a flow has that of its service."""
    wanted = str(asked.args.get(key))
    service = asked.world.services.get(int(wanted)) if wanted.isdecimal() else None
    if service is None:
        raise refusals.Refusal(code, message)
    return service
