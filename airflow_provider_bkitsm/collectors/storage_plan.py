# SPDX-License-Identifier: Apache-2.0
"""A change of a live collector's storage: the payload before and after, and the estimated capacity. Pure.

The log platform has no call for this: the whole clean config is written again, with the storage changed. So the
copy of everything else has to be exact, and the approver sees which parts cannot be read back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from airflow_provider_bkitsm.collectors.clean_config import validate_clean_config
from airflow_provider_bkitsm.collectors.current_config import present_clean_config
from airflow_provider_bkitsm.collectors.errors import InvalidCleanConfig
from airflow_provider_bkitsm.collectors.form import capacity_gb

_STORAGE_KEYS = ("retention", "allocation_min_days", "storage_replies", "es_shards")
"""Days kept, days until data moves to slower nodes, copies besides the first, shards."""

_DEFAULT_REPLIES = 1
_NO_TICKET = "No ticket was opened"


def changed_storage(detail: Mapping[str, Any], wanted: Mapping[str, int | None]) -> dict[str, Any]:
    """Return the payload that changes a collector's storage and nothing else.

    :param wanted: new values by key of ``_STORAGE_KEYS``; None leaves one as it is.
    :raises InvalidCleanConfig: the collector has no ETL yet or is stopped, nothing would change, or the platform
        would refuse the change.
    :raises CollectorStorageUnknown: the platform did not know the storage just then.
    """
    unknown = sorted(set(wanted) - set(_STORAGE_KEYS))
    if unknown:
        raise InvalidCleanConfig(
            f"storage takes {', '.join(_STORAGE_KEYS)}, not {', '.join(unknown)}. {_NO_TICKET}",
            problems=[f"{key}: is not of the storage" for key in unknown],
        )
    before = present_clean_config(detail)
    after = before | {key: value for key, value in wanted.items() if value is not None}
    if after == before:
        raise InvalidCleanConfig(
            f"the collector's storage is as wanted already: nothing would change. {_NO_TICKET}"
        )
    problems = list(_storage_problems(detail, after))
    if problems:
        number = detail.get("collector_config_id")
        raise InvalidCleanConfig(
            f"the storage of collector {number} cannot be changed: {'; '.join(problems)}. {_NO_TICKET}",
            problems=problems,
        )
    return validate_clean_config(after, collector_row=detail)


def storage_rows(
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    *,
    daily_gb_per_host: float,
    hosts: int,
    hidden: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Return the approver's rows, value by label: each change, what cannot be read back, and the capacity.

    :param hidden: what cannot be read back, as :func:`~.read_back.unseen` returns it.
    """
    rows = {f"变更 {key}：": f"{before.get(key, '-')} → {after[key]}" for key in changed_keys(before, after)}
    changed = set(changed_keys(before, after))
    rows |= {f"注意 {key}：": text for key, text in (hidden or {}).items() if key not in changed}
    now, then = (_capacity(config, daily_gb_per_host, hosts) for config in (before, after))
    return rows | {
        "容量估算（GB）：": f"变更前 {now}，变更后 {then}，差额 {then - now:+}",
        "估算公式：": (
            f"单机日志增量 {daily_gb_per_host} * 主机数量 {hosts} * 存储转化率 1.5 * 份数（副本数 + 1）"
            " * （日志保留天数 + 1）"
        ),
    }


def changed_keys(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return which parts of the clean config differ, those of the storage first."""
    keys = [*_STORAGE_KEYS, *sorted({*before, *after} - set(_STORAGE_KEYS))]
    return [key for key in keys if key in after and before.get(key) != after[key]]


def changed_by_others(
    present: Mapping[str, Any], *, before: Mapping[str, Any], after: Mapping[str, Any]
) -> list[str]:
    """Return the keys whose present value is neither the one before nor the one after: others changed them."""
    keys = sorted({*present, *before, *after})
    return [key for key in keys if present.get(key) not in (before.get(key), after.get(key))]


def _storage_problems(detail: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    """Apply the rules of the platform's own pages, which its public call does not apply."""
    if detail.get("is_active") is False:
        yield "the collector is stopped; start it first"
    allocation, retention = after["allocation_min_days"], after["retention"]
    if isinstance(allocation, int) and isinstance(retention, int) and 0 < retention <= allocation:
        yield (
            f"allocation_min_days {allocation} has to be less than retention {retention}: the logs would be"
            " deleted before they move to slower nodes"
        )
    if allocation == 0 and detail.get("allocation_min_days") not in (0, None):
        yield (
            "allocation_min_days has to be at least 1, not 0: the storage cluster has slower nodes, which"
            " old logs move to"
        )


def _capacity(config: Mapping[str, Any], daily_gb_per_host: float, hosts: int) -> int:
    replicas = config.get("storage_replies", _DEFAULT_REPLIES)
    days = config["retention"]
    return capacity_gb(daily_gb_per_host=daily_gb_per_host, hosts=hosts, keep_days=days, replicas=replicas)
