# SPDX-License-Identifier: Apache-2.0
"""The log platform's collectors behind the gateway (collector reference 3, 4 and 7)."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from airflow_provider_bkitsm.sandbox import clean_config, gateway
from airflow_provider_bkitsm.sandbox.dependencies import InWorld
from airflow_provider_bkitsm.sandbox.refusals import Refusal
from airflow_provider_bkitsm.sandbox.settings import BKLOG_ROOT
from airflow_provider_bkitsm.sandbox.world import World

NO_COLLECTOR, STILL_APPLYING = "3631001", "3631504"
_LARGEST_PAGE = 1000
_STATUS_NAMES = {
    "not_apply": "未申请采集接入",
    "applying": "采集接入进行中",
    "fail_apply": "采集接入失败",
    "success_apply": "采集接入完成",
}
_TOLD = ("collector_config_id", "collector_config_name", "etl_config", "index_set_id")


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A call's arguments; ``number`` is the collector's, 0 for the list."""

    world: World
    number: int
    query: dict[str, str]
    body: Any

    @property
    def row(self) -> dict[str, Any]:
        """The collector the call is about."""
        if self.number not in self.world.collectors:
            raise Refusal(NO_COLLECTOR, "采集项不存在")
        return self.world.collectors[self.number]


routes = APIRouter(prefix=BKLOG_ROOT)


@routes.api_route("/{path:path}", methods=list(gateway.METHODS))
async def dispatch(world: InWorld, request: Request, path: str) -> Response:
    """Answer as the gateway, or as the log platform behind it."""
    name, number = _resource(path)
    handler = _CALLS.get((request.method, name))
    if handler is None:
        return gateway.not_found()
    away = gateway.turn_away(gateway.caller_of(request), world.settings)
    if away is not None:
        return away
    query, body = dict(request.query_params), await request.body()
    return _answer(lambda: handler(Asked(world=world, number=number, query=query, body=_json(body))))


def _resource(path: str) -> tuple[str, int]:
    """Split ``databus_collectors/7/start/`` into its name with a blank for the number, and the number."""
    parts = path.split("/")
    number = int(parts[1]) if len(parts) > 1 and parts[1].isdecimal() else 0
    return "/".join("{id}" if one.isdecimal() else one for one in parts), number


def _json(body: bytes) -> Any:
    return json.loads(body) if body else {}


def _answer(work: Callable[[], Any]) -> Response:
    """Answer in the platform's envelope: HTTP 200 always, codes of failures are text."""
    try:
        return JSONResponse({"result": True, "data": work(), "code": 0, "message": ""})
    except Refusal as refusal:
        return refused(refusal.code, refusal.message)
    except sqlite3.Error:
        return gateway.crashed()
    except Exception as problem:
        return refused(clean_config.CRASH, f"系统异常: {problem}")


def refused(code: int | str, message: str) -> Response:
    """Return a failure."""
    said = f"{message}（{code}）"
    return JSONResponse({"result": False, "data": None, "code": code, "message": said, "errors": None})


def _list(asked: Asked) -> Any:
    query = asked.query
    absent = [key for key in ("page", "pagesize") if not query.get(key, "").isdecimal()]
    if absent:
        raise Refusal(clean_config.FIELD_RULE, f"{absent[0]}: 该字段是必填项。")
    rows = [row for row in asked.world.collectors.values() if _wanted(row, query)]
    page, size = max(1, int(query["page"])), min(int(query["pagesize"]), _LARGEST_PAGE)
    return {"total": len(rows), "list": [_listed(row) for row in rows[(page - 1) * size : page * size]]}


def _wanted(row: dict[str, Any], query: dict[str, str]) -> bool:
    chosen = [one for one in query.get("collector_id_list", "").split(",") if one]
    exact = ("bk_biz_id", "itsm_ticket_status", "etl_processor", "collector_scenario_id")
    return (
        (not chosen or str(row["collector_config_id"]) in chosen)
        and query.get("keyword", "").lower() in str(row["collector_config_name"]).lower()
        and all(str(row[key]) == query[key] for key in exact if query.get(key))
    )


def _listed(row: dict[str, Any]) -> dict[str, Any]:
    status = row["itsm_ticket_status"]
    return row | {"itsm_ticket_status_display": _STATUS_NAMES.get(status, status)}


def _detail(asked: Asked) -> Any:
    """Return a collector with its table name in two parts, unlike the list."""
    prefix, dot, bare = str(asked.row["table_id"] or "").rpartition(".")
    shown = {"table_id": bare or None, "table_id_prefix": prefix + dot or None}
    address = {"ticket_url": "LOG_SEARCH", "iframe_ticket_url": ""}
    return _listed(asked.row) | shown | address


def _start(asked: Asked) -> Any:
    if asked.row["itsm_ticket_status"] == "applying":
        raise Refusal(STILL_APPLYING, "采集接入流程未完成，无法启动采集")
    return _activate(asked, active=True)


def _stop(asked: Asked) -> Any:
    return _activate(asked, active=False)


def _activate(asked: Asked, *, active: bool) -> list[str]:
    row = asked.world.save_collector(asked.row | {"is_active": active})
    return list(row["task_id_list"])


def _write_clean_config(asked: Asked) -> Any:
    row, body = asked.row, clean_config.checked(asked.body)
    if row["etl_processor"] != "transfer":
        raise TypeError("update_or_create() got an unexpected keyword argument 'etl_config'")
    row = asked.world.save_collector(row | _stored(row, body))
    asked.world.count_etl_write(asked.number)
    told = {key: row[key] for key in (*_TOLD, "storage_cluster_id", "retention")}
    return told | {"scenario_id": "log", "es_shards": row["storage_shards_nums"]}


def _stored(row: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
    business = int(row["bk_biz_id"])
    owner = str(business) if business >= 0 else f"space_{-business}"
    return {
        "table_id": f"{owner}_bklog.{body['table_id']}",
        "index_set_id": row["index_set_id"] or row["collector_config_id"] + 9000,
        "storage_replies": body.get("storage_replies", 1),
        "storage_shards_nums": body.get("es_shards", 3),
    } | {
        key: body[key]
        for key in ("etl_config", "etl_params", "fields", "storage_cluster_id", "retention", "allocation_min_days")
    }


_CALLS: dict[tuple[str, str], Callable[[Asked], Any]] = {
    ("GET", "databus_collectors/"): _list,
    ("GET", "databus_collectors/{id}/"): _detail,
    ("POST", "databus_collectors/{id}/update_or_create_clean_config/"): _write_clean_config,
    ("POST", "databus_collectors/{id}/start/"): _start,
    ("POST", "databus_collectors/{id}/stop/"): _stop,
}
