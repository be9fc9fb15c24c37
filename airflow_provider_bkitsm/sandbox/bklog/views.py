# SPDX-License-Identifier: Apache-2.0
"""How the log platform shows a collector: a row of the list, the detail, and the state of its own application."""

from __future__ import annotations

from typing import Any

from airflow_provider_bkitsm.sandbox.bklog import result_table
from airflow_provider_bkitsm.sandbox.bklog.clean_config import TEXT
from airflow_provider_bkitsm.sandbox.bklog.platform import LogPlatform, Row, cluster_of
from airflow_provider_bkitsm.sandbox.refusals import Refusal

DOWNSTREAM = "3600002"
STATUSES = {
    "not_apply": "未申请采集接入",
    "applying": "采集接入进行中",
    "fail_apply": "采集接入失败",
    "success_apply": "采集接入完成",
}
SCENARIOS = {"row": "行日志文件", "section": "段日志文件", "custom": "自定义上报"}
_CATEGORIES = {"application_check": "业务应用"}
_CUSTOM_NAME = "容器日志上报"
_RIGHTS = {
    "search_log_v2": "view_business",
    "view_collection_v2": "view_collection",
    "manage_collection_v2": "manage_collection",
}
_UNKNOWN_STORAGE = {"storage_cluster_id": -1, "retention": 0}


def page(platform: LogPlatform, rows: list[Row], username: str) -> list[Row]:
    """Return a page of the list.

    :raises ValueError: the name of its table has a dot, which the platform does not survive.
    """
    rights = dict(_RIGHTS)
    # The right to search is asked for together with the page's index sets.
    if not any(row["index_set_id"] for row in rows):
        del rights["search_log_v2"]
    return [_listed(platform, row) | {"permission": _allowed(platform, row, username, rights)} for row in rows]


def _allowed(platform: LogPlatform, row: Row, username: str, rights: dict[str, str]) -> dict[str, bool]:
    business = int(row["bk_biz_id"])
    return {right: platform.allows(username, business, action) for right, action in rights.items()}


def _listed(platform: LogPlatform, row: Row) -> Row:
    table_id = row["table_id"]
    storage = (platform.listed_storage(table_id) if table_id else None) or _UNKNOWN_STORAGE
    cluster = cluster_of(storage["storage_cluster_id"])
    name = cluster.name if cluster else ""
    return (
        row
        | (_table_name(table_id) if table_id else {})
        | {
            # The platform turns it into text, in Python's way.
            "params": repr(row["params"] or {}),
            "collector_scenario_name": SCENARIOS.get(row["collector_scenario_id"], ""),
            "category_name": _CATEGORIES.get(row["category_id"], ""),
            "create_clean_able": row["etl_config"] in (None, TEXT),
            "bkdata_index_set_ids": [],
            "storage_cluster_id": storage["storage_cluster_id"],
            "storage_cluster_name": name,
            "storage_display_name": name,
            "retention": storage["retention"],
            "custom_name": _CUSTOM_NAME,
            "is_search": bool(row["is_active"] and row["index_set_id"]),
            "tags": [],
        }
    )


def _table_name(table_id: str) -> Row:
    prefix, name = table_id.split(".")
    return {"table_id_prefix": f"{prefix}_", "table_id": name}


def detail(platform: LogPlatform, row: Row) -> Row:
    """Return a collector's detail.

    :raises Refusal: it applied natively, and ITSM does not answer.
    :raises Exception: its table has what the platform does not survive, e.g. a time zone that is no number.
    """
    if platform.setup.itsm_down and row["itsm_ticket_status"] != "not_apply":
        raise Refusal(DOWNSTREAM, "ITSM does not answer")
    business = int(row["bk_biz_id"])
    owner = str(business) if business >= 0 else f"space_{-business}"
    return {
        **row,
        "params": row["params"] or {},
        **_native_address(row),
        "itsm_ticket_status_display": STATUSES.get(row["itsm_ticket_status"], row["itsm_ticket_status"]),
        "index_split_rule": _split_rule(row),
        "target": [],
        "collector_scenario_name": SCENARIOS.get(row["collector_scenario_id"], ""),
        "category_name": _CATEGORIES.get(row["category_id"], ""),
        "custom_name": _CUSTOM_NAME,
        "log_access_type": "linux",
        "table_id_prefix": f"{owner}_bklog_",
        "table_id": str(row["table_id"] or "").partition(".")[2],
        **_etl(platform, row),
    }


def _etl(platform: LogPlatform, row: Row) -> Row:
    nothing: Row = {
        "storage_cluster_id": None,
        "retention": None,
        "etl_params": {},
        "fields": result_table.FIELDS_OF_NO_TABLE,
    }
    if not row["table_id"]:
        return nothing
    index_set: Row = {"sort_fields": [], "target_fields": [], "parent_index_set_ids": []}
    table = platform.table(row["table_id"])
    if table is None or {"get_result_table", "get_result_table_storage"} & {*platform.setup.metadata_down}:
        return nothing | index_set
    stash = platform.stash_of(row["collector_config_id"])
    params, fields = result_table.shown(table, row["etl_config"], stash)
    cluster = cluster_of(table["storage"]["storage_cluster_id"])
    return {
        "etl_params": params,
        "fields": fields,
        **table["storage"],
        "storage_cluster_name": cluster.name if cluster else "",
        "storage_display_name": "",
        "storage_cluster_port": 9200,
        "storage_cluster_domain_name": "es.sandbox",
        **index_set,
    }


def _split_rule(row: Row) -> str:
    if not row["table_id"]:
        return "--"
    return f"ES索引主分片大小达到{row['storage_shards_nums'] * row['storage_shards_size']}G后分裂"


def native_status(row: Row) -> Row:
    """Return what the platform says of its own application."""
    status = row["itsm_ticket_status"]
    return {
        "collect_itsm_status": status,
        "collect_itsm_status_display": STATUSES.get(status, status),
        **_native_address(row),
    }


def _native_address(row: Row) -> dict[str, Any]:
    if row["itsm_ticket_status"] == "not_apply":
        return {"ticket_url": "LOG_SEARCH", "iframe_ticket_url": ""}
    address = f"http://itsm.sandbox/#/ticket/detail?sn={row['itsm_ticket_sn']}"
    return {"ticket_url": address, "iframe_ticket_url": address}
