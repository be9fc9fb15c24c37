# SPDX-License-Identifier: Apache-2.0
"""What depends on the log platform as it is installed: refused where it is known, else a notice."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_bkitsm.collectors.platform_rules import (
    PlatformFacts,
    StorageCluster,
    notices,
    platform_problems,
)

BODY: dict[str, Any] = {
    "table_id": "app_runtime",
    "etl_config": "bk_log_json",
    "storage_cluster_id": 3,
    "retention": 7,
    "allocation_min_days": 0,
    "fields": [{"field_name": "level", "field_type": "string", "is_delete": False}],
}
FLATTENED = {"fields": [{"field_name": "x", "field_type": "flattened", "is_delete": False}]}
EXPANDED = {"etl_params": {"retain_extra_json": True, "ext_json_config": {"expand_depth": 2}}}
GROK = {"etl_config": "bk_log_regexp", "etl_params": {"is_grok": True, "separator_regexp": "%{WORD:a} %{X:b}"}}
COLD = {3: StorageCluster(number=3, has_hot_warm=False, version="7.2.1")}
WARM = {3: StorageCluster(number=3, has_hot_warm=True, version="7.10")}


def _texts(payload: dict[str, Any], facts: PlatformFacts | None = None, **present: Any) -> list[str]:
    found = notices(
        payload, present=present, facts=facts or PlatformFacts(clusters=WARM), known_keys=frozenset(BODY)
    )
    return [one.text for one in found]


@pytest.mark.parametrize(
    ("change", "facts", "problem"),
    [
        ({"storage_cluster_id": 9}, PlatformFacts(clusters=COLD), "storage_cluster_id 9 is no storage cluster"),
        ({"allocation_min_days": 3}, PlatformFacts(clusters=COLD), "allocation_min_days must be 0"),
        (FLATTENED, PlatformFacts(clusters=COLD), "fields of type flattened need Elasticsearch 7.3"),
        (EXPANDED, PlatformFacts(may_expand_json=False), "etl_params.ext_json_config needs the switch"),
        (GROK, PlatformFacts(grok_patterns=frozenset({"WORD"})), "etl_params.separator_regexp uses unknown grok"),
    ],
)
def test_what_the_platform_lacks_is_refused(change: dict[str, Any], facts: PlatformFacts, problem: str) -> None:
    (found,) = platform_problems(BODY | change, facts)
    assert found.startswith(problem)


@pytest.mark.parametrize("change", [{}, {"allocation_min_days": 3}, FLATTENED])
def test_what_it_has_is_taken(change: dict[str, Any]) -> None:
    facts = PlatformFacts(clusters=WARM, may_expand_json=True, grok_patterns=frozenset({"WORD", "X"}))
    payload = BODY | change
    assert list(platform_problems(payload, facts)) == _texts(payload, facts) == []
    assert list(platform_problems(payload | EXPANDED, facts)) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, "whether storage cluster 3 exists"),
        ({"allocation_min_days": 3}, "has the slower nodes"),
        (FLATTENED, "has Elasticsearch 7.3"),
        (EXPANDED, "ext_json_expand_depth"),
        (GROK, "grok patterns WORD, X"),
    ],
)
def test_what_nobody_tells_is_a_notice(change: dict[str, Any], said: str) -> None:
    assert any(said in text for text in _texts(BODY | change, PlatformFacts()))
    assert list(platform_problems(BODY | change, PlatformFacts())) == []


def test_what_the_collector_has_already_needs_no_check() -> None:
    present = {"storage_cluster_id": 3, "allocation_min_days": 2, "table_id": "app_runtime"}
    assert _texts(BODY | {"allocation_min_days": 3}, PlatformFacts(), **present) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"colour": "red"}, "drops them: colour"),
        ({"table_id": "日志"}, "is not as the platform names tables itself"),
        ({"retention": 3, "allocation_min_days": 3}, "allocation_min_days is not less than retention"),
        ({"fields": BODY["fields"] * 2}, "stored under the same name: level"),
    ],
)
def test_what_is_odd_but_taken_is_a_notice(change: dict[str, Any], said: str) -> None:
    (text,) = _texts(BODY | change)
    assert said in text


def test_a_table_that_is_there_may_be_called_anything() -> None:
    assert _texts(BODY | {"table_id": "日志"}, table_id="日志") == []
