# SPDX-License-Identifier: Apache-2.0
"""What the log platform makes of a clean configuration: the table metadata keeps, and how a detail shows it. Pure.

A detail never shows what was posted. It is computed from the table's options and fields: built-in fields are
added, a renamed field shows its source, a field that holds the time appears twice.
"""

from __future__ import annotations

import copy
import hashlib
import re
from collections import Counter
from collections.abc import Callable
from typing import Any

from airflow_provider_bkitsm.sandbox.bklog.clean_config import (
    BODY_RULE,
    DELIMITER,
    GROK_PATTERNS,
    JSON,
    NANO_FORMATS,
    REGEXP,
    RESERVED,
    RESERVED_BY_V4,
    TEXT,
)
from airflow_provider_bkitsm.sandbox.bklog.seed import Cluster
from airflow_provider_bkitsm.sandbox.refusals import Refusal

UNKNOWN_GROK = "3600914"
_NODE, _PATH_NODE = "bk_separator_object", "bk_separator_object_path"
_ES_TYPES = {
    "string": "keyword",
    "int": "integer",
    "long": "long",
    "double": "double",
    "object": "object",
    "flattened": "flattened",
    "nested": "nested",
}
_FIELD_TYPES = {es_type: field_type for field_type, es_type in _ES_TYPES.items()} | {"boolean": "boolean"}
_FLATTENED_SINCE = (7, 3)
_GROK_NAME = re.compile(r"%\{(\w+)")
_VARIABLE = re.compile("[a-zA-Z_]")
_IGNORED, _DELETED, _END = "i", "d", "e"
_TIME_NAME = "dtEventTimeStamp"
_UNIQUE = ["bk_host_id", "cloudId", _TIME_NAME, "gseIndex", "iterationIndex", "path", "serverIp"]
_ACTIONS = {JSON: "json", DELIMITER: "delimiter", REGEXP: "regexp"}

Body = dict[str, Any]


def _built_in(name: str, alias: str, kind: str, es_type: str, description: str, **more: Any) -> Body:
    return {
        "field_name": name,
        "alias_name": alias,
        "field_type": kind,
        "tag": "dimension",
        "description": description,
        "option": {"es_type": es_type},
        **more,
    }


_BUILT_IN = (
    _built_in("bk_host_id", "bk_host_id", "float", "integer", "主机ID"),
    _built_in("__ext", "ext", "object", "object", "额外信息字段"),
    _built_in("cloudId", "cloudid", "float", "integer", "云区域ID"),
    _built_in("serverIp", "ip", "string", "keyword", "ip"),
    _built_in("path", "filename", "string", "keyword", "日志路径"),
    _built_in("gseIndex", "gseindex", "float", "long", "gse索引"),
    _built_in("iterationIndex", "iterationindex", "float", "integer", "迭代ID", flat_field=True),
)
_DEFAULT_TIME = _built_in(_TIME_NAME, "utctime", "timestamp", "date", "数据时间")
_DEFAULT_TIME["option"] |= {"es_format": "epoch_millis", "time_format": "yyyy-MM-dd HH:mm:ss", "time_zone": 0}
_PARSE_FAILURE = _built_in("__parse_failure", "__parse_failure", "boolean", "boolean", "清洗失败标记")
_EXTRA_JSON = _built_in("__ext_json", "ext_json", "object", "object", "用户未定义JSON字段")
_DELETED_FIELD: Body = {
    "field_name": "",
    "alias_name": "",
    "field_type": "",
    "description": "",
    "is_analyzed": False,
    "is_dimension": False,
    "is_time": False,
    "is_delete": True,
    "is_built_in": False,
}


def built(body: Body, cluster: Cluster, *, v4_link: bool) -> Body:
    """Return the options and the fields of the table for a normalized clean configuration.

    :param v4_link: the platform uses its newer data link, which is stricter.
    :raises Refusal: with the platform's code.
    :raises Exception: the platform crashes on it.
    """
    kind, params = body["etl_config"], body.get("etl_params", {})
    if kind not in _OPTIONS:
        raise NotImplementedError(f"{kind} not implement, error: No module named 'etl_storage.{kind}'")
    option = {
        "es_unique_field_list": _UNIQUE,
        "separator_node_source": "",
        "separator_node_action": "",
        "separator_node_name": "",
        **_OPTIONS[kind](body["fields"], params),
        "need_add_time": True,
        "time_field": {"name": _TIME_NAME, "type": "date", "unit": "millisecond"},
    }
    if v4_link:
        _check_v4(body["fields"])
    fields = copy.deepcopy(list(_BUILT_IN))
    if kind == TEXT:
        fields += [copy.deepcopy(_DEFAULT_TIME), _original_text(params)]
    else:
        fields += _extracted(kind, body["fields"], params, cluster)
    if params.get("path_regexp"):
        option["separator_configs"] = [_path_separator(params["path_regexp"])]
        fields += _path_fields(params["path_regexp"], fields)
    return {"option": option, "field_list": fields}


def _json_option(fields: list[Body], params: Body) -> Body:
    return {
        **_separator_option(JSON, params),
        "separator_fields_remove": ",".join([one["field_name"] for one in fields if one["is_delete"]]),
        "retain_extra_json": params.get("retain_extra_json", False),
        "enable_origin_string": True,
        "enable_retain_content": params.get("enable_retain_content", True),
    }


def _delimiter_option(fields: list[Body], params: Body) -> Body:
    named = {int(one["field_index"]): _DELETED if one["is_delete"] else one["field_name"] for one in fields}
    places = range(1, max(named, default=0) + 1)
    return {
        **_separator_option(DELIMITER, params),
        "separator": params["separator"],
        "separator_field_list": [*(named.get(place, _IGNORED) for place in places), _END],
    }


def _regexp_option(_fields: list[Body], params: Body) -> Body:
    regexp = params.get("separator_regexp", "")
    unknown = set(_GROK_NAME.findall(regexp or "")) - GROK_PATTERNS if params.get("is_grok") else set()
    if unknown:
        raise Refusal(UNKNOWN_GROK, f"Grok 模式不存在: {', '.join(sorted(unknown))}")
    return {**_separator_option(REGEXP, params), "separator_regexp": regexp}


def _separator_option(kind: str, params: Body) -> Body:
    return {
        "separator_node_source": "data",
        "separator_node_action": _ACTIONS[kind],
        "separator_node_name": _NODE,
        "retain_original_text": params.get("retain_original_text", False),
        "etl_flat": False,
        "enable_retain_content": params.get("enable_retain_content", False),
    }


_OPTIONS: dict[str, Callable[[list[Body], Body], Body]] = {
    TEXT: lambda _fields, _params: {},
    JSON: _json_option,
    DELIMITER: _delimiter_option,
    REGEXP: _regexp_option,
}


def _check_v4(fields: list[Body]) -> None:
    for one in fields:
        if (one["field_name"] or "").lower() in RESERVED_BY_V4 and not one["is_delete"]:
            raise Refusal(BODY_RULE, f"字段名与保留字段冲突，请更换字段名：{one['field_name']}")
        if one["is_time"] and not one["is_delete"]:
            int(one["option"]["time_zone"])


def _extracted(kind: str, fields: list[Body], params: Body, cluster: Cluster) -> list[Body]:
    found = [_original_text(params)] if params.get("retain_original_text") else []
    if params.get("retain_extra_json"):
        found.append(_below_node(_EXTRA_JSON))
    if params.get("record_parse_failure"):
        found.append(_below_node(_PARSE_FAILURE))
    times = [copy.deepcopy(_DEFAULT_TIME)]
    for number, one in enumerate((one for one in fields if not one["is_delete"]), 1):
        field = _user_field(kind, one, number, cluster)
        found.append(field)
        if one["is_time"]:
            times = _times(one, field)
    return found + times


def _user_field(kind: str, one: Body, number: int, cluster: Cluster) -> Body:
    source = one["field_name"]
    target = (one["alias_name"] if kind == JSON else None) or source
    if target.lower() in RESERVED:
        raise Refusal(BODY_RULE, f"字段名与保留字段冲突，请更换字段名：{target}")
    if not _VARIABLE.match(target):
        raise Refusal(BODY_RULE, "字段名不符合变量规则")
    if one["field_type"] == "flattened" and _older(cluster, _FLATTENED_SINCE):
        raise Refusal(BODY_RULE, f"ES版本{cluster.version}不支持 flattened 字段类型")
    es_type = "text" if one["is_analyzed"] else _ES_TYPES.get(one["field_type"], "keyword")
    given = {key: value for key, value in (one.get("option") or {}).items() if key not in _NOT_KEPT}
    option = given | {"field_index": number, "es_type": es_type, "real_path": f"{_NODE}.{source}"}
    if one["is_analyzed"]:
        analyzer = _analyzer(source, one["alias_name"], one["is_case_sensitive"], one["tokenize_on_chars"])
        option |= ({"es_analyzer": analyzer} if analyzer else {}) | {"es_norms": False}
    return {
        "field_name": target,
        "field_type": "string" if one["is_analyzed"] else _FIELD_TYPES.get(es_type, "string"),
        "tag": "metric" if one["is_analyzed"] or one["is_time"] else "dimension",
        "description": one["description"],
        "option": option,
    }


_NOT_KEPT = ("time_zone", "time_format", "es_format")


def _older(cluster: Cluster, version: tuple[int, ...]) -> bool:
    numbers = tuple(int(part) for part in cluster.version.split(".") if part.isdecimal())
    return bool(numbers) and numbers < version


def _times(one: Body, field: Body) -> list[Body]:
    """Return the table's own time, taken from a field, and a finer one where the format is finer."""
    time, option, given = copy.deepcopy(_DEFAULT_TIME), field["option"], one["option"]
    is_nano = given["time_format"] in NANO_FORMATS
    time["alias_name"] = one["field_name"]
    time["option"] |= {
        "real_path": option["real_path"],
        "time_zone": given["time_zone"],
        "time_format": given["time_format"],
        "field_index": option["field_index"],
        "timestamp_unit": "ms",
        "default_function": "fn:timestamp_from_utctime",
    }
    if not is_nano:
        return [time]
    finer = copy.deepcopy(time) | {"field_name": "dtEventTimeStampNanos"}
    finer["option"] |= {
        "es_format": "strict_date_optional_time_nanos",
        "es_type": "date_nanos",
        "timestamp_unit": "µs",
    }
    return [time, finer]


def _below_node(field: Body) -> Body:
    path = f"{_NODE}.{field['alias_name']}"
    return copy.deepcopy(field) | {"option": field["option"] | {"real_path": path}}


def _original_text(params: Body) -> Body:
    case, tokens = _original_tokens(params)
    analyzer = _analyzer("log", "data", case, tokens)
    field = _built_in("log", "data", "string", "text", "original_text", tag="metric")
    field["option"] |= ({"es_analyzer": analyzer} if analyzer else {}) | {"es_norms": False}
    return field


def _original_tokens(params: Body) -> tuple[bool, Any]:
    return params.get("original_text_is_case_sensitive", False), params.get("original_text_tokenize_on_chars", "")


def _analyzer(name: str, alias: str | None, case: bool, tokens: str | None) -> str:
    """Name an analyzer by all it depends on, so that another one gets another index."""
    if not case and not tokens:
        return ""
    if tokens:
        tokens = tokens.encode("latin-1", "backslashreplace").decode("unicode_escape")
    text = f"field_alias{alias}field_name{name}is_case_sensitive{case}tokenize_on_chars{tokens}"
    return f"analyzer_{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _path_separator(regexp: str) -> Body:
    return {
        "separator_node_name": _PATH_NODE,
        "separator_node_action": "regexp",
        "separator_node_source": "filename",
        "separator_regexp": regexp,
    }


def _path_fields(regexp: str, others: list[Body]) -> list[Body]:
    first = 1 + max(one["option"].get("field_index", 0) for one in others)
    return [
        {
            "field_name": name,
            "field_type": "string",
            "tag": "dimension",
            "description": "",
            "option": {
                "metadata_type": "path",
                "es_type": "keyword",
                "field_index": number,
                "real_path": f"{_PATH_NODE}.{name}",
            },
        }
        for number, name in enumerate(re.compile(regexp).groupindex, first)
    ]


def shown(table: Body, kind: str | None, stash: Body) -> tuple[Body, list[Body]]:
    """Return a table's options and fields as a detail shows them.

    :param stash: what was posted last. Case and tokens are known from it alone, for fields that keep their names.
    :raises Exception: the platform crashes on it.
    """
    tokens = _tokens(stash)
    (time, *_) = (one for one in table["field_list"] if one["field_name"] == _TIME_NAME)
    fields = [_shown_field(copy.deepcopy(one), time, tokens) for one in table["field_list"]]
    removed = [name.strip() for name in table["option"].get("separator_fields_remove", "").split(",")]
    fields += [_DELETED_FIELD | {"field_name": name} for name in removed if name]
    fields.sort(key=lambda one: one.get("option", {}).get("field_index", 0))
    option = copy.deepcopy(table["option"])
    return option, _by_place(option, fields) if kind == DELIMITER else fields


def _tokens(stash: Body) -> dict[str, tuple[Any, Any]]:
    fields = {one["field_name"]: (one["is_case_sensitive"], one["tokenize_on_chars"]) for one in stash["fields"]}
    return fields | {"log": _original_tokens(stash.get("etl_params", {}))}


def _shown_field(field: Body, time: Body, tokens: dict[str, tuple[Any, Any]]) -> Body:
    option, target = field["option"], field["field_name"]
    source = field.get("alias_name") or target
    if "real_path" in option:
        source = option["real_path"].replace(f"{_PATH_NODE}.", "").replace(f"{_NODE}.", "")
    is_time, es_type = source == time["alias_name"], option["es_type"]
    field |= {"is_config_by_user": True, "type": field["field_type"]}
    if target in tokens:
        field["is_case_sensitive"], field["tokenize_on_chars"] = tokens[target]
    if is_time:
        field["option"] = time["option"] | {"time_zone": int(time["option"]["time_zone"])}
    is_analyzed = es_type == "text"
    return field | {
        "field_name": source,
        "alias_name": "" if source == target else target,
        "field_type": _FIELD_TYPES.get(es_type, "string"),
        "is_built_in": target.lower() in RESERVED,
        "is_time": is_time,
        "is_analyzed": is_analyzed,
        "is_delete": False,
        "is_dimension": is_time or not is_analyzed,
    }


def _by_place(option: Body, fields: list[Body]) -> list[Body]:
    """Return a delimiter's fields: by their place in the line, then those of the path, then the built-in ones."""
    own = {one["field_name"]: one for one in fields if not one["is_built_in"]}
    counts = Counter(one["field_name"] for one in fields if not one["is_built_in"])
    found = []
    for place, name in enumerate(option["separator_field_list"], 1):
        if name in own:
            found.append(own[name] | {"_nums": counts[name], "field_index": place})
        elif name == _DELETED:
            found.append(_DELETED_FIELD | {"field_index": place})
    paths = [one for one in own.values() if one["option"].get("metadata_type") == "path"]
    return found + paths + [one for one in fields if one["is_built_in"]]


def _of_no_table() -> list[Body]:
    in_all = frozenset({"keyword", "text"})
    log = _original_text({})
    del log["option"]["es_norms"]
    found = []
    for one in (*_BUILT_IN, _DEFAULT_TIME, log):
        field = _shown_field(copy.deepcopy(one), _DEFAULT_TIME, {})
        field["option"]["es_include_in_all"] = one["option"]["es_type"] in in_all
        found.append({key: value for key, value in field.items() if key not in ("is_config_by_user", "type")})
    return found


FIELDS_OF_NO_TABLE = _of_no_table()
"""The fields a detail shows without a table, or while metadata does not answer."""
