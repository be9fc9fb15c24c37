# SPDX-License-Identifier: Apache-2.0
"""What a wait writes, through Airflow's own API as a triggerer calls it, for tasks and runs of any name."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest

from airflow_provider_bkitsm.callback.waiters import POLLED_KEY, Waiter, registration_key
from airflow_provider_bkitsm.itsm.outcome import Outcome
from airflow_provider_bkitsm.itsm.verdict import Verdict
from airflow_provider_bkitsm.triggers.task_instance import TaskInstanceXComs, task_states
from tests.plugins.database import airflow_database
from tests.supervision import answer, execution_api

WAITER = Waiter(ti_id="01a20d5b-e52e-7d97-8d82-4612038db7fd", conn_id="审批连接")
APPROVED = Verdict(outcome=Outcome.APPROVED, sn="REQ1", current_status="FINISHED", reason="")
NAMES = (
    ("d", "r", "t"),
    ("上线审批", "第一次 上线", "等审批"),
    ("release_上线.v1-2", "a.b+c:d~e", "wait_等审批-1"),
    ("validación", "50% of %41 it#1?x", "ñ"),
    ("🚀", "2026-01-01T00:00:00+08:00", "𠮷"),
    ("长" * 250, "跑" * 250, "等" * 250),
)


@pytest.fixture(scope="module")
def api(tmp_path_factory) -> Iterator[Any]:
    """The client of a triggerer's supervisor, with an Airflow database behind it."""
    from airflow.api_fastapi.execution_api.app import InProcessExecutionAPI

    home = tmp_path_factory.mktemp("names")
    with pytest.MonkeyPatch.context() as patch, airflow_database(home, f"sqlite:///{home / 'airflow.db'}"):
        patch.setenv("AIRFLOW__SCHEDULER__ALLOWED_RUN_ID_PATTERN", ".+")
        in_process = InProcessExecutionAPI()
        yield execution_api(in_process.transport)


@pytest.fixture
def _triggerer(api, monkeypatch):
    """Answer messages as a triggerer's supervisor does."""
    from airflow.sdk.execution_time import task_runner

    async def asend(message: Any) -> Any:
        return answer(api, message)

    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", SimpleNamespace(asend=asend), raising=False)


def insert(dag_id: str, run_id: str, task_id: str) -> SimpleNamespace:
    from airflow.models.dag import DagModel
    from airflow.models.dag_version import DagVersion
    from airflow.models.dagbundle import DagBundleModel
    from airflow.models.dagrun import DagRun
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session
    from sqlalchemy import insert as insert_into

    run = {"run_id": run_id, "run_type": "manual", "state": "running"}
    task = {"task_id": task_id, "map_index": -1, "try_number": 1, "max_tries": 0, "pool": "default_pool"}
    with create_session(scoped=False) as session:
        session.merge(DagBundleModel(name="bundle"))
        session.flush()
        session.add(
            DagModel(
                dag_id=dag_id, bundle_name="bundle", fileloc="/d.py", relative_fileloc="d.py", max_active_tasks=1
            )
        )
        session.flush()
        version = DagVersion(dag_id=dag_id, version_number=1, bundle_name="bundle")
        session.add_all([version, DagRun(dag_id=dag_id, **run)])
        session.flush()
        more = {"id": TaskInstance.id.type.python_type(str(uuid4())), "pool_slots": 1, "queue": "default"}
        row = {
            "dag_id": dag_id,
            "run_id": run_id,
            "dag_version_id": version.id,
            "state": "deferred",
            **task,
            **more,
        }
        session.execute(insert_into(TaskInstance), [row])
    return SimpleNamespace(dag_id=dag_id, run_id=run_id, task_id=task_id, map_index=-1)


def stored(task: SimpleNamespace) -> dict[str, Any]:
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    same = [getattr(XComModel, name) == getattr(task, name) for name in ("dag_id", "run_id", "task_id")]
    with create_session(scoped=False) as session:
        return dict(session.execute(select(XComModel.key, XComModel.value).where(*same)).all())


@pytest.mark.usefixtures("_triggerer")
@pytest.mark.parametrize("names", NAMES, ids=[str(number) for number in range(len(NAMES))])
async def test_p1_a_wait_registers_and_concludes_whatever_its_task_is_called(api, names):
    task = insert(*names)
    notes = TaskInstanceXComs(task)
    await notes.register("REQ1", WAITER)
    assert notes.registered
    await notes.polled("审批连接")
    await notes.show("https://itsm/1")
    assert {registration_key("REQ1"), POLLED_KEY} <= stored(task).keys()
    assert stored(task)[registration_key("REQ1")] == WAITER.as_dict()
    assert await notes.conclude(APPROVED)
    assert stored(task)["return_value"]["outcome"] == "approved"
    await notes.forget_results("REQ1")
    assert "return_value" in stored(task)
    await notes.forget_results("REQ2")
    assert "return_value" not in stored(task)


@pytest.mark.usefixtures("_triggerer")
@pytest.mark.parametrize("names", [("杀", "跑 1+1", "等"), ("k", "50%41#", "t")])
async def test_p5_the_state_of_a_task_is_found_whatever_it_is_called(api, names):
    assert await task_states(insert(*names)) == ["deferred"]


@pytest.mark.usefixtures("_triggerer")
async def test_p4_a_tickets_number_writes_on_no_other_task():
    """Whoever starts a run may choose the number, and a triggerer may write the XComs of every DAG."""
    task, other = insert("mine", "r1", "wait"), insert("other", "r2", "gate")
    for sn in (
        "x/../../../../other/r2/gate/return_value",
        "?/../return_value",
        "REQ1?map_index=3#",
        "50%41",
        "审批",
    ):
        notes = TaskInstanceXComs(task)
        await notes.register(sn, WAITER)
        assert notes.registered
        assert stored(task)[registration_key(sn)] == WAITER.as_dict()
    assert stored(other) == {}
    assert len(stored(task)) == 5
