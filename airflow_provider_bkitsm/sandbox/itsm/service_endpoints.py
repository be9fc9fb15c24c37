# SPDX-License-Identifier: Apache-2.0
"""ITSM's calls about services, catalogues and flows: read, create, replace (docs/itsm-behaviour.md#services)."""

from __future__ import annotations

from typing import Any

from airflow_provider_bkitsm.sandbox import refusals
from airflow_provider_bkitsm.sandbox.itsm import service_views
from airflow_provider_bkitsm.sandbox.itsm.request import ItsmRequest
from airflow_provider_bkitsm.sandbox.itsm.services import Service

_NO_OBJECT = (refusals.OBJECT_NOT_FOUND, "查找对象不存在")


async def get_services(request: ItsmRequest) -> Any:
    """Services by display role, display type, catalogue and kind."""
    return [
        service_views.service_row(one)
        for one in request.world.services.values()
        if one.listed and _wanted(one, request)
    ]


async def get_service_detail(request: ItsmRequest) -> Any:
    """A service's form."""
    return service_views.service_detail(_service(request, *_NO_OBJECT))


async def get_service_roles(request: ItsmRequest) -> Any:
    """Who acts where in a service."""
    return service_views.roles(_service(request, refusals.SERVICE_NOT_FOUND, "服务不存在"))


async def get_service_catalogs(request: ItsmRequest) -> Any:
    """The catalogue tree."""
    return request.world.services.tree()


async def get_workflow_detail(request: ItsmRequest) -> Any:
    """A flow's version; the gateway's own definition does not lead here.

    See docs/itsm-behaviour.md#names-at-the-fronts.
    """
    return service_views.workflow(_service(request, *_NO_OBJECT, key="workflow_id"))


def _wanted(service: Service, request: ItsmRequest) -> bool:
    has = {
        "display_role": service.display_role,
        "display_type": service.display_type,
        "catalog_id": service.catalog_id,
        "service_type": service.kind,
    }
    return all(str(value) == request.args[key] for key, value in has.items() if request.args.get(key))


def _service(request: ItsmRequest, code: int, message: str, *, key: str = "service_id") -> Service:
    """Return the service of a number; a flow has that of its service."""
    wanted = str(request.args.get(key))
    service = request.world.services.get(int(wanted)) if wanted.isdecimal() else None
    if service is None:
        raise refusals.Refusal(code, message)
    return service


NAME_TAKEN, CATALOG_INVALID = 3900035, 3900008
_NEEDED = ("key", "name", "catalog_id", "workflow")
_NAME_LIMIT, _DEEPEST = 64, 3


async def import_service(request: ItsmRequest) -> Any:
    """Create a service from an export."""
    _check(request)
    services = request.world.services
    if services.named(str(request.args["name"])):
        raise refusals.Refusal(NAME_TAKEN, "创建服务失败: 导入失败，服务名称已经存在")
    return service_views.service_row(services.put(request.args))


async def update_service(request: ItsmRequest) -> Any:
    """Replace a service; tickets that are open keep the version they run on."""
    _check(request)
    services, number = request.world.services, request.args.get("id")
    if number not in services:
        raise refusals.Refusal(refusals.SERVICE_NOT_FOUND, "服务不存在")
    other = services.named(str(request.args["name"]))
    if other is not None and other.id != number:
        raise refusals.Refusal(NAME_TAKEN, "更新服务失败: 服务名称已经存在")
    return service_views.service_row(services.put(request.args, number))


async def create_service_catalog(request: ItsmRequest) -> Any:
    """Create a catalogue below a parent, named by number or key; three levels at most."""
    name, args = request.text("name"), request.args
    request.text("project_key")
    if len(name) > _NAME_LIMIT:
        raise refusals.bad_key("name", "请确保这个字段不能超过 64 个字符。", "max_length")
    wanted = (str(args.get("parent__id")), args.get("parent_key"))
    catalogs = request.world.services.catalogs.values()
    parent = next((one for one in catalogs if str(one["id"]) == wanted[0] or one["key"] == wanted[1]), None)
    if parent is None or parent["level"] >= _DEEPEST:
        raise refusals.Refusal(CATALOG_INVALID, "服务目录校验失败: 父级目录不存在或层级过深")
    return request.world.services.add_catalog(parent, name, str(args.get("desc") or ""))


def _check(request: ItsmRequest) -> None:
    for key in _NEEDED:
        if request.args.get(key) in (None, ""):
            raise refusals.required(key)
