"""The log platform's collector and clean-config endpoints (reference 3 and 4 of the collectors)."""

from __future__ import annotations

import json
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from airflow_provider_bkitsm.sandbox import gateway
from airflow_provider_bkitsm.sandbox.seed import CLUSTERS
from airflow_provider_bkitsm.sandbox.settings import BKLOG_ROOT
from airflow_provider_bkitsm.sandbox.tickets import Refusal
from airflow_provider_bkitsm.sandbox.world import World

INVALID, NOT_FOUND, NO_CLUSTER, NO_HOT_WARM = "3600001", "3631001", "3631201", "3631208"
STILL_APPLYING = "3631504"
_LARGEST_PAGE = 1000
_ETL_TYPES = frozenset({"bk_log_text", "bk_log_json", "bk_log_delimiter", "bk_log_regexp"})
_REQUIRED = {"etl_config": str, "table_id": str, "storage_cluster_id": int, "retention": int}


def router(world: World) -> APIRouter:
    """Return the routes below the log platform's gateway root."""
    routes = APIRouter(prefix=f"{BKLOG_ROOT}/databus_collectors")

    @routes.get("/")
    async def list_collectors(request: Request) -> Response:
        return _answer(world, request, lambda: _list(world, dict(request.query_params)))

    @routes.get("/{number}/")
    async def detail(request: Request, number: int) -> Response:
        return _answer(world, request, lambda: _collector(world, number))

    @routes.post("/{number}/update_or_create_clean_config/")
    async def clean_config(request: Request, number: int) -> Response:
        body = await request.body()
        return _answer(world, request, lambda: _write_clean_config(world, number, json.loads(body)))

    @routes.post("/{number}/start/")
    async def start(request: Request, number: int) -> Response:
        return _answer(world, request, lambda: _activate(world, number, True))

    @routes.post("/{number}/stop/")
    async def stop(request: Request, number: int) -> Response:
        return _answer(world, request, lambda: _activate(world, number, False))

    return routes


def _answer(world: World, request: Request, work: Any) -> Response:
    away = gateway.turn_away(request, world.settings)
    if away is not None:
        return away
    try:
        return gateway.ok(work())
    except Refusal as refusal:
        return gateway.refused(refusal.code, f"{refusal.message}（{refusal.code}）")
    except (LookupError, TypeError, ValueError) as crash:
        return gateway.refused("3600500", f"系统异常: {crash}（3600500）")


def _list(world: World, query: dict[str, str]) -> dict[str, Any]:
    if not {"page", "pagesize"} <= set(query):
        raise Refusal("3600400", "page, pagesize 为必填项")
    wanted = {int(one) for one in query.get("collector_id_list", "").split(",") if one}
    rows = [
        row
        for row in world.collectors.values()
        if str(row["bk_biz_id"]) == query.get("bk_biz_id", str(row["bk_biz_id"]))
        and (not wanted or row["collector_config_id"] in wanted)
        and query.get("keyword", "") in row["collector_config_name"]
    ]
    page, size = int(query["page"]), min(int(query["pagesize"]), _LARGEST_PAGE)
    return {"total": len(rows), "list": rows[(page - 1) * size : page * size]}


def _collector(world: World, number: int) -> dict[str, Any]:
    if number not in world.collectors:
        raise Refusal(NOT_FOUND, "采集项不存在")
    return world.collectors[number]


def _activate(world: World, number: int, active: bool) -> list[str]:
    row = _collector(world, number)
    if active and row["itsm_ticket_status"] == "applying":
        raise Refusal(STILL_APPLYING, "采集接入流程未完成，无法启动采集")
    world.save_collector(row | {"is_active": active})
    return [str(number)]


def _write_clean_config(world: World, number: int, body: dict[str, Any]) -> dict[str, Any]:
    row = _collector(world, number)
    _check_clean_config(body)
    row = row | {
        "table_id": f"{row['bk_biz_id']}_bklog.{body['table_id']}",
        "index_set_id": row["index_set_id"] or number + 9000,
        "etl_config": body["etl_config"],
        "etl_params": body.get("etl_params") or {},
        "fields": body.get("fields") or [],
        "storage_cluster_id": body["storage_cluster_id"],
        "retention": body["retention"],
        "storage_replies": body.get("storage_replies", 1),
        "storage_shards_nums": body.get("es_shards", 3),
    }
    world.save_collector(row)
    told = ("collector_config_id", "collector_config_name", "etl_config", "index_set_id")
    answer = {key: row[key] for key in (*told, "storage_cluster_id", "retention")}
    return answer | {"scenario_id": "log", "es_shards": row["storage_shards_nums"]}


def _check_clean_config(body: dict[str, Any]) -> None:
    wrong = [key for key, kind in _REQUIRED.items() if not isinstance(body.get(key), kind)]
    if wrong or body["etl_config"] not in _ETL_TYPES:
        raise Refusal(INVALID, f"参数校验失败: {wrong or 'etl_config'}")
    live = [one for one in body.get("fields") or [] if not one["is_delete"]]
    if body["etl_config"] != "bk_log_text" and not live:
        raise Refusal(INVALID, "参数校验失败: fields")
    cluster = CLUSTERS.get(body["storage_cluster_id"])
    if cluster is None:
        raise Refusal(NO_CLUSTER, "存储集群不存在")
    if body.get("allocation_min_days", 0) > 0 and not cluster["enable_hot_warm"]:
        raise Refusal(NO_HOT_WARM, "集群未开启冷热数据设置")
