"""The DAGs of this repository, as the DAG processor sees them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DAGS = sorted((ROOT / "dags").glob("*.py"))
# One task of each.
TASKS = {"bkitsm_collector_onboarding": "apply", "bkitsm_reconcile": "reconcile"}
# What must not be loaded while a DAG is parsed: clients, the store's database layer, the sandbox.
HEAVY = ("requests", "httpx", "sqlalchemy", "airflow_provider_bkitsm.sandbox", "fastapi")


def _parse(path: Path, after: str) -> str:
    """Import a DAG file in a process without any connection, with the network forbidden."""
    program = f"""
import socket, sys
import airflow.sdk
before = set(sys.modules)
def forbidden(*args, **kwargs):
    raise AssertionError("a connection was opened while the DAG was parsed")
socket.socket.connect = forbidden
import runpy
names = runpy.run_path({str(path)!r})
{after}
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("path", DAGS, ids=lambda path: path.stem)
def test_a_dag_is_parsed_without_connections_network_or_heavy_modules(path):
    loaded = _parse(path, f"print([one for one in {HEAVY!r} if one in set(sys.modules) - before])")
    assert loaded == "[]"


@pytest.mark.parametrize("path", DAGS, ids=lambda path: path.stem)
def test_a_dag_survives_airflows_serialisation(path):
    after = """
from airflow.sdk import DAG
from tests.serialising import serialised
dag = next(one for one in names.values() if isinstance(one, DAG))
print(sorted(serialised(dag).task_ids))
"""
    assert TASKS[path.stem] in _parse(path, after)


def test_reconciling_happens_every_five_minutes_one_run_at_a_time_and_only_when_switched_on():
    after = """
dag = names["dag"]
print(dag.schedule, dag.catchup, dag.max_active_runs, dag.is_paused_upon_creation, sep=", ")
"""
    assert _parse(ROOT / "dags" / "bkitsm_reconcile.py", after) == "0:05:00, False, 1, True"
