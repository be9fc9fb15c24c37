# SPDX-License-Identifier: Apache-2.0
"""The test kit, as a DAG author gets it: installed, and used as the documentation says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from airflow_provider_bkitsm.hooks.bklog import BkLogHook
from airflow_provider_bkitsm.hooks.itsm import ItsmHook
from airflow_provider_bkitsm.sandbox.itsm.service_catalog import SERVICES
from tests.plugins.database import migrated_sqlite

DOCS = Path(__file__).parents[2] / "docs" / "testing-your-dags.md"
FORM = {"title": "t", "APPROVER": "alice", "APPROVAL_CONTENT": "c"}


def test_pytest_finds_it_by_itself():
    (found,) = entry_points(group="pytest11", name="bkitsm")
    assert found.value == "airflow_provider_bkitsm.testing.plugin"


def test_the_connections_lead_to_the_sandbox(bkitsm_connections):
    sn = ItsmHook().create_ticket(creator="robot", fields=FORM, fast_approval=True).sn
    assert [one["sn"] for one in bkitsm_connections.tickets()] == [sn]
    assert BkLogHook().get_collector(1001, bk_biz_id=2)


def test_each_test_has_a_sandbox_of_its_own(bkitsm_sandbox):
    assert bkitsm_sandbox.tickets() == []


@pytest.mark.parametrize(
    ("answer", "status", "verdict"),
    [("approve", "FINISHED", True), ("reject", "FINISHED", False), ("withdraw", "REVOKED", False)],
)
def test_people_decide_by_themselves(bkitsm_connections, answer, status, verdict):
    with bkitsm_connections.deciding(answer):
        sn = ItsmHook().create_ticket(creator="robot", fields=FORM, fast_approval=True).sn
        assert bkitsm_connections.wait_for_status(sn, status)["approve_result"] is verdict


class TestOfV4:
    """As a user's tests ask for the other version."""

    @pytest.fixture
    def bkitsm_dialect(self):
        return "v4"

    @pytest.mark.parametrize(
        ("answer", "status", "verdict"),
        [("approve", "finished", True), ("reject", "finished", False), ("withdraw", "revoked", False)],
    )
    def test_people_decide_by_themselves(self, bkitsm_connections, answer, status, verdict):
        form = {"title": "t", "approvers": ["alice"]}
        hook = ItsmHook()
        with bkitsm_connections.deciding(answer):
            create = hook.gateway.dialect.create(tag="f" * 32, creator="robot", fields=form)
            sn = hook.run(create).sn
            assert bkitsm_connections.wait_for_status(sn, status)["approve_result"] is verdict


def test_loading_it_is_cheap():
    code = "import sys, airflow_provider_bkitsm.testing.plugin; print(*{'airflow', 'fastapi'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_the_documentation_lists_the_sandboxs_services():
    text = DOCS.read_text(encoding="utf-8")
    listed = sorted(number for number, service in SERVICES.items() if service.listed)
    assert [int(number) for number in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)] == listed


def test_the_documentations_commands_run_in_an_empty_directory(tmp_path):
    """Nothing is set. This Python's folder is on the path, in place of what the page installs."""
    text = DOCS.read_text(encoding="utf-8")
    dag, *tests = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (commands,) = re.findall(r"```console\n(.*?)```", text, re.DOTALL)
    installing, commands = re.split(r"(?<=\n)(?=export )", commands, maxsplit=1)
    assert re.search(r"^pip install .*airflow.*airflow_provider_bkitsm.* pytest$", installing, re.MULTILINE)
    here, home = tmp_path / "here", tmp_path / "home"
    here.mkdir()
    home.mkdir()
    (here / "restart.py").write_text(dag)
    (here / "test_restart.py").write_text("\n".join(tests))
    env = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "HOME": str(home), "LANG": "C.UTF-8"}
    command = ["sh", "-ec", commands]
    done = subprocess.run(command, cwd=here, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert "5 passed" in done.stdout
    assert list(home.iterdir()) == []


DAG_AND_TESTS = """
from airflow.sdk import DAG, task

def dag(value):
    with DAG("made_in_a_test", schedule=None) as made:
        task(task_id=f"return_{value}")(lambda: value)()
    return made

def test_it_is_run_as_it_is(bkitsm_run):
    for value in (1, 2):
        run = bkitsm_run(dag(value), run_conf={"a": "b"})
        (ti,) = run.get_task_instances()
        assert (run.state, run.conf) == ("success", {"a": "b"})
        assert run.triggering_user_name == "dag_test"
        assert (ti.task_id, ti.xcom_pull(task_ids=ti.task_id)) == (f"return_{value}", value)
"""


@pytest.mark.parametrize("migrated", [True, False])
def test_a_dag_is_run_wherever_it_is_defined_once_there_are_tables(tmp_path, migrated):
    """It is in no folder of DAGs, and changes between two runs."""
    (tmp_path / "test_made.py").write_text(DAG_AND_TESTS)
    env = {key: value for key, value in os.environ.items() if not key.startswith(("AIRFLOW", "PYTEST"))}
    env |= {"AIRFLOW_HOME": str(tmp_path / "airflow")}
    (tmp_path / "airflow").mkdir()
    if migrated:
        (tmp_path / "airflow" / "airflow.db").write_bytes(migrated_sqlite())
    command = [sys.executable, "-m", "pytest", "-q", "test_made.py"]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    wanted = "1 passed" if migrated else "run airflow db migrate first"
    assert wanted in done.stdout, done.stdout[-4000:] + done.stderr[-2000:]
