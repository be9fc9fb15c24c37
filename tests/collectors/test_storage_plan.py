# SPDX-License-Identifier: Apache-2.0
"""What a change of storage comes to, from a collector's detail as the log platform gives it."""

from __future__ import annotations

import pytest

from airflow_provider_bkitsm.collectors.current_config import present_clean_config, unseen
from airflow_provider_bkitsm.collectors.errors import InvalidCleanConfig
from airflow_provider_bkitsm.collectors.storage_plan import (
    changed_by_others,
    changed_keys,
    changed_storage,
    storage_rows,
)
from tests.collectors.test_current_config import detail

DETAIL = detail("natively_applying_after_write") | {"itsm_ticket_status": "success_apply"}
PRESENT = present_clean_config(DETAIL)
KINDS = ("bk_log_text", "natively_applying_after_write", "bk_log_delimiter", "bk_log_regexp")
"""A recorded detail of each kind of cleaning."""


@pytest.mark.parametrize("name", KINDS)
def test_for_each_kind_of_cleaning_only_the_storage_is_changed(name):
    shown = detail(name)
    after = changed_storage(shown, {"retention": 30, "storage_replies": 2, "es_shards": None})
    assert after == present_clean_config(shown) | {"retention": 30, "storage_replies": 2}


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


@pytest.mark.parametrize(
    ("shown", "wanted", "problem"),
    [
        ("stopped", {"retention": 30}, "the collector is stopped"),
        ("hot_warm_cluster", {"allocation_min_days": 7}, "allocation_min_days 7 has to be less than retention 7"),
        ("hot_warm_cluster", {"allocation_min_days": 0}, "allocation_min_days has to be at least 1, not 0"),
        ("hot_warm_cluster", {"retention": 3}, "allocation_min_days 3 has to be less than retention 3"),
    ],
)
def test_what_the_platforms_administrators_are_held_to_counts_here_too(shown, wanted, problem):
    with pytest.raises(InvalidCleanConfig, match=problem):
        changed_storage(detail(shown), wanted)


def test_logs_may_move_before_they_are_deleted():
    after = changed_storage(detail("hot_warm_cluster"), {"allocation_min_days": 2})
    assert (after["retention"], after["allocation_min_days"]) == (7, 2)


def test_p3_the_approver_sees_what_cannot_be_seen_and_may_be_lost():
    after = PRESENT | {"es_shards": 6}
    rows = storage_rows(PRESENT, after, daily_gb_per_host=10, hosts=5, hidden=unseen(DETAIL))
    assert rows["变更 es_shards："] == "3 → 6"
    assert "注意 es_shards：" not in rows
    assert rows["注意 storage_replies："] == "仅为日志平台的记录，不一定是实际值"
    for key in ("total_shards_per_node", "alias_settings"):
        assert rows[f"注意 {key}："].startswith("无法读取")


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
