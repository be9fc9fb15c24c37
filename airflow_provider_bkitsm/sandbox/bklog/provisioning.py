# SPDX-License-Identifier: Apache-2.0
"""Writing a clean configuration: the platform's own approval before it, the table and the index set after it."""

from __future__ import annotations

import json
from typing import Any

from airflow_provider_bkitsm.sandbox.bklog import result_table
from airflow_provider_bkitsm.sandbox.bklog.clean_config import BODY_RULE, normalized
from airflow_provider_bkitsm.sandbox.bklog.platform import DEFAULT_SHARDS, LogPlatform, Row, cluster_of
from airflow_provider_bkitsm.sandbox.bklog.seed import Cluster
from airflow_provider_bkitsm.sandbox.bklog.views import SCENARIOS, native_status
from airflow_provider_bkitsm.sandbox.refusals import Refusal

NO_CLUSTER, NO_HOT_WARM, DOWNSTREAM = "3631201", "3631208", "3600002"
_ASSESSMENT_KEYS = ("need_assessment", "assessment_config")


def write_clean_config(platform: LogPlatform, number: int, body: Any) -> Row:
    """Write a collector's clean configuration, or park it behind a native ticket.

    :raises Refusal: with the platform's code; nothing was written.
    :raises Exception: the platform crashes on it; nothing was written.
    """
    row, config = platform.collectors[number], normalized(body)
    if _expands_extra_json(config) and row["bk_biz_id"] not in platform.setup.ext_json_businesses:
        raise Refusal(BODY_RULE, "当前业务未开启动态解析未定义字段")
    if platform.setup.asks_itsm and config["need_assessment"]:
        application = _apply_natively(platform, row, config)
        if application is not None:
            return application
    return provision(platform, number, config)


def provision(platform: LogPlatform, number: int, config: Row) -> Row:
    """Write a normalized clean configuration.

    :raises Refusal: with the platform's code; nothing was written.
    :raises Exception: the platform crashes on it; nothing was written.
    """
    row = platform.collectors[number]
    if row["etl_processor"] != "transfer":
        raise TypeError("BKBaseEtlHandler.update_or_create() missing 1 required positional argument: 'instance'")
    cluster = _cluster(platform, config)
    table = result_table.built(config, cluster, v4_link=platform.setup.v4_link)
    table["storage"] = {key: config[key] for key in ("storage_cluster_id", "retention", "allocation_min_days")}
    table_id = _write_table(platform, row, config, table)
    row = platform.touched(row) | {
        "table_id": row["table_id"] or table_id,
        "etl_config": config["etl_config"],
        "index_set_id": platform.index_set_of(row),
        "storage_shards_nums": config["es_shards"],
        "storage_shards_size": row["storage_shards_size"] or DEFAULT_SHARDS["storage_shards_size"],
        "storage_replies": config["storage_replies"],
        "storage_cluster_type": cluster.kind,
        "is_nanos": row["is_nanos"]
        or any(one["field_name"] == "dtEventTimeStampNanos" for one in table["field_list"]),
    }
    platform.save(row)
    platform.stash(number, config)
    platform.count_write(number)
    columns = ("collector_config_id", "collector_config_name", "etl_config", "index_set_id")
    return {key: row[key] for key in columns} | {
        "scenario_id": "log",
        "storage_cluster_id": config["storage_cluster_id"],
        "retention": config["retention"],
        "es_shards": config["es_shards"],
    }


def _expands_extra_json(config: Row) -> bool:
    return config.get("etl_params", {}).get("ext_json_config") is not None


def _cluster(platform: LogPlatform, config: Row) -> Cluster:
    if "get_cluster_info" in platform.setup.metadata_down:
        raise Refusal(DOWNSTREAM, "metadata refuses")
    cluster = cluster_of(config["storage_cluster_id"])
    if cluster is None:
        raise Refusal(NO_CLUSTER, "存储集群不存在")
    if config["allocation_min_days"] and not cluster.hot_warm:
        raise Refusal(NO_HOT_WARM, "集群未开启冷热数据设置")
    return cluster


def _write_table(platform: LogPlatform, row: Row, config: Row, table: Row) -> str:
    """Make the table of this name, or change it. Another name than the collector's makes a second one."""
    business = int(row["bk_biz_id"])
    owner = str(business) if business >= 0 else f"space_{-business}"
    table_id = platform.table_name(f"{owner}_bklog.{config['table_id']}")
    if platform.table(table_id) is not None:
        platform.change_table(table_id, table)
    elif "create_result_table" in platform.setup.metadata_down:
        raise Refusal(DOWNSTREAM, "metadata refuses")
    else:
        platform.create_table(table_id, table)
    return table_id


def _apply_natively(platform: LogPlatform, row: Row, config: Row) -> Row | None:
    """Open a native ticket, and park the payload; None when the platform writes it all the same.

    An application that is open is overwritten: both payloads stay parked.
    """
    assessment = config["assessment_config"]
    sn = f"REQ{len(platform.parked) + 1}"
    fields = {
        "title": f"【日志采集】Demo-{row['collector_config_name']}-{row['created_at'][:10].replace('-', '')}",
        "bk_biz_id": row["bk_biz_id"],
        "approvals": ",".join(assessment["approvals"]),
        "log_assessment": assessment["log_assessment"],
        "collector_detail": json.dumps(_collector_detail(row)),
    }
    payload = {key: value for key, value in config.items() if key not in _ASSESSMENT_KEYS}
    application = {"collector_config_id": row["collector_config_id"], "fields": fields, "payload": payload}
    if not assessment["need_approval"]:
        platform.park(sn, application | {"payload": None})
        return None
    platform.park(sn, application)
    row = platform.save(row | {"itsm_ticket_sn": sn, "itsm_ticket_status": "applying"})
    return native_status(row) | fields


def decide_natively(platform: LogPlatform, sn: str, *, approve: bool) -> None:
    """Let the platform learn what became of a native ticket: approved, it replays the payload it parked.

    :raises LookupError: there is no such ticket.
    """
    application = platform.parked[sn]
    number = application["collector_config_id"]
    status = "success_apply" if approve else "fail_apply"
    if platform.collectors[number]["itsm_ticket_sn"] == sn:
        platform.save(platform.collectors[number] | {"itsm_ticket_status": status})
        if approve:
            provision(platform, number, application["payload"])


def _collector_detail(row: Row) -> Row:
    rows = {
        "名称：": row["collector_config_name"],
        "备注说明：": row["description"],
        "日志类型：": SCENARIOS.get(row["collector_scenario_id"], ""),
        "日志字符集：": row["data_encoding"],
        **{f"日志路径-{place}：": path for place, path in enumerate((row["params"] or {}).get("paths", []), 1)},
    }
    text = {"label": ["border"], "value": ["highlight", "border"]}
    return {
        "config": {},
        "schemes": {"base_text_scheme": {"type": "text", "attrs": {"styles": text}}},
        "form_data": [
            {
                "label": "",
                "scheme": "base_text_scheme",
                "value": row["collector_config_name"],
                "children": [
                    {"label": label, "scheme": "base_text_scheme", "value": value} for label, value in rows.items()
                ],
            }
        ],
    }
