"""The ETL payload ("clean config"): checked before anybody is asked, digested so that what runs is approved.

The rules are those of the log platform's own serializers (reference 3.2-3.4); all problems are named at once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from airflow_provider_bkitsm.collectors.errors import InvalidCleanConfig

ETL_TYPES = frozenset({"bk_log_text", "bk_log_json", "bk_log_delimiter", "bk_log_regexp"})
_FIELD_TYPES = frozenset({"string", "int", "long", "double", "object", "flattened", "nested"})
_EPOCH_TYPES = frozenset({"int", "long"})
# The reserved words the platform documents; it refuses the rest itself.
# fmt: off
_RESERVED = frozenset({
        "log", "path", "ip", "time", "timestamp", "datetime", "filename", "items", "serverip",
        "cloudid", "gseindex", "__ext", "__ext_json", "dteventtimestamp", "name", "tag", "key",
        "field", "values", "select", "from",
})
# fmt: on
_REQUIRED_TEXTS = ("etl_config", "table_id")
_REQUIRED_NUMBERS = {"storage_cluster_id": 1, "retention": 1, "allocation_min_days": 0}
_OPTIONAL_NUMBERS = {"storage_replies": 0, "es_shards": 1}
_PLATFORMS_OWN_GATE = ("need_assessment", "assessment_config")


def canonical(payload: Mapping[str, Any]) -> bytes:
    """Return the one text of a payload: keys sorted, no blanks, UTF-8.

    :raises InvalidCleanConfig: it is not JSON (NaN included).
    """
    try:
        text = json.dumps(payload, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        return text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidCleanConfig(f"the ETL payload is not JSON: {error}; no ticket was opened") from None


def digest(payload: Mapping[str, Any]) -> str:
    """Return ``sha256:<64 hex digits>`` of the canonical payload."""
    return f"sha256:{hashlib.sha256(canonical(payload)).hexdigest()}"


def check_clean_config(payload: object, *, collector: Mapping[str, Any]) -> dict[str, Any]:
    """Return the payload if the platform would take it for this collector.

    :param collector: the collector's row of the platform's list.
    :raises InvalidCleanConfig: naming every problem.
    """
    if not isinstance(payload, Mapping):
        raise InvalidCleanConfig(f"the ETL payload must be an object, not {type(payload).__name__}")
    problems = [*_top_level(payload), *_fields(payload), *_table(payload, collector)]
    if problems:
        raise InvalidCleanConfig(
            f"the ETL payload cannot be used: {'; '.join(problems)}. No ticket was opened"
        )
    return json.loads(canonical(payload))  # type: ignore[no-any-return]


def table_of(collector: Mapping[str, Any]) -> str | None:
    """Return the bare name of the collector's result table: the list shows ``{biz}_bklog.{name}``."""
    full = collector.get("table_id")
    return str(full).rpartition("_bklog.")[2] if full else None


def _top_level(payload: Mapping[str, Any]) -> Iterator[str]:
    for key in _REQUIRED_TEXTS:
        if not isinstance(payload.get(key), str) or not payload[key].strip():
            yield f"{key} must be a text"
    if isinstance(payload.get("etl_config"), str) and payload["etl_config"] not in ETL_TYPES:
        yield f"etl_config must be one of {', '.join(sorted(ETL_TYPES))}"
    for key, least in (_REQUIRED_NUMBERS | _OPTIONAL_NUMBERS).items():
        absent = key in _OPTIONAL_NUMBERS and payload.get(key) is None
        if not absent and not _is_whole(payload.get(key), least):
            yield f"{key} must be a whole number of at least {least}"
    for key in _PLATFORMS_OWN_GATE:
        if payload.get(key):
            yield f"{key} would open a second ticket in the log platform"


def _fields(payload: Mapping[str, Any]) -> Iterator[str]:
    fields, kind = payload.get("fields") or [], payload.get("etl_config")
    if not isinstance(fields, list) or not all(isinstance(one, Mapping) for one in fields):
        yield "fields must be a list of objects"
        return
    live = [one for one in fields if not one.get("is_delete")]
    if kind in ETL_TYPES - {"bk_log_text"} and not live:
        yield f"{kind} needs at least one field that is not deleted"
    if sum(bool(one.get("is_time")) for one in live) > 1:
        yield "at most one field may be the time"
    for number, one in enumerate(fields):
        name = one.get("field_name") or f"number {number}"
        yield from (f"field {name}: {problem}" for problem in _field(one, kind))


def _field(field: Mapping[str, Any], kind: object) -> Iterator[str]:
    if not isinstance(field.get("is_delete"), bool):
        yield "is_delete must be true or false"
    if field.get("is_delete"):
        return
    if not field.get("field_name"):
        yield "field_name is missing"
    yield from _type(field)
    if any(str(field.get(key) or "").lower() in _RESERVED for key in ("field_name", "alias_name")):
        yield "the name is reserved by the log platform"
    if kind == "bk_log_delimiter" and not _is_whole(field.get("field_index"), 0):
        yield "field_index is needed with bk_log_delimiter"
    if field.get("is_time"):
        yield from _time(field)


def _type(field: Mapping[str, Any]) -> Iterator[str]:
    if field.get("field_type") not in _FIELD_TYPES:
        yield f"field_type must be one of {', '.join(sorted(_FIELD_TYPES))}"
    if field.get("is_analyzed") and field.get("field_type") != "string":
        yield "only a string can be analyzed"


def _time(field: Mapping[str, Any]) -> Iterator[str]:
    option = field.get("option")
    if not isinstance(option, Mapping) or option.get("time_zone") is None or not option.get("time_format"):
        yield "a time needs option.time_zone and option.time_format"
        return
    if str(option["time_format"]).startswith("epoch_") != (field.get("field_type") in _EPOCH_TYPES):
        yield "int and long times need an epoch_* format, other types forbid it"


def _table(payload: Mapping[str, Any], collector: Mapping[str, Any]) -> Iterator[str]:
    current, wanted = table_of(collector), payload.get("table_id")
    if isinstance(wanted, str) and "." in wanted:
        yield "table_id must be the bare name, the log platform adds the business"
    elif current and wanted != current:
        yield f"table_id must stay {current}: another one would leave the collector with its old table"


def _is_whole(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least
