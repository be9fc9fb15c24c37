# SPDX-License-Identifier: Apache-2.0
"""The examples of the README, in both languages, are what it says: they parse, and Airflow takes them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from airflow.sdk import DAG

from tests.serialising import serialised

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = {
    name: re.findall(r"```python\n(.*?)```", (ROOT / name).read_text(), re.DOTALL)
    for name in ("README.md", "README.zh-CN.md")
}
each = pytest.mark.parametrize("examples", EXAMPLES.values(), ids=EXAMPLES)


@each
def test_the_first_dag_is_short_and_whole(examples):
    lines = [line for line in examples[0].splitlines() if line.strip()]
    assert len(lines) <= 15
    names: dict = {}
    exec(examples[0], names)
    dag = next(one.dag for one in names.values() if getattr(one, "task_id", None) == "apply")
    assert isinstance(dag, DAG)
    assert len(serialised(dag).tasks) == 4


@each
def test_the_gate_for_any_service_can_be_built(examples):
    names: dict = {}
    with DAG("any_service", schedule=None) as dag:
        exec("\n".join(examples), names)
    assert "approval" in dag.task_ids


def test_both_languages_say_the_same():
    english, chinese = ((ROOT / name).read_text() for name in EXAMPLES)
    for pattern in (r"^#+ ", r"^\| `[\w.]+`", r"^- \*\*P\d", r"^make ", r"```"):
        found = [len(re.findall(pattern, text, re.MULTILINE)) for text in (english, chinese)]
        assert found[0] == found[1] > 0, pattern
