# SPDX-License-Identifier: Apache-2.0
"""The approval switched off for a business, on a running Airflow."""

from __future__ import annotations

from demo.airflow_api import wait_until
from tests.e2e.conftest import DAG_ID, NEEDS_NO_APPROVAL
from tests.e2e.test_onboarding import Run, tickets_of


def test_where_no_approval_is_needed_the_wait_is_skipped_and_the_collector_goes_live(airflow, control, store):
    number = 2100
    control.put_collector(number, bk_biz_id=NEEDS_NO_APPROVAL)
    run = Run(airflow.api, number, business=NEEDS_NO_APPROVAL)
    skipped = ("success", ("success", "skipped", "success", "success"))
    assert run.end() == skipped
    assert control.collector(number)["table_id"] == f"{NEEDS_NO_APPROVAL}_bklog.app_runtime"
    assert tickets_of(control, number) == []
    told = store.history("bklog_default", number)
    assert [entry.event for entry in told] == ["bypassed", "provisioned", "complete"]
    assert "collect_itsm_businesses has 7 = off" in told[0].detail["setting"]
    assert [entry.actor.split()[1] for entry in told] == ["apply", "provision_etl", "complete"]
    run.api.clear(DAG_ID, run.id, ["wait"])
    assert run.end() == skipped


def test_of_collectors_mapped_in_a_group_only_those_that_need_it_wait(airflow, itsm, control, store):
    dag_id, free, asked = "mixed_businesses", 2201, 2202
    control.put_collector(free, bk_biz_id=NEEDS_NO_APPROVAL)
    control.put_collector(asked, bk_biz_id=2)
    run = airflow.api.trigger(dag_id)

    def state(number: int) -> str:
        return store.get("bklog_default", number).state

    wait_until(lambda: state(free) == "success_apply" and tickets_of(control, asked), lambda: state(free))
    assert state(asked) == "applying"
    (sn,) = tickets_of(control, asked)
    itsm.decide(sn, "approve", "")
    assert airflow.api.wait_for_run(dag_id, run) == "success"
    listed = airflow.api.call("GET", f"dags/{dag_id}/dagRuns/{run}/taskInstances")["task_instances"]
    waits = {one["map_index"]: one["state"] for one in listed if one["task_id"] == "onboard.wait"}
    assert waits == {0: "skipped", 1: "success"}
    assert (state(free), state(asked)) == ("success_apply", "success_apply")
    assert tickets_of(control, free) == []
