# SPDX-License-Identifier: Apache-2.0
"""The DAGs of this repository, as the DAG processor sees them."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred

from airflow_provider_bkitsm.operators.ticket import ItsmApprovalOperator
from airflow_provider_bkitsm.tickets.approval_store import open_approval_store
from tests.tickets.records import record_round

ROOT = Path(__file__).resolve().parents[1]
DAGS = sorted(path.stem for path in (ROOT / "dags").glob("*.py"))
# The tasks of each, and what stands directly behind them.
COLLECTOR = {"apply": ["wait"], "wait": ["provision_etl"], "provision_etl": ["complete"], "complete": []}
EDGES = {
    "bkitsm_collector_onboarding": COLLECTOR,
    "bkitsm_external_permission": {
        "check": ["ask", "grant", "inform"],
        "ask": ["grant", "inform"],
        "grant": [],
        "inform": [],
    },
    "bkitsm_many_collectors": {
        "prepare": ["collector.approve", "collector.provision_etl"],
        "collector.approve": ["collector.provision_etl"],
        "collector.provision_etl": [],
    },
    "bkitsm_reconcile": {"reconcile": []},
    "bkitsm_storage_expansion": {"plan": ["apply", "provision_etl"], **COLLECTOR},
    "bkitsm_taskflow": {"find": ["approve", "delete"], "approve": ["delete"], "delete": []},
}
# What must not be loaded while a DAG is parsed: clients, the store's database layer, the sandbox.
HEAVY = ("requests", "httpx", "httpcore", "sqlalchemy", "airflow_provider_bkitsm.sandbox", "fastapi")
# In a process without any connection, with the network forbidden. Serialising loads more: all are parsed before.
PROGRAM = """
import json, runpy, socket, sys
import airflow.sdk
def forbidden(*args, **kwargs):
    raise AssertionError("a connection was opened while the DAG was parsed")
socket.socket.connect = forbidden
def parse(path):
    before = set(sys.modules)
    return runpy.run_path(path)["dag"], sorted(set(sys.modules) - before)
parsed = [parse(path) for path in sys.argv[1:]]
from airflow.serialization import serialized_objects
# Airflow 3.1 calls it SerializedDAG.
serialization = getattr(serialized_objects, "DagSerialization", None) or serialized_objects.SerializedDAG
def told(dag, loaded):
    dag.params.validate()
    stored = serialization.from_dict(serialization.to_dict(dag))
    return {
        "dag_id": stored.dag_id,
        "loaded": loaded,
        "edges": {one.task_id: sorted(one.downstream_task_ids) for one in stored.tasks},
        "doc": dag.doc_md,
        "tags": sorted(dag.tags),
        "params": list(dag.params),
        "undescribed": [name for name in dag.params if not dag.params.get_param(name).description],
        "runs": [str(dag.schedule), dag.catchup, dag.max_active_runs, dag.is_paused_upon_creation],
    }
print(json.dumps([told(*one) for one in parsed]))
"""


def parsed(name: str) -> dict[str, Any]:
    """Return what is to be known of a DAG whose file was imported, and which was serialised."""
    return _all_parsed()[name]


@cache
def _all_parsed() -> dict[str, dict[str, Any]]:
    command = [sys.executable, "-c", PROGRAM, *(str(ROOT / "dags" / f"{name}.py") for name in DAGS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return dict(zip(DAGS, json.loads(done.stdout.splitlines()[-1]), strict=True))


@pytest.mark.parametrize("name", DAGS)
def test_a_dag_is_parsed_without_connections_network_or_heavy_modules(name):
    assert [one for one in HEAVY if one in parsed(name)["loaded"]] == []


@pytest.mark.parametrize("name", DAGS)
def test_a_dag_survives_airflows_serialisation_with_every_task_where_it_belongs(name):
    assert (parsed(name)["dag_id"], parsed(name)["edges"]) == (name, EDGES[name])


@pytest.mark.parametrize("name", DAGS)
def test_a_dag_says_what_a_refusal_does_and_what_each_parameter_is(name):
    assert "refused" in parsed(name)["doc"].lower()
    assert (parsed(name)["tags"], parsed(name)["undescribed"]) == (["bkitsm"], [])


def test_reconciling_happens_every_five_minutes_one_run_at_a_time_and_only_when_switched_on():
    assert parsed("bkitsm_reconcile")["runs"] == ["0:05:00", False, 1, True]


def test_p3_many_collectors_are_provisioned_only_as_their_ticket_has_shown_them(connections, sandbox):
    """Between approval and provisioning the XCom of ``prepare`` may become another one."""
    dag = runpy.run_path(str(ROOT / "dags" / "bkitsm_many_collectors.py"))["dag"]
    prepare, provision = (dag.get_task(one).python_callable for one in ("prepare", "collector.provision_etl"))
    params = {name: dag.params[name] for name in dag.params}
    first, second = prepare(params)
    shown = "\n\n".join(one["shown"] for one in (first, second))
    record_round(
        "REQ1",
        run_id="",
        task_id="",
        request={"fields": {"APPROVAL_CONTENT": f"{shown}\n\nsha256:0"}},
        approval_key="run_1",
    )
    (shared,) = open_approval_store().of_run("dag", "")
    for index in (0, 1):
        record_round(None, task_id="collector.approve", map_index=index, ticket_of=shared.nonce)
    ti = SimpleNamespace(dag_id="dag", run_id="run_1", map_index=0)
    edited = {**first["clean_config"], "retention": 365}
    swapped = {
        "another payload": {**first, "clean_config": edited},
        "and its text": {**first, "clean_config": edited, "shown": shown},
        "another collector's payload": {**first, "clean_config": second["clean_config"]},
        "another collector": {**first, "collector_config_id": 1003},
    }
    for xcom in swapped.values():
        with pytest.raises(AirflowFailException, match="ticket REQ1 has not shown it like this"):
            provision(xcom, params, ti)
    with pytest.raises(AirflowFailException, match="has not shown it like this"):
        provision(first, params, SimpleNamespace(dag_id="dag", run_id="run_2", map_index=0))
    assert all(not sandbox.collector(number)["table_id"] for number in params["collector_config_ids"])
    assert provision(first, params, ti)["table_id"] == "2_bklog." + first["clean_config"]["table_id"]
    # Once more, as after a failure.
    assert provision(first, params, ti)["table_id"] == "2_bklog." + first["clean_config"]["table_id"]


def loaded(name: str) -> Any:
    return runpy.run_path(str(ROOT / "dags" / f"{name}.py"))["dag"]


def ask(form: dict[str, Any], who: Any) -> None:
    """Ask as the task of a DAG does; it then waits."""
    gate = ItsmApprovalOperator(task_id=who.task_id, title="t", fast_approval=True, fields=form)
    with pytest.raises(TaskDeferred):
        gate.execute(who.context)


RUN = SimpleNamespace(dag_id="dag", run_id="run_1", map_index=-1)


def test_p3_only_the_indices_that_were_asked_for_are_deleted(connections, task):
    dag = loaded("bkitsm_taskflow")
    form = dag.get_task("approve").python_callable(["app_1", "app_2"], {"approvers": "alice"})
    ask(form, task("approve"))
    delete, verdict = dag.get_task("delete").python_callable, {"sn": "REQ1"}
    for found in (["app_1", "app_2", "orders"], ["orders"], ["app_1"], []):
        with pytest.raises(ValueError, match="has asked for something else"):
            delete(found, verdict, RUN)
    assert delete(["app_1", "app_2"], verdict, RUN) == {"REQ1": ["app_1", "app_2"]}


def test_p3_only_the_permission_that_was_asked_for_is_granted(connections, task):
    dag = loaded("bkitsm_external_permission")
    params = {name: dag.params[name] for name in dag.params}
    request = dag.get_task("check").python_callable(params, SimpleNamespace(run_after=datetime.now(UTC)))
    gate, brought = dag.get_task("ask"), SimpleNamespace(xcom_pull=lambda task_ids: {"check": request}[task_ids])
    ask(gate.render_template(gate.fields, {"ti": brought, "params": params}), task("ask"))
    grant, verdict = dag.get_task("grant").python_callable, {"sn": "REQ1"}
    for changed in ({"authorized_user": "mallory"}, {"resources": "1,2"}, {"more": "x"}):
        with pytest.raises(ValueError, match="has asked for something else"):
            grant({**request, **changed}, verdict, RUN)
    assert grant(request, verdict, RUN)["ticket_sn"] == "REQ1"
