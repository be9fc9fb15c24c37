# SPDX-License-Identifier: Apache-2.0
"""Two chains of one run about one collector: neither ends, completes or provisions what the other applied for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from airflow.sdk import DAG, task_group

from airflow_provider_bkitsm.collectors.errors import CollectItsmHasApply
from airflow_provider_bkitsm.hooks.store import open_store
from airflow_provider_bkitsm.operators.collector import (
    CollectorApplyOperator,
    CollectorCompleteOperator,
    CollectorProvisionEtlOperator,
)
from tests.operators.test_collector import CLEAN, KEY

APPLY = {"clean_config": CLEAN, "approvers": "alice"}
TWICE = [1001, 1001]


@pytest.fixture
def run(sandbox, connections, task) -> Callable[..., Any]:
    """Execute a task of a DAG, by index if it is mapped."""

    def execute(dag: DAG, task_id: str, index: int = -1) -> Any:
        operator: Any = dag.get_task(task_id)
        if operator.is_mapped:
            operator = operator.unmap({"collector_config_id": 1001})
        operator.collector_config_id = 1001  # as rendered
        context = task(task_id).context
        context["ti"].map_index = index
        return operator.execute(context)

    return execute


def _chain(suffix: str = "", number: Any = 1001) -> None:
    about = {"collector_config_id": number, "bk_biz_id": 2}
    apply = CollectorApplyOperator(task_id=f"apply{suffix}", **about, **APPLY)
    provision = CollectorProvisionEtlOperator(task_id=f"provision{suffix}", **about)
    apply >> provision >> CollectorCompleteOperator(task_id=f"complete{suffix}", **about)


def _two_chains() -> DAG:
    with DAG("dag", schedule=None) as dag:
        _chain("_a")
        _chain("_b")
    return dag


def _mapped() -> DAG:
    with DAG("dag", schedule=None) as dag:
        apply = CollectorApplyOperator.partial(task_id="apply", bk_biz_id=2, **APPLY)
        complete = CollectorCompleteOperator.partial(task_id="complete", bk_biz_id=2)
        apply.expand(collector_config_id=TWICE) >> complete.expand(collector_config_id=TWICE)
    return dag


def _mapped_group() -> DAG:
    with DAG("dag", schedule=None) as dag:

        @task_group
        def each(number: int) -> None:
            _chain(number=number)

        each.expand(number=TWICE)
    return dag


def test_p6_another_chain_of_the_run_neither_provisions_nor_ends_an_application(run, sandbox):
    dag = _two_chains()
    sn = run(dag, "apply_a")
    with pytest.raises(CollectItsmHasApply):
        run(dag, "apply_b")
    for step in ("provision_b", "complete_b"):
        with pytest.raises(AirflowFailException, match="no task of this run before this one made it"):
            run(dag, step)
    assert sandbox.ticket(sn)["status"] == "RUNNING"
    sandbox.approve(sn)
    run(dag, "provision_a")
    assert run(dag, "complete_a")["state"] == "success_apply"


@pytest.mark.parametrize(("made", "group"), [(_mapped, ""), (_mapped_group, "each.")])
def test_p6_of_a_collector_that_is_in_a_mapped_list_twice_the_second_ends_nothing(run, sandbox, made, group):
    dag = made()
    sn = run(dag, f"{group}apply", 0)
    with pytest.raises(CollectItsmHasApply):
        run(dag, f"{group}apply", 1)
    with pytest.raises(AirflowFailException, match="no task of this run before this one made it"):
        run(dag, f"{group}complete", 1)
    assert (open_store().get(*KEY).state, sandbox.ticket(sn)["status"]) == ("applying", "RUNNING")
    with pytest.raises(AirflowFailException, match="fail_apply"):
        run(dag, f"{group}complete", 0)


def test_a_task_mapped_over_another_list_may_be_about_any_of_the_applications(run, sandbox):
    with DAG("dag", schedule=None) as dag:
        apply = CollectorApplyOperator.partial(task_id="apply", bk_biz_id=2, **APPLY)
        provision = CollectorProvisionEtlOperator.partial(task_id="provision", bk_biz_id=2)
        apply.expand(collector_config_id=[1002, 1001]) >> provision.expand(collector_config_id=[1001])
    sandbox.approve(run(dag, "apply", 1))
    assert run(dag, "provision", 0)["collector_config_id"] == 1001


def test_an_apply_task_that_was_renamed_while_people_decided_is_still_the_runs_own(run, sandbox):
    sandbox.approve(run(_two_chains(), "apply_a"))
    with DAG("dag", schedule=None) as renamed:
        _chain()
    run(renamed, "provision")
    assert run(renamed, "complete")["state"] == "success_apply"
