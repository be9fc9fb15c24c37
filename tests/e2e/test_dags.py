# SPDX-License-Identifier: Apache-2.0
"""The real DAGs on a running Airflow, approved and refused; the onboarding has a module of its own."""

from __future__ import annotations

import json
from typing import Any

import pytest

from demo.airflow_api import AirflowApi, wait_until
from tests.e2e.conftest import DAG_ID
from tests.e2e.test_onboarding import Run as Onboarding
from tests.operators.test_collector_storage import LIVE

STORAGE, PERMISSION, TASKFLOW, MANY = (
    f"bkitsm_{name}" for name in ("storage_expansion", "external_permission", "taskflow", "many_collectors")
)
RECONCILE = "bkitsm_reconcile"
# Collectors of this module's own.
GROWS, STAYS, MANY_FIRST, MANY_SECOND, LEFT_BEHIND = range(2301, 2306)
EXPANSION = {"retention": 30, "storage_replies": 2, "daily_gb_per_host": 10, "hosts": 5}
RUNS: dict[str, tuple[str, dict[str, Any]]] = {
    "grows": (STORAGE, {"collector_config_id": GROWS, **EXPANSION}),
    "stays": (STORAGE, {"collector_config_id": STAYS, **EXPANSION}),
    "granted": (PERMISSION, {"authorized_users": ["guest", "vendor"], "resources": [10001, 10002]}),
    "denied": (PERMISSION, {"authorized_users": ["stranger"]}),
    "deleted": (TASKFLOW, {}),
    "many": (MANY, {"collector_config_ids": [MANY_FIRST, MANY_SECOND]}),
}


class Run:
    """A run of a DAG, and its ticket."""

    def __init__(self, api: AirflowApi, control, name: str) -> None:
        self.api, self.control = api, control
        self.dag, conf = RUNS[name]
        self.id = api.trigger(self.dag, conf)

    def asks(self, shown: str) -> str:
        """Wait for the ticket that shows this, and until whoever asks has given its worker back."""

        def waits() -> str | None:
            if "deferred" not in self.states():
                return None
            found = [one["sn"] for one in self.control.tickets() if shown in json.dumps(one, ensure_ascii=False)]
            return found[0] if found else None

        sn: str = wait_until(waits, lambda: f"{shown}: {self.states()}")
        return sn

    def states(self) -> list[str | None]:
        """Return its tasks' states."""
        path = f"dags/{self.dag}/dagRuns/{self.id}/taskInstances"
        return [one["state"] for one in self.api.call("GET", path)["task_instances"]]

    def end(self) -> tuple[str, dict[str, str | None]]:
        """Wait for the end; return the run's state and its tasks' states."""
        state = self.api.wait_for_run(self.dag, self.id)
        return state, self.api.task_states(self.dag, self.id)

    def xcom(self, task: str) -> Any:
        return self.api.xcom(self.dag, self.id, task)


@pytest.fixture(scope="module")
def runs(airflow, control) -> dict[str, Run]:
    """Start all runs at once."""
    for number in (GROWS, STAYS):
        control.put_collector(number, bk_biz_id=2, **LIVE)
    for number in (MANY_FIRST, MANY_SECOND, LEFT_BEHIND):
        control.put_collector(number, bk_biz_id=2)
    return {name: Run(airflow.api, control, name) for name in RUNS}


def detail(control, sn: str) -> dict[str, str]:
    """Return the rows a collector's ticket shows."""
    form = control.ticket(sn)["fields"]["collector_detail"]
    return {row["label"]: row["value"] for row in form["form_data"][0]["children"]}


def test_storage_grows_once_its_capacity_was_seen_and_approved(runs, control, store):
    run, before = runs["grows"], control.collector(GROWS)
    sn = run.asks(f"日志存储变更】{GROWS}")
    assert detail(control, sn)["容量估算（GB）："] == "变更前 1200，变更后 6975，差额 +5775"
    assert control.collector(GROWS) == before
    control.approve(sn)
    assert run.end()[0] == "success"
    grown = {"retention": 30, "storage_replies": 2, "etl_writes": 1}
    assert control.collector(GROWS) == before | grown
    assert store.get("bklog_default", GROWS).state == "success_apply"


def test_p3_a_refused_expansion_leaves_the_collector_as_it_was(runs, control, store):
    run, before = runs["stays"], control.collector(STAYS)
    control.reject(run.asks(f"日志存储变更】{STAYS}"), remark="no room")
    state, tasks = run.end()
    assert (state, tasks["provision_etl"], tasks["complete"]) == ("failed", "upstream_failed", "failed")
    assert "no room" in run.api.log(STORAGE, run.id, "complete")
    assert control.collector(STAYS) == before
    assert store.get("bklog_default", STAYS).outcome == "rejected"


def test_a_permission_is_granted_as_it_was_asked_for_and_until_a_day(runs, control):
    run = runs["granted"]
    sn = run.asks("guest,vendor")
    control.approve(sn)
    state, tasks = run.end()
    assert (state, tasks["grant"], tasks["inform"]) == ("success", "success", "skipped")
    granted = run.xcom("grant")
    assert (granted["authorized_user"], granted["resources"]) == ("guest,vendor", "10001,10002")
    assert f"expire_time: {granted['expire_time']}" in control.ticket(sn)["fields"]["APPROVAL_CONTENT"]


def test_p3_a_permission_that_was_refused_is_told_and_not_granted(runs, control):
    run = runs["denied"]
    control.reject(run.asks("stranger"), remark="who is this")
    state, tasks = run.end()
    assert (state, tasks["grant"], tasks["inform"]) == ("success", "skipped", "success")
    assert "who is this" in run.xcom("inform")


def test_a_taskflow_dag_goes_on_with_the_verdict_on_what_its_function_asked(runs, control):
    run = runs["deleted"]
    sn = run.asks("app_20260101")
    assert "app_20261101" not in control.ticket(sn)["fields"]["APPROVAL_CONTENT"]
    control.approve(sn)
    assert run.end()[0] == "success"
    assert run.xcom("delete") == {sn: ["app_20260101"]}


def test_p2_many_collectors_go_live_with_one_ticket_that_lists_them_all(runs, control):
    run, name = runs["many"], f"collector-{MANY_FIRST}"
    sn = run.asks(name)
    wait_until(lambda: run.states().count("deferred") == 2, lambda: f"{run.states()}")
    asked = [one for one in control.tickets() if one["title"].startswith("2 collectors go live")]
    assert [one["sn"] for one in asked if one["status"] == "RUNNING"] == [sn]
    assert f"collector-{MANY_SECOND}" in control.ticket(sn)["fields"]["APPROVAL_CONTENT"]
    control.approve(sn)
    assert run.end()[0] == "success"
    tables = [control.collector(number)["table_id"] for number in (MANY_FIRST, MANY_SECOND)]
    assert tables == [f"2_bklog.collector_{number}" for number in (MANY_FIRST, MANY_SECOND)]


def test_reconciling_ends_what_was_refused_when_its_run_was_gone(airflow, control, store, runs):
    api, left = airflow.api, Onboarding(airflow.api, LEFT_BEHIND).waits()
    api.call("PATCH", f"dags/{DAG_ID}/dagRuns/{left.id}", json={"state": "failed"})
    control.wait_for_step(left.sn)
    control.withdraw(left.sn)
    assert store.get("bklog_default", LEFT_BEHIND).state == "applying"
    api.call("PATCH", f"dags/{RECONCILE}", json={"is_paused": False})
    try:
        run = api.trigger(RECONCILE)
        assert api.wait_for_run(RECONCILE, run) == "success"
    finally:
        api.call("PATCH", f"dags/{RECONCILE}", json={"is_paused": True})
    row = store.get("bklog_default", LEFT_BEHIND)
    assert (row.state, row.outcome) == ("fail_apply", "withdrawn")
    assert "ended by reconciliation" in row.last_error
