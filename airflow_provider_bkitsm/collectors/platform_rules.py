# SPDX-License-Identifier: Apache-2.0
"""Rules that depend on the log platform as it is installed: its storage clusters and the switches of a business.

Only an app with a grant of its own may read the clusters, and no app may read the switches. Rules whose facts are
there are checked; the others become warnings to author and approver. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_ENGLISH_NAME = re.compile(r"[a-z0-9_]{5,50}")
GROK_NAME = re.compile(r"%\{(\w+)")
_FLATTENED_SINCE = (7, 3)


@dataclass(frozen=True, kw_only=True)
class StorageCluster:
    """A storage cluster; None stands for an unknown fact.

    :param has_hot_warm: it can move old data to slower nodes.
    :param version: of Elasticsearch, such as ``7.10.1``.
    """

    number: int
    has_hot_warm: bool | None = None
    version: str | None = None


@dataclass(frozen=True, kw_only=True)
class PlatformFacts:
    """Facts about the log platform as it is installed; None stands for an unknown one.

    :param clusters: every storage cluster the business may use, by number.
    :param may_expand_json: the business has the switch ``ext_json_expand_depth``.
    :param grok_patterns: every grok pattern the business may use.
    """

    clusters: Mapping[int, StorageCluster] | None = None
    may_expand_json: bool | None = None
    grok_patterns: frozenset[str] | None = None


@dataclass(frozen=True)
class Notice:
    """A rule that could not be checked, or an oddity: one sentence for the log, one for the approver."""

    text: str
    chinese: str


def platform_problems(payload: Mapping[str, Any], facts: PlatformFacts) -> Iterator[str]:
    """Yield what a payload requires and this platform does not have."""
    if facts.clusters is not None and isinstance(payload.get("storage_cluster_id"), int):
        yield from _cluster_problems(payload, facts.clusters)
    if facts.may_expand_json is False and _expands_json(payload):
        yield "etl_params.ext_json_config needs the switch ext_json_expand_depth, which is off for the business"
    if facts.grok_patterns is not None:
        unknown = [name for name in _grok_names(payload) if name not in facts.grok_patterns]
        if unknown:
            yield f"etl_params.separator_regexp uses unknown grok patterns: {', '.join(unknown)}"


def _cluster_problems(payload: Mapping[str, Any], clusters: Mapping[int, StorageCluster]) -> Iterator[str]:
    number, days = payload["storage_cluster_id"], payload.get("allocation_min_days")
    cluster = clusters.get(number)
    if cluster is None:
        numbers = ", ".join(map(str, sorted(clusters))) or "none"
        yield f"storage_cluster_id {number} is no storage cluster of the business; there are: {numbers}"
        return
    if cluster.has_hot_warm is False and isinstance(days, int) and days > 0:
        yield f"allocation_min_days must be 0: storage cluster {number} has no slower nodes (hot-warm)"
    if _has_flattened(payload) and _is_too_old(cluster.version):
        yield f"fields of type flattened need Elasticsearch 7.3, storage cluster {number} has {cluster.version}"


def notices(
    payload: Mapping[str, Any], *, present: Mapping[str, Any], facts: PlatformFacts, known_keys: frozenset[str]
) -> list[Notice]:
    """Return what could not be checked of a valid payload, and what is odd although the platform takes it.

    :param present: the collector as it is; a value that it has already needs no check.
    :param known_keys: the keys of a payload the platform reads.
    """
    return [*_unchecked(payload, present, facts), *_odd(payload, present, known_keys)]


def _unchecked(payload: Mapping[str, Any], present: Mapping[str, Any], facts: PlatformFacts) -> Iterator[Notice]:
    yield from _unchecked_cluster(payload, present, facts)
    if facts.may_expand_json is None and _expands_json(payload):
        yield Notice(
            "not checked: whether the business has the switch ext_json_expand_depth, off by default, which"
            " ext_json_config needs; without it the platform refuses the ETL (3600001)",
            "未核对：业务是否开启 ext_json_expand_depth（默认关闭），未开启时写入会被拒绝（3600001）",
        )
    names = ", ".join(_grok_names(payload))
    if facts.grok_patterns is None and names:
        yield Notice(
            f"not checked: whether the platform knows the grok patterns {names}; others it refuses (3600914)",
            f"未核对：日志平台是否有 grok 模式 {names}，未知模式会被拒绝（3600914）",
        )


def _unchecked_cluster(
    payload: Mapping[str, Any], present: Mapping[str, Any], facts: PlatformFacts
) -> Iterator[Notice]:
    number, days = payload["storage_cluster_id"], payload["allocation_min_days"]
    cluster = (facts.clusters or {}).get(number) or StorageCluster(number=number)
    is_present = present.get("storage_cluster_id") == number
    if facts.clusters is None and not is_present:
        yield Notice(
            f"not checked: whether storage cluster {number} exists, since this app may not ask for clusters;"
            " without it the platform refuses the ETL after the approval (3631201)",
            f"未核对：存储集群 {number} 是否存在，不存在时写入会被拒绝（3631201）",
        )
    if days > 0 and cluster.has_hot_warm is None and not (is_present and present.get("allocation_min_days")):
        yield Notice(
            f"not checked: whether storage cluster {number} has the slower nodes (hot-warm) that"
            f" allocation_min_days {days} needs; without them the platform refuses the ETL (3631208)",
            f"未核对：存储集群 {number} 是否开启冷热数据，未开启时 allocation_min_days {days} 会被拒绝（3631208）",
        )
    if _has_flattened(payload) and cluster.version is None:
        yield Notice(
            f"not checked: whether storage cluster {number} has Elasticsearch 7.3, which the type flattened needs",
            f"未核对：存储集群 {number} 的 ES 版本是否不低于 7.3（flattened 类型需要）",
        )


def _odd(payload: Mapping[str, Any], present: Mapping[str, Any], known_keys: frozenset[str]) -> Iterator[Notice]:
    unknown = sorted(set(payload) - known_keys)
    if unknown:
        yield Notice(
            f"the platform may not read these keys and then drops them: {', '.join(unknown)}",
            f"日志平台可能忽略以下参数：{', '.join(unknown)}",
        )
    name = str(payload["table_id"])
    if not present.get("table_id") and not _ENGLISH_NAME.fullmatch(name):
        yield Notice(
            f"table_id {name!r} is not as the platform names tables itself (5 to 50 of a-z, 0-9 and _)",
            f"table_id {name!r} 不符合日志平台的命名规则（5 到 50 个小写字母、数字、下划线）",
        )
    if 0 < payload["retention"] <= payload["allocation_min_days"]:
        yield Notice(
            "allocation_min_days is not less than retention: the logs are deleted before they would move",
            "allocation_min_days 不小于 retention：日志在转为冷数据之前就会被删除",
        )
    twice = _twice(payload)
    if twice:
        yield Notice(
            f"several fields are stored under the same name: {', '.join(twice)}",
            f"多个字段使用同一个名称：{', '.join(twice)}",
        )
    lost = _without_a_place(payload)
    if lost:
        yield Notice(
            f"several fields take one place of the line, or none (field_index counts from 1): {', '.join(lost)}"
            " will stay empty",
            f"以下字段没有自己的 field_index（从 1 开始），将没有值：{', '.join(lost)}",
        )


def fields_with_a_place(fields: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the fields of a delimiter that get a value: places count from 1, of two fields the last has it."""
    places = {field.get("field_index"): field for field in fields if field.get("is_built_in") is not True}
    return [field for place, field in places.items() if isinstance(place, int) and place > 0]


def _without_a_place(payload: Mapping[str, Any]) -> list[str]:
    if payload["etl_config"] != "bk_log_delimiter":
        return []
    fields = payload.get("fields") or ()
    placed = fields_with_a_place(fields)
    return [str(one["field_name"]) for one in fields if not one.get("is_delete") and one not in placed]


def _twice(payload: Mapping[str, Any]) -> list[str]:
    in_json = payload["etl_config"] == "bk_log_json"
    names = [
        str((in_json and field.get("alias_name")) or field.get("field_name"))
        for field in payload.get("fields") or ()
        if not field.get("is_delete")
    ]
    return sorted({name for name in names if names.count(name) > 1})


def _expands_json(payload: Mapping[str, Any]) -> bool:
    params = payload.get("etl_params")
    return isinstance(params, Mapping) and isinstance(params.get("ext_json_config"), Mapping)


def _grok_names(payload: Mapping[str, Any]) -> list[str]:
    params = payload.get("etl_params")
    if (
        payload.get("etl_config") != "bk_log_regexp"
        or not isinstance(params, Mapping)
        or params.get("is_grok") is not True
    ):
        return []
    return sorted(set(GROK_NAME.findall(str(params.get("separator_regexp") or ""))))


def _has_flattened(payload: Mapping[str, Any]) -> bool:
    fields = payload.get("fields")
    if payload.get("etl_config") == "bk_log_text" or not isinstance(fields, list):
        return False
    live = (field for field in fields if isinstance(field, Mapping) and field.get("is_delete") is not True)
    return any(field.get("field_type") == "flattened" and field.get("is_built_in") is not True for field in live)


def _is_too_old(version: str | None) -> bool:
    found = re.match(r"(\d+)(?:\.(\d+))?", version or "")
    return found is not None and (int(found[1]), int(found[2] or 0)) < _FLATTENED_SINCE
