# SPDX-License-Identifier: Apache-2.0
"""The page on telemetry names every metric as it is, and its Prometheus settings fit them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from airflow_provider_bkitsm import telemetry
from airflow_provider_bkitsm.callback.messages import Result

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "telemetry.md").read_text()
MAPPINGS, ALERTS = (yaml.safe_load(one) for one in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL))
KINDS = {"incr": "counter", "gauge": "gauge", "timing": "timer"}


@pytest.mark.parametrize("metric", telemetry.METRICS, ids=lambda one: one.name)
def test_a_metric_is_in_the_table_with_kind_and_tags(metric):
    (row,) = re.findall(rf"^\| `{metric.name}` \| (\w+) \| ([^|]+) \| ", PAGE, re.MULTILINE)
    assert row[0] == KINDS[metric.kind]
    assert tuple(re.findall(r"`(\w+)`", re.sub(r"\(.*?\)", "", row[1]))) == metric.tags


@pytest.mark.parametrize("metric", telemetry.METRICS, ids=lambda one: one.name)
def test_the_exporters_mapping_makes_labels_of_the_tags(metric):
    name, _ = telemetry.name_and_tags(metric, dict.fromkeys(metric.tags, "x"), tagged=False)
    fits = [
        one
        for one in MAPPINGS["mappings"]
        if re.fullmatch(re.escape(one["match"]).replace(r"\*", "[^.]+"), f"airflow.{name}")
    ]
    assert [tuple(one["labels"]) for one in fits] == [metric.tags]


def test_the_alerts_ask_for_what_the_mapping_makes():
    known = {one["name"] for one in MAPPINGS["mappings"]}
    asked = " ".join(rule["expr"] for rule in ALERTS["groups"][0]["rules"])
    assert set(re.findall(r"bkitsm_\w+", asked)) <= known
    (refused,) = re.findall(r'result=~"refused_\((.*?)\)"', asked)
    assert {f"refused_{one}" for one in refused.split("|")} <= set(Result)
