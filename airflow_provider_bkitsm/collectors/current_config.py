# SPDX-License-Identifier: Apache-2.0
"""A collector's clean config, read back from its detail: what it is, what cannot be seen, what differs. Pure.

The detail is no copy of what was written. The platform makes a table of a payload and shows the table: its options
as ``etl_params``, its columns with the built-in ones as ``fields``. ``storage_replies`` and the shards are stored
with the collector before the table is changed: they show the requested value even if the change was refused.
See docs/log-platform-behaviour.md#detail-is-no-copy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from airflow_provider_bkitsm.collectors.clean_config import ETL_PARAM_KEYS
from airflow_provider_bkitsm.collectors.collector import Collector, as_collector
from airflow_provider_bkitsm.collectors.errors import CollectorStorageUnknown, InvalidCleanConfig
from airflow_provider_bkitsm.collectors.platform_rules import GROK_NAME, fields_with_a_place
from airflow_provider_bkitsm.collectors.rules import DELIMITER, JSON, REGEXP, TEXT

_NO_TICKET = "No ticket was opened"
_KIND_OF_NODE = {"": TEXT, "json": JSON, "delimiter": DELIMITER, "regexp": REGEXP}
# Options of a column that the platform works out itself; those that begin with es_ too.
_COMPUTED = frozenset(
    (
        *("real_path", "field_index", "metadata_type", "timestamp_unit", "default_function", "time_layout"),
        *("time_zone", "time_format"),
    )
)
_COPIED_OPTIONS = {
    TEXT: (),
    JSON: ("retain_original_text", "retain_extra_json", "ext_json_config", "enable_retain_content"),
    DELIMITER: ("retain_original_text", "separator", "enable_retain_content"),
    REGEXP: ("retain_original_text", "separator_regexp", "is_grok", "enable_retain_content"),
}
_STORAGE_OF_THE_TABLE = ("storage_cluster_id", "retention", "allocation_min_days")
# Types that every version of the platform shows as they were written.
_PLAIN_TYPES = frozenset({"string", "int", "long", "double"})


def present_clean_config(detail: Mapping[str, Any]) -> dict[str, Any]:
    """Return the payload that, written again, would leave a collector as its detail shows it.

    :raises InvalidCleanConfig: the collector has no table yet, or shows too little of it to be written again.
    :raises CollectorStorageUnknown: the platform did not know the table's storage just then.
    """
    collector = as_collector(detail)
    _check_readable(collector)
    kind = str(collector["etl_config"])
    config = {
        "table_id": collector.bare_table_id,
        "etl_config": kind,
        "etl_params": _etl_params(collector, kind),
        "fields": [] if kind == TEXT else [_written_field(field, kind) for field in _own_fields(collector)],
        "storage_cluster_id": collector["storage_cluster_id"],
        "retention": collector["retention"],
        "allocation_min_days": collector.get("allocation_min_days") or 0,
        "storage_replies": collector.get("storage_replies"),
        "es_shards": collector.get("storage_shards_nums"),
        "total_shards_per_node": collector.get("total_shards_per_node"),
    }
    return {key: value for key, value in config.items() if value is not None}


def unseen(detail: Mapping[str, Any]) -> dict[str, str]:
    """Return the parts of a clean config that no detail shows, each with the effect of a new write, in Chinese."""
    collector = as_collector(detail)
    rows = {}
    if collector.get("total_shards_per_node") is None:
        rows["total_shards_per_node"] = "无法读取，写入后恢复为平台默认值"
    rows["alias_settings"] = "无法读取，写入后可能被清空"
    if _options(collector).get("retain_extra_json") is True and "ext_json_config" not in _options(collector):
        rows["etl_params.ext_json_config"] = "无法读取，写入后恢复为平台默认值"
    for key, column in (("es_shards", "storage_shards_nums"), ("storage_replies", "storage_replies")):
        is_unknown = collector.get(column) is None
        rows[key] = "无法读取，写入后恢复为平台默认值" if is_unknown else "仅为日志平台的记录，不一定是实际值"
    return rows


def differences(payload: Mapping[str, Any], detail: Mapping[str, Any]) -> list[str]:
    """Return where a collector's table is not what a payload makes of it, each with both values.

    Only facts of the table itself are compared: storage cluster, retention, allocation, the options of the
    cleaning, and the columns. ``es_shards`` and ``storage_replies`` are left out: read back, they prove nothing.
    """
    collector = as_collector(detail)
    facts = [
        ("table_id", collector.bare_table_id, payload["table_id"]),
        ("etl_config", _table_kind(collector), payload["etl_config"]),
        *((key, collector.get(key), payload[key]) for key in _STORAGE_OF_THE_TABLE),
    ]
    found = [_difference(name, present, wanted) for name, present, wanted in facts if present != wanted]
    if collector.bare_table_id is None or not collector.knows_storage:
        return found
    return [*found, *_other_options(payload, collector), *_other_columns(payload, collector)]


def _difference(name: str, present: Any, wanted: Any) -> str:
    return f"{name} is {'unknown' if present is None else repr(present)}, not {wanted!r}"


def _check_readable(collector: Collector) -> None:
    number = collector.number
    if collector.bare_table_id is None:
        raise InvalidCleanConfig(
            f"collector {number} has no ETL yet, so there is no storage to change: onboard it first. {_NO_TICKET}"
        )
    if not collector.knows_storage:
        raise CollectorStorageUnknown(
            f"the log platform does not know the storage of collector {number} just now: its metadata did not"
            f" answer. {_NO_TICKET}; a retry asks again"
        )
    problems = [*_other_kind(collector), *_unseen_tokens(collector)]
    if problems:
        raise InvalidCleanConfig(
            f"the clean config of collector {number} cannot be written again as it is: {'; '.join(problems)}."
            f" {_NO_TICKET}; write its clean config anew with the onboarding DAG",
            problems=problems,
        )


def _is_of_a_table(options: Mapping[str, Any]) -> bool:
    """Whether these are the options of a table, not those of a payload."""
    return "separator_node_action" in options


def _table_kind(collector: Collector) -> Any:
    """Return the table's kind of cleaning; ``etl_config`` is a column of the platform's own and may differ."""
    action = _options(collector).get("separator_node_action")
    return _KIND_OF_NODE.get(action) if isinstance(action, str) else collector.get("etl_config")


def _other_kind(collector: Collector) -> Iterator[str]:
    kind = _table_kind(collector)
    if kind != collector.get("etl_config"):
        yield (
            f"etl_config is shown as {collector.get('etl_config')}, but the table is one of {kind}: an earlier"
            " change was refused behind the log platform"
        )


def _unseen_tokens(collector: Collector) -> Iterator[str]:
    for field in _own_fields(collector):
        hidden = "tokenize_on_chars" not in field or "is_case_sensitive" not in field
        if field.get("is_analyzed") and hidden and "es_analyzer" in _option(field):
            yield f"the tokens of the analysed field {field.get('field_name')!r} cannot be seen, and would be lost"


def _options(collector: Mapping[str, Any]) -> Mapping[str, Any]:
    options = collector.get("etl_params")
    return options if isinstance(options, Mapping) else {}


def _option(field: Mapping[str, Any]) -> Mapping[str, Any]:
    option = field.get("option")
    return option if isinstance(option, Mapping) else {}


def _listed_fields(collector: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    fields = collector.get("fields")
    yield from (one for one in (fields if isinstance(fields, list) else ()) if isinstance(one, Mapping))


def _own_fields(collector: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the columns of the payload, without built-in ones and those made of the file's path."""
    return [
        field
        for field in _listed_fields(collector)
        if not field.get("is_built_in") and not _option(field).get("metadata_type")
    ]


def _etl_params(collector: Collector, kind: str) -> dict[str, Any]:
    options = _options(collector)
    if not _is_of_a_table(options):
        return {key: options[key] for key in ETL_PARAM_KEYS if options.get(key) is not None}
    params = {key: options[key] for key in _COPIED_OPTIONS.get(kind, ()) if options.get(key) is not None}
    if kind == REGEXP and GROK_NAME.search(str(params.get("separator_regexp"))):
        params["is_grok"] = True
    path_regexp = _path_regexp(options)
    if path_regexp:
        params["path_regexp"] = path_regexp
    if kind == TEXT:
        params["retain_original_text"] = True  # Plain text is nothing else.
    else:
        # An option that only JSON shows, and one that none does; their columns show both.
        columns = {"retain_extra_json": "__ext_json", "record_parse_failure": "__parse_failure"}
        params = {key: _built_in(collector, name) is not None for key, name in columns.items()} | params
    return params | _original_text(collector)


def _path_regexp(options: Mapping[str, Any]) -> str | None:
    configs = options.get("separator_configs")
    first = configs[0] if isinstance(configs, list) and configs else None
    found = first.get("separator_regexp") if isinstance(first, Mapping) else None
    return found if isinstance(found, str) else None


def _original_text(collector: Collector) -> dict[str, Any]:
    """Return how the original text is searched; its built-in column ``log`` shows that."""
    log = _built_in(collector, "log")
    if log is None:
        return {}
    case, tokens = _analysis(log)
    return {"original_text_is_case_sensitive": case, "original_text_tokenize_on_chars": tokens}


def _built_in(collector: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    """Return the built-in column of this name; it is the alias where the source is called otherwise."""
    for field in _listed_fields(collector):
        if field.get("is_built_in") and (field.get("alias_name") or field.get("field_name")) == name:
            return field
    return None


def _analysis(field: Mapping[str, Any]) -> tuple[bool, str]:
    """Return case and tokens of a column; one without its own analyzer has neither, whatever the detail shows."""
    option = _option(field)
    if "es_type" in option and "es_analyzer" not in option:
        return False, ""
    return field.get("is_case_sensitive") is True, str(field.get("tokenize_on_chars") or "")


def _written_field(field: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """Return a column as a payload would ask for it."""
    written: dict[str, Any] = {"is_delete": field.get("is_delete") is True}
    copied = ("field_name", "alias_name", "field_type", "description")
    written |= {key: field[key] for key in copied if field.get(key)}
    if kind == DELIMITER and field.get("field_index") is not None:
        written["field_index"] = field["field_index"]
    if field.get("is_analyzed"):
        case, tokens = _analysis(field)
        written |= {"is_analyzed": True, "is_case_sensitive": case, "tokenize_on_chars": tokens}
    if field.get("is_time"):
        written["is_time"] = True
    option = _written_option(field)
    return written | ({"option": option} if option else {})


def _written_option(field: Mapping[str, Any]) -> dict[str, Any]:
    option = _option(field)
    kept = {key: value for key, value in option.items() if key not in _COMPUTED and not key.startswith("es_")}
    if field.get("is_time"):
        kept |= {key: option[key] for key in ("time_zone", "time_format") if key in option}
    return kept


def _other_options(payload: Mapping[str, Any], collector: Collector) -> Iterator[str]:
    """Compare the options of the cleaning, as far as this version of the platform shows them."""
    params, options = payload.get("etl_params") or {}, _options(collector)
    for key in _COPIED_OPTIONS.get(payload["etl_config"], ()):
        grok = key == "separator_regexp" and params.get("is_grok") is True
        if key in options and key in params and not grok and (options[key] or None) != (params[key] or None):
            yield _difference(f"etl_params.{key}", options[key], params[key])
    if _is_of_a_table(options) and (_path_regexp(options) or "") != (params.get("path_regexp") or ""):
        yield _difference("etl_params.path_regexp", _path_regexp(options), params.get("path_regexp"))


def _other_columns(payload: Mapping[str, Any], collector: Collector) -> Iterator[str]:
    kind = payload["etl_config"]
    if kind == TEXT or kind != _table_kind(collector):
        return
    fields = payload.get("fields") or ()
    wanted = _columns(fields_with_a_place(fields) if kind == DELIMITER else fields, kind)
    present = _columns(_own_fields(collector), kind)
    for name in sorted(wanted.keys() | present.keys()):
        if wanted.get(name) != present.get(name):
            yield f"field {name!r} is {present.get(name, 'missing')}, not {wanted.get(name, 'missing')}"


def _columns(fields: Any, kind: str) -> dict[str, str]:
    """Return the type of each column by name, as far as every version shows it."""
    columns = {}
    for field in fields:
        if field.get("is_delete") is True or field.get("is_built_in") is True:
            continue
        name = (kind == JSON and field.get("alias_name")) or field.get("field_name")
        field_type = str(field.get("field_type"))
        analysed = "analysed " if field.get("is_analyzed") is True else ""
        columns[str(name)] = analysed + (field_type if field_type in _PLAIN_TYPES else "other type")
    return columns
