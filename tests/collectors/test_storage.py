# SPDX-License-Identifier: Apache-2.0
"""What a change of storage comes to, from a collector's detail as the log platform gives it."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_bkitsm.collectors.errors import InvalidCleanConfig
from airflow_provider_bkitsm.collectors.storage import (
    changed_by_others,
    changed_keys,
    changed_storage,
    present_clean_config,
    storage_rows,
)

# What the platform shows besides what its endpoint takes: metadata, nulls, built-in fields.
DETAIL: dict[str, Any] = {
    "collector_config_id": 1001,
    "collector_config_name": "app-runtime",
    "table_id_prefix": "2_bklog.",
    "table_id": "app_runtime",
    "index_set_id": 10001,
    "etl_processor": "transfer",
    "etl_config": "bk_log_json",
    "etl_params": {"retain_original_text": True, "separator": None, "es_unique_field_list": ["ip"]},
    "fields": [
        {
            "field_name": "level",
            "field_type": "string",
            "alias_name": None,
            "is_delete": False,
            "tag": "dimension",
        },
        {"field_name": "user", "field_type": "string", "is_built_in": False},
        {"field_name": "log", "field_type": "string", "is_built_in": True, "is_delete": False},
    ],
    "storage_cluster_id": 3,
    "storage_cluster_name": "es",
    "retention": 7,
    "allocation_min_days": 0,
    "storage_replies": 1,
    "storage_shards_nums": 3,
    "storage_shards_size": 30,
    "total_shards_per_node": None,
}
PRESENT: dict[str, Any] = {
    "table_id": "app_runtime",
    "etl_config": "bk_log_json",
    "etl_params": {"retain_original_text": True},
    "fields": [
        {"field_name": "level", "field_type": "string", "is_delete": False},
        {"field_name": "user", "field_type": "string", "is_delete": False, "is_built_in": False},
    ],
    "storage_cluster_id": 3,
    "retention": 7,
    "allocation_min_days": 0,
    "storage_replies": 1,
    "es_shards": 3,
}


def test_what_is_there_is_copied_and_nothing_the_endpoint_does_not_take():
    assert present_clean_config(DETAIL) == PRESENT


def test_a_table_named_in_full_stays_the_same_table():
    assert present_clean_config(DETAIL | {"table_id": "2_bklog.app_runtime"}) == PRESENT


@pytest.mark.parametrize("detail", [{"table_id": None}, {"table_id": ""}])
def test_a_collector_without_etl_has_no_storage_to_change(detail):
    with pytest.raises(InvalidCleanConfig, match="1001 has no ETL yet"):
        present_clean_config(DETAIL | detail)


def test_only_the_storage_is_changed():
    wanted = {"retention": 30, "storage_replies": 2, "es_shards": None}
    assert changed_storage(DETAIL, wanted) == PRESENT | {"retention": 30, "storage_replies": 2}


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"retention": 7, "es_shards": None}, "nothing would change"),
        ({}, "nothing would change"),
        ({"retention": 0}, "retention must be at least 1"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anybody_is_asked(wanted, said):
    with pytest.raises(InvalidCleanConfig, match=said):
        changed_storage(DETAIL, wanted)


def test_what_is_no_storage_is_named_beside_what_is():
    with pytest.raises(InvalidCleanConfig) as caught:
        changed_storage(DETAIL, {"storage_cluster_id": 4, "retention": 30, "colour": 1})
    takes = "takes retention, allocation_min_days, storage_replies, es_shards, not colour, storage_cluster_id."
    assert takes in str(caught.value)
    assert caught.value.problems == ("colour: is not of the storage", "storage_cluster_id: is not of the storage")


def test_a_collector_of_the_data_platform_is_refused():
    with pytest.raises(InvalidCleanConfig, match="bkbase"):
        changed_storage(DETAIL | {"etl_processor": "bkbase"}, {"retention": 30})


@pytest.mark.parametrize(
    ("after", "estimate"),
    [
        ({"retention": 30}, "变更前 1200，变更后 4650，差额 +3450"),
        ({"storage_replies": 2}, "变更前 1200，变更后 1800，差额 +600"),
        ({"es_shards": 6}, "变更前 1200，变更后 1200，差额 +0"),
        ({"retention": 3}, "变更前 1200，变更后 600，差额 -600"),
    ],
)
def test_the_approver_sees_every_change_and_the_capacity_before_after_and_between(after, estimate):
    rows = storage_rows(PRESENT, PRESENT | after, daily_gb_per_host=10, hosts=5)
    assert rows["容量估算（GB）："] == estimate
    ((key, value),) = after.items()
    assert rows[f"变更 {key}："] == f"{PRESENT[key]} → {value}"
    assert changed_keys(PRESENT, PRESENT | after) == [key]


def test_what_was_not_set_is_shown_as_such_and_estimated_with_the_platforms_one_replica():
    before = {key: value for key, value in PRESENT.items() if key != "storage_replies"}
    rows = storage_rows(before, PRESENT | {"storage_replies": 0}, daily_gb_per_host=10, hosts=5)
    assert rows["变更 storage_replies："] == "- → 0"
    assert rows["容量估算（GB）："] == "变更前 1200，变更后 600，差额 -600"


def test_the_approver_sees_what_the_estimate_was_made_of():
    formula = storage_rows(PRESENT, PRESENT, daily_gb_per_host=10.5, hosts=5)["估算公式："]
    factors = "10.5 * 主机数量 5 * 存储转化率 1.5 * 份数（副本数 + 1） * （日志保留天数 + 1）"
    assert formula == f"单机日志增量 {factors}"


@pytest.mark.parametrize(
    ("present", "changed"),
    [
        ({}, []),
        ({"retention": 30}, []),
        ({"retention": 14}, ["retention"]),
        ({"fields": [], "es_shards": 9}, ["es_shards", "fields"]),
        ({"total_shards_per_node": 2}, ["total_shards_per_node"]),
    ],
)
def test_p3_what_others_changed_while_people_decided_is_told(present, changed):
    assert changed_by_others(PRESENT | present, before=PRESENT, after=PRESENT | {"retention": 30}) == changed
