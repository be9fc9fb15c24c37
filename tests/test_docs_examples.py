"""The DAGs that the documentation shows: Airflow takes them, and the hooks' calls are there."""

from __future__ import annotations

import asyncio
from importlib import import_module
from pathlib import Path

import pytest
from airflow.sdk import DAG
from airflow.serialization.serialized_objects import DagSerialization

from airflow_provider_bkitsm.hooks.itsm import ItsmHook
from tests.docs_examples import hooks

FOLDER = Path(__file__).parent / "docs_examples"
NAMES = sorted(path.stem for path in FOLDER.glob("[!_]*.py"))
FORM = {"title": "t", "APPROVER": "alice", "APPROVAL_CONTENT": "c"}
TASKS = {
    "branching": {"ask", "resize", "keep"},
    "collector": {"apply", "wait", "provision", "complete"},
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
    assert set(DagSerialization.from_dict(DagSerialization.to_dict(dag)).task_ids) == TASKS[name]


def test_the_hooks_examples_answer(bkitsm_connections):
    sn = ItsmHook().create_ticket(creator="robot", fields=FORM, fast_approval=True).sn
    assert hooks.open_tickets.function("robot") == [sn]
    assert asyncio.run(hooks.statuses([sn])) == {sn: "RUNNING"}
    assert 1001 in hooks.collectors.function(2)
