# SPDX-License-Identifier: Apache-2.0
"""What the log platform's clean-config endpoint takes (collector reference 3.2 to 3.4). Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from airflow_provider_bkitsm.sandbox.refusals import Refusal
from airflow_provider_bkitsm.sandbox.seed import CLUSTERS, Cluster

FIELD_RULE, BODY_RULE = "3600400", "3600001"
NO_CLUSTER, NO_HOT_WARM, CLEAN_KIND, CRASH = "3631201", "3631208", "3631301", "3600500"

TEXT, JSON, DELIMITER, REGEXP = "bk_log_text", "bk_log_json", "bk_log_delimiter", "bk_log_regexp"
_KINDS = frozenset({TEXT, JSON, DELIMITER, REGEXP})
_FIELD_TYPES = frozenset({"string", "int", "long", "double", "object", "flattened", "nested"})
_NUMBERS = frozenset({"int", "long"})
_RESERVED_WORDS = (
    "log path ip time timestamp datetime filename items serverip cloudid gseindex __ext __ext_json"
    " dteventtimestamp name tag key field values select from"
)
_RESERVED = frozenset(_RESERVED_WORDS.split())
_PLATFORM_KEYS = ("platform_index_visibility", "platform_index_filter")
_DEPTHS = (1, 2, 3)

Check = Callable[[Any], bool]


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _at_least(least: int) -> Check:
    return lambda value: _whole(value) and value >= least


def _instance(kind: type) -> Check:
    return lambda value: isinstance(value, kind)


def _nullable(check: Check) -> Check:
    return lambda value: value is None or check(value)


_filled: Check = lambda value: isinstance(value, str) and bool(value.strip())  # noqa: E731
_REQUIRED: dict[str, Check] = {
    "etl_config": _filled,
    "table_id": _filled,
    "storage_cluster_id": _whole,
    "retention": _whole,
    "allocation_min_days": _whole,
}
_OPTIONAL: dict[str, Check] = {
    "storage_replies": _at_least(0),
    "es_shards": _at_least(1),
    "etl_params": _instance(dict),
    "fields": _nullable(_instance(list)),
    "view_roles": _instance(list),
    "alias_settings": _instance(list),
    "total_shards_per_node": _nullable(_whole),
    "need_assessment": _instance(bool),
    "assessment_config": _instance(dict),
}
_PARAMS: dict[str, Check] = {
    **dict.fromkeys(("separator_regexp", "separator", "path_regexp"), _nullable(_instance(str))),
    **dict.fromkeys(("original_text_tokenize_on_chars",), _instance(str)),
    **dict.fromkeys(
        (
            *("is_grok", "retain_original_text", "original_text_is_case_sensitive", "retain_extra_json"),
            *("enable_retain_content", "record_parse_failure"),
        ),
        _instance(bool),
    ),
    "ext_json_config": _nullable(_instance(dict)),
    "metadata_fields": _instance(list),
}


def checked(body: Any) -> dict[str, Any]:
    """Return a clean configuration as it will be stored.

    :raises Refusal: with the platform's code.
    """
    if not isinstance(body, dict):
        raise Refusal(FIELD_RULE, "无效数据，期待为字典类型")
    _check_keys(body, _REQUIRED, must=True)
    _check_keys(body, _OPTIONAL, must=False)
    _check_keys(body.get("etl_params") or {}, _PARAMS, must=False)
    _check_whole(body)
    _check_storage(body)
    fields = [] if body["etl_config"] == TEXT else _live(body)
    return {**body, "fields": fields, "etl_params": body.get("etl_params") or {}}


def _check_keys(body: dict[str, Any], checks: dict[str, Check], *, must: bool) -> None:
    for key, check in checks.items():
        if key not in body:
            if must:
                raise Refusal(FIELD_RULE, f"{key}: 该字段是必填项。")
        elif not check(body[key]):
            raise Refusal(FIELD_RULE, f"{key}: 请填写合法的值。")


def _check_whole(body: dict[str, Any]) -> None:
    if body["etl_config"] not in _KINDS:
        raise Refusal(CLEAN_KIND, "清洗类型不支持")
    depth = ((body.get("etl_params") or {}).get("ext_json_config") or {}).get("expand_depth", 2)
    if depth not in _DEPTHS:
        raise Refusal(FIELD_RULE, f"expand_depth: “{depth}” 不是合法选项。")
    if body.get("is_platform_index") and not all(body.get(key) for key in _PLATFORM_KEYS):
        raise Refusal(BODY_RULE, "平台级索引需要可见范围和过滤条件")
    if body.get("need_assessment") and not body.get("assessment_config"):
        raise Refusal(BODY_RULE, "评估配置不能为空")
    if body["etl_config"] != TEXT:
        _check_fields(body)


def _check_fields(body: dict[str, Any]) -> None:
    fields = body.get("fields") or []
    for one in fields:
        _check_field(one, indexed=body["etl_config"] == DELIMITER)
    if not _live(body):
        raise Refusal(BODY_RULE, "字段不能为空")
    if sum(bool(one.get("is_time")) for one in fields) > 1:
        raise Refusal(BODY_RULE, "仅能设置一个时间字段")


def _live(body: dict[str, Any]) -> list[dict[str, Any]]:
    fields = body.get("fields") or []
    return [one for one in fields if not one["is_delete"] and not one.get("is_built_in")]


def _check_field(one: Any, *, indexed: bool) -> None:
    if not isinstance(one, dict) or not isinstance(one.get("is_delete"), bool):
        raise Refusal(FIELD_RULE, "is_delete: 该字段是必填项。")
    if indexed and not _whole(one.get("field_index")):
        raise Refusal(BODY_RULE, "分隔符必须指定field_index")
    if one["is_delete"] or one.get("is_built_in"):
        return
    if not _filled(one.get("field_name")) or one.get("field_type") not in _FIELD_TYPES:
        raise Refusal(BODY_RULE, "字段名称和类型不能为空")
    taken = {str(one.get(key) or "").lower() for key in ("field_name", "alias_name")} & _RESERVED
    if taken:
        raise Refusal(BODY_RULE, f"字段名不能与系统关键字重复: {sorted(taken)}")
    if one.get("is_analyzed") and one["field_type"] != "string":
        raise Refusal(BODY_RULE, "只有字符串才能设置分词")
    if one.get("is_time"):
        _check_time(one)


def _check_time(one: dict[str, Any]) -> None:
    option = one.get("option") or {}
    if option.get("time_zone") is None or not option.get("time_format"):
        raise Refusal(BODY_RULE, "请配置时间字段的时区和格式")
    epoch = str(option["time_format"]).startswith("epoch_")
    if epoch != (one["field_type"] in _NUMBERS):
        raise Refusal(BODY_RULE, "时间格式与字段类型不匹配")


def _check_storage(body: dict[str, Any]) -> None:
    cluster: Cluster | None = CLUSTERS.get(body["storage_cluster_id"])
    if cluster is None:
        raise Refusal(NO_CLUSTER, "存储集群不存在")
    if body["allocation_min_days"] > 0 and not cluster.hot_warm:
        raise Refusal(NO_HOT_WARM, "集群未开启冷热数据设置")
