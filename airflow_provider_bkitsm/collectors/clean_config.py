# SPDX-License-Identifier: Apache-2.0
"""The ETL payload: its canonical form, its digest, and its check before a ticket is opened.

The rules are those of the log platform's clean-config endpoint, which applies them only after the approval. A
payload that the platform takes is taken here too, unless it does harm or cannot work: see ``docs/collectors.md``.
Rules for a single value are in ``rules``, rules that need facts of the installed platform in ``platform_rules``,
and those that compare keys are here. Pure.
"""

from __future__ import annotations

import codecs
import hashlib
import json
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from airflow_provider_bkitsm.collectors.collector import as_collector
from airflow_provider_bkitsm.collectors.errors import CollectItsmDigestMismatch, InvalidCleanConfig
from airflow_provider_bkitsm.collectors.platform_rules import PlatformFacts, platform_problems
from airflow_provider_bkitsm.collectors.rules import (
    DELIMITER,
    ETL_KINDS,
    JSON,
    REGEXP,
    TEXT,
    CleanConfig,
    EtlParams,
    go_pattern,
    grok_pattern,
    is_reserved,
    quoted,
    read_payload,
)

_FIELD_TYPES = ("string", "int", "long", "double", "object", "flattened", "nested")
EPOCHS = ("epoch_millis", "epoch_second", "epoch_minute", "epoch_micros")
"""The platform's only time formats of numbers: ``epoch_nanos`` is a format of texts."""

_OTHER_NAME = {
    "field_name": "another name, or in bk_log_json an alias_name",
    "alias_name": "another alias_name",
}
_NAME_START = re.compile("[a-zA-Z_]")

KNOWN_KEYS, ETL_PARAM_KEYS = frozenset(CleanConfig.model_fields), tuple(EtlParams.model_fields)
"""The keys of a payload and of its ``etl_params`` that the log platform reads; it drops any other."""


def canonical(payload: Mapping[str, Any]) -> bytes:
    """Return the canonical spelling of a payload: keys sorted, no white space, UTF-8.

    :raises InvalidCleanConfig: it is not plain JSON, so the store would return another value.
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
    """Return ``sha256:`` and the hex digest of the canonical payload, as the approver sees it."""
    return f"sha256:{hashlib.sha256(canonical(payload)).hexdigest()}"


def verify(payload: Mapping[str, Any] | None, approved: str | None) -> dict[str, Any]:
    """Return the payload if it is the one that was approved.

    :raises CollectItsmDigestMismatch: it is missing, or another one.
    """
    found = None if payload is None else digest(payload)
    if payload is None or found != approved:
        raise CollectItsmDigestMismatch(
            f"The stored ETL payload ({found or 'missing'}) is not the approved one "
            f"({approved or 'unknown'}). It was not applied, and a retry will refuse it "
            "again; the ticket keeps its verdict. Apply again."
        )
    return dict(payload)


def validate_clean_config(
    payload: object, *, collector_row: Mapping[str, Any] | None, facts: PlatformFacts | None = None
) -> dict[str, Any]:
    """Check a payload and return the one that will be sent; take the digest of that one.

    It is spelled as the log platform will read it, so that the approver sees exactly that: the table's name in
    lower case (or as the collector has it already), texts without blanks around them, no built-in fields, no
    fields for plain text.

    :param collector_row: the collector as the log platform lists or details it; None for one not read.
    :param facts: facts about the log platform as it is installed; None for none.
    :raises InvalidCleanConfig: with every problem, so that one correction is enough.
    """
    if not isinstance(payload, Mapping):
        hint = ": a text has to be the JSON of one" if isinstance(payload, str) else ""
        raise InvalidCleanConfig(_refusal(f"payload: must be an object, not {type(payload).__name__}{hint}"))
    canonical(payload)
    collector = as_collector(collector_row or {})
    clean, problems = read_payload(payload)
    if collector.has_table_named(clean.get("table_id")):
        clean["table_id"] = collector.bare_table_id
    problems += [
        *_body(clean),
        *_etl_params(clean),
        *_fields(clean),
        *_collector(clean, collector_row or {}),
        *platform_problems(clean, facts or PlatformFacts()),
    ]
    if problems:
        raise InvalidCleanConfig(_refusal(*problems), problems=problems)
    if "fields" in clean:
        clean["fields"] = [] if clean["etl_config"] == TEXT else [dict(field) for _, field in _own(clean)]
    return clean


def _refusal(*problems: str) -> str:
    return (
        f"The ETL payload has {len(problems)} problem(s): {'; '.join(problems)}. No ticket was opened; "
        "a retry fails the same way until the payload is corrected."
    )


def _body(payload: Mapping[str, Any]) -> Iterator[str]:
    if payload.get("need_assessment") is True:
        yield "need_assessment asks the log platform for a ticket of its own; leave it out, this DAG is the gate"
    keys = ("platform_index_visibility", "platform_index_filter")
    if payload.get("is_platform_index") is True:
        yield from (f"{key} is missing (needed for is_platform_index)" for key in keys if payload.get(key) is None)
    visibility = _object(payload.get("platform_index_visibility"))
    for kind, key in (("multi_biz", "bk_biz_ids"), ("biz_attr", "bk_biz_labels")):
        if visibility.get("type") == kind and not visibility.get(key):
            yield f"platform_index_visibility.{key} is missing (needed for type {kind})"


def _etl_params(payload: Mapping[str, Any]) -> Iterator[str]:
    params, kind = _object(payload.get("etl_params")), payload.get("etl_config")
    if isinstance(params.get("ext_json_config"), Mapping) and (
        kind != JSON or params.get("retain_extra_json") is not True
    ):
        yield f"etl_params.ext_json_config needs etl_config {JSON} and etl_params.retain_extra_json true"
    if kind == DELIMITER and not params.get("separator"):
        yield f"etl_params.separator is missing: without one, {DELIMITER} takes no line apart"
    if kind == REGEXP and not params.get("separator_regexp"):
        yield f"etl_params.separator_regexp is missing: without one, {REGEXP} finds no field"
    # The platform compiles the path's expression itself, in Python; the cleaning, in Go, compiles the other.
    yield from _compile_problem(params, "path_regexp", re.compile)
    if kind == REGEXP:
        yield from _compile_problem(params, "separator_regexp", grok_pattern if _is_grok(params) else go_pattern)
    if kind == TEXT or params.get("retain_original_text") is not False:
        yield from _tokens_problem(
            params.get("original_text_tokenize_on_chars"), "etl_params.original_text_tokenize_on_chars"
        )


def _is_grok(params: Mapping[str, Any]) -> bool:
    return params.get("is_grok") is True


def _compile_problem(
    params: Mapping[str, Any], key: str, compiled: Callable[[str], re.Pattern[str]]
) -> Iterator[str]:
    text = params.get(key)
    if not isinstance(text, str):
        return
    try:
        compiled(text)
    except (re.error, OverflowError, RecursionError) as error:
        yield f"etl_params.{key} does not compile ({error}): {quoted(text)}"


def _tokens_problem(value: Any, place: str) -> Iterator[str]:
    """Check the escapes in it, such as backslash and t for a tab, which the platform reads."""
    if not isinstance(value, str):
        return
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            codecs.decode(value, "unicode_escape")
    except ValueError:
        yield f"{place} must hold whole escapes only (a backslash is written as two), not {quoted(value)}"


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _own(payload: Mapping[str, Any]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Yield the fields that become columns, with their positions: the log platform drops built-in ones."""
    fields = payload.get("fields")
    for index, field in enumerate(fields if isinstance(fields, list) else ()):
        if isinstance(field, Mapping) and field.get("is_built_in") is not True:
            yield index, field


def _is_live(field: Mapping[str, Any]) -> bool:
    return field.get("is_delete") is not True


def _fields(payload: Mapping[str, Any]) -> Iterator[str]:
    kind, fields = payload.get("etl_config"), payload.get("fields")
    for index, field in enumerate(fields if isinstance(fields, list) else ()):
        if isinstance(field, Mapping) and _is_live(field):
            yield from _named(field, f"fields[{index}].")
    for index, field in _own(payload):
        yield from _field(field, f"fields[{index}].")
        if kind in ETL_KINDS and kind != TEXT:
            yield from _column(field, f"fields[{index}].", payload)
    if kind not in ETL_KINDS or kind == TEXT or not isinstance(payload.get("fields", []), list):
        return
    if not any(_is_live(field) for _, field in _own(payload)):
        yield f"fields needs at least one field that is not deleted for etl_config {kind}"
    if sum(field.get("is_time") is True for _, field in _own(payload)) > 1:
        yield "fields may hold one is_time field only, deleted ones counted"


def _named(field: Mapping[str, Any], prefix: str) -> Iterator[str]:
    for key in ("field_name", "field_type"):
        if field.get(key) in (None, ""):
            yield f"{prefix}{key} is missing"


def _field(field: Mapping[str, Any], prefix: str) -> Iterator[str]:
    """Apply the rules for a field that hold for every kind of cleaning, even one that drops the fields."""
    if not _is_live(field):
        return
    key = "alias_name" if field.get("alias_name") else "field_name"
    if isinstance(field.get(key), str) and is_reserved(field[key]):
        yield f"{prefix}{key} {field[key]!r} is reserved by the log platform; give {_OTHER_NAME[key]}"
    if field.get("is_analyzed") is True and field.get("field_type") != "string":
        yield f"{prefix}is_analyzed is for strings only"
    if field.get("is_time") is True:
        yield from _time(field, prefix)


def _column(field: Mapping[str, Any], prefix: str, payload: Mapping[str, Any]) -> Iterator[str]:
    """Apply the rules for a field that depend on the kind of cleaning."""
    kind = payload["etl_config"]
    if kind == DELIMITER and field.get("field_index") is None:
        yield f"{prefix}field_index is missing (needed for {DELIMITER})"
    if kind == JSON and not _is_live(field) and field.get("field_name") is None:
        yield f"{prefix}field_name is missing: which field is to be left out?"
    if field.get("is_analyzed") is True:
        yield from _tokens_problem(field.get("tokenize_on_chars"), f"{prefix}tokenize_on_chars")
    if not _is_live(field):
        return
    field_type = field.get("field_type")
    if isinstance(field_type, str) and field_type and field_type not in _FIELD_TYPES:
        types = ", ".join(_FIELD_TYPES)
        yield f"{prefix}field_type must be one of {types}, not {quoted(field_type)}: that becomes a string"
    yield from _column_name(field, prefix, payload)


def _column_name(field: Mapping[str, Any], prefix: str, payload: Mapping[str, Any]) -> Iterator[str]:
    """Check the column's name: in JSON its alias, if it has one."""
    kind = payload["etl_config"]
    key = "alias_name" if kind == JSON and field.get("alias_name") else "field_name"
    name = field.get(key)
    if not isinstance(name, str) or not name:
        return
    if key == "field_name" and field.get("alias_name") and is_reserved(name):
        yield f"{prefix}field_name {name!r} is reserved by the log platform; an alias replaces it only in {JSON}"
    if not _NAME_START.match(name):
        yield f"{prefix}{key} must begin with a letter (a to z) or an underscore, not {quoted(name)}"
    if kind == REGEXP:
        yield from _group(name, prefix, _object(payload.get("etl_params")))


def _group(name: str, prefix: str, params: Mapping[str, Any]) -> Iterator[str]:
    """Refuse a field that no group of the regular expression fills; the groups of grok patterns are unknown."""
    text = params.get("separator_regexp")
    if not isinstance(text, str) or not text or _is_grok(params):
        return
    try:
        groups = go_pattern(text).groupindex
    except (re.error, OverflowError, RecursionError):
        return
    if name not in groups:
        names = ", ".join(groups) or "none"
        yield f"{prefix}field_name {name!r} is no group of etl_params.separator_regexp, which names {names}"


_TIME_RULES: Mapping[str, Callable[[Any], bool]] = {
    "time_zone": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "time_format": lambda value: isinstance(value, str) and value != "",
}
_TIME_WANTED = {
    "time_zone": "an integer such as 8; with anything else the platform can never show the collector again",
    "time_format": "a text that is not empty",
}


def _time(field: Mapping[str, Any], prefix: str) -> Iterator[str]:
    option = _object(field.get("option"))
    fitting: Sequence[str] = []
    for key, fits in _TIME_RULES.items():
        if key not in option:
            yield f"{prefix}option.{key} is missing (needed for is_time)"
        elif not fits(option[key]):
            yield f"{prefix}option.{key} must be {_TIME_WANTED[key]}, not {quoted(option[key])}"
        else:
            fitting = [*fitting, key]
    if "time_format" not in fitting:
        return
    time_format, field_type = option["time_format"], field.get("field_type")
    number = field_type in ("int", "long")
    if number != (time_format in EPOCHS):
        wanted = f"one of {', '.join(EPOCHS)}" if number else f"a format other than {', '.join(EPOCHS)}"
        yield f"{prefix}option.time_format must be {wanted} for a {field_type}, not {time_format!r}"


def _collector(payload: Mapping[str, Any], collector_row: Mapping[str, Any]) -> Iterator[str]:
    """Apply the rules that depend on the collector: it keeps its table, and has a supported ETL processor."""
    collector = as_collector(collector_row)
    existing, wanted = collector.bare_table_id, payload.get("table_id")
    if existing is not None and isinstance(wanted, str) and "." not in wanted and wanted != existing:
        yield (
            f"table_id must stay {existing!r}: another name makes a second table and leaves the collector "
            "pointing to the first"
        )
    processor = collector.get("etl_processor")
    if processor not in (None, "", "transfer"):
        yield f"etl_processor {processor!r} of the collector is not supported, only transfer is"
