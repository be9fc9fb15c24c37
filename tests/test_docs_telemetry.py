# SPDX-License-Identifier: Apache-2.0
"""The page on telemetry names each metric as it is; mapping, alerts and dashboard fit what StatsD really sends."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from airflow_provider_bkitsm import telemetry
from airflow_provider_bkitsm.callback.messages import Result

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGE = (DOCS / "telemetry.md").read_text()
MAPPING, ALERTS = "statsd-mapping.yml", "prometheus-alerts.yml"
MAPPINGS = yaml.safe_load((DOCS / "monitoring" / MAPPING).read_text())["mappings"]
RULES = yaml.safe_load((DOCS / "monitoring" / ALERTS).read_text())["groups"][0]["rules"]
DASHBOARD = json.loads((DOCS / "monitoring" / "grafana-dashboard.json").read_text())
KINDS = {"incr": "counter", "gauge": "gauge", "timing": "timer"}
STATSD_KINDS = {"incr": "c", "gauge": "g", "timing": "ms"}
# A summary, which the exporter makes of a timer, is two more series beside its quantiles.
SUMMARY = ("", "_count", "_sum")

EMIT = """
from datetime import UTC, datetime, timedelta
from airflow_provider_bkitsm import telemetry
from airflow_provider_bkitsm.itsm.models import Progress, TicketStatus
from airflow_provider_bkitsm.itsm.outcome import Outcome, Reason
from airflow_provider_bkitsm.itsm.verdict import Verdict
long_ago = (datetime.now(UTC) - timedelta(minutes=1)).isoformat()
verdict = Verdict(
    sn="REQ1", outcome=Outcome.APPROVED, reason_code=Reason.APPROVED, reason="", current_status="FINISHED",
    decided_at=long_ago,
)
telemetry.waiting("a.b c", 7, 60.0, 1)
telemetry.called_back("resumed")
telemetry.adopted("a.b c")
telemetry.withdrawn("a.b c", TicketStatus(current_status="REVOKED", progress=Progress.WITHDRAWN))
telemetry.decided(verdict, conn_id="a.b c", way="poll", called_back=True)
"""


@pytest.fixture(scope="module")
def packets() -> dict[str, str]:
    """What StatsD gets from Airflow's own client for each metric: the kind by its name."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(5)
        settings = {"STATSD_ON": "True", "STATSD_HOST": "127.0.0.1", "STATSD_PORT": str(server.getsockname()[1])}
        env = os.environ | {f"AIRFLOW__METRICS__{name}": value for name, value in settings.items()}
        subprocess.run([sys.executable, "-c", EMIT], env=env, check=True, capture_output=True, timeout=120)
        found: dict[str, str] = {}
        while sum("bkitsm" in name for name in found) < len(telemetry.METRICS):
            name, _, rest = server.recv(4096).decode().partition(":")
            found[name] = rest.split("|")[1]
    return {name: kind for name, kind in found.items() if "bkitsm" in name}


def mapped(name: str) -> list[dict[str, object]]:
    """Return the mappings that a name of StatsD fits."""
    return [one for one in MAPPINGS if re.fullmatch(re.escape(one["match"]).replace(r"\*", "[^.]+"), name)]


@pytest.mark.parametrize("metric", telemetry.METRICS, ids=lambda one: one.name)
def test_a_metric_is_in_the_table_with_kind_and_tags(metric):
    (row,) = re.findall(rf"^\| `{metric.name}` \| (\w+) \| ([^|]+) \| ", PAGE, re.MULTILINE)
    assert row[0] == KINDS[metric.kind]
    assert tuple(re.findall(r"`(\w+)`", re.sub(r"\(.*?\)", "", row[1]))) == metric.tags


@pytest.mark.parametrize("metric", telemetry.METRICS, ids=lambda one: one.name)
def test_what_statsd_gets_of_a_metric_becomes_one_series_with_its_tags_as_labels(metric, packets):
    (name,) = [one for one in packets if one.startswith(f"airflow.{metric.name}.")]
    assert packets[name] == STATSD_KINDS[metric.kind]
    assert [tuple(one["labels"]) for one in mapped(name)] == [metric.tags]


@pytest.mark.parametrize("file", [MAPPING, ALERTS])
def test_the_page_shows_the_files_as_they_are(file):
    assert f"```yaml\n{(DOCS / 'monitoring' / file).read_text()}```" in PAGE


def expressions() -> Iterator[str]:
    yield from (rule["expr"] for rule in RULES)
    yield from (target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"])
    yield from (one["query"]["query"] for one in DASHBOARD["templating"]["list"] if one["type"] == "query")


def test_alerts_and_dashboard_ask_for_series_and_labels_that_there_are():
    labels = {one["name"] + end: {*one["labels"], "quantile"} for one in MAPPINGS for end in SUMMARY}
    series = r"(bkitsm_\w+)(?:\{(.*?)\})?"
    asked = [found for one in expressions() for found in re.findall(series, one)]
    assert {name for name, _ in asked} >= {one["name"] for one in MAPPINGS} - {"bkitsm_decision_latency"}
    for name, matchers in asked:
        assert set(re.findall(r"(\w+)=", matchers)) <= labels[name], name
    for one in expressions():
        names = {found for found, _ in re.findall(series, one)}
        grouped = {label for group in re.findall(r"by \((.*?)\)", one) for label in group.split(", ")}
        assert grouped <= set.union(*(labels[name] for name in names)), one


def test_the_results_that_an_alert_names_are_results_of_a_callback():
    asked = " ".join(rule["expr"] for rule in RULES)
    (refused,) = re.findall(r'result=~"refused_\((.*?)\)"', asked)
    assert {f"refused_{one}" for one in refused.split("|")} <= set(Result)


def test_three_alerts_wake_a_person_up_and_each_says_where_to_read_what_to_do():
    waking = [rule for rule in RULES if rule["labels"]["severity"] == "page"]
    assert len(waking) == 3
    for rule in waking:
        page, _, anchor = rule["annotations"]["runbook"].partition("#")
        assert page == "docs/telemetry.md"
        headings = re.findall(r"^#+ (.+)$", PAGE, re.MULTILINE)
        (heading,) = [one for one in headings if one.lower().replace(" ", "-") == anchor]
        assert f"`{rule['alert']}`: " in PAGE.partition(f"# {heading}\n")[2].partition("\n#")[0]


def test_every_metric_is_on_the_dashboard():
    shown = " ".join(target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"])
    for one in MAPPINGS:
        assert one["name"] in shown
