# SPDX-License-Identifier: Apache-2.0
"""A clean config read back from the detail of the real log platform, compared with what was written."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from airflow_provider_bkitsm.collectors.clean_config import KNOWN_KEYS, validate_clean_config
from airflow_provider_bkitsm.collectors.current_config import differences, present_clean_config, unseen
from airflow_provider_bkitsm.collectors.errors import CollectorStorageUnknown, InvalidCleanConfig
from airflow_provider_bkitsm.collectors.platform_rules import PlatformFacts, notices
from tests.record import BKLOG


def detail(name: str) -> dict[str, Any]:
    """Return a recorded detail."""
    return deepcopy(BKLOG[f"get_collector__{name}"]["body"]["data"])


def written(name: str) -> dict[str, Any]:
    """Return a recorded clean config."""
    return deepcopy(BKLOG[f"clean_config__{name}"]["request"])


PAIRS = {
    "bk_log_text": "bk_log_text_created",
    "bk_log_delimiter": "bk_log_delimiter_created",
    "bk_log_regexp": "bk_log_regexp_same_again",
    "natively_applying_after_write": "natively_applying_without_need_assessment",
    "itsm_down_not_applying": "bk_log_json_created",
    "storage_change_list_cached": "storage_change_list_cached",
    "storage_change_metadata_3s_late_after_4s": "storage_change_accepted",
    "stopped": "bk_log_text_created",
    "metadata_back_after_storage_down": "bk_log_text_created",
    "table_id_upper_case_kept": "table_id_upper_case_kept",
}
"""Details, and what had been written before."""
NO_TABLE = {
    *("is_display_false", "metadata_refuses_creation", "natively_applying", "no_table", "params_null"),
    "params_chinese_paths_filters_null",
}
HICCUPS = {"metadata_storage_down", "metadata_result_table_down"}
REFUSED_KIND = "kind_change_metadata_refuses"
READABLE = [
    name.removeprefix("get_collector__")
    for name, answer in BKLOG.items()
    if name.startswith("get_collector__")
    and answer["body"]["result"]
    and name.removeprefix("get_collector__") not in {*NO_TABLE, *HICCUPS, REFUSED_KIND}
]
PARAMS: dict[str, Any] = {
    "retain_original_text": True,
    "original_text_is_case_sensitive": False,
    "original_text_tokenize_on_chars": "",
    "retain_extra_json": False,
    "enable_retain_content": True,
    "record_parse_failure": True,
}
FIELD: dict[str, Any] = {
    "field_name": None,
    "alias_name": None,
    "field_type": None,
    "description": None,
    "is_analyzed": False,
    "is_case_sensitive": False,
    "tokenize_on_chars": "",
    "is_time": False,
}
STORAGE = {"storage_replies": 1, "es_shards": 3}


def with_defaults(payload: dict[str, Any]) -> dict[str, Any]:
    """Return a payload with what the platform fills in for the keys that were left out."""
    kind = payload["etl_config"]
    params = PARAMS | payload.get("etl_params", {})
    if kind == "bk_log_text":
        params |= {
            key: PARAMS[key] for key in ("retain_extra_json", "enable_retain_content", "record_parse_failure")
        }
    fields = [FIELD | field for field in payload.get("fields", ())]
    fields = [field | {"field_type": None} if field["is_delete"] else field for field in fields]
    fields.sort(key=lambda field: (not field["is_delete"], field.get("field_index", 0)))
    return {**STORAGE, **payload, "etl_params": params, "fields": fields}


@pytest.mark.parametrize("name", PAIRS)
def test_what_is_read_back_is_what_was_written(name: str) -> None:
    present = present_clean_config(detail(name))
    assert with_defaults(present) == with_defaults(written(PAIRS[name]))


@pytest.mark.parametrize("name", READABLE)
def test_what_is_read_back_can_be_written_again_and_changes_nothing(name: str) -> None:
    shown = detail(name)
    present = present_clean_config(shown)
    assert validate_clean_config(present, collector_row=shown) == present
    assert differences(present, shown) == []


def test_aliases_are_kept() -> None:
    fields = present_clean_config(detail("aliases"))["fields"]
    names = [(field["field_name"], field.get("alias_name")) for field in fields]
    assert names == [("level", "severity"), ("日志", "log_text"), ("a.b", None), ("plain", None)]


def test_what_is_taken_from_the_files_path_is_kept_as_its_regular_expression() -> None:
    present = present_clean_config(detail("path_regexp_and_metadata_fields"))
    assert present["etl_params"]["path_regexp"] == r"/data/(?P<app>\w+)/"
    assert [field["field_name"] for field in present["fields"]] == ["level"]


def test_a_delimiter_keeps_its_path_too() -> None:
    shown = detail("bk_log_delimiter")
    path = detail("path_regexp_and_metadata_fields")
    shown["etl_params"]["separator_configs"] = path["etl_params"]["separator_configs"]
    shown["fields"].append(next(field for field in path["fields"] if field["field_name"] == "app"))
    present = present_clean_config(shown)
    assert present["etl_params"]["path_regexp"] == r"/data/(?P<app>\w+)/"
    assert [field.get("field_index") for field in present["fields"]] == [1, 2, 3]


def test_options_of_the_original_text_are_kept() -> None:
    options = present_clean_config(detail("original_text_options"))["etl_params"]
    assert options == {
        "retain_original_text": True,
        "retain_extra_json": True,
        "enable_retain_content": False,
        "record_parse_failure": False,
        "original_text_is_case_sensitive": True,
        "original_text_tokenize_on_chars": "-,/",
    }
    without = present_clean_config(detail("original_text_not_kept"))["etl_params"]
    assert (without["retain_original_text"], "original_text_tokenize_on_chars" in without) == (False, False)


@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("is_time_field", {"time_zone": 8, "time_format": "yyyy-MM-dd HH:mm:ss"}),
        ("is_time_field_epoch_millis", {"time_zone": 0, "time_format": "epoch_millis"}),
    ],
)
def test_the_time_field_is_shown_twice_and_written_once(name: str, option: dict[str, Any]) -> None:
    times = [field for field in present_clean_config(detail(name))["fields"] if field.get("is_time")]
    assert [(field["field_name"], field["option"]) for field in times] == [("ts", option)]


def test_a_column_for_undefined_json_fields_is_kept_where_no_option_shows_it() -> None:
    shown = detail("bk_log_regexp")
    assert present_clean_config(shown)["etl_params"]["retain_extra_json"] is False
    column = next(
        field for field in detail("original_text_options")["fields"] if field["alias_name"] == "__ext_json"
    )
    shown["fields"].append(column)
    assert present_clean_config(shown)["etl_params"]["retain_extra_json"] is True


def test_a_grok_pattern_is_still_one() -> None:
    shown = detail("bk_log_regexp")
    shown["etl_params"]["separator_regexp"] = "%{WORD:level}"
    assert present_clean_config(shown)["etl_params"]["is_grok"] is True


def test_an_option_of_somebodys_own_is_kept_and_what_is_computed_is_not() -> None:
    shown = detail("bk_log_regexp")
    shown["fields"][-1]["option"]["default_value"] = "x"
    assert present_clean_config(shown)["fields"][-1]["option"] == {"default_value": "x"}


@pytest.mark.parametrize("name", sorted(NO_TABLE))
def test_a_collector_without_etl_has_no_storage_to_change(name: str) -> None:
    with pytest.raises(InvalidCleanConfig, match="has no ETL yet"):
        present_clean_config(detail(name))


@pytest.mark.parametrize("name", sorted(HICCUPS))
def test_a_hiccup_of_metadata_is_no_clean_config_and_passes(name: str) -> None:
    """The detail then shows a table without options and with the platform's own columns only."""
    with pytest.raises(CollectorStorageUnknown, match="a retry asks again") as caught:
        present_clean_config(detail(name))
    assert caught.value.retry_safe


def test_a_refused_change_of_kind_is_noticed() -> None:
    shown = detail(REFUSED_KIND)
    with pytest.raises(InvalidCleanConfig, match="shown as bk_log_text, but the table is one of bk_log_json"):
        present_clean_config(shown)
    found = differences(written(REFUSED_KIND), shown)
    assert "etl_config is 'bk_log_json', not 'bk_log_text'" in found


def test_tokens_that_cannot_be_seen_are_not_lost_silently() -> None:
    shown = detail("itsm_down_not_applying")
    (analysed,) = [one for one in shown["fields"] if one["is_analyzed"] and not one["is_built_in"]]
    del analysed["tokenize_on_chars"], analysed["is_case_sensitive"]
    with pytest.raises(InvalidCleanConfig, match="the tokens of the analysed field 'msg' cannot be seen"):
        present_clean_config(shown)
    del analysed["option"]["es_analyzer"]
    (field,) = [one for one in present_clean_config(shown)["fields"] if one.get("is_analyzed")]
    assert (field["is_case_sensitive"], field["tokenize_on_chars"]) == (False, "")


def test_what_no_detail_shows_is_named() -> None:
    assert set(unseen(detail("bk_log_text"))) == {
        *("total_shards_per_node", "alias_settings", "es_shards", "storage_replies"),
    }
    assert "etl_params.ext_json_config" in unseen(detail("original_text_options"))
    assert "total_shards_per_node" not in unseen(detail("bk_log_text") | {"total_shards_per_node": 2})


# --- looking whether it is there


def test_a_change_that_metadata_refused_is_seen_although_the_platform_shows_the_new_number() -> None:
    shown = detail("storage_change_metadata_refuses")
    assert (shown["storage_shards_nums"], shown["storage_replies"]) == (4, 0)
    assert differences(written("storage_change_metadata_refuses"), shown) == ["retention is 7, not 30"]


def test_p3_shards_and_replicas_prove_nothing_and_are_not_compared() -> None:
    payload = written("storage_change_accepted") | {"es_shards": 99, "storage_replies": 9}
    assert differences(payload, detail("storage_change_list_cached")) == []


@pytest.mark.parametrize("name", PAIRS)
def test_what_was_written_is_there(name: str) -> None:
    assert differences(written(PAIRS[name]), detail(name)) == []


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ({"retention": 30}, "retention is 7, not 30"),
        ({"storage_cluster_id": 4}, "storage_cluster_id is 3, not 4"),
        ({"allocation_min_days": 2}, "allocation_min_days is 0, not 2"),
        ({"table_id": "other"}, "table_id is 'app_runtime', not 'other'"),
        ({"etl_params": {"retain_original_text": False}}, "etl_params.retain_original_text is True, not False"),
        ({"etl_params": {"path_regexp": "(?P<a>x)"}}, "etl_params.path_regexp is unknown, not '(?P<a>x)'"),
        ({"fields": []}, "field 'cost' is int, not missing"),
    ],
)
def test_what_differs_is_named_with_both_values(change: dict[str, Any], difference: str) -> None:
    payload = written("bk_log_json_created") | change
    assert difference in differences(payload, detail("itsm_down_not_applying"))


def test_columns_are_compared_by_name_and_type() -> None:
    payload = written("bk_log_json_created")
    payload["fields"][1]["is_analyzed"] = False
    payload["fields"][2]["field_type"] = "long"
    payload["fields"].append({"field_name": "more", "field_type": "string", "is_delete": False})
    assert differences(payload, detail("itsm_down_not_applying")) == [
        "field 'cost' is int, not long",
        "field 'more' is missing, not string",
        "field 'msg' is analysed string, not string",
    ]


@pytest.mark.parametrize("place", [1, 0, -1])
def test_a_field_of_a_delimiter_without_a_place_of_its_own_is_not_missed(place: int) -> None:
    """The platform takes it, and its detail never shows it: what was approved is there all the same."""
    payload = written("bk_log_delimiter_created")
    lost = {"field_name": "lost", "field_type": "string", "is_delete": False, "field_index": place}
    payload["fields"].insert(0, lost)
    assert differences(payload, detail("bk_log_delimiter")) == []
    (notice,) = [
        one
        for one in notices(payload, present={}, facts=PlatformFacts(), known_keys=KNOWN_KEYS)
        if "lost" in one.text
    ]
    assert "lost will stay empty" in notice.text


@pytest.mark.parametrize("name", sorted(HICCUPS))
def test_what_metadata_does_not_tell_is_not_taken_for_written(name: str) -> None:
    assert any("retention is unknown" in one for one in differences(written("bk_log_text_created"), detail(name)))
