"""The collectors and clusters a new sandbox has."""

from __future__ import annotations

from typing import Any

CLUSTERS: dict[int, dict[str, Any]] = {
    3: {"storage_cluster_id": 3, "name": "es-hot-warm", "enable_hot_warm": True},
    4: {"storage_cluster_id": 4, "name": "es-plain", "enable_hot_warm": False},
}


def collector(number: int, name: str, **more: Any) -> dict[str, Any]:
    """Return a collector as the platform's list shows it."""
    return {
        "collector_config_id": number,
        "collector_config_name": name,
        "collector_config_name_en": name.replace("-", "_"),
        "bk_biz_id": 2,
        "space_name": "demo",
        "description": "",
        "collector_scenario_id": "row",
        "collector_scenario_name": "行日志文件",
        "data_encoding": "UTF-8",
        "params": {"paths": [f"/data/{name}/logs/*.log"]},
        "etl_processor": "transfer",
        "is_active": True,
        "subscription_id": number + 7000,
        "bk_data_id": number + 500000,
        "itsm_ticket_status": "not_apply",
        "itsm_ticket_sn": None,
        "table_id": None,
        "index_set_id": None,
        "etl_config": None,
        "storage_cluster_id": None,
        "retention": None,
        **more,
    }


COLLECTORS = (
    collector(1001, "app-runtime", description="Application logs of the demo business"),
    collector(1002, "nginx-access", params={"paths": ["/var/log/nginx/access.log"]}),
    collector(1003, "payment-audit", is_active=False),
    collector(1004, "legacy-stream", etl_processor="bkbase"),
)
