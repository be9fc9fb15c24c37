# SPDX-License-Identifier: Apache-2.0
"""ITSM's calls that create or replace services and catalogues (docs/itsm-behaviour.md#services)."""

from __future__ import annotations

from typing import Any

from airflow_provider_bkitsm.sandbox import refusals, service_views
from airflow_provider_bkitsm.sandbox.asked import Asked

NAME_TAKEN, CATALOG_INVALID = 3900035, 3900008
_NEEDED = ("key", "name", "catalog_id", "workflow")
_NAME_LIMIT, _DEEPEST = 64, 3


async def import_service(asked: Asked) -> Any:
    """Create a service from an export."""
    _check(asked)
    services = asked.world.services
    if services.named(str(asked.args["name"])):
        raise refusals.Refusal(NAME_TAKEN, "创建服务失败: 导入失败，服务名称已经存在")
    return service_views.service_row(services.put(asked.args))


async def update_service(asked: Asked) -> Any:
    """Replace a service; tickets that are open keep the version they run on."""
    _check(asked)
    services, number = asked.world.services, asked.args.get("id")
    if number not in services:
        raise refusals.Refusal(refusals.SERVICE_NOT_FOUND, "服务不存在")
    other = services.named(str(asked.args["name"]))
    if other is not None and other.id != number:
        raise refusals.Refusal(NAME_TAKEN, "更新服务失败: 服务名称已经存在")
    return service_views.service_row(services.put(asked.args, number))


async def create_service_catalog(asked: Asked) -> Any:
    """Create a catalogue below a parent, named by number or key; three levels at most."""
    name, args = asked.text("name"), asked.args
    asked.text("project_key")
    if len(name) > _NAME_LIMIT:
        raise refusals.bad_key("name", "请确保这个字段不能超过 64 个字符。", "max_length")
    wanted = (str(args.get("parent__id")), args.get("parent_key"))
    catalogs = asked.world.services.catalogs.values()
    parent = next((one for one in catalogs if str(one["id"]) == wanted[0] or one["key"] == wanted[1]), None)
    if parent is None or parent["level"] >= _DEEPEST:
        raise refusals.Refusal(CATALOG_INVALID, "服务目录校验失败: 父级目录不存在或层级过深")
    return asked.world.services.add_catalog(parent, name, str(args.get("desc") or ""))


def _check(asked: Asked) -> None:
    for key in _NEEDED:
        if asked.args.get(key) in (None, ""):
            raise refusals.required(key)
