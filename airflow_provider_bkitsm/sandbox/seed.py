# SPDX-License-Identifier: Apache-2.0
"""The collectors and clusters a new sandbox has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

BUSINESS = 2


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A storage cluster.

    :param hot_warm: it can move old data to slower nodes.
    """

    id: int
    name: str
    hot_warm: bool


CLUSTERS: dict[int, Cluster] = {
    one.id: one
    for one in (
        Cluster(id=3, name="es-hot-warm", hot_warm=True),
        Cluster(id=4, name="es-plain", hot_warm=False),
    )
}


def collector(number: int, name: str, **more: Any) -> dict[str, Any]:
    """Return a collector as the platform's list shows it (collector reference 1.2, 4.2)."""
    return {
        "collector_config_id": number,
        "collector_config_name": name,
        "collector_config_name_en": name.replace("-", "_"),
        "bk_biz_id": BUSINESS,
        "space_uid": f"bkcc__{BUSINESS}",
        "space_name": "demo",
        "description": "",
        "category_id": "application_check",
        "collector_scenario_id": "row",
        "collector_scenario_name": "行日志文件",
        "environment": "linux",
        "target_object_type": "HOST",
        "target_node_type": "TOPO",
        "target_nodes": [{"bk_inst_id": 33, "bk_obj_id": "module"}],
        "data_encoding": "UTF-8",
        "params": {"paths": [f"/data/{name}/logs/*.log"], "conditions": {"type": "none"}},
        "etl_processor": "transfer",
        "is_active": True,
        "subscription_id": number + 7000,
        "task_id_list": [str(number + 40000)],
        "bk_data_id": number + 500000,
        "itsm_ticket_status": "not_apply",
        "itsm_ticket_sn": None,
        "table_id": None,
        "index_set_id": None,
        "etl_config": None,
        "etl_params": {},
        "fields": [],
        "storage_cluster_id": None,
        "retention": None,
        "allocation_min_days": None,
        "storage_replies": 1,
        "storage_shards_nums": None,
        "created_at": "2026-11-02 10:00:00+0800",
        "created_by": "admin",
        "updated_by": "admin",
        **more,
    }


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
