# SPDX-License-Identifier: Apache-2.0
"""Changing the storage of a collector that is live: what it has, what it would have, what that takes. Pure.

The log platform knows no call for this: its clean config is written anew with everything else as it is
(reference 6.2). So what is copied has to be exactly what is there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from airflow_provider_bkitsm.collectors.errors import InvalidCleanConfig
from airflow_provider_bkitsm.collectors.form import capacity_gb
from airflow_provider_bkitsm.collectors.payload import (
    BODY_KEYS,
    ETL_PARAM_KEYS,
    FIELD_KEYS,
    bare_table_id,
    validate_clean_config,
)

STORAGE_KEYS = ("retention", "allocation_min_days", "storage_replies", "es_shards")
"""What may be changed: days kept, days until data moves to slower nodes, copies besides the first, shards."""

_DEFAULT_REPLIES = 1
_NO_TICKET = "No ticket was opened"


def present_clean_config(detail: Mapping[str, Any]) -> dict[str, Any]:
    """Return the payload that would leave a collector as its detail shows it.

    The detail shows more than the endpoint takes: built-in fields, metadata, nulls (reference 3.2 to 3.4, 4.2).

    :raises InvalidCleanConfig: the collector has no table yet.
    """
    if not bare_table_id(detail):
        number = detail.get("collector_config_id")
        raise InvalidCleanConfig(
            f"collector {number} has no ETL yet, so there is no storage to change: onboard it first. {_NO_TICKET}"
        )
    renamed = {"table_id": bare_table_id(detail), "es_shards": detail.get("storage_shards_nums")}
    config = _given({**detail, **renamed}, BODY_KEYS)
    fields = [field for field in config.get("fields") or () if not field.get("is_built_in")]
    return config | {
        "etl_params": _given(config.get("etl_params") or {}, ETL_PARAM_KEYS),
        "fields": [{"is_delete": False, **_given(field, FIELD_KEYS)} for field in fields],
    }


def changed_storage(detail: Mapping[str, Any], wanted: Mapping[str, int | None]) -> dict[str, Any]:
    """Return the payload that changes a collector's storage and nothing else.

    :param wanted: of ``STORAGE_KEYS``; what is None stays as it is.
    :raises InvalidCleanConfig: it has no ETL yet, nothing would change, or the platform would refuse it.
    """
    unknown = sorted(set(wanted) - set(STORAGE_KEYS))
    if unknown:
        raise InvalidCleanConfig(
            f"storage takes {', '.join(STORAGE_KEYS)}, not {', '.join(unknown)}. {_NO_TICKET}",
            problems=[f"{key}: is not of the storage" for key in unknown],
        )
    before = present_clean_config(detail)
    after = before | {key: value for key, value in wanted.items() if value is not None}
    if after == before:
        raise InvalidCleanConfig(
            f"the collector's storage is as wanted already: nothing would change. {_NO_TICKET}"
        )
    return validate_clean_config(after, collector_row=detail)


def storage_rows(
    before: Mapping[str, Any], after: Mapping[str, Any], *, daily_gb_per_host: float, hosts: int
) -> dict[str, str]:
    """Return what the approver is shown, value by label: every change, and the capacity before, after, between."""
    rows = {f"变更 {key}：": f"{before.get(key, '-')} → {after[key]}" for key in changed_keys(before, after)}
    now, then = (_capacity(config, daily_gb_per_host, hosts) for config in (before, after))
    return rows | {
        "容量估算（GB）：": f"变更前 {now}，变更后 {then}，差额 {then - now:+}",
        "估算公式：": (
            f"单机日志增量 {daily_gb_per_host} * 主机数量 {hosts} * 存储转化率 1.5 * 份数（副本数 + 1）"
            " * （日志保留天数 + 1）"
        ),
    }


def changed_keys(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return which parts of the storage differ."""
    return [key for key in STORAGE_KEYS if key in after and before.get(key) != after[key]]


def changed_by_others(
    present: Mapping[str, Any], *, before: Mapping[str, Any], after: Mapping[str, Any]
) -> list[str]:
    """Return what is neither as it was nor as it is to become: somebody else has changed it meanwhile."""
    keys = sorted({*present, *before, *after})
    return [key for key in keys if present.get(key) not in (before.get(key), after.get(key))]


def _given(values: Mapping[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    return {key: values[key] for key in keys if values.get(key) is not None}


def _capacity(config: Mapping[str, Any], daily_gb_per_host: float, hosts: int) -> int:
    replicas = config.get("storage_replies", _DEFAULT_REPLIES)
    days = config["retention"]
    return capacity_gb(daily_gb_per_host=daily_gb_per_host, hosts=hosts, keep_days=days, replicas=replicas)
