"""The README's examples are what it says: they parse, and Airflow takes them."""

from __future__ import annotations

import re
from pathlib import Path

from airflow.sdk import DAG

from tests.serialising import serialised

README = Path(__file__).resolve().parents[1] / "README.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)


def test_the_first_dag_is_short_and_whole():
    lines = [line for line in EXAMPLES[0].splitlines() if line.strip()]
    assert len(lines) <= 15
    names: dict = {}
    exec(EXAMPLES[0], names)
    dag = next(one.dag for one in names.values() if getattr(one, "task_id", None) == "apply")
    assert isinstance(dag, DAG)
    assert len(serialised(dag).tasks) == 4


def test_the_gate_for_any_service_can_be_built():
    names: dict = {}
    with DAG("any_service", schedule=None) as dag:
        exec("\n".join(EXAMPLES[:3]), names)
    assert {"approval", "ask", "approved"} <= set(dag.task_ids)


def test_every_file_named_exists():
    named = re.findall(r"\]\((?!http)([^)]+)\)", README.read_text())
    assert named
    assert all((README.parent / path).exists() for path in named)
