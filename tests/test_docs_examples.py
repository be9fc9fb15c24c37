"""The DAGs that the documentation shows: Airflow takes them, and the hooks' calls are there."""

from __future__ import annotations

import asyncio
import json
import subprocess
from importlib import import_module
from pathlib import Path

import pytest
from airflow.sdk import DAG

from airflow_provider_bkitsm.hooks.itsm import ItsmHook
from airflow_provider_bkitsm.sandbox.settings import BKLOG_ROOT, DEFAULT_PORT, ITSM_ROOT, Settings
from tests.docs_examples import hooks
from tests.serialising import serialised

FOLDER = Path(__file__).parent / "docs_examples"
NAMES = sorted(path.stem for path in FOLDER.glob("[!_]*.py"))
FORM = {"title": "t", "APPROVER": "alice", "APPROVAL_CONTENT": "c"}
TASKS = {
    "branching": {"ask", "resize", "keep"},
    "collector": {"apply", "wait", "provision", "complete"},
    "decorator": {"approve"},
    "first_approval": {"approval", "restart"},
    "own_service": {"approval"},
    "shared_approval": {"approve"},
    "two_tasks": {"ask", "approved", "withdraw"},
}


def test_every_example_is_known():
    assert set(NAMES) == {*TASKS, "hooks"}


@pytest.mark.parametrize("name", TASKS)
def test_an_example_survives_airflows_serialisation(name):
    dag = import_module(f"tests.docs_examples.{name}").dag
    assert isinstance(dag, DAG)
    assert set(serialised(dag).task_ids) == TASKS[name]


def test_the_hooks_examples_answer(connections):
    sn = ItsmHook().create_ticket(creator="robot", fields=FORM, fast_approval=True).sn
    assert hooks.open_tickets.function("robot") == [sn]
    assert asyncio.run(hooks.statuses([sn])) == {sn: "RUNNING"}
    assert 1001 in hooks.collectors.function(2)


def test_the_quick_starts_settings_lead_to_the_sandbox_as_it_starts_by_itself():
    script = f'. "{FOLDER / "settings.sh"}"; env'
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    for name, root in (("BKITSM", ITSM_ROOT), ("BKLOG", BKLOG_ROOT)):
        text = done.stdout.split(f"AIRFLOW_CONN_{name}_DEFAULT=")[1].split("}")[0] + "}"
        assert json.loads(text) == {
            "conn_type": name.lower(),
            "host": f"http://127.0.0.1:{DEFAULT_PORT}{root}",
            "login": Settings.app_code,
            "password": Settings.app_secret,
        }
