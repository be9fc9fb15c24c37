# SPDX-License-Identifier: Apache-2.0
"""The collectors and storage clusters of a new sandbox."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

BUSINESS = 2
_MADE_AT = "2026-11-02 10:00:00+0800"


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A storage cluster.

    :param version: of Elasticsearch; "" for a cluster of another kind.
    :param hot_warm: the cluster can move old data to slower nodes.
    """

    id: int
    name: str
    version: str = "7.10.1"
    kind: str = "elasticsearch"
    hot_warm: bool = False


CLUSTERS: dict[int, Cluster] = {
    one.id: one
    for one in (
        Cluster(id=3, name="es3"),
        Cluster(id=4, name="es4", hot_warm=True),
        Cluster(id=5, name="es5", version="5.4.0"),
        Cluster(id=6, name="doris6", version="", kind="doris"),
    )
}

# Columns of the platform's table of collectors that no call of this sandbox changes.
_COLUMNS: dict[str, Any] = {
    "is_deleted": False,
    "deleted_at": None,
    "deleted_by": None,
    "bkdata_biz_id": None,
    "collector_plugin_id": None,
    "bk_app_code": "bk_log_search",
    "custom_type": "log",
    "target_subscription_diff": {},
    "data_link_id": None,
    "bk_data_name": None,
    "bkbase_table_id": None,
    "processing_id": None,
    "bkdata_data_id": None,
    "can_use_independent_es_cluster": True,
    "collector_package_count": 10,
    "collector_output_format": None,
    "collector_config_overlay": None,
    "bkdata_data_id_sync_times": 0,
    "bcs_cluster_id": None,
    "extra_labels": None,
    "add_pod_label": False,
    "add_pod_annotation": False,
    "yaml_config_enabled": False,
    "yaml_config": "",
    "rule_id": 0,
    "log_group_id": None,
    "enable_v4": False,
}


def collector(number: int, name: str, **more: Any) -> dict[str, Any]:
    """Return a collector as the platform's own table holds it: no ETL yet, deployed to hosts."""
    return {
        **_COLUMNS,
        "collector_config_id": number,
        "collector_config_name": name,
        "collector_config_name_en": name.replace("-", "_"),
        "bk_biz_id": BUSINESS,
        "description": "",
        "category_id": "application_check",
        "collector_scenario_id": "row",
        "environment": "linux",
        "target_object_type": "HOST",
        "target_node_type": "TOPO",
        "target_nodes": [{"bk_inst_id": 33, "bk_obj_id": "module"}],
        "data_encoding": "UTF-8",
        "params": {"paths": [f"/data/{name}/logs/*.log"], "conditions": {"type": "none"}},
        "etl_processor": "transfer",
        "is_active": True,
        "is_display": True,
        "subscription_id": number + 7000,
        "task_id_list": [str(number + 40000)],
        "bk_data_id": number + 500000,
        "itsm_ticket_status": "not_apply",
        "itsm_ticket_sn": None,
        "table_id": None,
        "index_set_id": None,
        "etl_config": None,
        "storage_cluster_type": "elasticsearch",
        "storage_shards_nums": None,
        "storage_shards_size": None,
        "storage_replies": 1,
        "is_nanos": False,
        "created_at": _MADE_AT,
        "created_by": "admin",
        "updated_at": _MADE_AT,
        "updated_by": "admin",
        **more,
    }


COLUMNS = frozenset(collector(0, ""))
"""Names of a collector's columns."""


def _paths(*paths: str) -> dict[str, Any]:
    return {"paths": list(paths), "conditions": {"type": "none"}}


COLLECTORS: tuple[dict[str, Any], ...] = (
    collector(
        1001,
        "app-runtime",
        description="Application logs of the demo business",
        params=_paths("/data/app/logs/*.log", "/data/app/logs/error/*.log"),
    ),
    collector(1002, "nginx-access", description="Access log", params=_paths("/var/log/nginx/access.log")),
    collector(1003, "payment-audit", description="Stopped until approved", is_active=False),
    collector(1004, "legacy-stream", description="Cleaned in the data platform", etl_processor="bkbase"),
)
