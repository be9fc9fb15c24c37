# SPDX-License-Identifier: Apache-2.0
"""The ETL payload: its canonical form and digest, and the rules it has to satisfy before a ticket is opened.

The rules are those of the log platform's clean-config endpoint (reference 3.2 to 3.4), checked here because
there they would only be applied after the approval. Pure.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from airflow_provider_bkitsm.collectors.errors import CollectItsmDigestMismatch, InvalidCleanConfig

Rule = Callable[[Any], str | None]
"""Takes a value, returns what is wrong with it or None."""

_TEXT = "bk_log_text"
_JSON = "bk_log_json"
_DELIMITER = "bk_log_delimiter"
ETL_KINDS = (_TEXT, _JSON, _DELIMITER, "bk_log_regexp")
FIELD_TYPES = ("string", "int", "long", "double", "object", "flattened", "nested")
_ASSESSMENT_KEYS = ("need_assessment", "assessment_config")
_PLATFORM_KEYS = ("is_platform_index", "platform_index_visibility", "platform_index_filter")

RESERVED_NAMES = frozenset(
    name.lower()
    for name in (
        *("log", "path", "ip", "time", "timestamp", "datetime", "filename", "items", "serverIp", "cloudId"),
        *("gseIndex", "__ext", "__ext_json", "dtEventTimeStamp", "name", "tag", "key", "field", "values"),
        *("select", "from"),
    )
)
"""Names known to be refused, in lower case; the log platform's own list is longer (reference 3.4)."""


def canonical(payload: Mapping[str, Any]) -> bytes:
    """Return the one spelling of a payload: keys sorted, no white space, UTF-8.

    :raises InvalidCleanConfig: it is not plain JSON, so it would not come back from the store as it went in.
    """
    try:
        text = json.dumps(payload, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        plain = json.loads(text) == payload
        spelled = text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidCleanConfig(_refusal(f"payload: not plain JSON ({error})")) from error
    if not plain:
        raise InvalidCleanConfig(_refusal("payload: not plain JSON (tuples or keys that are not strings)"))
    return spelled


def digest(payload: Mapping[str, Any]) -> str:
    """Return ``sha256:`` and the hex digest of the canonical payload, as shown to the approver."""
    return f"sha256:{hashlib.sha256(canonical(payload)).hexdigest()}"


def verify(payload: Mapping[str, Any] | None, approved: str | None) -> dict[str, Any]:
    """Return the payload if it is the one that was approved.

    :raises CollectItsmDigestMismatch: it is missing or another one; a missing payload is no success (W13).
    """
    found = None if payload is None else digest(payload)
    if payload is None or found != approved:
        raise CollectItsmDigestMismatch(
            f"The stored ETL payload ({found or 'missing'}) is not the approved one "
            f"({approved or 'unknown'}). It was not applied, and a retry will refuse it "
            "again; the ticket keeps its verdict. Apply again."
        )
    return dict(payload)


def validate_clean_config(payload: object, *, collector_row: Mapping[str, Any] | None) -> dict[str, Any]:
    """Check a payload and return what will be sent, which is what the digest has to be taken of.

    As in the log platform, ``fields`` is emptied for plain text and built-in fields are left out.

    :param collector_row: the collector as the log platform lists or details it; None for one not read.
    :raises InvalidCleanConfig: names every problem found, so that one correction is enough.
    """
    if not isinstance(payload, Mapping):
        raise InvalidCleanConfig(_refusal(f"payload: must be an object, not {type(payload).__name__}"))
    canonical(payload)
    problems = [
        *_body(payload),
        *_etl_params(payload),
        *_fields(payload),
        *_fit(payload, collector_row or {}),
    ]
    if problems:
        raise InvalidCleanConfig(_refusal(*problems), problems=problems)
    clean = dict(payload)
    if payload.get("fields") is not None:
        clean["fields"] = [] if payload["etl_config"] == _TEXT else [dict(field) for _, field in _own(payload)]
    return clean


def bare_table_id(collector_row: Mapping[str, Any]) -> str | None:
    """Return a collector's table name without its business prefix, or None while it has no table.

    The list endpoint gives ``{biz}_bklog.{name}`` (``space_{n}_bklog.{name}`` for negative businesses), the
    detail endpoint the bare name (reference 3.2, 4.2); a bare name holds no dot.
    """
    full = collector_row.get("table_id")
    return str(full).rpartition(".")[2] if full else None


def _refusal(*problems: str) -> str:
    return (
        f"The ETL payload has {len(problems)} problem(s): {'; '.join(problems)}. No ticket was opened; "
        "a retry fails the same way until the payload is corrected."
    )


def _integer(minimum: int | None = None) -> Rule:
    def rule(value: Any) -> str | None:
        if not isinstance(value, int) or isinstance(value, bool):
            return f"must be an integer, not {value!r}"
        return f"must be at least {minimum}, not {value}" if minimum is not None and value < minimum else None

    return rule


def _kind(kind: type, name: str) -> Rule:
    return lambda value: None if isinstance(value, kind) else f"must be {name}, not {value!r}"


def _one_of(*choices: Any) -> Rule:
    names = ", ".join(map(str, choices))

    def rule(value: Any) -> str | None:
        # By type too: True equals 1, but is none of the choices 1, 2, 3.
        known = any(value == choice and type(value) is type(choice) for choice in choices)
        return None if known else f"must be one of {names}, not {value!r}"

    return rule


def _nullable(rule: Rule) -> Rule:
    return lambda value: None if value is None else rule(value)


_TEXT_VALUE = _kind(str, "text")
_FLAG = _kind(bool, "true or false")
_OBJECT = _kind(Mapping, "an object")
_LIST = _kind(list, "a list")


def _table_name(value: Any) -> str | None:
    if not isinstance(value, str) or not value.strip():
        return f"must be a table name, not {value!r}"
    return f"must be the bare name {value.rpartition('.')[2]!r}, not {value!r}" if "." in value else None


_REQUIRED: Mapping[str, Rule] = {
    "table_id": _table_name,
    "etl_config": _one_of(*ETL_KINDS),
    "storage_cluster_id": _integer(),
    "retention": _integer(1),
    "allocation_min_days": _integer(0),
}
_OPTIONAL: Mapping[str, Rule] = {
    "storage_replies": _integer(0),
    "es_shards": _integer(1),
    "view_roles": _LIST,
    "etl_params": _OBJECT,
    "fields": _nullable(_LIST),
    "total_shards_per_node": _nullable(_integer()),
    "is_platform_index": _nullable(_FLAG),
    "platform_index_visibility": _nullable(_OBJECT),
    "platform_index_filter": _nullable(_OBJECT),
    "alias_settings": _LIST,
}
_ETL_PARAMS: Mapping[str, Rule] = {
    "separator_regexp": _TEXT_VALUE,
    "is_grok": _FLAG,
    "separator": _TEXT_VALUE,
    "retain_original_text": _FLAG,
    "original_text_is_case_sensitive": _FLAG,
    "original_text_tokenize_on_chars": _TEXT_VALUE,
    "retain_extra_json": _FLAG,
    "ext_json_config": _OBJECT,
    "enable_retain_content": _FLAG,
    "record_parse_failure": _FLAG,
    "path_regexp": _TEXT_VALUE,
    "metadata_fields": _LIST,
}
_FIELD: Mapping[str, Rule] = {
    "field_index": _integer(),
    "alias_name": _TEXT_VALUE,
    "description": _TEXT_VALUE,
    "is_analyzed": _FLAG,
    "is_dimension": _FLAG,
    "is_time": _FLAG,
    "is_built_in": _FLAG,
    "is_case_sensitive": _FLAG,
    "tokenize_on_chars": _TEXT_VALUE,
    "option": _OBJECT,
}
_LIVE_FIELD: Mapping[str, Rule] = {"field_name": _TEXT_VALUE, "field_type": _one_of(*FIELD_TYPES)}

BODY_KEYS = (*_REQUIRED, *_OPTIONAL)
ETL_PARAM_KEYS = tuple(_ETL_PARAMS)
FIELD_KEYS = ("is_delete", *_LIVE_FIELD, *_FIELD)
"""What the endpoint takes, here and in the two above; it drops any other key (reference 3.4)."""


def _check(
    values: Mapping[str, Any], rules: Mapping[str, Rule], *, prefix: str = "", required: bool = False
) -> Iterator[str]:
    for key, rule in rules.items():
        if key in values:
            problem = rule(values[key])
            if problem:
                yield f"{prefix}{key} {problem}"
        elif required:
            yield f"{prefix}{key} is missing"


def _body(payload: Mapping[str, Any]) -> Iterator[str]:
    yield from _check(payload, _REQUIRED, required=True)
    yield from _check(payload, _OPTIONAL)
    for key in _ASSESSMENT_KEYS:
        if key in payload:
            yield f"{key} asks the log platform for a ticket of its own; leave it out, this DAG is the gate"
    if payload.get("is_platform_index") is True:
        yield from (f"{key} is missing" for key in _PLATFORM_KEYS if payload.get(key) is None)


def _etl_params(payload: Mapping[str, Any]) -> Iterator[str]:
    params = payload.get("etl_params")
    if not isinstance(params, Mapping):
        return
    yield from _check(params, _ETL_PARAMS, prefix="etl_params.")
    yield from _expansion(params, payload.get("etl_config"))
    entries = params.get("metadata_fields")
    for index, entry in enumerate(entries if isinstance(entries, list) else ()):
        yield from _metadata(entry, f"etl_params.metadata_fields[{index}]")


def _expansion(params: Mapping[str, Any], kind: Any) -> Iterator[str]:
    config = params.get("ext_json_config")
    if not isinstance(config, Mapping):
        return
    rules = {"expand_depth": _one_of(1, 2, 3)}
    yield from _check(config, rules, prefix="etl_params.ext_json_config.")
    if kind != _JSON or params.get("retain_extra_json") is not True:
        yield f"etl_params.ext_json_config needs etl_config {_JSON} and etl_params.retain_extra_json true"


def _metadata(entry: Any, prefix: str) -> Iterator[str]:
    if not isinstance(entry, Mapping):
        yield f"{prefix} must be an object, not {entry!r}"
        return
    rules = {"field_name": _TEXT_VALUE, "metadata_type": _one_of("path")}
    yield from _check(entry, rules, prefix=f"{prefix}.", required=True)


def _own(payload: Mapping[str, Any]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Give the fields the log platform will look at, with their positions: it strips built-in ones."""
    fields = payload.get("fields")
    for index, field in enumerate(fields if isinstance(fields, list) else ()):
        if isinstance(field, Mapping) and field.get("is_built_in") is not True:
            yield index, field


def _is_live(field: Mapping[str, Any]) -> bool:
    return field.get("is_delete") is not True


def _fields(payload: Mapping[str, Any]) -> Iterator[str]:
    kind = payload.get("etl_config")
    fields = payload.get("fields")
    if kind == _TEXT or kind not in ETL_KINDS or (fields is not None and not isinstance(fields, list)):
        return
    for index, field in enumerate(fields or ()):
        if not isinstance(field, Mapping):
            yield f"fields[{index}] must be an object, not {field!r}"
    for index, field in _own(payload):
        yield from _field(field, f"fields[{index}].", kind)
    live = [field for _, field in _own(payload) if _is_live(field)]
    if not live:
        yield f"fields needs at least one field that is not deleted for etl_config {kind}"
    if sum(field.get("is_time") is True for field in live) > 1:
        yield "fields may hold one is_time field only"


def _field(field: Mapping[str, Any], prefix: str, kind: Any) -> Iterator[str]:
    yield from _check(field, {"is_delete": _FLAG}, prefix=prefix, required=True)
    yield from _check(field, _FIELD, prefix=prefix)
    if kind == _DELIMITER and "field_index" not in field:
        yield f"{prefix}field_index is missing (needed for {_DELIMITER})"
    if not _is_live(field):
        return
    yield from _check(field, _LIVE_FIELD, prefix=prefix, required=True)
    yield from _names(field, prefix)
    if field.get("is_analyzed") is True and field.get("field_type") != "string":
        yield f"{prefix}is_analyzed is for strings only"
    if field.get("is_time") is True:
        yield from _time(field, prefix)


def _names(field: Mapping[str, Any], prefix: str) -> Iterator[str]:
    if field.get("field_name") == "":
        yield f"{prefix}field_name must not be empty"
    for key in ("field_name", "alias_name"):
        name = field.get(key)
        if isinstance(name, str) and name.lower() in RESERVED_NAMES:
            yield f"{prefix}{key} {name!r} is reserved by the log platform"


def _time(field: Mapping[str, Any], prefix: str) -> Iterator[str]:
    option = field.get("option")
    known = option if isinstance(option, Mapping) else {}
    for key in ("time_zone", "time_format"):
        if known.get(key) in (None, ""):
            yield f"{prefix}option.{key} is missing (needed for is_time)"
    form = known.get("time_format")
    if form in (None, ""):
        return
    number = field.get("field_type") in ("int", "long")
    if not isinstance(form, str) or number != form.startswith("epoch_"):
        wanted = "an epoch_* format" if number else "a format other than epoch_*"
        yield f"{prefix}option.time_format must be {wanted} for a {field.get('field_type')}, not {form!r}"


def _fit(payload: Mapping[str, Any], collector: Mapping[str, Any]) -> Iterator[str]:
    """Check what depends on the collector: one table for ever, and only one kind of ETL processor."""
    existing, wanted = bare_table_id(collector), payload.get("table_id")
    if existing is not None and isinstance(wanted, str) and "." not in wanted and wanted != existing:
        yield (
            f"table_id must stay {existing!r}: another name makes a second table and leaves the collector "
            "pointing to the first"
        )
    processor = collector.get("etl_processor")
    if processor not in (None, "", "transfer"):
        yield f"etl_processor {processor!r} of the collector is not supported, only transfer is"
