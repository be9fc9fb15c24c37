# SPDX-License-Identifier: Apache-2.0
"""The payload's one spelling, and every rule of the log platform's clean-config endpoint."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_bkitsm.collectors.clean_config import (
    ETL_KINDS,
    KNOWN_KEYS,
    canonical,
    digest,
    validate_clean_config,
    verify,
)
from airflow_provider_bkitsm.collectors.collector import bare_table_id
from airflow_provider_bkitsm.collectors.errors import CollectItsmDigestMismatch, InvalidCleanConfig
from airflow_provider_bkitsm.collectors.platform_rules import PlatformFacts, StorageCluster, notices
from airflow_provider_bkitsm.collectors.rules import RESERVED_NAMES
from tests.record import CLEAN_CONFIG_VERDICTS
from tests.tables import table

BODY: dict[str, Any] = {
    "table_id": "app_runtime_log",
    "etl_config": "bk_log_json",
    "etl_params": {"retain_original_text": True, "retain_extra_json": False},
    "fields": [
        {"field_name": "level", "field_type": "string", "is_delete": False},
        {
            "field_name": "ts",
            "field_type": "string",
            "is_delete": False,
            "is_time": True,
            "option": {"time_zone": 8, "time_format": "yyyy-MM-dd HH:mm:ss"},
        },
    ],
    "storage_cluster_id": 3,
    "retention": 7,
    "allocation_min_days": 0,
    "storage_replies": 1,
    "es_shards": 3,
}
SMALLEST: dict[str, Any] = {
    "table_id": "app_runtime_log",
    "etl_config": "bk_log_text",
    "storage_cluster_id": 3,
    "retention": 7,
    "allocation_min_days": 0,
}
TIME = BODY["fields"][1]
NUMBERS = "epoch_millis, epoch_second, epoch_minute, epoch_micros"
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    # Lone surrogates are no text; they are refused, see below.
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
)
OBJECTS = st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), JSON)


def _problems(payload: Any, row: dict[str, Any] | None = None) -> list[str]:
    with pytest.raises(InvalidCleanConfig) as caught:
        validate_clean_config(payload, collector_row=row)
    problems = caught.value.problems
    assert f"has {len(problems)} problem(s): {'; '.join(problems)}. No ticket was opened" in str(caught.value)
    assert not caught.value.retry_safe
    return list(caught.value.problems)


def _field(**changed: Any) -> dict[str, Any]:
    return BODY | {"fields": [BODY["fields"][0] | changed]}


# --- spelling and digest


def test_canonical_is_sorted_tight_and_utf8() -> None:
    payload = {"b": [1, {"y": None, "x": 1.5}], "a": "采集"}
    assert canonical(payload) == '{"a":"采集","b":[1,{"x":1.5,"y":null}]}'.encode()


def test_digest_is_the_sha256_of_the_canonical_payload() -> None:
    assert digest({}) == "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"


@given(payload=OBJECTS)
@settings(max_examples=100, deadline=None)
def test_digest_does_not_depend_on_order_or_on_having_been_stored(payload: dict[str, Any]) -> None:
    """Read back, the spelling gives the payload: so two different payloads are never spelled alike."""
    reordered = dict(reversed(payload.items()))
    stored = json.loads(json.dumps(payload))
    assert digest(payload) == digest(reordered) == digest(stored)
    assert json.loads(canonical(payload)) == payload


@pytest.mark.parametrize(
    "value",
    [float("nan"), float("inf"), {1, 2}, b"x", (1, 2), {1: "x"}, object(), "\ud800"],
    ids=["nan", "inf", "set", "bytes", "tuple", "key", "object", "surrogate"],
)
def test_what_is_not_plain_json_is_refused(value: Any) -> None:
    with pytest.raises(InvalidCleanConfig, match="not plain JSON"):
        canonical({"x": value})


def test_verify_gives_the_approved_payload() -> None:
    assert verify(BODY, digest(BODY)) == BODY


@pytest.mark.parametrize(
    ("payload", "approved", "told"),
    [
        (None, "sha256:1", r"\(missing\) is not the approved one \(sha256:1\)"),
        ({}, None, r"\(sha256:44136f\w+\) is not the approved one \(unknown\)"),
    ],
)
def test_a_mismatch_tells_what_was_found_and_what_was_approved(payload: Any, approved: Any, told: str) -> None:
    with pytest.raises(CollectItsmDigestMismatch, match=told):
        verify(payload, approved)


@pytest.mark.parametrize(
    ("payload", "approved"),
    [(BODY | {"retention": 8}, digest(BODY)), (None, digest(BODY)), (None, None), (BODY, None), (BODY, "")],
)
def test_verify_refuses_anything_else_p3(payload: dict[str, Any] | None, approved: str | None) -> None:
    with pytest.raises(CollectItsmDigestMismatch, match="was not applied"):
        verify(payload, approved)


# --- rules


@pytest.mark.parametrize("payload", [BODY, SMALLEST], ids=["recommended", "smallest"])
@pytest.mark.parametrize("row", [None, {}, {"table_id": None, "etl_processor": "transfer"}])
def test_the_samples_pass_unchanged(payload: dict[str, Any], row: dict[str, Any] | None) -> None:
    assert validate_clean_config(payload, collector_row=row) == payload


def test_all_problems_are_named_at_once() -> None:
    payload = BODY | {"retention": 0, "es_shards": 0, "fields": [{"field_name": "log"}], "table_id": ""}
    keys = [problem.split()[0] for problem in _problems(payload)]
    assert keys == [
        *("table_id", "retention", "es_shards", "fields[0].is_delete", "fields[0].field_type"),
        "fields[0].field_name",
    ]


def test_rules_across_keys_read_clean_values_although_another_value_is_wrong(recwarn: Any) -> None:
    """One correction is enough, and no false alarm is raised beside a true one."""
    fields = [
        {"field_name": " level ", "field_type": " string", "is_delete": 0, "field_index": 1},
        {"field_name": "9", "is_delete": 1},
        {"field_name": "a", "field_type": "string", "field_index": 2},
        7,
    ]
    payload = BODY | {
        "etl_config": " bk_log_delimiter",
        "retention": "7",
        "fields": fields,
        "etl_params": {"separator": ""},
    }
    assert _problems(payload) == [
        "retention must be an integer, not '7'",
        "fields[2].is_delete is missing",
        "fields[3] must be an object, not 7",
        "etl_params.separator is missing: without one, bk_log_delimiter takes no line apart",
        "fields[1].field_index is missing (needed for bk_log_delimiter)",
    ]
    assert not recwarn.list


@given(key=st.sampled_from(sorted(KNOWN_KEYS)), value=JSON)
@settings(max_examples=200, deadline=None)
def test_any_value_is_refused_by_name_or_read_for_good(key: str, value: Any) -> None:
    """What was read once reads the same again, so the approver sees what will be sent."""
    problems: tuple[str, ...] = ()
    clean = BODY
    try:
        clean = validate_clean_config(BODY | {key: value}, collector_row=None)
    except InvalidCleanConfig as refused:
        problems = refused.problems or ("none",)
    assert validate_clean_config(clean, collector_row=None) == clean
    # A wrong value may concern the keys it goes with.
    assert all(problem.split(".")[0].split("[")[0].split()[0] in KNOWN_KEYS for problem in problems)


@pytest.mark.parametrize("payload", ["{}", [], None, 7])
def test_a_payload_is_an_object(payload: Any) -> None:
    with pytest.raises(InvalidCleanConfig, match=f"must be an object, not {type(payload).__name__}"):
        validate_clean_config(payload, collector_row=None)


def test_a_payload_that_would_not_come_back_from_the_store_is_refused() -> None:
    with pytest.raises(InvalidCleanConfig, match="not plain JSON"):
        validate_clean_config(BODY | {"unknown_to_us": float("nan")}, collector_row=None)


@pytest.mark.parametrize(
    "key", ["table_id", "etl_config", "storage_cluster_id", "retention", "allocation_min_days"]
)
def test_required_keys(key: str) -> None:
    assert f"{key} is missing" in _problems({name: BODY[name] for name in BODY if name != key})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *[("retention", bad) for bad in (0, -1, "7", 7.0, True, None)],
        *[("allocation_min_days", bad) for bad in (-1, "0", None)],
        *[("storage_cluster_id", bad) for bad in ("3", None, False)],
        *[("storage_replies", bad) for bad in (-1, "1")],
        *[("es_shards", bad) for bad in (0, "3")],
        *[("etl_config", "json"), ("etl_config", ""), ("etl_config", None), ("etl_config", {})],
        *[("table_id", bad) for bad in ("", " ", None, 5, "2_bklog.app_runtime_log")],
        ("view_roles", "x"),
        ("etl_params", []),
        ("fields", {}),
        ("total_shards_per_node", "1"),
        ("is_platform_index", "yes"),
        ("alias_settings", None),
        ("etl_params", {"is_grok": "no"}),
        ("etl_params", {"separator": True}),
        ("etl_params", {"path_regexp": "(?P<app"}),
        ("etl_params", {"path_regexp": "a\0b"}),
        ("etl_params", {"original_text_tokenize_on_chars": "-\\"}),
        ("etl_params", {"metadata_fields": {}}),
        ("etl_params", {"metadata_fields": [1]}),
        ("etl_params", {"metadata_fields": [{"field_name": "x", "metadata_type": "path"}]}),
        ("etl_params", {"metadata_fields": [{"field_name": "x", "value": None, "metadata_type": "host"}]}),
        ("etl_params", {"retain_extra_json": True, "ext_json_config": {"expand_depth": 4}}),
        ("etl_params", {"retain_extra_json": True, "ext_json_config": {"expand_depth": True}}),
        ("etl_params", {"ext_json_config": {"expand_depth": 1}}),
    ],
)
def test_types_and_ranges(key: str, value: Any) -> None:
    (problem,) = _problems(BODY | {key: value})
    assert problem.startswith(key)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *[("storage_replies", 0), ("total_shards_per_node", None), ("retention", 3650), ("unknown_to_us", 1)],
        *[
            ("etl_params", {"retain_extra_json": True, "ext_json_config": {"expand_depth": depth}})
            for depth in (1, 2, 3)
        ],
        ("etl_params", {"metadata_fields": [{"field_name": "x", "value": None, "metadata_type": "path"}]}),
        ("etl_params", {"separator": " ", "path_regexp": r"/(?P<app>\w+)/", "separator_regexp": None}),
        ("need_assessment", False),
        ("is_platform_index", None),
    ],
)
def test_what_the_platform_takes_passes(key: str, value: Any) -> None:
    assert validate_clean_config(BODY | {key: value}, collector_row=None)[key] == value


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("retention", 0, "retention must be at least 1, not 0"),
        ("retention", "7", "retention must be an integer, not '7'"),
        ("etl_config", "json", f"etl_config must be one of {', '.join(ETL_KINDS)}, not 'json'"),
        ("view_roles", "x", "view_roles must be a list, not 'x'"),
        ("is_platform_index", "yes", "is_platform_index must be true or false, not 'yes'"),
        (
            "etl_params",
            {"retain_extra_json": True, "ext_json_config": {"expand_depth": 4}},
            "etl_params.ext_json_config.expand_depth must be one of 1, 2, 3, not 4",
        ),
    ],
)
def test_a_problem_tells_what_is_taken_and_what_was_given(key: str, value: Any, problem: str) -> None:
    assert _problems(BODY | {key: value}) == [problem]


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_p3_a_depth_as_text_is_sent_as_the_number_the_platform_reads(depth: int) -> None:
    params = {"retain_extra_json": True, "ext_json_config": {"expand_depth": str(depth)}}
    clean = validate_clean_config(BODY | {"etl_params": params}, collector_row=None)
    assert clean["etl_params"]["ext_json_config"] == {"expand_depth": depth}


def test_a_long_value_is_quoted_by_its_beginning() -> None:
    (problem,) = _problems(BODY | {"view_roles": "x" * 1000})
    assert problem == f"view_roles must be a list, not '{'x' * 119}..."


@pytest.mark.parametrize(
    ("key", "value"),
    [("need_assessment", True), ("need_assessment", None), ("assessment_config", {"approvals": 1})],
)
def test_the_platforms_own_gate_is_refused_and_not_dropped(key: str, value: Any) -> None:
    assert all(problem.startswith(key) for problem in _problems(BODY | {key: value}))


def test_a_platform_index_needs_its_three_keys() -> None:
    filters = {"field": "f", "value_ref": "space_id"}
    problems = _problems(BODY | {"is_platform_index": True, "platform_index_filter": filters})
    assert problems == ["platform_index_visibility is missing (needed for is_platform_index)"]


@pytest.mark.parametrize(
    ("visibility", "problem"),
    [
        ({"type": "all"}, "platform_index_visibility.type must be one of multi_biz, biz_attr, not 'all'"),
        ({"type": "multi_biz"}, "platform_index_visibility.bk_biz_ids is missing (needed for type multi_biz)"),
        (
            {"type": "biz_attr", "bk_biz_labels": {}},
            "platform_index_visibility.bk_biz_labels is missing (needed",
        ),
    ],
)
def test_whom_a_platform_index_is_shown_to_is_checked_even_without_its_flag(visibility: Any, problem: str) -> None:
    (found,) = _problems(BODY | {"platform_index_visibility": visibility})
    assert found.startswith(problem)


# --- fields


PARAMS = {"separator": "|", "separator_regexp": r"(?P<level>\w+)"}


@pytest.mark.parametrize("kind", ["bk_log_json", "bk_log_delimiter", "bk_log_regexp"])
@pytest.mark.parametrize(
    "fields",
    [
        [],
        [{"is_delete": True, "field_name": "x", "field_index": 1}],
        [BODY["fields"][0] | {"is_built_in": True, "field_index": 1}],
    ],
)
def test_every_kind_but_text_needs_a_live_field(kind: str, fields: Any) -> None:
    (problem,) = _problems(BODY | {"etl_config": kind, "fields": fields, "etl_params": PARAMS})
    assert problem.startswith("fields needs at least one field")


@pytest.mark.parametrize("kind", ETL_KINDS)
def test_fields_may_be_absent_but_never_null(kind: str) -> None:
    body = SMALLEST | {"etl_config": kind, "etl_params": PARAMS, "fields": None}
    assert _problems(body) == ["fields must be a list, not None"]


def test_text_has_no_fields_as_in_the_platform() -> None:
    payload = SMALLEST | {"fields": BODY["fields"]}
    assert validate_clean_config(payload, collector_row=None) == SMALLEST | {"fields": []}


@pytest.mark.parametrize(
    ("field", "problem"),
    [
        ({"field_name": "x"}, "fields[0].is_delete is missing"),
        (
            {"field_name": "time", "field_type": "string", "is_delete": False},
            "fields[0].field_name 'time' is reserved",
        ),
    ],
)
def test_even_fields_that_are_dropped_have_to_be_fields(field: dict[str, Any], problem: str) -> None:
    assert _problems(SMALLEST | {"fields": [field]})[0].startswith(problem)


@pytest.mark.parametrize("pattern", [r"/(?<app>\w+)/", r"/\p{L}+/", "/(?P<app>.*"])
def test_the_expression_for_the_path_is_python_s_as_the_platform_itself_compiles_it(pattern: str) -> None:
    """Not so ``separator_regexp``: the platform hands that on to a cleaning that is written in Go."""
    (problem,) = _problems(BODY | {"etl_params": {"path_regexp": pattern}})
    assert problem.startswith("etl_params.path_regexp does not compile")


def test_tokens_of_an_original_text_that_is_not_kept_are_not_read() -> None:
    params = {"retain_original_text": False, "original_text_tokenize_on_chars": "-\\"}
    validate_clean_config(BODY | {"etl_params": params}, collector_row=None)
    (problem,) = _problems(SMALLEST | {"etl_params": params})
    assert problem.startswith("etl_params.original_text_tokenize_on_chars")


def test_built_in_fields_are_left_out_as_in_the_platform() -> None:
    built_in = {"field_name": "path", "field_type": "string", "is_built_in": True, "is_delete": False}
    payload = BODY | {"fields": [built_in, *BODY["fields"]]}
    assert validate_clean_config(payload, collector_row=None) == BODY
    assert payload["fields"][0] is built_in


@pytest.mark.parametrize(
    ("changed", "key"),
    [
        ({"is_delete": None}, "is_delete"),
        ({"is_delete": "false"}, "is_delete"),
        ({"field_name": ""}, "field_name"),
        ({"field_name": 1}, "field_name"),
        ({"field_type": "text"}, "field_type"),
        ({"field_index": "1"}, "field_index"),
        ({"is_analyzed": True, "field_type": "int"}, "is_analyzed"),
        ({"is_dimension": 2}, "is_dimension"),
        ({"is_dimension": "true"}, "is_dimension"),
        ({"field_type": "boolean"}, "field_type"),
        ({"field_name": "1level"}, "field_name"),
        ({"field_name": "级别"}, "field_name"),
        ({"field_name": "@level"}, "field_name"),
        ({"alias_name": "级别"}, "alias_name"),
        ({"is_analyzed": True, "tokenize_on_chars": "\\x1"}, "tokenize_on_chars"),
        ({"option": []}, "option"),
        ({"alias_name": "Select"}, "alias_name"),
        *(({"field_name": name}, "field_name") for name in ("log", "LOG", "serverip", "serverIp", "__ext")),
    ],
)
def test_field_rules(changed: dict[str, Any], key: str) -> None:
    (problem,) = _problems(_field(**changed))
    assert problem.startswith(f"fields[0].{key} ")


def test_strings_may_be_analyzed() -> None:
    validate_clean_config(_field(is_analyzed=True), collector_row=None)


@pytest.mark.parametrize("name", ["level", "user", "ts", "logs", "__extra"])
def test_names_that_are_not_reserved(name: str) -> None:
    assert name not in RESERVED_NAMES
    validate_clean_config(_field(field_name=name), collector_row=None)


@pytest.mark.parametrize("missing", ["is_delete", "field_name", "field_type"])
def test_a_live_field_needs(missing: str) -> None:
    field = {key: value for key, value in BODY["fields"][0].items() if key != missing}
    assert _problems(BODY | {"fields": [field]}) == [f"fields[0].{missing} is missing"]


def test_a_deleted_field_needs_nothing_more() -> None:
    payload = BODY | {"fields": [{"is_delete": True, "field_name": "log"}, BODY["fields"][0]]}
    assert validate_clean_config(payload, collector_row=None) == payload


@pytest.mark.parametrize("field", [{"is_delete": True}, {"is_delete": True, "field_name": None}])
def test_in_json_a_deleted_field_needs_the_name_of_what_is_left_out(field: dict[str, Any]) -> None:
    (problem,) = _problems(BODY | {"fields": [BODY["fields"][0], field]})
    assert problem.startswith("fields[1].field_name is missing")


def test_a_field_is_an_object() -> None:
    assert _problems(BODY | {"fields": ["level", BODY["fields"][0]]}) == [
        "fields[0] must be an object, not 'level'"
    ]


def test_delimiter_needs_an_index_for_every_field_deleted_ones_too() -> None:
    fields = [{"is_delete": True}, BODY["fields"][0] | {"field_index": 2}]
    problems = _problems(BODY | {"etl_config": "bk_log_delimiter", "fields": fields, "etl_params": PARAMS})
    assert problems == ["fields[0].field_index is missing (needed for bk_log_delimiter)"]


def test_one_time_field_only() -> None:
    for second in ({"field_name": "ts2"}, {"field_name": "ts2", "is_delete": True}):
        problems = _problems(BODY | {"fields": [TIME, TIME | second]})
        assert problems == ["fields may hold one is_time field only, deleted ones counted"]
    built_in = TIME | {"field_name": "ts2", "is_built_in": True}
    validate_clean_config(BODY | {"fields": [TIME, built_in]}, collector_row=None)


@pytest.mark.parametrize(
    ("kind", "option", "keys"),
    [
        ("string", None, ["time_zone", "time_format"]),
        ("string", {}, ["time_zone", "time_format"]),
        ("string", {"time_format": "yyyy"}, ["time_zone"]),
        ("string", {"time_zone": 0}, ["time_format"]),
        ("string", {"time_zone": 8, "time_format": ""}, ["time_format"]),
        ("long", {"time_zone": 8, "time_format": ""}, ["time_format"]),
        ("string", {"time_zone": "", "time_format": "yyyy"}, ["time_zone"]),
        ("string", {"time_zone": "Asia/Shanghai", "time_format": "yyyy"}, ["time_zone"]),
        ("string", {"time_zone": None, "time_format": "yyyy"}, ["time_zone"]),
        ("string", {"time_zone": 5.5, "time_format": "yyyy"}, ["time_zone"]),
        ("string", {"time_zone": True, "time_format": "yyyy"}, ["time_zone"]),
        ("long", {"time_zone": 8, "time_format": "epoch_nanos"}, ["time_format"]),
        ("string", {"time_zone": 8, "time_format": 5}, ["time_format"]),
        ("string", {"time_zone": 8, "time_format": "epoch_millis"}, ["time_format"]),
        ("double", {"time_zone": 8, "time_format": "epoch_millis"}, ["time_format"]),
        ("int", {"time_zone": 8, "time_format": "yyyy"}, ["time_format"]),
        ("long", {"time_zone": 8, "time_format": "yyyy"}, ["time_format"]),
    ],
)
def test_time_rules(kind: str, option: dict[str, Any] | None, keys: list[str]) -> None:
    field = TIME | {"field_type": kind, "option": option}
    if option is None:
        del field["option"]
    problems = _problems(BODY | {"fields": [field]})
    assert [problem.split()[0] for problem in problems] == [f"fields[0].option.{key}" for key in keys]


@pytest.mark.parametrize(
    ("kind", "form", "told"),
    [
        ("string", "epoch_millis", f"must be a format other than {NUMBERS} for a string, not 'epoch_millis'"),
        ("string", 5, "must be a text that is not empty, not 5"),
        ("long", "yyyy", f"must be one of {NUMBERS} for a long, not 'yyyy'"),
        ("int", 5, "must be a text that is not empty, not 5"),
    ],
)
def test_a_time_format_is_told_what_would_fit(kind: str, form: Any, told: str) -> None:
    field = TIME | {"field_type": kind, "option": {"time_zone": 0, "time_format": form}}
    assert _problems(BODY | {"fields": [field]}) == [f"fields[0].option.time_format {told}"]


@pytest.mark.parametrize(
    ("kind", "form"),
    [
        *(("long", "epoch_millis"), ("int", "epoch_second"), ("long", "epoch_micros"), ("int", "epoch_minute")),
        *(("string", "yyyy-MM-dd"), ("string", "epoch_nanos")),
    ],
)
def test_times_that_pass(kind: str, form: str) -> None:
    field = TIME | {"field_type": kind, "option": {"time_zone": 0, "time_format": form}}
    validate_clean_config(BODY | {"fields": [field]}, collector_row=None)


# --- the collector


@pytest.mark.parametrize(
    ("full", "bare"),
    [
        ("2_bklog.app_runtime_log", "app_runtime_log"),
        ("space_7_bklog.app_runtime_log", "app_runtime_log"),
        ("app_runtime_log", "app_runtime_log"),
        (None, None),
        ("", None),
    ],
)
def test_the_existing_table_is_kept(full: str | None, bare: str | None) -> None:
    row = {"table_id": full}
    assert bare_table_id(row) == bare
    validate_clean_config(BODY, collector_row=row)
    if bare is None:
        validate_clean_config(BODY | {"table_id": "another"}, collector_row=row)
    else:
        (problem,) = _problems(BODY | {"table_id": "another"}, row)
        assert problem.startswith("table_id must stay 'app_runtime_log'")


@pytest.mark.parametrize("name", ["2_bklog.x", "a.2_bklog.x", "{ge}{}.x"])
def test_a_prefixed_name_is_told_its_bare_form(name: str) -> None:
    (problem,) = _problems(BODY | {"table_id": name}, {"table_id": name})
    assert problem.startswith(f"table_id must be the bare name 'x', not '{name}': with a dot in it")


@pytest.mark.parametrize("processor", [None, "", "transfer"])
def test_the_platforms_own_processor_is_taken(processor: str | None) -> None:
    validate_clean_config(BODY, collector_row={"etl_processor": processor})


def test_collectors_of_the_data_platform_are_refused() -> None:
    (problem,) = _problems(BODY, {"etl_processor": "bkbase"})
    assert problem.startswith("etl_processor 'bkbase'")


# --- regular expressions


@pytest.mark.parametrize(
    ("params", "problem"),
    [
        (None, "etl_params.separator_regexp is missing"),
        ({"separator_regexp": ""}, "etl_params.separator_regexp is missing"),
        ({"separator_regexp": "(?P<level"}, "etl_params.separator_regexp does not compile"),
        ({"separator_regexp": r"(?P<other>\w+) (?P<msg>.*)"}, "fields[0].field_name 'level' is no group of"),
    ],
)
def test_a_regular_expression_has_to_find_the_fields(params: Any, problem: str) -> None:
    body = SMALLEST | {"etl_config": "bk_log_regexp", "fields": BODY["fields"][:1]}
    (found,) = _problems(body | ({"etl_params": params} if params is not None else {}))
    assert found.startswith(problem)


@pytest.mark.parametrize(
    "pattern",
    [
        r"(?P<level>\w+)",
        r"(?P<level>\p{Han}+)\z",
        r"(?<level>\pL+) .*",
        r"^\[(?P<level>[^\]]+)\] (?P<rest>.*)$",
    ],
)
def test_what_go_calls_a_regular_expression_passes(pattern: str) -> None:
    body = SMALLEST | {"etl_config": "bk_log_regexp", "fields": BODY["fields"][:1]}
    validate_clean_config(body | {"etl_params": {"separator_regexp": pattern}}, collector_row=None)


def test_what_a_grok_pattern_finds_is_not_judged() -> None:
    grok = {"separator_regexp": "%{COMBINEDAPACHELOG}", "is_grok": True}
    body = SMALLEST | {"etl_config": "bk_log_regexp", "fields": BODY["fields"][:1], "etl_params": grok}
    validate_clean_config(body, collector_row=None)


@pytest.mark.parametrize("params", [None, {}, {"separator": None}, {"separator": ""}])
def test_a_delimiter_takes_lines_apart(params: Any) -> None:
    fields = [BODY["fields"][0] | {"field_index": 1}]
    body = SMALLEST | {"etl_config": "bk_log_delimiter", "fields": fields}
    (problem,) = _problems(body | ({"etl_params": params} if params is not None else {}))
    assert problem.startswith("etl_params.separator is missing")


# --- what the platform makes of what it takes


def test_p3_the_approver_is_shown_what_the_platform_will_read() -> None:
    field = {
        "field_name": " level ",
        "field_type": "string ",
        "is_delete": 0,
        "alias_name": " lvl",
        "description": 5,
    }
    body = BODY | {"table_id": " App_Runtime ", "etl_config": " bk_log_json", "fields": [field]}
    body |= {"etl_params": {"separator": " ", "path_regexp": " x ", "retain_original_text": 1}}
    clean = validate_clean_config(body, collector_row=None)
    assert (clean["table_id"], clean["etl_config"]) == ("app_runtime", "bk_log_json")
    expected = {
        "field_name": "level",
        "field_type": "string",
        "is_delete": False,
        "alias_name": "lvl",
        "description": "5",
    }
    assert clean["fields"] == [expected]
    assert clean["fields"][0]["is_delete"] is False
    assert clean["etl_params"] == {"separator": " ", "path_regexp": "x", "retain_original_text": True}
    assert validate_clean_config(clean, collector_row=None) == clean


@pytest.mark.parametrize(("existing", "sent"), [("app_runtime", "app_runtime"), ("App_Runtime", "App_Runtime")])
def test_the_table_keeps_the_spelling_it_has(existing: str, sent: str) -> None:
    """Some versions of metadata keep upper case: lower case would then make a second table."""
    row = {"table_id": existing, "table_id_prefix": "2_bklog_"}
    assert validate_clean_config(BODY | {"table_id": " APP_Runtime"}, collector_row=row)["table_id"] == sent


def test_in_json_a_reserved_name_is_free_under_an_alias() -> None:
    field = BODY["fields"][0] | {"field_name": "time", "alias_name": "event_time"}
    validate_clean_config(BODY | {"fields": [field]}, collector_row=None)
    regexp = {"etl_config": "bk_log_regexp", "etl_params": {"separator_regexp": r"(?P<time>\S+)"}}
    (problem,) = _problems(BODY | regexp | {"fields": [field]})
    assert problem.startswith("fields[0].field_name 'time' is reserved by the log platform; an alias")


def test_the_172_reserved_names_are_refused_in_any_case() -> None:
    assert len(RESERVED_NAMES) == 172
    for name in RESERVED_NAMES:
        (problem,) = _problems(_field(field_name=name.upper()))
        assert "is reserved by the log platform; give another name, or in bk_log_json an alias_name" in problem


# --- every recorded verdict, both ways

CLUSTERS = {
    3: StorageCluster(number=3, has_hot_warm=False, version="7.10.1"),
    4: StorageCluster(number=4, has_hot_warm=True, version="7.10.1"),
    5: StorageCluster(number=5, has_hot_warm=False, version="6.8.0"),
    6: StorageCluster(number=6, has_hot_warm=False),
}
RECORDED_PLATFORM = PlatformFacts(
    clusters=CLUSTERS, may_expand_json=False, grok_patterns=frozenset({"WORD", "NUMBER", "GREEDYDATA"})
)
SLIP = "a number as text, or with a fraction: a slip that would be sent on"
FLAG = "a flag as text: a slip that would be sent on"
STRINGS = "an unknown type is stored as a string"
TIMELESS = "no time can be read with an empty format"
HIDDEN = "the collector's detail fails for ever: an integer is needed"
NO_LINE = "without a separator no line is taken apart"
NO_FIELD = "the field stays empty for ever"
AGREED = {
    "delimiter without separator": NO_LINE,
    "delimiter separator null": NO_LINE,
    "delimiter separator empty": NO_LINE,
    "regexp without etl_params": NO_FIELD,
    "regexp null": NO_FIELD,
    "regexp that does not compile": NO_FIELD,
    "regexp field not in regexp": NO_FIELD,
    "json type 'boolean'": STRINGS,
    "json type 'text'": STRINGS,
    "json type 'keyword'": STRINGS,
    "json type 'date'": STRINGS,
    "json type 'INT'": STRINGS,
    "json is_delete text": FLAG,
    "json is_built_in text": FLAG,
    "params retain_original_text text": FLAG,
    "time format empty": TIMELESS,
    "time format null": TIMELESS,
    "time zone name": HIDDEN,
    "time zone null": HIDDEN,
    "time zone empty": HIDDEN,
    "time zone half": HIDDEN,
    "storage_cluster_id text": SLIP,
    "storage_cluster_id whole float": SLIP,
    "retention text": SLIP,
    "retention whole float": SLIP,
    "allocation_min_days text": SLIP,
    "allocation_min_days whole float": SLIP,
    "storage_replies text": SLIP,
    "storage_replies whole float": SLIP,
    "es_shards whole float": SLIP,
    "retention -1": "logs are deleted at once",
    "retention 0": "logs are deleted at once",
    "allocation -1 on hot-warm cluster": "no day on which logs could move",
    "table_id '2_bklog.app_runtime' (19)": "the list of the whole business fails from then on",
    "table_id number": SLIP,
    "assessment full, platform switch off": "the platform may open a ticket of its own beside ours",
}
"""Payloads the platform takes and we refuse, each with the harm that taking it does."""


@table("verdict", CLEAN_CONFIG_VERDICTS, ids=lambda verdict: verdict["name"])
def test_the_verdict_is_the_platforms(verdict: dict[str, Any]) -> None:
    try:
        clean = validate_clean_config(verdict["payload"], collector_row=None, facts=RECORDED_PLATFORM)
    except InvalidCleanConfig:
        assert not verdict["accepted"] or verdict["name"] in AGREED
        return
    assert verdict["accepted"]
    assert verdict["name"] not in AGREED
    _agrees(clean, verdict["normalized"])


def _agrees(sent: Any, read: Any) -> None:
    """What we send is spelled as the platform reads it; what it adds or works out itself is its own."""
    if isinstance(sent, dict):
        for key in sent.keys() & read.keys() - {"is_dimension"}:
            _agrees(sent[key], read[key])
    elif isinstance(sent, list):
        assert len(sent) == len(read)
        for ours, theirs in zip(sent, read, strict=True):
            _agrees(ours, theirs)
    else:
        assert (sent, type(sent)) == (read, type(read))


def test_every_agreed_exception_is_a_recorded_one() -> None:
    assert AGREED.keys() <= {verdict["name"] for verdict in CLEAN_CONFIG_VERDICTS if verdict["accepted"]}


NEEDS_FACTS = {
    *("storage_cluster_id unknown", "allocation without hot-warm", "json flattened on old cluster"),
    *("ext empty with extra", "ext depth text", "regexp grok unknown pattern"),
}


@pytest.mark.parametrize("name", sorted(NEEDS_FACTS))
def test_what_depends_on_the_platform_is_a_notice_where_it_does_not_tell(name: str) -> None:
    (payload,) = (verdict["payload"] for verdict in CLEAN_CONFIG_VERDICTS if verdict["name"] == name)
    clean = validate_clean_config(payload, collector_row=None)
    found = notices(clean, present={}, facts=PlatformFacts(), known_keys=KNOWN_KEYS)
    assert any(one.text.startswith("not checked") and one.chinese.startswith("未核对") for one in found)


def test_nothing_else_depends_on_it() -> None:
    for verdict in CLEAN_CONFIG_VERDICTS:
        if verdict["name"] not in NEEDS_FACTS:
            known, unknown = (_verdict(verdict["payload"], facts) for facts in (RECORDED_PLATFORM, None))
            assert known == unknown, verdict["name"]


def _verdict(payload: Any, facts: PlatformFacts | None) -> bool:
    try:
        validate_clean_config(payload, collector_row=None, facts=facts)
    except InvalidCleanConfig:
        return False
    return True
