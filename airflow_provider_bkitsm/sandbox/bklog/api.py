# SPDX-License-Identifier: Apache-2.0
"""The log platform's collectors behind the API gateway."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from airflow_provider_bkitsm.sandbox import gateway
from airflow_provider_bkitsm.sandbox.bklog import views
from airflow_provider_bkitsm.sandbox.bklog.clean_config import BODY_RULE, FIELD_RULE
from airflow_provider_bkitsm.sandbox.bklog.platform import LogPlatform, Row
from airflow_provider_bkitsm.sandbox.bklog.provisioning import write_clean_config
from airflow_provider_bkitsm.sandbox.bklog.seed import CLUSTERS, COLUMNS
from airflow_provider_bkitsm.sandbox.refusals import Refusal
from airflow_provider_bkitsm.sandbox.settings import BKLOG_ROOT
from airflow_provider_bkitsm.sandbox.world import InWorld

NO_COLLECTOR, STILL_APPLYING, NO_SUCH_PAGE, DENIED = "3631001", "3631504", "3600404", "9900403"
CRASH, BAD_NUMBER = "3600500", "500001"
VIEW_BUSINESS, VIEW, MANAGE = "view_business", "view_collection", "manage_collection"
_RIGHT_NAMES = {VIEW_BUSINESS: "业务访问", VIEW: "采集查看", MANAGE: "采集管理"}
_LARGEST_PAGE, _USUAL_PAGE = 1000, 10
_YES = frozenset({"1", "true", "True"})
_SEARCHED = ("collector_config_name", "table_id", "bk_biz_id")
_CUSTOM = "custom"


class Denied(Exception):
    """IAM does not give the right."""

    def __init__(self, action: str) -> None:
        super().__init__(action)
        self.action = action


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """A call's arguments.

    :param number: the collector's as the path spells it, "" for the list.
    :param username: whom the caller says it acts for.
    """

    platform: LogPlatform
    number: str
    username: str
    query: dict[str, str]
    body: bytes

    def row(self, action: str) -> Row:
        """Return the collector the call is about, to whom may do this with it."""
        number = _number(self.number, "collector_config_id")
        if number not in self.platform.collectors:
            raise Refusal(NO_COLLECTOR, "采集配置不存在")
        row = self.platform.collectors[number]
        self.check(int(row["bk_biz_id"]), action)
        return row

    def check(self, business: int, action: str) -> None:
        """Refuse who lacks a right."""
        if not self.platform.allows(self.username, business, action):
            raise Denied(action)


routes = APIRouter(prefix=BKLOG_ROOT)


@routes.api_route("/{path:path}", methods=list(gateway.METHODS))
async def dispatch(world: InWorld, request: Request, path: str) -> Response:
    """Answer as the gateway, or as the log platform behind it."""
    name, number = _resource(path)
    handler = _CALLS.get((request.method, name))
    if handler is None:
        return gateway.not_found()
    caller = gateway.caller_of(request)
    away = gateway.turn_away(caller, world.settings)
    if away is not None:
        return away
    if handler is _cluster_groups and not world.bklog.setup.cluster_groups_granted:
        return gateway.gateway_answer(403, 1640301, "APP_NO_PERMISSION", "the app has no permission for the API")
    arguments = Arguments(
        platform=world.bklog,
        number=number,
        username=caller.user,
        query=dict(request.query_params),
        body=await request.body(),
    )
    return _answer(handler, arguments, world.settings.public_url)


def _resource(path: str) -> tuple[str, str]:
    """Split ``databus_collectors/7/start/`` into its name with a blank for the number, and the number."""
    family, _, rest = path.partition("/")
    number, slash, action = rest.partition("/")
    if family != "databus_collectors" or not slash:
        return path, ""
    return f"{family}/{{id}}/{action}", number


def _answer(handler: Callable[[Arguments], Any], arguments: Arguments, url: str) -> Response:
    """Answer in the platform's envelope: HTTP 200 always, codes of failures are text."""
    try:
        return JSONResponse({"result": True, "data": handler(arguments), "code": 0, "message": ""})
    except Denied as denial:
        return _denied(denial.action, url)
    except Refusal as refusal:
        return refused(refusal.code, refusal.message)
    except sqlite3.Error:
        return gateway.crashed()
    except ValueError as problem:
        return refused(BAD_NUMBER, str(problem))
    except Exception as problem:
        return _crashed(problem)


def refused(code: int | str, message: str) -> Response:
    """Return a failure."""
    text = f"{message}（{code}）"
    return JSONResponse({"result": False, "code": code, "data": None, "message": text, "errors": None})


def _crashed(problem: Exception) -> Response:
    """Return what became of an error nobody expected; most are faults of the payload, for ever."""
    message = f"系统错误，请联系管理员（{CRASH}）（detail => {problem}）"
    return JSONResponse({"result": False, "code": CRASH, "data": None, "message": message, "errors": str(problem)})


def _denied(action: str, url: str) -> Response:
    message = f"当前用户无 [{_RIGHT_NAMES[action]}] 权限"
    return JSONResponse(
        {
            "result": False,
            "code": DENIED,
            "message": message,
            "data": {"apply_url": f"{url}/iam/apply/{action}"},
            "permission": {"actions": [{"id": f"{action}_v2", "name": _RIGHT_NAMES[action]}]},
        }
    )


def _number(text: str, column: str) -> int:
    """Read a number as the platform's database layer does.

    :raises ValueError: it is none.
    """
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"Field '{column}' expected a number but got '{text}'.") from None


def _json(body: bytes) -> Any:
    try:
        return json.loads(body) if body else {}
    except ValueError as problem:
        raise Refusal(FIELD_RULE, f"JSON parse error - {problem}") from None


def _list(arguments: Arguments) -> Any:
    query = arguments.query
    if not query.get("page") or not query.get("pagesize"):
        raise Refusal(BODY_RULE, "分页参数不能为空")
    # A call that names no business is not checked at all.
    if "bk_biz_id" in query:
        arguments.check(_number(query["bk_biz_id"], "bk_biz_id"), VIEW_BUSINESS)
    rows = [row for row in arguments.platform.collectors.values() if _wanted(row, query)]
    rows.sort(key=lambda row: (row["updated_at"], row["collector_config_id"]), reverse=True)
    page = _page(rows, query["page"], query["pagesize"])
    return {"total": len(rows), "list": views.page(arguments.platform, page, arguments.username)}


def _page(rows: list[Row], page: str, size: str) -> list[Row]:
    count = min(int(size), _LARGEST_PAGE) if size.isdecimal() and int(size) else _USUAL_PAGE
    pages = max(1, -(-len(rows) // count))
    if not page.isdecimal() or not 1 <= int(page) <= pages:
        raise Refusal(NO_SUCH_PAGE, "无效页。")
    return rows[(int(page) - 1) * count : int(page) * count]


def _wanted(row: Row, query: dict[str, str]) -> bool:
    chosen = [_number(one, "collector_config_id") for one in query.get("collector_id_list", "").split(",") if one]
    exact = [key for key in query if key in COLUMNS and query[key]]
    return (
        (not chosen or row["collector_config_id"] in chosen)
        and (row["is_display"] or query.get("ignore_display_config") in _YES)
        and (query.get("have_table_id") not in _YES or bool(row["table_id"]))
        and (query.get("not_custom") not in _YES or row["collector_scenario_id"] != _CUSTOM)
        and all(_found(row, term) for term in query.get("keyword", "").split())
        and all(_equals(row[key], key, query[key]) for key in exact)
    )


def _found(row: Row, term: str) -> bool:
    return any(term.lower() in str(row[key] or "").lower() for key in _SEARCHED)


def _equals(value: Any, column: str, text: str) -> bool:
    if isinstance(value, bool):
        return value == (text in _YES)
    if isinstance(value, int):
        return value == _number(text, column)
    return bool(str(value) == text)


def _detail(arguments: Arguments) -> Any:
    return views.detail(arguments.platform, arguments.row(VIEW))


def _start(arguments: Arguments) -> Any:
    row = arguments.row(MANAGE)
    is_held = row["itsm_ticket_status"] == "applying" and row["collector_scenario_id"] != _CUSTOM
    if is_held and arguments.platform.setup.asks_itsm:
        raise Refusal(STILL_APPLYING, "采集接入流程未完成，无法启动采集")
    return _activate(arguments.platform, row, active=True)


def _stop(arguments: Arguments) -> Any:
    return _activate(arguments.platform, arguments.row(MANAGE), active=False)


def _activate(platform: LogPlatform, row: Row, *, active: bool) -> list[str] | bool:
    """Switch a collector; one without a subscription has no tasks to show."""
    row = platform.save(platform.touched(row) | {"is_active": active})
    return list(row["task_id_list"]) if row["subscription_id"] else True


def _write_clean_config(arguments: Arguments) -> Any:
    number = arguments.row(MANAGE)["collector_config_id"]
    return write_clean_config(arguments.platform, number, _json(arguments.body))


def _cluster_groups(arguments: Arguments) -> Any:
    """Return the storage clusters: no public call, so an application needs a grant of its own."""
    arguments.check(_number(arguments.query.get("bk_biz_id", ""), "bk_biz_id"), VIEW_BUSINESS)
    return [
        {
            "storage_cluster_id": one.id,
            "storage_cluster_name": one.name,
            "storage_display_name": one.name,
            "storage_version": one.version,
            "storage_type": one.kind,
            "enable_hot_warm": one.hot_warm,
        }
        for one in CLUSTERS.values()
    ]


_CALLS: dict[tuple[str, str], Callable[[Arguments], Any]] = {
    ("GET", "databus_collectors/"): _list,
    ("GET", "databus_collectors/{id}/"): _detail,
    ("POST", "databus_collectors/{id}/update_or_create_clean_config/"): _write_clean_config,
    ("POST", "databus_collectors/{id}/start/"): _start,
    ("POST", "databus_collectors/{id}/stop/"): _stop,
    ("GET", "databus_storage/cluster_groups/"): _cluster_groups,
}
